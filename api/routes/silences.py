"""Silences: an officer, or a plant about its own data, asks that alerts be quiet for a while.

A silence marks alerts and takes nothing away: they stand in lists, cases and exports as before.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, model_validator

from alerts.rules.catalogue import names
from alerts.suppression import PLANT_MAY_SILENCE
from api.auth import SILENCE, SILENCE_OWN, Access, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, Limit, Moment, Name, Number, Text, Word
from api.lookup import find_site, find_stack
from api.paging import decode, page
from api.schemas.common import Page, Severity
from api.schemas.silences import Silence
from plant.errors import BadDocument, Fault, NotFound
from store import silences
from store.pool import Connection, transaction
from store.principals import audit

router = APIRouter(prefix="/silences", tags=["alerts"])


class NewSilenceBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    region: Name | None = None
    site: Name | None = None
    stack: Name | None = None
    rules: list[Word] = []
    severities: list[Severity] = []
    owner: Text
    reason: Text
    start: Moment
    end: Moment

    @model_validator(mode="after")
    def _bounded(self) -> NewSilenceBody:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        if self.end - self.start > silences.LONGEST:
            raise ValueError(f"a silence lasts at most {silences.LONGEST.days} days: make a new one when it is over")
        if (self.region is None) == (self.site is None):
            raise ValueError("name a region, or a site")
        if self.stack is not None and self.site is None:
            raise ValueError("a stack needs its site")
        unknown = sorted(set(self.rules) - set(names()))
        if unknown:
            raise ValueError(f"there is no rule {unknown[0]!r}")
        return self


class Ending(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text


@router.get("", response_model=Page[Silence])
async def read_silences(
    here: Here,
    access: Asking,
    site: Name | None = None,
    going_on: Annotated[bool | None, Query(description="In force or ahead; or only what is over")] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Silences, the last made first. A plant sees its own."""
    access.signed_in()
    key = decode(cursor, int)
    async with transaction(here.pool) as conn:
        rows = await silences.list_silences(
            conn,
            access.scope,
            plant=access.is_plant,
            site=site,
            going_on=going_on,
            after=key[0] if key else None,
            limit=limit + 1,
        )
    return page(rows, limit, lambda silence: (silence["id"],))


@router.post("", response_model=Silence)
async def create_silence(
    here: Here, access: Asking, request: Request, body: NewSilenceBody, key: IdempotencyKey = None
) -> Any:
    """Have alerts be quiet from `start` until `end`. It begins and ends with a tick of the rule stage."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        site_id, stack_id = await _place(conn, access, body)
        audience, principal = _audience(access, body), access.signed_in()
        new = silences.NewSilence(
            region=body.region,
            site_id=site_id,
            stack_id=stack_id,
            rules=tuple(body.rules),
            severities=tuple(body.severities),
            audience=audience,
            owner=body.owner,
            reason=body.reason,
            start=body.start,
            end=body.end,
        )

        async def act() -> dict[str, Any]:
            silence_id = await silences.create_silence(conn, new, by=principal.name)
            await audit(conn, principal, action="silence_created", on=f"silence {silence_id}")
            return await silences.find_silence(conn, access.scope, silence_id, plant=access.is_plant)

        return await once(conn, principal, key, request, body, act)


@router.post("/{silence}/end", response_model=Silence)
async def end_silence(
    here: Here, access: Asking, request: Request, silence: Number, body: Ending, key: IdempotencyKey = None
) -> Any:
    """End a silence before its time; with the next tick its alerts are heard again."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        found = await silences.find_silence(conn, access.scope, silence, plant=access.is_plant)
        principal = access.having(*(SILENCE_OWN if found["audience"] == silences.PLANT else SILENCE))

        async def act() -> dict[str, Any]:
            await silences.end_silence(conn, silence, by=principal.name, why=body.reason)
            await audit(conn, principal, action="silence_ended", on=f"silence {silence}")
            return await silences.find_silence(conn, access.scope, silence, plant=access.is_plant)

        return await once(conn, principal, key, request, body, act)


async def _place(conn: Connection, access: Access, body: NewSilenceBody) -> tuple[int | None, int | None]:
    """(site_id, stack_id) of what the body names, inside the asker's scope."""
    if body.site is None:
        scope = access.scope
        if scope.sites is not None or (scope.regions is not None and body.region not in scope.regions):
            raise NotFound(f"there is no region {body.region!r}")
        if body.region is not None and not await silences.is_region(conn, body.region):
            raise NotFound(f"there is no region {body.region!r}")
        return None, None
    if body.stack is None:
        return (await find_site(conn, access, body.site)).site_id, None
    stack = await find_stack(conn, access, body.site, body.stack)
    return stack.site_id, stack.stack_id


def _audience(access: Access, body: NewSilenceBody) -> str:
    """For whom it is quiet, by the role that may ask for it: another role beside `operator` lends it nothing."""
    if not access.roles.isdisjoint(SILENCE):
        return silences.EVERYONE
    access.having(*SILENCE, *SILENCE_OWN)
    beyond = sorted(set(body.rules) - PLANT_MAY_SILENCE) if body.rules else ["every rule"]
    beyond += ["a region"] if body.site is None else []
    if beyond:
        allowed = ", ".join(sorted(PLANT_MAY_SILENCE))
        raise BadDocument("silence", [Fault("rules", f"a plant may silence {allowed} at its site, not {beyond[0]}")])
    return silences.PLANT
