"""SQL of the transactional outbox: messages that we owe someone, written with what made them due.

For `orders` the address is the topic below the root (`SITE/orders`): the root is the deliverer's setting. For messages
to a receiver of notifications it is the receiver's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row, dict_row

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
UPDATE outgoing SET sent_at = now(), gave_up_at = NULL, attempts = attempts + 1, last_error = NULL
WHERE outgoing_id = ANY(%s)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DueMessage:
    """A message to a receiver whose turn it is."""

    outgoing_id: str
    payload: str
    attempts: int


_INSERT_ONCE: Final[LiteralString] = """
INSERT INTO outgoing (outgoing_id, kind, address, payload) VALUES (%s, %s, %s, %s) ON CONFLICT (outgoing_id) DO NOTHING
"""
_DUE_RECEIVERS: Final[LiteralString] = """
SELECT r.receiver_id FROM receiver r
WHERE r.retired_at IS NULL AND r.disabled_at IS NULL AND (r.retry_at IS NULL OR r.retry_at <= now())
  AND (r.busy_until IS NULL OR r.busy_until <= now() OR r.busy_by = %(by)s) AND NOT r.receiver_id = ANY(%(busy)s)
  AND EXISTS (SELECT FROM outgoing o WHERE o.address = r.receiver_id::text AND o.kind = r.kind AND o.sent_at IS NULL
              AND o.gave_up_at IS NULL AND o.due_at <= now())
ORDER BY r.last_sent_at NULLS FIRST, r.receiver_id LIMIT %(limit)s
"""
_NEXT: Final[LiteralString] = """
SELECT outgoing_id, payload, attempts FROM outgoing
WHERE address = %s AND kind <> 'orders' AND sent_at IS NULL AND gave_up_at IS NULL AND due_at <= now()
ORDER BY due_at, created_at, outgoing_id LIMIT 1
"""
# Kept and visible; after a while nobody wants to read it any more.
_GIVE_UP_OLD: Final[LiteralString] = """
UPDATE outgoing SET gave_up_at = now()
WHERE address = %s AND kind <> 'orders' AND sent_at IS NULL AND gave_up_at IS NULL
    AND created_at < now() - make_interval(secs => %s)
"""
_GIVE_UP_ALL: Final[LiteralString] = """
UPDATE outgoing SET gave_up_at = now(), last_error = coalesce(last_error, %s)
WHERE address = %s AND kind <> 'orders' AND sent_at IS NULL AND gave_up_at IS NULL
"""
_ALL_DUE: Final[LiteralString] = """
UPDATE outgoing SET due_at = now()
WHERE address = %s AND kind <> 'orders' AND sent_at IS NULL AND gave_up_at IS NULL AND due_at > now()
"""
_AGAIN: Final[LiteralString] = """
UPDATE outgoing SET due_at = now(), sent_at = NULL, gave_up_at = NULL, created_at = now()
WHERE outgoing_id = %s AND address = %s AND kind <> 'orders'
"""
_MESSAGE: Final[LiteralString] = """
SELECT outgoing_id AS id, utc_text(created_at) AS created_at, utc_text(due_at) AS due_at, attempts, last_error,
       utc_text(sent_at) AS sent_at, utc_text(gave_up_at) AS gave_up_at, payload::jsonb ->> 'type' AS type,
       payload::jsonb #>> '{data,subject}' AS subject
FROM outgoing WHERE address = %(address)s AND kind <> 'orders'
"""
_LIST: Final[LiteralString] = (
    _MESSAGE
    + """
    AND (%(after_at)s::timestamptz IS NULL
    OR (created_at, outgoing_id) < (%(after_at)s, %(after_id)s::text))
ORDER BY outgoing.created_at DESC, outgoing.outgoing_id DESC LIMIT %(limit)s
"""
)
_LET_GO: Final[LiteralString] = """
DELETE FROM outgoing WHERE outgoing_id IN (
    SELECT outgoing_id FROM outgoing
    WHERE kind <> 'orders' AND (sent_at IS NOT NULL OR gave_up_at IS NOT NULL)
        AND created_at < now() - make_interval(secs => %s)
    ORDER BY created_at LIMIT %s)
"""
_FIND: Final[LiteralString] = _MESSAGE + " AND outgoing_id = %(id)s"


async def insert_once(conn: Connection, *, outgoing_id: str, kind: str, receiver_id: int, payload: str) -> None:
    """Owe a receiver a message from the commit of the caller's transaction on; what has its id is there already."""
    await conn.execute(_INSERT_ONCE, [outgoing_id, kind, str(receiver_id), payload])
    await conn.execute(_NOTIFY)


async def due_receivers(conn: Connection, *, by: str, busy: Sequence[int], limit: int) -> list[int]:
    """Receivers with something due that nobody works for, *busy* aside."""
    cursor = await conn.execute(_DUE_RECEIVERS, {"by": by, "busy": list(busy), "limit": limit})
    return [int(receiver_id) for (receiver_id,) in await cursor.fetchall()]


async def next_message(conn: Connection, receiver_id: int) -> DueMessage | None:
    """What is due to a receiver, the longest waiting first."""
    async with conn.cursor(row_factory=class_row(DueMessage)) as rows:
        await rows.execute(_NEXT, [str(receiver_id)])
        return await rows.fetchone()


async def give_up_old(conn: Connection, receiver_id: int, *, after_s: float) -> int:
    """Try no more what was owed for longer than *after_s*; how many."""
    return (await conn.execute(_GIVE_UP_OLD, [str(receiver_id), after_s])).rowcount


async def give_up_all(conn: Connection, receiver_id: int, why: str) -> int:
    return (await conn.execute(_GIVE_UP_ALL, [why, str(receiver_id)])).rowcount


async def all_due(conn: Connection, receiver_id: int) -> None:
    """A receiver is well again: what waited for it need not wait any longer."""
    await conn.execute(_ALL_DUE, [str(receiver_id)])


async def owe_again(conn: Connection, receiver_id: int, outgoing_id: str) -> bool:
    """Owe a message anew under its own id; whether there is one."""
    found = (await conn.execute(_AGAIN, [outgoing_id, str(receiver_id)])).rowcount > 0
    await conn.execute(_NOTIFY)
    return found


async def list_messages(
    conn: Connection, receiver_id: int, *, after: tuple[datetime, str] | None = None, limit: int
) -> list[dict[str, Any]]:
    """Messages to a receiver and what became of them, the newest first, behind the key *after*."""
    parameters = {
        "address": str(receiver_id),
        "after_at": after[0] if after else None,
        "after_id": after[1] if after else None,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as rows:
        await rows.execute(_LIST, parameters)
        return await rows.fetchall()


async def let_go(conn: Connection, *, kept_s: float, limit: int) -> int:
    """Delete messages to receivers that were sent or given up longer than *kept_s* ago; how many."""
    return (await conn.execute(_LET_GO, [kept_s, limit])).rowcount


async def find_message(conn: Connection, receiver_id: int, outgoing_id: str) -> dict[str, Any] | None:
    """One of them."""
    async with conn.cursor(row_factory=dict_row) as rows:
        await rows.execute(_FIND, {"address": str(receiver_id), "id": outgoing_id})
        return await rows.fetchone()
