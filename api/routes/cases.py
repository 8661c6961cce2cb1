"""Cases: the files, and the acts that move them. What an act needs and does is `alerts.enforcement`'s business."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, model_validator

from alerts.enforcement.commands import act as act_on
from alerts.enforcement.documents import case_document, case_documents, case_export
from alerts.enforcement.opening import open_for_alert, open_for_site, open_for_tip
from alerts.evidence.sealing import sealed
from api.auth import Access, Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, Evidence, Limit, Name, Text, Word
from api.lookup import find_site
from api.paging import decode, page
from api.schemas.cases import Case, CaseState, CaseTrack
from api.schemas.common import Page
from plant.errors import NotFound
from store import orders
from store.alerts import find_alert
from store.pool import Connection, transaction
from store.principals import Principal, audit
from store.published import list_decided_cases

router = APIRouter(prefix="/cases", tags=["cases"])


class NewCase(BaseModel):
    """One of: an `alert`; a `tip` about a `site`; a `site` with `track` and `reason`."""

    model_config = ConfigDict(extra="forbid")

    alert: Word | None = None
    tip: Text | None = None
    site: Name | None = None
    track: CaseTrack | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> NewCase:
        if self.alert is not None:
            if self.tip is not None or self.site is not None:
                raise ValueError("with alert, give neither tip nor site: the alert says where")
        elif self.site is None:
            raise ValueError("give an alert, or a tip with its site, or a site with track and reason")
        elif self.tip is not None:
            if self.reason is not None:
                raise ValueError("with tip, give no reason: the tip is the reason")
        elif self.track is None or self.reason is None:
            raise ValueError("a site needs track and reason beside it")
        return self


class CaseAction(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: Word
    reason: Text
    evidence: Evidence = []


@router.get("", response_model=Page[Case])
async def read_cases(
    here: Here,
    access: Asking,
    state: Annotated[CaseState | None, Query()] = None,
    site: Name | None = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Cases, newest first. Without a token: those in which an order was issued, without reasons and names."""
    key = decode(cursor, datetime, str)
    before = (key[0], key[1]) if key else None
    async with transaction(here.pool) as conn:
        if access.principal is None:
            rows = await list_decided_cases(conn, access.scope, state=state, site=site, after=before, limit=limit + 1)
            rows = await _with_orders(conn, rows)
        else:
            rows = await case_documents(
                conn, access.roles, scope=access.scope, state=state, site=site, before=before, limit=limit + 1
            )
    return page(rows, limit, lambda case: (case["opened_at"], case["id"]))


@router.get("/{case}", response_model=Case)
async def read_case(here: Here, access: Asking, case: Word) -> Any:
    async with transaction(here.pool) as conn:
        if access.principal is not None:
            return await case_document(conn, case, access.roles, scope=access.scope)
        rows = await list_decided_cases(conn, access.scope, case_id=case)
        if not rows:
            raise NotFound(f"there is no case {case!r}")
        return (await _with_orders(conn, rows))[0]


@router.get("/{case}/export")
async def export_case(here: Here, access: Asking, case: Word) -> JSONResponse:
    """The file that `stackwatch verify` checks: the hash-chained history with what it rests on."""
    principal = access.signed_in()
    async with transaction(here.pool) as conn:
        answer = sealed(await case_export(conn, case, scope=access.scope), here.signer)
        await audit(conn, principal, action="case_exported", on=case)
    return JSONResponse(answer, headers={"Content-Disposition": f'attachment; filename="{answer["case"]["id"]}.json"'})


@router.post("", response_model=Case)
async def open_case(here: Here, access: Asking, request: Request, body: NewCase, key: IdempotencyKey = None) -> Any:
    """Open a case, or find the open one that the alert or tip joins."""
    principal = access.signed_in()
    async with transaction(here.pool) as conn:

        async def act() -> dict[str, Any]:
            case_id = await _open(conn, access, principal, body)
            await audit(conn, principal, action="case_opened", on=case_id)
            return await case_document(conn, case_id, access.roles, scope=access.scope)

        return await once(conn, principal, key, request, body, act)


@router.post("/{case}/actions", response_model=Case)
async def act_on_case(
    here: Here, access: Asking, request: Request, case: Word, body: CaseAction, key: IdempotencyKey = None
) -> Any:
    """Take the case one step on, if its state, your roles and the conditions of the step allow it."""
    principal = access.signed_in()
    async with transaction(here.pool) as conn:

        async def act() -> dict[str, Any]:
            await case_document(conn, case, access.roles, scope=access.scope)  # 404 outside the scope
            await act_on(
                conn,
                case_id=case,
                actor=principal.name,
                roles=principal.roles,
                action=body.action,
                reason=body.reason,
                evidence=body.evidence,
                now=datetime.now(UTC),
            )
            await audit(conn, principal, action=f"case_{body.action}", on=case)
            return await case_document(conn, case, access.roles, scope=access.scope)

        return await once(conn, principal, key, request, body, act)


async def _open(conn: Connection, access: Access, principal: Principal, body: NewCase) -> str:
    now = datetime.now(UTC)
    if body.alert is not None:
        if await find_alert(conn, access.scope, body.alert) is None:
            raise NotFound(f"there is no alert {body.alert!r}")
        return await open_for_alert(
            conn,
            alert_id=body.alert,
            actor=principal.name,
            roles=principal.roles,
            now=now,
            track=body.track,
            reason=body.reason,
        )
    assert body.site is not None, "the model lets nothing else through"
    await find_site(conn, access, body.site)
    if body.tip is not None:
        track = {"track": body.track} if body.track else {}
        return await open_for_tip(
            conn, site=body.site, text=body.tip, actor=principal.name, roles=principal.roles, now=now, **track
        )
    assert body.track is not None, "the model lets nothing else through"
    assert body.reason is not None, "the model lets nothing else through"
    return await open_for_site(
        conn,
        site=body.site,
        track=body.track,
        reason=body.reason,
        actor=principal.name,
        roles=principal.roles,
        now=now,
    )


async def _with_orders(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    issued = await orders.of_cases(conn, [row["id"] for row in rows])
    return [{**row, "due": None, "actions": [], "orders": issued[row["id"]]} for row in rows]
