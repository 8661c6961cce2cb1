"""Checking an exported case without a database: what `stackwatch verify` says about it.

Pure. The file holds the head of the case, its records as they were hashed, and beside them alerts and orders
as they were when it was written. What is checked: the chain of hashes, that each record continues the one
before it, that the state is where they lead, and that the numbers a lift was decided on allow it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from alerts.enforcement.chain import Link, verify
from alerts.enforcement.workflow import Action, Record, State, state_of

FORMAT: Final = "stackwatch-case/1"


def faults_of(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with an exported case, one sentence each; empty where it holds."""
    if document.get("format") != FORMAT:
        return [f"the file is no exported case: its format is {document.get('format')!r}, not {FORMAT!r}"]
    try:
        head: Mapping[str, Any] = document["case"]
        links = [
            Link(item["body"], bytes.fromhex(item["previous_hash"]), bytes.fromhex(item["hash"]))
            for item in document["events"]
        ]
        broken = verify(head, links)
        if broken is not None:
            return [f"the chain is broken at {broken}"]
        bodies = [json.loads(item.body) for item in links]
        return [*_strangers(head, bodies), *_state(document, bodies), *_lifts(head, bodies)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"the file cannot be read as an exported case: {error!r}"]


def _strangers(head: Mapping[str, Any], bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"record {body['number']} belongs to {body['case']}, not to {head['id']}"
        for body in bodies
        if body["case"] != head["id"]
    ]


def _state(document: Mapping[str, Any], bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    records = [
        Record(body["action"], None if body["before"] is None else State(body["before"]), State(body["after"]))
        for body in bodies
    ]
    try:
        state = state_of(records)
    except ValueError as error:
        return [str(error)]
    return [] if document["state"] == state else [f"the records lead to {state}, the file says {document['state']}"]


def _lifts(head: Mapping[str, Any], bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Redo each lift from the hours that were copied into it."""
    decimals = {
        (item["stack"], item["pollutant"], item["pack"]): int(item["decimals"]) for item in head["pinned"]["watched"]
    }
    limits = {
        (item["stack"], item["pollutant"], item["pack"]): float(item["limit"]) for item in head["pinned"]["watched"]
    }
    faults = []
    for body in bodies:
        if body["action"] != Action.LIFT:
            continue
        numbers = body["numbers"]
        seen = {(item["stack"], item["pollutant"], item["pack"]): item["hours"] for item in numbers["series"]}
        for key, limit in limits.items():
            stack, pollutant, _ = key
            where = f"record {body['number']}: {pollutant.upper()} at {stack}"
            if stack in numbers["withdrawn_stacks"]:
                continue
            hours = seen.get(key, [])
            if len({hour["start"] for hour in hours}) < head["pinned"]["policy"]["lift_after_clean_hours"]:
                faults.append(f"{where} was lifted on {len(hours)} clean hours")
            faults += [
                f"{where} counts {hour['start']} as clean: {hour['corrected']} is above {limit}"
                for hour in hours
                if hour["corrected"] is None or round(float(hour["corrected"]), decimals[key]) > limit
            ]
    return faults
