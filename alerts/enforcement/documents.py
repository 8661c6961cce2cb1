"""A case as people see it: its events, alerts, orders, due date, and what the reader may do now."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from alerts.enforcement.chain import Link, utc_text, verify
from alerts.enforcement.commands import trial_runs
from alerts.enforcement.export import FORMAT
from alerts.enforcement.history import head_of, load
from alerts.enforcement.workflow import Action, State, allowed_actions
from plant.errors import NotFound, Refused
from store import cases, orders
from store.pool import Connection
from store.register import site_by_code
from store.scope import EVERYWHERE, Scope


async def case_document(
    conn: Connection, case_id: str, roles: Collection[str], *, scope: Scope = EVERYWHERE
) -> dict[str, Any]:
    """One case for a reader with *roles*; `NotFound` where there is none in *scope*.

    Beside what a list shows, `trial` says how far a running trial has come.
    """
    case = await _in_scope(conn, case_id, scope)
    document = (await _documents(conn, [case], roles))[0]
    document["trial"] = await _trial(conn, case)
    return document


async def case_documents(
    conn: Connection,
    roles: Collection[str],
    *,
    scope: Scope = EVERYWHERE,
    state: str | None = None,
    site: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Cases newest first. The (opened_at, id) of the last one is *before* of the next page."""
    found = await cases.page(conn, scope, state=state, site=site, before=before, limit=limit)
    return await _documents(conn, found, roles)


async def case_export(conn: Connection, case_id: str, *, scope: Scope = EVERYWHERE) -> dict[str, Any]:
    """The file that `stackwatch verify` checks without a database: see `export`."""
    case = await _in_scope(conn, case_id, scope)
    rows = (await cases.events(conn, [case_id]))[case_id]
    return {
        "format": FORMAT,
        "case": head_of(case),
        "state": case.state,
        "events": [
            {"body": row.body, "previous_hash": row.previous_hash.hex(), "hash": row.hash.hex()} for row in rows
        ],
        "alerts": (await cases.alerts(conn, [case_id]))[case_id],
        "orders": (await orders.of_cases(conn, [case_id]))[case_id],
    }


async def _in_scope(conn: Connection, case_id: str, scope: Scope) -> cases.Case:
    case = await cases.find(conn, case_id)
    if case is None or not scope.holds(case.site, case.region) or (scope.public and case.simulated):
        raise NotFound(f"there is no case {case_id!r}")
    return case


async def _documents(conn: Connection, found: Sequence[cases.Case], roles: Collection[str]) -> list[dict[str, Any]]:
    ids = [case.case_id for case in found]
    events = await cases.events(conn, ids)
    alerts = await cases.alerts(conn, ids)
    issued = await orders.of_cases(conn, ids)
    return [_document(case, events[case.case_id], alerts[case.case_id], issued[case.case_id], roles) for case in found]


def _document(
    case: cases.Case,
    events: Sequence[cases.EventRow],
    alerts: Sequence[dict[str, Any]],
    issued: Sequence[dict[str, Any]],
    roles: Collection[str],
) -> dict[str, Any]:
    broken = verify(head_of(case), [Link(row.body, row.previous_hash, row.hash) for row in events])
    return {
        "id": case.case_id,
        "site": case.site,
        "region": case.region,
        "units": case.units,
        "track": case.track,
        "state": case.state,
        "opened_at": utc_text(case.opened_at),
        "closed_at": utc_text(case.closed_at) if case.closed_at else None,
        "due": utc_text(case.due) if case.due else None,
        "events": [
            {**json.loads(row.body), "previous_hash": row.previous_hash.hex(), "hash": row.hash.hex()} for row in events
        ],
        "damage": str(broken) if broken else None,
        "actions": [action.value for action in allowed_actions(State(case.state), roles)],
        "alerts": list(alerts),
        "pinned": case.pinned,
        "orders": list(issued),
        "trial": None,
    }


async def _trial(conn: Connection, case: cases.Case) -> dict[str, Any] | None:
    """What a trial must show and how far it has come; None outside a trial."""
    if case.state != State.TRIAL:
        return None
    registered = await site_by_code(conn, case.site)
    assert registered is not None, "a case's site cannot be deleted"
    try:
        history = await load(conn, case)
    except Refused:
        return None  # `damage` says why
    began = history.newest(Action.PERMIT_TRIAL)
    assert began is not None, "a trial began with the record that permitted it"
    runs = await trial_runs(conn, case, history, registered)
    return {
        "since": began["at"],
        "required": case.pinned["policy"]["lift_after_clean_hours"],
        "series": [run.progress() for run in runs],
        "may_lift": bool(runs) and all(run.enough for run in runs),
    }
