"""SQL of the transactional outbox: messages that we owe someone, written with what made them due.

For `orders` the address is the topic below the root (`SITE/orders`): the root is the deliverer's setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection

CHANNEL: Final = "outgoing"
_ADDRESS_LOCK: Final = 7_274_011  #: first half of the advisory key; a hash of the address is the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    outgoing_id: str
    attempts: int


_INSERT: Final[LiteralString] = """
INSERT INTO outgoing (outgoing_id, kind, address, payload) VALUES (%s, %s, %s, %s)
"""
_NOTIFY: Final[LiteralString] = "SELECT pg_notify('outgoing', '')"


async def insert(conn: Connection, *, outgoing_id: str, kind: str, address: str, payload: str) -> None:
    """Owe a message from the commit of the caller's transaction on."""
    await conn.execute(_INSERT, [outgoing_id, kind, address, payload])
    await conn.execute(_NOTIFY)


_DUE: Final[LiteralString] = """
SELECT address FROM outgoing WHERE kind = %s AND sent_at IS NULL AND due_at <= now()
GROUP BY address ORDER BY min(due_at), address LIMIT %s
"""
# One sender an address at a time: two lists of one site in flight together could land in the wrong order.
_TAKE_ADDRESS: Final[LiteralString] = "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))"
_CLAIM: Final[LiteralString] = """
SELECT outgoing_id, attempts FROM outgoing WHERE kind = %s AND address = %s AND sent_at IS NULL
FOR UPDATE SKIP LOCKED
"""


async def due_addresses(conn: Connection, kind: str, limit: int) -> list[str]:
    """Addresses to which something of *kind* is due, the longest waiting first."""
    cursor = await conn.execute(_DUE, [kind, limit])
    return [str(address) for (address,) in await cursor.fetchall()]


async def claim(conn: Connection, kind: str, address: str) -> list[Owed] | None:
    """Everything unsent to *address*, ours until the transaction ends; None while another sender has it."""
    cursor = await conn.execute(_TAKE_ADDRESS, [_ADDRESS_LOCK, address])
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return None
    async with conn.cursor(row_factory=class_row(Owed)) as rows:
        await rows.execute(_CLAIM, [kind, address])
        return await rows.fetchall()


_SENT: Final[LiteralString] = """
UPDATE outgoing SET sent_at = now(), attempts = attempts + 1, last_error = NULL WHERE outgoing_id = ANY(%s)
"""
_FAILED: Final[LiteralString] = """
UPDATE outgoing SET attempts = attempts + 1, last_error = %(error)s,
    due_at = now() + make_interval(secs => %(delay_s)s)
WHERE outgoing_id = ANY(%(ids)s)
"""


async def mark_sent(conn: Connection, ids: Sequence[str]) -> None:
    await conn.execute(_SENT, [list(ids)])


async def mark_failed(conn: Connection, ids: Sequence[str], *, error: str, delay_s: float) -> None:
    """Keep why it failed and try again after *delay_s*."""
    await conn.execute(_FAILED, {"ids": list(ids), "error": error, "delay_s": delay_s})


_UNREACHABLE: Final[LiteralString] = """
UPDATE outgoing SET last_error = %s WHERE kind = %s AND sent_at IS NULL
"""


async def note_unreachable(conn: Connection, kind: str, error: str) -> None:
    """Say on every unsent message of *kind* why it waits. Nothing was tried, so no attempt is counted."""
    await conn.execute(_UNREACHABLE, [error, kind])
