"""What is done with receivers of notifications: routed, moved, tried out, disabled, taken away."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from alerts.notify import acts, standard_webhooks
from api.auth import Access, Asking
from api.context import Context, Here
from api.idempotent import IdempotencyKey, once
from api.inputs import Name, Word
from api.receiver_inputs import check_routes, check_secret, documents_of, moved, seal_of
from api.routes.receivers import MANAGE
from api.schemas.receivers import Queued, ReasonBody, Receiver, ReceiverWithSecret, RoutesBody, SecretBody, TargetBody
from plant.errors import RoleMissing
from store import receivers
from store.pool import Connection, transaction
from store.principals import Principal, audit
from store.receivers import ReceiverRow

router = APIRouter(prefix="/receivers", tags=["receivers"])


@router.post("/{receiver}/messages/{message}/resend", response_model=Queued)
async def resend_message(
    here: Here, access: Asking, request: Request, receiver: Name, message: Word, key: IdempotencyKey = None
) -> Any:
    """Send a message once more, under the id it had."""

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        await acts.resend(conn, row, message)
        return {"id": message}

    return await _do(here, access, request, receiver, key, None, "message_resent", act)


@router.post("/{receiver}/routes", response_model=Receiver)
async def put_routes(
    here: Here, access: Asking, request: Request, receiver: Name, body: RoutesBody, key: IdempotencyKey = None
) -> Any:
    """Put these routes in the place of those it has. What a route that goes had in mind is not told any more."""

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        await check_routes(conn, access.scope, body.routes)
        await receivers.put_routes(conn, row.receiver_id, documents_of(body.routes))
        return await receivers.show_receiver(conn, access.scope, receiver)

    return await _do(here, access, request, receiver, key, body, "receiver_routed", act)


@router.post("/{receiver}/target", response_model=Receiver)
async def put_target(
    here: Here, access: Asking, request: Request, receiver: Name, body: TargetBody, key: IdempotencyKey = None
) -> Any:
    """Send elsewhere: a URL, or mail addresses. A webhook keeps its secret."""

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        seal = seal_of(here)
        await acts.change_target(conn, row, moved(here, row, body, seal), seal)
        return await receivers.show_receiver(conn, access.scope, receiver)

    return await _do(here, access, request, receiver, key, body, "receiver_moved", act)


@router.post("/{receiver}/secret", response_model=ReceiverWithSecret)
async def change_secret(
    here: Here, access: Asking, request: Request, receiver: Name, body: SecretBody, key: IdempotencyKey = None
) -> Any:
    """Give a webhook a new secret, shown now and never again; the present one signs beside it for a while."""
    made = standard_webhooks.secret_from(secrets.token_bytes(standard_webhooks.SECRET_BYTES))
    shown: dict[str, str | None] = {"secret": None}
    secret = body.secret.get_secret_value() if body.secret else made
    check_secret(secret)

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        await acts.change_secret(conn, row, secret, keep_s=body.keep_s, seal=seal_of(here))
        shown["secret"] = None if body.secret else made
        return await receivers.show_receiver(conn, access.scope, receiver)

    return await _do(here, access, request, receiver, key, body, "receiver_secret_changed", act) | shown


@router.post("/{receiver}/test", response_model=Queued)
async def try_receiver(here: Here, access: Asking, request: Request, receiver: Name, key: IdempotencyKey = None) -> Any:
    """Send it a message that says that it is a test; its list of messages tells what became of it."""

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        message_id = f"msg_test_{secrets.token_hex(12)}"
        await acts.try_out(conn, row, message_id)
        return {"id": message_id}

    return await _do(here, access, request, receiver, key, None, "receiver_tried", act)


@router.post("/{receiver}/disable", response_model=Receiver)
async def disable_receiver(
    here: Here, access: Asking, request: Request, receiver: Name, body: ReasonBody, key: IdempotencyKey = None
) -> Any:
    """Tell it nothing any more; what it was owed is kept and not sent."""

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        await acts.disable(conn, row, body.reason)
        return await receivers.show_receiver(conn, access.scope, receiver)

    return await _do(here, access, request, receiver, key, body, "receiver_disabled", act)


@router.post("/{receiver}/enable", response_model=Receiver)
async def enable_receiver(
    here: Here, access: Asking, request: Request, receiver: Name, key: IdempotencyKey = None
) -> Any:
    """Tell it again, from now on."""

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        await acts.enable(conn, row)
        return await receivers.show_receiver(conn, access.scope, receiver)

    return await _do(here, access, request, receiver, key, None, "receiver_enabled", act)


@router.post("/{receiver}/retire", response_model=Receiver)
async def retire_receiver(
    here: Here, access: Asking, request: Request, receiver: Name, body: ReasonBody, key: IdempotencyKey = None
) -> Any:
    """Take it away. Its messages stay on record, its name is free."""

    async def act(conn: Connection, principal: Principal, row: ReceiverRow) -> dict[str, Any]:
        before = await receivers.show_receiver(conn, access.scope, receiver)
        await acts.retire(conn, row, body.reason)
        return before

    return await _do(here, access, request, receiver, key, body, "receiver_retired", act)


_Act = Callable[[Connection, Principal, ReceiverRow], Awaitable[dict[str, Any]]]


async def _do(
    here: Context,
    access: Access,
    request: Request,
    name: str,
    key: str | None,
    body: BaseModel | None,
    action: str,
    act: _Act,
) -> dict[str, Any]:
    """One act on a receiver in scope, noted, and done once under one key."""
    access.signed_in()
    async with transaction(here.pool) as conn:

        async def noted() -> dict[str, Any]:
            shown = await receivers.show_receiver(conn, access.scope, name)
            principal = access.having(*MANAGE)
            if shown["system"] and "admin" not in principal.roles:
                raise RoleMissing("this receiver is told of stackwatch itself: only an admin may change it")
            answer = await act(conn, principal, await receivers.lock_receiver(conn, name))
            await audit(conn, principal, action=action, on=f"receiver {name}")
            return answer

        return await once(conn, access.signed_in(), key, request, body, noted)
