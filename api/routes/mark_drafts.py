"""Drafts of marks: what the plant's own rows say that it would have to declare; it files or dismisses them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from alerts.marks.filing import OpenDraft, filings
from api.auth import FILE_MARK, Access, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, Evidence, From, Limit, Name, Text, To, Word
from api.paging import decode, page
from api.routes.marks import AT_ONCE
from api.schemas.common import Page
from api.schemas.marks import DismissedDrafts, DraftStatus, FiledMarks, MarkDraft
from plant.errors import IllegalTransition, NotFound
from store import mark_drafts, marks
from store.pool import Connection, transaction
from store.principals import audit

router = APIRouter(prefix="/marks/drafts", tags=["marks"])


class Chosen(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[Word], Field(min_length=1, max_length=AT_ONCE)]
    reason: Text


class FilingBody(Chosen):
    evidence: Evidence = []


@router.get("", response_model=Page[MarkDraft])
async def read_drafts(
    here: Here,
    access: Asking,
    site: Name | None = None,
    stack: Name | None = None,
    status: Annotated[DraftStatus | None, Query()] = "open",
    start: From = None,
    end: To = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Drafts that touch `[from, to)`, the latest start first: open ones, if nothing else is asked."""
    access.signed_in()
    key = decode(cursor, datetime, str)
    async with transaction(here.pool) as conn:
        rows = await mark_drafts.list_drafts(
            conn,
            access.scope,
            site=site,
            stack=stack,
            status=status,
            start=start,
            end=end,
            after=(key[0], key[1]) if key else None,
            limit=limit + 1,
        )
    return page([_document(row, access) for row in rows], limit, lambda draft: (draft["start"], draft["id"]))


@router.post("/file", response_model=FiledMarks)
async def file_drafts(
    here: Here, access: Asking, request: Request, body: FilingBody, key: IdempotencyKey = None
) -> Any:
    """File drafts as they are, all or none; days of one condition that follow one another become one mark.

    To file one otherwise, send the mark itself and name the draft in it.
    """
    principal = access.signed_in()
    async with transaction(here.pool) as conn:

        async def act() -> dict[str, Any]:
            found, ids = await _open(conn, access, body.ids, "file"), []
            for new, timezone in _new_marks(found, body):
                ids.append(await marks.file_mark(conn, new, timezone=timezone, by=principal.name))
                await audit(conn, principal, action="mark_filed", on=f"mark {ids[-1]}")
            return {"items": await marks.some_marks(conn, access.scope, ids)}

        return await once(conn, principal, key, request, body, act)


@router.post("/dismiss", response_model=DismissedDrafts)
async def dismiss_drafts(here: Here, access: Asking, request: Request, body: Chosen, key: IdempotencyKey = None) -> Any:
    """Say why drafts are not filed, all or none. They are kept, with the reason."""
    principal = access.signed_in()
    async with transaction(here.pool) as conn:

        async def act() -> dict[str, Any]:
            await _open(conn, access, body.ids, "dismiss")
            await mark_drafts.dismiss(conn, body.ids, by=principal.name, reason=body.reason)
            for draft in sorted(set(body.ids)):
                await audit(conn, principal, action="mark_draft_dismissed", on=draft)
            rows = await mark_drafts.some_drafts(conn, access.scope, body.ids, lock=False)
            return {"items": [_document(row, access) for row in rows]}

        return await once(conn, principal, key, request, body, act)


async def _open(conn: Connection, access: Access, ids: Sequence[str], action: str) -> list[dict[str, Any]]:
    """The drafts, locked: 404 for what is not in scope, then 403 without the role, then 409 for what is not open."""
    found = await mark_drafts.some_drafts(conn, access.scope, ids, lock=True)
    missing = set(ids) - {draft["id"] for draft in found}
    if missing:
        raise NotFound(f"there is no draft {', '.join(sorted(missing))}")
    access.having(*FILE_MARK)
    for draft in found:
        if draft["status"] != "open":
            raise IllegalTransition(f"draft {draft['id']}", draft["status"], action)
    return found


def _new_marks(found: Sequence[dict[str, Any]], body: FilingBody) -> list[tuple[marks.NewMark, str]]:
    """The marks to file, each with the time zone of its site."""
    by_stack = {draft["stack_id"]: draft for draft in found}
    drafts = [
        OpenDraft(
            draft_id=draft["id"],
            stack_id=draft["stack_id"],
            kind=draft["kind"],
            start=datetime.fromisoformat(draft["unfiled_start"]),
            end=datetime.fromisoformat(draft["unfiled_end"]),
            evidence={"draft": draft["id"], "cause": draft["cause"], **draft["evidence"]},
        )
        for draft in found
    ]
    return [
        (
            marks.NewMark(
                stack_id=filing.stack_id,
                site_id=by_stack[filing.stack_id]["site_id"],
                kind=filing.kind,
                start=filing.start,
                end=filing.end,
                reason=body.reason,
                evidence=[*filing.evidence, *body.evidence],
                source="auto",
                drafts=filing.drafts,
            ),
            by_stack[filing.stack_id]["timezone"],
        )
        for filing in filings(drafts, longest=marks.LONGEST)
    ]


def _document(row: dict[str, Any], access: Access) -> dict[str, Any]:
    may = row["status"] == "open" and not access.roles.isdisjoint(FILE_MARK)
    document = {key: value for key, value in row.items() if key not in ("site_id", "stack_id", "timezone")}
    return {**document, "actions": ["file", "dismiss"] if may else []}
