"""Receivers of notifications: who is told of which alerts, and what became of each message."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request

from alerts.notify import standard_webhooks
from alerts.notify.targets import document_of
from api.auth import Asking
from api.context import Here
from api.idempotent import IdempotencyKey, once
from api.inputs import LIMIT, Cursor, Limit, Name
from api.paging import decode, page
from api.receiver_inputs import check_routes, documents_of, hears_of_itself, seal_of, target_of
from api.schemas.common import Page
from api.schemas.receivers import NewReceiverBody, NewWebhook, Receiver, ReceiverMessage, ReceiverWithSecret
from store import outgoing, receivers
from store.pool import transaction
from store.principals import AGENCY_ROLES, audit
from store.receivers import NewReceiver

router = APIRouter(prefix="/receivers", tags=["receivers"])

MANAGE: Final = ("admin", *AGENCY_ROLES)
"""Who may have people told: never the plant that is judged."""
READ: Final = (*MANAGE, "auditor")


@router.get("", response_model=Page[Receiver])
async def read_receivers(here: Here, access: Asking, limit: Limit = LIMIT, cursor: Cursor = None) -> Any:
    """Receivers made within one's scope, by name."""
    access.having(*READ)
    key = decode(cursor, str)
    async with transaction(here.pool) as conn:
        rows = await receivers.list_receivers(conn, access.scope, after=key[0] if key else None, limit=limit + 1)
    return page(rows, limit, lambda receiver: (receiver["name"],))


@router.post("", response_model=ReceiverWithSecret)
async def make_receiver(
    here: Here, access: Asking, request: Request, body: NewReceiverBody, key: IdempotencyKey = None
) -> Any:
    """Have somebody told from now on. A webhook's secret is shown in this answer and never again."""
    principal = access.having(*MANAGE)
    seal, made = seal_of(here), standard_webhooks.secret_from(secrets.token_bytes(standard_webhooks.SECRET_BYTES))
    target = target_of(here, body, made)
    system = hears_of_itself(principal, body.system)
    shown: dict[str, str | None] = {"secret": None}
    async with transaction(here.pool) as conn:

        async def act() -> dict[str, Any]:
            await check_routes(conn, access.scope, body.routes)
            new = NewReceiver(
                name=body.name,
                kind=body.kind,
                shown=target.shown(),
                sealed=seal.close(document_of(target)),
                language=body.language,
                routes=documents_of(body.routes),
                system=system,
                sites=principal.sites,
                regions=principal.regions,
            )
            await receivers.insert(conn, new, by=principal.name)
            await audit(conn, principal, action="receiver_made", on=f"receiver {body.name}", detail={"kind": body.kind})
            if isinstance(body, NewWebhook) and body.secret is None:
                shown["secret"] = made
            return await receivers.show_receiver(conn, access.scope, body.name)

        # A request that is sent twice gets the same answer without the secret: that is kept sealed and nowhere else.
        return await once(conn, principal, key, request, body, act) | shown


@router.get("/{receiver}", response_model=Receiver)
async def read_receiver(here: Here, access: Asking, receiver: Name) -> Any:
    """One receiver and how it goes."""
    access.signed_in()
    async with transaction(here.pool) as conn:
        found = await receivers.show_receiver(conn, access.scope, receiver)
        access.having(*READ)
        return found


@router.get("/{receiver}/messages", response_model=Page[ReceiverMessage])
async def read_messages(here: Here, access: Asking, receiver: Name, limit: Limit = LIMIT, cursor: Cursor = None) -> Any:
    """What it was told and is owed, the newest first."""
    access.signed_in()
    key = decode(cursor, datetime, str)
    async with transaction(here.pool) as conn:
        await receivers.show_receiver(conn, access.scope, receiver)
        access.having(*READ)
        row = await receivers.find_receiver(conn, receiver)
        after = (key[0], key[1]) if key else None
        rows = await outgoing.list_messages(conn, row.receiver_id, after=after, limit=limit + 1)
    return page(rows, limit, lambda message: (message["created_at"], message["id"]))
