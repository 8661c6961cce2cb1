"""What an exported alert holds, as the values that rules work on: register, pack, rows, marks. Pure.

A `ValueError` (or `BadDocument`) names what in the file cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from alerts.enforcement.chain import utc_text
from alerts.evidence.checks import Check, compared
from alerts.rules import receiver_dead
from alerts.rules.finding import Series
from alerts.subject import Subject, Watched
from plant.channels import CHANNELS
from plant.errors import BadDocument, Fault
from plant.hours import Claim
from plant.packs import Pack, parse_pack
from plant.periods import SECOND, instant, micros
from plant.reading import Reader
from plant.readings import Letters, Rows, state_not_running
from plant.register import Site, site_from


def subject_of(document: Mapping[str, Any]) -> Subject:
    """The stack as registered in the file, under the pack in the file."""
    site, pack = site_of(document), pack_of(document)
    if pack is None:
        raise ValueError("the file holds no pack")
    return Subject(site_id=0, stack_id=0, site=site, stack=site.stacks[0], packs=(pack,))


def site_of(document: Mapping[str, Any]) -> Site:
    register = document["register"]
    stack = register["stack"]
    table = {
        **register["site"],
        "unit": [{"code": code} for code in stack.get("units", ())],  # their kinds decide nothing here
        "stack": [stack],
    }
    faults: list[Fault] = []
    site = site_from(Reader(table, "register", faults), {name: {stack["process"]} for name in stack["packs"]})
    if faults:
        raise BadDocument("register", faults)
    return site


def pack_of(document: Mapping[str, Any]) -> Pack | None:
    held = document.get("pack")
    return None if held is None else parse_pack(held["text"], f"{held['name']}.toml")


def packs_of(document: Mapping[str, Any]) -> tuple[Pack, ...]:
    """Every pack in the file, in the order in which the stack names them."""
    held = [*document.get("packs", ()), *filter(None, [document.get("pack")])]
    by_name = {one["name"]: parse_pack(one["text"], f"{one['name']}.toml") for one in held}
    return tuple(by_name[name] for name in document["register"]["stack"]["packs"] if name in by_name)


def series_of(alert: Mapping[str, Any]) -> Series:
    """What the alert's id is made of."""
    evidence = alert["evidence"]
    edge = None if alert["stack"] is not None else evidence.get("edge")
    if alert["rule"] == receiver_dead.NAME:
        edge = f"receiver/{evidence['receiver_id']}"
    return Series(
        rule=alert["rule"],
        site=alert["site"] or "",
        pack=alert["pack"],
        stack=alert["stack"],
        pollutant=alert["pollutant"],
        edge=edge,
    )


def watched_of(subject: Subject, alert: Mapping[str, Any]) -> Watched:
    for watched in subject.watched:
        if (watched.pack.name, watched.pollutant) == (alert["pack"], alert["pollutant"]):
            return watched
    raise ValueError(f"{alert['pack']} limits no {alert['pollutant']} at such a stack")


def at(text: str) -> int:
    """Microseconds since the epoch."""
    return micros(datetime.fromisoformat(text))


def compared_times(what: str, stated: str | None, redone: int | None, *, by: str) -> Check:
    """*stated* in the file against *redone*, in microseconds."""
    as_stated = None if stated is None else utc_text(instant(at(stated)))
    return compared(what, as_stated, None if redone is None else utc_text(instant(redone)), by=by)


def marks_of(document: Mapping[str, Any]) -> list[Claim]:
    """The marks that were accepted when the hour was judged."""
    return [Claim(at(mark["start"]), at(mark["end"])) for mark in document.get("accepted_marks", ())]


def rows_of(items: Sequence[Mapping[str, Any]], subject: Subject) -> dict[str, Rows]:
    """The copied rows of the instruments that judge the stack, sorted, by instrument."""
    stack = subject.stack
    by_instrument: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        if item["instrument"] in (stack.ducts or stack.judged_from):
            by_instrument.setdefault(item["instrument"], []).append(item)
    return {
        instrument: _rows(sorted(found, key=lambda row: at(row["sampled_at"])), stamped_at_end=stack.stamped_at_end)
        for instrument, found in sorted(by_instrument.items())
    }


def _rows(items: Sequence[Mapping[str, Any]], *, stamped_at_end: bool) -> Rows:
    row_flag = np.array([ord(item["flag"]) for item in items], dtype=np.uint8)
    own: dict[str, Letters] = {}
    for place, item in enumerate(items):
        for channel, letter in (item.get("flags") or {}).items():
            own.setdefault(channel, row_flag.copy())[place] = ord(letter)
    starts = np.array([at(item["sampled_at"]) for item in items], dtype=np.int64)
    interval_s = np.array([item["interval_s"] for item in items], dtype=np.int64)
    return Rows(
        sampled_at=starts - interval_s * SECOND if stamped_at_end else starts,
        interval_s=interval_s,
        not_running=state_not_running([item.get("state") for item in items]),
        values={
            name: np.array([np.nan if item.get(name) is None else item[name] for item in items], dtype=np.float64)
            for name in CHANNELS
        },
        flags=own,
        row_flag=row_flag,
    )
