"""Instruments: the plant records what was done at them, and the rules on their upkeep read it.

A record is a claim of who files it. It is never rewritten; a wrong one is followed by another.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from alerts.rules.parameter_changed import AFTER
from api.auth import FILE_MARK, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, Figures, From, Limit, Moment, Name, Text, To
from api.lookup import find_stack, local_hour
from api.paging import decode, page
from api.schemas.common import Page
from api.schemas.instruments import InstrumentRecord, RecordKind
from plant.errors import BadDocument, Fault
from plant.periods import MINUTE
from store import instrument_records, queue
from store.pool import transaction
from store.principals import audit

router = APIRouter(prefix="/instruments", tags=["instruments"])

FUTURE: Final = timedelta(minutes=5)  #: as for rows: clocks differ
OLDEST: Final = timedelta(days=400)  #: a year's comparisons and their grace; bounds how far one request looks back
_LOOKED_BACK: Final = timedelta(minutes=AFTER // MINUTE)


class NewRecordBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: RecordKind
    at: Moment = Field(description="When it was done")
    instrument: Name = "main"
    channels: list[Name] = Field(default=[], max_length=50, description="None named: all of the instrument's")
    note: Text
    figures: Figures = Field(default={}, description="Readings and references, or what was changed from and to")


@router.get("/{site}/{stack}/records", response_model=Page[InstrumentRecord])
async def read_records(
    here: Here,
    access: Asking,
    site: Name,
    stack: Name,
    kind: Annotated[RecordKind | None, Query()] = None,
    instrument: Name | None = None,
    start: From = None,
    end: To = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Records of what was done in `[from, to)`, the last filed first."""
    access.signed_in()
    key = decode(cursor, int)
    async with transaction(here.pool) as conn:
        found = await find_stack(conn, access, site, stack)
        rows = await instrument_records.list_records(
            conn,
            found.stack_id,
            kind=kind,
            instrument=instrument,
            start=start,
            end=end,
            after=key[0] if key else None,
            limit=limit + 1,
        )
    return page(rows, limit, lambda record: (record["id"],))


@router.post("/{site}/{stack}/records", response_model=InstrumentRecord)
async def file_record(
    here: Here,
    access: Asking,
    request: Request,
    site: Name,
    stack: Name,
    body: NewRecordBody,
    key: IdempotencyKey = None,
) -> Any:
    """Record what was done at an instrument; the hours that it can explain are reviewed again."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        found = await find_stack(conn, access, site, stack)
        principal = access.having(*FILE_MARK)
        _check_time(body.at, found.now or datetime.now(UTC))
        new = instrument_records.NewRecord(
            site_id=found.site_id,
            stack_id=found.stack_id,
            instrument=body.instrument,
            channels=body.channels,
            kind=body.kind,
            at=body.at,
            note=body.note,
            figures=body.figures,
        )

        async def act() -> dict[str, Any]:
            record = await instrument_records.file_record(conn, new, by=principal.name)
            hour = local_hour(body.at - _LOOKED_BACK, found.timezone)
            await queue.ask(conn, [(found.stack_id, hour)], reason="record")
            await audit(conn, principal, action="record_filed", on=f"instrument record {record['id']}")
            return record

        return await once(conn, principal, key, request, body, act)


def _check_time(at: datetime, now: datetime) -> None:
    if at > now + FUTURE:
        raise BadDocument("record", [Fault("at", "lies in the future: record what was done")])
    if at < now - OLDEST:
        raise BadDocument("record", [Fault("at", f"lies more than {OLDEST.days} days back")])
