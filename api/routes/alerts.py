"""Alerts: the list, one with its history, its export, and the note that somebody has seen it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from alerts.evidence.exporting import exported
from alerts.grouping import groups
from api.auth import ACKNOWLEDGE, Access, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, From, Limit, Name, Text, To, Word
from api.paging import decode, page
from api.schemas.alerts import Alert, AlertExport, AlertGroups, AlertState, AlertWithEvents
from api.schemas.common import Page, Severity
from plant.errors import NotFound
from store import alerts
from store.exporting import one_instant
from store.pool import Connection, transaction
from store.principals import audit

router = APIRouter(prefix="/alerts", tags=["alerts"])

MOST_GROUPED: Final = 20_000  #: open alerts that one answer counts, the newest


class Acknowledgement(BaseModel):
    note: Text


def filter_of(
    access: Asking,
    state: Annotated[list[AlertState] | None, Query(description="May be repeated")] = None,
    severity: Annotated[list[Severity] | None, Query(description="May be repeated")] = None,
    rule: Annotated[list[Word] | None, Query(description="May be repeated")] = None,
    site: Annotated[list[Name] | None, Query(description="May be repeated")] = None,
    region: Annotated[list[Name] | None, Query(description="May be repeated")] = None,
    start: From = None,
    end: To = None,
    suppressed: Annotated[bool | None, Query(description="Only what is quiet, or only what is heard")] = None,
) -> alerts.AlertFilter:
    return alerts.AlertFilter(
        states=tuple(state or ()),
        severities=tuple(severity or ()),
        rules=tuple(rule or ()),
        sites=tuple(site or ()),
        regions=tuple(region or ()),
        start=start,
        end=end,
        suppressed=suppressed,
        by_plant=access.is_plant,
    )


Wanted = Annotated[alerts.AlertFilter, Depends(filter_of)]


@router.get("", response_model=Page[Alert])
async def read_alerts(here: Here, access: Asking, wanted: Wanted, limit: Limit = LIMIT, cursor: Cursor = None) -> Any:
    """Alerts whose period begins in `[from, to)`, the newest period first."""
    access.signed_in()
    key = decode(cursor, datetime, str)
    async with transaction(here.pool) as conn:
        after = (key[0], key[1]) if key else None
        rows = await alerts.list_alerts(conn, access.scope, wanted, after=after, limit=limit + 1)
    return page(rows, limit, lambda alert: (alert["period_start"], alert["id"]))


@router.get("/groups", response_model=AlertGroups)
async def read_groups(here: Here, access: Asking, wanted: Wanted) -> Any:
    """Alerts by site and kind of rule, the gravest first; the open ones where no state is asked for."""
    access.signed_in()
    if not wanted.states:
        wanted = replace(wanted, states=alerts.OPEN_STATES)
    async with transaction(here.pool) as conn:
        rows = await alerts.list_briefly(conn, access.scope, wanted, limit=MOST_GROUPED + 1)
    listed = rows[:MOST_GROUPED]
    items = [{"key": group.key, **asdict(group)} for group in groups(listed)]
    return {"items": items, "alerts": len(listed), "complete": len(rows) == len(listed)}


@router.get("/{alert}", response_model=AlertWithEvents)
async def read_alert(here: Here, access: Asking, alert: Word) -> Any:
    """One alert, what happened to it, and the cases it is part of."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        document = await _find(conn, access, alert)
        return {
            **document,
            "events": await alerts.events_of(conn, alert),
            "cases": await alerts.cases_of(conn, alert),
        }


@router.get("/{alert}/export", response_model=AlertExport)
async def export_alert(here: Here, access: Asking, alert: Word) -> Any:
    """The file that `stackwatch verify` checks: the alert, its history, and the rows it stood on."""
    principal = access.signed_in()
    async with transaction(here.pool) as conn:
        await one_instant(conn)
        answer = await exported(conn, await _find(conn, access, alert), here.signer)
        await audit(conn, principal, action="alert_exported", on=alert)
    return JSONResponse(answer, headers={"Content-Disposition": f'attachment; filename="{_file_name(alert)}.json"'})


@router.post("/{alert}/acknowledge", response_model=Alert)
async def acknowledge_alert(
    here: Here,
    access: Asking,
    request: Request,
    alert: Word,
    body: Acknowledgement,
    key: IdempotencyKey = None,
) -> Any:
    """Note that the agency has seen a firing alert."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        await _find(conn, access, alert)
        principal = access.having(*ACKNOWLEDGE)

        async def act() -> dict[str, Any]:
            await alerts.acknowledge(conn, alert, by=principal.name, note=body.note)
            await audit(conn, principal, action="alert_acknowledged", on=alert)
            return await _find(conn, access, alert)

        return await once(conn, principal, key, request, body, act)


async def _find(conn: Connection, access: Access, alert_id: str) -> dict[str, Any]:
    document = await alerts.find_alert(conn, access.scope, alert_id)
    if document is None:
        raise NotFound(f"there is no alert {alert_id!r}")
    return document


def _file_name(alert_id: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in alert_id)
