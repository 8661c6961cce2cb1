"""Marks: a plant declares a condition, the agency accepts or rejects it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, model_validator

from api.auth import DECIDE_MARK, FILE_MARK, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, Evidence, From, Limit, Moment, Name, Number, Text, To
from api.lookup import find_stack
from api.paging import decode, page
from api.schemas.common import Page
from api.schemas.marks import Mark, MarkKind, MarkStatus
from store import marks
from store.pool import transaction
from store.principals import audit

router = APIRouter(prefix="/marks", tags=["marks"])


class NewMarkBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    site: Name
    stack: Name
    kind: MarkKind
    start: Moment
    end: Moment
    reason: Text
    evidence: Evidence = []

    @model_validator(mode="after")
    def _rising(self) -> NewMarkBody:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        if self.end - self.start > marks.LONGEST:
            raise ValueError(f"a mark covers at most {marks.LONGEST.days} days: file one after the other")
        return self


class Decision(BaseModel):
    model_config = ConfigDict(extra="forbid")

    decision: Literal["accepted", "rejected"]
    reason: Text


@router.get("", response_model=Page[Mark])
async def read_marks(
    here: Here,
    access: Asking,
    site: Name | None = None,
    stack: Name | None = None,
    status: Annotated[MarkStatus | None, Query()] = None,
    start: From = None,
    end: To = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Marks that touch `[from, to)`, the last filed first."""
    access.signed_in()
    key = decode(cursor, int)
    async with transaction(here.pool) as conn:
        rows = await marks.list_marks(
            conn,
            access.scope,
            site=site,
            stack=stack,
            status=status,
            start=start,
            end=end,
            after=key[0] if key else None,
            limit=limit + 1,
        )
    return page(rows, limit, lambda mark: (mark["id"],))


@router.post("", response_model=Mark)
async def file_mark(here: Here, access: Asking, request: Request, body: NewMarkBody, key: IdempotencyKey = None) -> Any:
    """Declare a condition of a stack. It counts once the agency has accepted it."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        stack = await find_stack(conn, access, body.site, body.stack)
        principal = access.having(*FILE_MARK)
        new = marks.NewMark(
            stack_id=stack.stack_id,
            site_id=stack.site_id,
            kind=body.kind,
            start=body.start,
            end=body.end,
            reason=body.reason,
            evidence=body.evidence,
        )

        async def act() -> dict[str, Any]:
            mark_id = await marks.file_mark(conn, new, timezone=stack.timezone, by=principal.name)
            await audit(conn, principal, action="mark_filed", on=f"mark {mark_id}")
            return await marks.find_mark(conn, access.scope, mark_id)

        return await once(conn, principal, key, request, body, act)


@router.post("/{mark}/decision", response_model=Mark)
async def decide_mark(
    here: Here, access: Asking, request: Request, mark: Number, body: Decision, key: IdempotencyKey = None
) -> Any:
    """Accept or reject a mark; the hours it touches are judged again."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        await marks.find_mark(conn, access.scope, mark)
        principal = access.having(*DECIDE_MARK)

        async def act() -> dict[str, Any]:
            await marks.decide_mark(conn, mark, decision=body.decision, reason=body.reason, by=principal.name)
            await audit(conn, principal, action=f"mark_{body.decision}", on=f"mark {mark}")
            return await marks.find_mark(conn, access.scope, mark)

        return await once(conn, principal, key, request, body, act)
