"""What one stack measured and how it was judged: raw rows, hours, months."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from api.auth import Access, Asking
from api.context import Here
from api.inputs import LIMIT, AsOf, Cursor, From, Limit, Month, Name, To, Word
from api.lookup import find_stack, main_pack
from api.months import figures
from api.paging import decode, page
from api.schemas.common import Page
from api.schemas.stacks import Compliance, Hour, Measurement
from plant.errors import NotFound
from store.pool import transaction
from store.published import HourFilter, StackRow, list_hours, list_measurements, list_months

router = APIRouter(prefix="/stacks/{site}/{stack}", tags=["stacks"])

PUBLICATION_DELAY: Final = timedelta(hours=1)
"""From the end of an hour to its publication. Ours [D]: time for the plant's marks; the regulation names none."""


@router.get("/measurements", response_model=Page[Measurement])
async def read_measurements(
    here: Here,
    access: Asking,
    site: Name,
    stack: Name,
    start: From = None,
    end: To = None,
    instrument: Name | None = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Raw rows as they count now, oldest first."""
    access.signed_in()
    key = decode(cursor, datetime, str)
    async with transaction(here.pool) as conn:
        found = await find_stack(conn, access, site, stack)
        rows = await list_measurements(
            conn,
            found.stack_id,
            start=start,
            end=end,
            instrument=instrument,
            after=(key[0], key[1]) if key else None,
            limit=limit + 1,
        )
    return page(rows, limit, lambda row: (row["sampled_at"], row["instrument"]))


@router.get("/hours", response_model=Page[Hour])
async def read_hours(
    here: Here,
    access: Asking,
    site: Name,
    stack: Name,
    start: From = None,
    end: To = None,
    pollutant: Annotated[list[Word] | None, Query()] = None,
    pack: Annotated[list[Word] | None, Query()] = None,
    as_of: AsOf = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Hour means and verdicts, newest first; an hour is here from its first row on, and provisional until `final`.

    Without a token: hours that ended at least an hour ago.
    """
    key = decode(cursor, datetime, str, str)
    wanted = HourFilter(start=start, end=end, pollutants=tuple(pollutant or ()), packs=tuple(pack or ()), as_of=as_of)
    async with transaction(here.pool) as conn:
        found = await find_stack(conn, access, site, stack)
        if access.principal is None and found.now is None:
            return {"items": [], "next": None}
        rows = await list_hours(
            conn,
            found.stack_id,
            wanted,
            started_by=_published_by(access, found),
            after=(key[0], key[1], key[2]) if key else None,
            limit=limit + 1,
        )
    return page(rows, limit, lambda row: (row["start"], row["pollutant"], row["pack"]))


@router.get("/compliance", response_model=Compliance)
async def read_compliance(
    here: Here, access: Asking, site: Name, stack: Name, month: Month, pack: Word | None = None, as_of: AsOf = None
) -> Any:
    """The share of a local month's hours within the limit, per pollutant; the stack's first monthly pack by default."""
    async with transaction(here.pool) as conn:
        found = await find_stack(conn, access, site, stack)
        name = pack or main_pack(found.document)
        rows = await list_months(conn, [found.stack_id], month, pack=name, as_of=as_of)
    if not rows and name not in found.document["packs"]:
        raise NotFound(f"{stack} is not judged by a pack {name!r}; it is by {', '.join(found.document['packs'])}")
    return {
        "site": site,
        "stack": stack,
        "month": f"{month:%Y-%m}",
        "pack": name,
        "final": bool(rows) and all(row["final"] for row in rows),
        "pollutants": {row["pollutant"]: figures(row) for row in rows},
    }


def _published_by(access: Access, stack: StackRow) -> datetime | None:
    """The newest start of an hour that the asker may see; None for no bound."""
    if access.principal is not None or stack.now is None:
        return None
    return stack.now - PUBLICATION_DELAY - timedelta(hours=1)
