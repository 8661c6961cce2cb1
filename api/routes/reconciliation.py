"""What a logger or a platform says that a stack emitted, and why it differs from what the rows give."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query

from api.auth import Asking
from api.context import Here
from api.inputs import LIMIT, MAX_LIMIT, Cursor, From, Limit, Name, To, Word
from api.lookup import find_stack, main_pack
from api.paging import decode, encode, page
from api.reconciling import reconciled
from api.schemas.common import Page
from api.schemas.reconciliation import Reconciled, ReportedMean
from plant.channels import POLLUTANTS
from plant.errors import NotFound
from plant.packs import pack as pack_named
from store.pool import transaction
from store.register import site_by_code
from store.reported import ReportedFilter, list_reported

router = APIRouter(prefix="/stacks/{site}/{stack}", tags=["stacks"])

MOST_PERIODS: Final = 200  #: of one answer: each difference is computed in some 1,500 ways
LONGEST_PERIOD_S: Final = 366 * 86_400

Channels = Annotated[list[Word] | None, Query(max_length=20)]


@router.get("/reported", response_model=Page[ReportedMean])
async def read_reported(
    here: Here,
    access: Asking,
    site: Name,
    stack: Name,
    start: From = None,
    end: To = None,
    period: Annotated[int | None, Query(ge=1, le=LONGEST_PERIOD_S)] = None,
    channel: Channels = None,
    source: Literal["logger", "platform"] | None = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Means as they were reported, newest first."""
    access.signed_in()
    key = decode(cursor, datetime, int, str, str)
    wanted = ReportedFilter(start=start, end=end, period_s=period, channels=tuple(channel or ()), source=source)
    async with transaction(here.pool) as conn:
        found = await find_stack(conn, access, site, stack)
        after = (key[0], key[1], key[2], key[3]) if key else None
        rows = await list_reported(conn, found.stack_id, wanted, after=after, limit=limit + 1)
    return page(rows, limit, lambda row: (row["start"], row["interval_s"], row["channel"], row["source"]))


@router.get("/reconciliation", response_model=Page[Reconciled])
async def read_reconciliation(
    here: Here,
    access: Asking,
    site: Name,
    stack: Name,
    start: From = None,
    end: To = None,
    period: Annotated[int, Query(ge=60, le=86_400, multiple_of=60, description="Length of the means [s]")] = 3600,
    channel: Channels = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many periods at most; never more than 200")] = 24,
    cursor: Cursor = None,
) -> Any:
    """Reported means beside ours, newest first: each difference with the ways of computing that give its digits.

    Of the pollutants where no `channel` is asked for. A cause that shows only in a run, as a shifted clock does, is
    looked for among the periods of one answer: ask for a day or more at once.
    """
    access.signed_in()
    key = decode(cursor, datetime)
    most = min(limit, MOST_PERIODS)
    ends = [at for at in (end, key[0] if key else None) if at is not None]
    async with transaction(here.pool) as conn:
        found = await find_stack(conn, access, site, stack)
        registered = await site_by_code(conn, site)
        entry = next((one for one in registered.site.stacks if one.code == stack), None) if registered else None
        if entry is None:
            raise NotFound(f"there is no stack {stack!r} at a site {site!r} now: nothing says how its rows are read")
        lines = await reconciled(
            conn,
            found.stack_id,
            entry,
            pack_named(main_pack(found.document)),
            period_s=period,
            channels=tuple(channel or POLLUTANTS),
            start=start,
            end=min(ends, default=None),
            most=most,
        )
    periods = {line["start"] for line in lines}
    return {"items": lines, "next": encode(min(periods)) if len(periods) == most else None}
