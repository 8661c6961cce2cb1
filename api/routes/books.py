"""The books of every edge, and what could not be read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from api.auth import RELEASE, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, From, Limit, Name, Number, To
from api.lookup import find_site, find_stack
from api.paging import decode, encode, page
from api.schemas.books import BookLine, ChannelLine, Quarantined
from api.schemas.common import Page
from store.books import list_books
from store.coverage import list_channels
from store.pool import transaction
from store.principals import audit
from store.quarantine import ANSWER_BYTES, find_quarantined, list_quarantine, release
from store.register import site_by_code

router = APIRouter(tags=["books"])


@router.get("/books", response_model=Page[BookLine])
async def read_books(
    here: Here,
    access: Asking,
    site: Name | None = None,
    edge: Name | None = None,
    start: From = None,
    end: To = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """What became of every published row, per edge and UTC hour of `sampled_at`, newest first."""
    access.signed_in()
    key = decode(cursor, datetime, str, str)
    async with transaction(here.pool) as conn:
        rows = await list_books(
            conn,
            access.scope,
            site=site,
            edge=edge,
            start=start,
            end=end,
            after=(key[0], key[1], key[2]) if key else None,
            limit=limit + 1,
        )
    return page(rows, limit, lambda line: (line["hour"], line["site"], line["edge"]))


@router.get("/books/channels", response_model=Page[ChannelLine])
async def read_channels(
    here: Here,
    access: Asking,
    site: Name,
    stack: Name | None = None,
    start: From = None,
    end: To = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Rows that the register asks for and rows that are there, per channel and UTC hour, newest first."""
    access.signed_in()
    key = decode(cursor, datetime, str, str)
    async with transaction(here.pool) as conn:
        now = (await find_site(conn, access, site)).now
        if stack is not None:
            await find_stack(conn, access, site, stack)
        registered = await site_by_code(conn, site)
        if registered is None or now is None:
            return {"items": [], "next": None}
        rows = await list_channels(
            conn,
            registered,
            now=now,
            stack=stack,
            start=start,
            end=end,
            after=(key[0], key[1], key[2]) if key else None,
            limit=limit + 1,
        )
    return page(rows, limit, lambda line: (line["hour"], line["stack"], line["channel"]))


@router.get("/quarantine", response_model=Page[Quarantined])
async def read_quarantine(
    here: Here,
    access: Asking,
    site: Name | None = None,
    status: Annotated[Literal["held", "released", "stored"] | None, Query()] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Payloads that could not be read, newest first. A page may be shorter than `limit` where they are large."""
    access.signed_in()
    key = decode(cursor, int)
    async with transaction(here.pool) as conn:
        rows = await list_quarantine(
            conn, access.scope, site=site, status=status, after=key[0] if key else None, limit=limit + 1
        )
    items = rows[:limit]
    more = len(rows) > limit or sum(row["size"] for row in rows) >= ANSWER_BYTES
    return {"items": items, "next": encode(items[-1]["id"]) if more else None}


@router.post("/quarantine/{item}/release", response_model=Quarantined)
async def release_payload(
    here: Here, access: Asking, request: Request, item: Number, key: IdempotencyKey = None
) -> Any:
    """Have a payload read once more: a row from a clock that was wrong may be right by now."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        await find_quarantined(conn, access.scope, item)
        principal = access.having(*RELEASE)

        async def act() -> dict[str, Any]:
            await release(conn, access.scope, item, by=principal.name)
            await audit(conn, principal, action="quarantine_released", on=f"quarantine {item}")
            return await find_quarantined(conn, access.scope, item)

        return await once(conn, principal, key, request, None, act)
