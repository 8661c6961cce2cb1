"""Marks: a plant declares a condition, the agency accepts or rejects it, and sees what that changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts.marks.previewing import LONGEST_H, Marked, effect_of
from api.auth import DECIDE_MARK, FILE_MARK, Access, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, MAX_LIMIT, Cursor, Evidence, From, Limit, Moment, Name, Number, Text, To, Word
from api.lookup import find_stack
from api.paging import decode, page
from api.schemas.common import Page
from api.schemas.marks import Decided, Mark, MarkEffect, MarkKind, MarkStatus, QueueGroup
from plant.errors import NotFound, Refused
from store import mark_drafts, marks
from store.pool import Connection, transaction
from store.principals import audit

router = APIRouter(prefix="/marks", tags=["marks"])

AT_ONCE: Final = 500  #: marks in one decision
QUEUED: Final = 20  #: marks on a page of the queue, if nothing else is asked
PREVIEWED_H: Final = 48  #: touched hours up to which the queue works out what a mark changes


class NewMarkBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    site: Name
    stack: Name
    kind: MarkKind
    start: Moment
    end: Moment
    reason: Text
    evidence: Evidence = []
    drafts: Annotated[list[Word], Field(max_length=AT_ONCE, description="Drafts that it was made from")] = []

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


class Decisions(Decision):
    ids: Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Field(min_length=1, max_length=AT_ONCE)]


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
            drafts=tuple(dict.fromkeys(body.drafts)),
        )

        async def act() -> dict[str, Any]:
            await _check_drafts(conn, access, new)
            mark_id = await marks.file_mark(conn, new, timezone=stack.timezone, by=principal.name)
            await audit(conn, principal, action="mark_filed", on=f"mark {mark_id}")
            return await marks.find_mark(conn, access.scope, mark_id)

        return await once(conn, principal, key, request, body, act)


@router.get("/queue", response_model=Page[QueueGroup])
async def read_queue(
    here: Here,
    access: Asking,
    site: Name | None = None,
    effects: Annotated[bool, Query(description="Work out what accepting each would change")] = True,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many marks at most")] = QUEUED,
    cursor: Cursor = None,
) -> Any:
    """Pending marks by site, stack and kind, each with what accepting it alone would change.

    A group may go on on the next page. What is too long, or too much for one answer, is asked for mark by mark.
    """
    access.signed_in()
    key = decode(cursor, str, str, str, int)
    async with transaction(here.pool) as conn:
        rows = await marks.queue(conn, access.scope, site=site, after=key, limit=limit + 1)
        shown = page(rows, limit, lambda mark: (mark["site"], mark["stack"], mark["kind"], mark["id"]))
        left = LONGEST_H if effects else 0
        for mark in shown["items"]:
            mark["effect"] = await _effect(conn, [mark], most_h=min(left, PREVIEWED_H)) if left else None
            left -= mark["effect"]["hours_touched"] if mark["effect"] else 0
    groups = groupby(shown["items"], key=lambda mark: (mark["site"], mark["stack"], mark["kind"]))
    return {"items": [_group(key, list(items), access) for key, items in groups], "next": shown["next"]}


@router.post("/decisions", response_model=Decided)
async def decide_marks(
    here: Here, access: Asking, request: Request, body: Decisions, key: IdempotencyKey = None
) -> Any:
    """Accept or reject several marks, all or none; the hours they touch are judged again."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        ids = set(body.ids)
        found = {mark["id"] for mark in await marks.some_marks(conn, access.scope, ids)}
        if found != ids:
            raise NotFound(f"there is no mark {', '.join(str(mark) for mark in sorted(ids - found))}")
        principal = access.having(*DECIDE_MARK)

        async def act() -> dict[str, Any]:
            await marks.decide_marks(conn, ids, decision=body.decision, reason=body.reason, by=principal.name)
            for mark in sorted(ids):
                await audit(conn, principal, action=f"mark_{body.decision}", on=f"mark {mark}")
            decided = await marks.some_marks(conn, access.scope, ids)
            effects = await _effects(conn, decided) if body.decision == "accepted" else []
            return {"items": decided, "effects": effects}

        return await once(conn, principal, key, request, body, act)


@router.get("/{mark}", response_model=Mark)
async def read_mark(here: Here, access: Asking, mark: Number) -> Any:
    access.signed_in()
    async with transaction(here.pool) as conn:
        return await marks.find_mark(conn, access.scope, mark)


@router.get("/{mark}/effect", response_model=MarkEffect)
async def read_effect(here: Here, access: Asking, mark: Number) -> Any:
    """What accepting the mark would change, or did: hours and months with and without it, judged anew from the rows."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        found = await marks.find_mark(conn, access.scope, mark)
        effect = await _effect(conn, [found], most_h=LONGEST_H)
    if effect is None:
        raise Refused(
            f"the effect of mark {mark} is not worked out: it touches more than {LONGEST_H} hours, its stack is no "
            "longer registered, or its site has no clock yet"
        )
    return {"mark": found, "effect": effect}


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
            await marks.decide_marks(conn, [mark], decision=body.decision, reason=body.reason, by=principal.name)
            await audit(conn, principal, action=f"mark_{body.decision}", on=f"mark {mark}")
            return await marks.find_mark(conn, access.scope, mark)

        return await once(conn, principal, key, request, body, act)


async def _check_drafts(conn: Connection, access: Access, mark: marks.NewMark) -> None:
    """Drafts that a mark names are of its stack."""
    found = await mark_drafts.some_drafts(conn, access.scope, mark.drafts, lock=True) if mark.drafts else []
    strangers = set(mark.drafts) - {draft["id"] for draft in found if draft["stack_id"] == mark.stack_id}
    if strangers:
        raise NotFound(f"there is no draft {', '.join(sorted(strangers))} of this stack")


async def _effect(conn: Connection, found: Sequence[dict[str, Any]], *, most_h: int) -> dict[str, Any] | None:
    """Of marks of one stack together."""
    asked = [
        Marked(mark["id"], datetime.fromisoformat(mark["start"]), datetime.fromisoformat(mark["end"])) for mark in found
    ]
    return await effect_of(conn, found[0]["site"], found[0]["stack"], asked, most_h=most_h)


async def _effects(conn: Connection, decided: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of all marks of each stack together, as far as one request may judge hours again."""
    left, found = LONGEST_H, []
    by_stack = sorted(decided, key=lambda mark: (mark["site"], mark["stack"]))
    for (site, stack), of in groupby(by_stack, key=lambda mark: (mark["site"], mark["stack"])):
        effect = await _effect(conn, list(of), most_h=left)
        left -= effect["hours_touched"] if effect else 0
        found.append({"site": site, "stack": stack, "effect": effect})
    return found


def _group(key: tuple[str, str, str], found: list[dict[str, Any]], access: Access) -> dict[str, Any]:
    lengths = [datetime.fromisoformat(mark["end"]) - datetime.fromisoformat(mark["start"]) for mark in found]
    return {
        "site": key[0],
        "stack": key[1],
        "kind": key[2],
        "hours": sum(length.total_seconds() for length in lengths) / 3600,
        "late": sum(mark["late"] for mark in found),
        "oldest_filed_at": min(mark["filed_at"] for mark in found),
        "actions": [] if access.roles.isdisjoint(DECIDE_MARK) else ["accepted", "rejected"],
        "marks": found,
    }
