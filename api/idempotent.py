"""Requests that may be sent twice: one key, one act, the same answer (header `Idempotency-Key`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, Request
from pydantic import BaseModel, StringConstraints

from plant.errors import BadDocument, Fault
from store.idempotency import Answer, answer_before, keep_answer
from store.pool import Connection
from store.principals import Principal

IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")] | None,
    Header(
        alias="Idempotency-Key",
        description="Makes it safe to send this twice: the same key and request get the same answer",
    ),
]


async def once(
    conn: Connection,
    principal: Principal,
    key: str | None,
    request: Request,
    body: BaseModel | None,
    act: Callable[[], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """The answer of *act*, or the one given before under *key*; act and answer are committed together.

    Raises
    ------
    BadDocument
        If *key* was used for another request.
    """
    if key is None:
        return await act()
    given = body.model_dump(mode="json", by_alias=True) if body is not None else None
    text = json.dumps([request.method, request.url.path, given], sort_keys=True)
    request_hash = hashlib.sha256(text.encode()).digest()
    before = await answer_before(conn, principal.principal_id, key)
    if before is not None:
        if before.request_hash != request_hash:
            raise BadDocument("Idempotency-Key", [Fault("", "was used for another request; take a new one")])
        return dict(before.body)
    answer = await act()
    await keep_answer(conn, principal.principal_id, key, Answer(request_hash, 200, answer))
    return answer
