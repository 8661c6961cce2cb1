"""Answers given before, so that a request sent twice is done once: the SQL of the table idempotency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from store.pool import Connection

_LOCK: Final[LiteralString] = "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))"
_FIND: Final[LiteralString] = (
    "SELECT request_hash, status, answer FROM idempotency WHERE principal_id = %s AND key = %s"
)
_KEEP: Final[LiteralString] = """
INSERT INTO idempotency (principal_id, key, request_hash, status, answer) VALUES (%s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Answer:
    request_hash: bytes
    status: int
    body: Any


async def answer_before(conn: Connection, principal_id: int, key: str) -> Answer | None:
    """What was answered under *key*; whoever else asks under it waits until this transaction ends."""
    await conn.execute(_LOCK, [key, principal_id])
    cursor = await conn.execute(_FIND, [principal_id, key])
    row = await cursor.fetchone()
    return None if row is None else Answer(bytes(row[0]), row[1], row[2])


async def keep_answer(conn: Connection, principal_id: int, key: str, answer: Answer) -> None:
    """Kept in the transaction of the act itself: a refusal leaves nothing and may be tried again."""
    await conn.execute(_KEEP, [principal_id, key, answer.request_hash, answer.status, Jsonb(answer.body)])
