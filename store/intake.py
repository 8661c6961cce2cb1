"""What surrounds the rows of a message: its batch, the books, the quarantine, the clocks.

Everything here is written in the transaction that stores the rows, so a receipt never promises more than is
committed. Locks are taken in one order (frames, rows, sessions, clocks), by every writer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from plant.merging import DUPLICATE, STORED
from plant.periods import instant
from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """One message as it is about to be committed."""

    site_id: int
    edge: str
    session: str | None
    seq: int | None
    digest: bytes
    low: int
    rows_before: int
    dropped_before: int
    sent_at: int | None
    received_at: datetime
    rows: int
    ingestor: str

    @property
    def identity(self) -> tuple[int, str, str | None, int | None, bytes]:
        return self.site_id, self.edge, self.session, self.seq, self.digest

    @property
    def order(self) -> tuple[int, str, str, int, bytes]:
        """One for every ingestor."""
        return self.site_id, self.edge, self.session or "", self.seq or 0, self.digest


@dataclass(slots=True)
class HourBook:
    """What became of the rows of one message whose `sampled_at` lies in one hour."""

    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0

    def count(self, fate: int, rows: int = 1) -> None:
        if fate == STORED:
            self.stored += rows
        elif fate == DUPLICATE:
            self.duplicate += rows
        else:
            self.conflict += rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A payload, or some rows of it, that could not be taken."""

    topic: str
    site_id: int | None
    edge: str | None
    session: str | None
    seq: int | None
    digest: bytes
    payload: bytes
    reason: str
    refused: Sequence[Mapping[str, Any]] | None
    received_at: datetime


# Arrays are sent in binary (%b): as text psycopg looks at each element with regular expressions.
# A frame that comes again is counted and stored once. One order for every ingestor, so that two that got the same
# frames never wait in a circle; every row that goes in comes out, in that order.
_PUT_BATCHES: Final[LiteralString] = """
INSERT INTO batch (site_id, edge, session, seq, digest, low, rows_before, dropped_before, sent_at, received_at, rows,
                   ingestor, deliveries)
SELECT site_id, edge, session, seq, digest, low, rows_before, dropped_before, sent_at, received_at, rows, ingestor,
       deliveries
FROM unnest(%b::integer[], %b::text[], %b::text[], %b::bigint[], %b::bytea[], %b::bigint[], %b::bigint[],
            %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::integer[], %b::text[], %b::integer[])
     WITH ORDINALITY
     AS b (site_id, edge, session, seq, digest, low, rows_before, dropped_before, sent_at, received_at, rows, ingestor,
           deliveries, place)
ORDER BY place
ON CONFLICT (site_id, edge, session, seq, digest) WHERE session IS NOT NULL
    DO UPDATE SET deliveries = batch.deliveries + excluded.deliveries, low = greatest(batch.low, excluded.low)
RETURNING batch_id, deliveries, digest
"""
_PUT_BOOKS: Final[LiteralString] = """
INSERT INTO batch_hour (batch_id, hour, stored, duplicate, conflict, quarantined)
SELECT * FROM unnest(%b::bigint[], %b::timestamptz[], %b::integer[], %b::integer[], %b::integer[], %b::integer[])
ON CONFLICT (batch_id, hour) DO UPDATE
    SET stored = batch_hour.stored + excluded.stored, duplicate = batch_hour.duplicate + excluded.duplicate,
        conflict = batch_hour.conflict + excluded.conflict, quarantined = batch_hour.quarantined + excluded.quarantined
"""
_BATCH_OF: Final[LiteralString] = """
SELECT batch_id, EXISTS (
    SELECT FROM batch_hour h WHERE h.batch_id = b.batch_id AND h.stored + h.duplicate + h.conflict > 0)
FROM batch b
WHERE site_id = %s AND edge = %s AND session IS NOT DISTINCT FROM %s AND seq IS NOT DISTINCT FROM %s AND digest = %s
ORDER BY batch_id LIMIT 1
"""
_PUT_QUARANTINE: Final[LiteralString] = """
INSERT INTO quarantine (topic, site_id, edge, session, seq, digest, payload, reason, refused, received_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (topic, digest) DO UPDATE SET deliveries = quarantine.deliveries + 1
"""
_SITE_CLOCK: Final[LiteralString] = """
INSERT INTO site_clock (site_id, newest) SELECT * FROM unnest(%b::integer[], %b::timestamptz[])
ON CONFLICT (site_id) DO UPDATE SET newest = excluded.newest WHERE site_clock.newest < excluded.newest
"""
_STACK_LATEST: Final[LiteralString] = """
INSERT INTO stack_latest (stack_id, sampled_at) SELECT * FROM unnest(%b::integer[], %b::timestamptz[])
ON CONFLICT (stack_id)
    DO UPDATE SET sampled_at = excluded.sampled_at WHERE stack_latest.sampled_at < excluded.sampled_at
"""
_EDGE_STATE: Final[LiteralString] = """
INSERT INTO edge_state (site_id, edge, online, document, received_at)
VALUES (%(site_id)s, %(edge)s, %(online)s, %(document)s || jsonb_build_object('since', %(received_at)s::timestamptz),
        %(received_at)s)
ON CONFLICT (site_id, edge) DO UPDATE
    SET online = excluded.online, received_at = excluded.received_at,
        document = excluded.document || CASE WHEN edge_state.online = excluded.online THEN jsonb_build_object(
            'since', coalesce(edge_state.document -> 'since', to_jsonb(edge_state.received_at))) ELSE '{}' END
    WHERE edge_state.received_at <= excluded.received_at  -- every ingestor reads it, each at its own pace
"""
_ORDER_ACK: Final[LiteralString] = """
INSERT INTO order_ack (site_id, edge, order_id, version, seen_at, seen_by) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_RELEASED: Final[LiteralString] = """
SELECT quarantine_id, topic, payload, refused, received_at FROM quarantine
WHERE status = 'released' ORDER BY quarantine_id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_RELEASE_DONE: Final[LiteralString] = """
UPDATE quarantine SET status = CASE WHEN %(reason)s::text IS NULL THEN 'stored' ELSE 'held' END,
    reason = coalesce(%(reason)s, reason), refused = %(refused)s
WHERE quarantine_id = %(id)s
"""


async def put_batches(conn: Connection, batches: Sequence[NewBatch]) -> list[tuple[int, bool]]:
    """(batch_id, whether it is here for the first time) of each of *batches*."""
    copies: dict[Any, list[int]] = {}
    for index, batch in enumerate(batches):
        own = batch.identity if batch.session is not None else (index,)
        copies.setdefault(own, []).append(index)
    places = sorted(copies.values(), key=lambda same: batches[same[0]].order)
    if not places:
        return []
    rows = [_batch_row([batches[index] for index in same]) for same in places]
    cursor = await conn.execute(_PUT_BATCHES, [list(column) for column in zip(*rows, strict=True)])
    found = [(0, False)] * len(batches)
    for same, (batch_id, deliveries, digest) in zip(places, await cursor.fetchall(), strict=True):
        assert digest == batches[same[0]].digest
        for place, index in enumerate(same):
            found[index] = (batch_id, place == 0 and deliveries == len(same))
    return found


def _batch_row(same: Sequence[NewBatch]) -> list[Any]:
    """The row of a message that came once, or several times at once."""
    first = same[0]
    return [
        first.site_id,
        first.edge,
        first.session,
        first.seq,
        first.digest,
        max(batch.low for batch in same),
        first.rows_before,
        first.dropped_before,
        None if first.sent_at is None else instant(first.sent_at),
        first.received_at,
        first.rows,
        first.ingestor,
        len(same),
    ]


async def put_books(conn: Connection, books: Mapping[tuple[int, datetime], HourBook]) -> None:
    """Add the fates of rows by (batch_id, hour); what is released moves from one fate to another."""
    rows = [
        [batch_id, hour, book.stored, book.duplicate, book.conflict, book.quarantined]
        for (batch_id, hour), book in sorted(books.items())
    ]
    if rows:
        await conn.execute(_PUT_BOOKS, [list(column) for column in zip(*rows, strict=True)])


async def batch_of(
    conn: Connection, site_id: int, edge: str, session: str | None, seq: int | None, digest: bytes
) -> tuple[int, bool] | None:
    """(batch_id, whether any of its rows was taken) of the message of that identity, if it was ever committed."""
    cursor = await conn.execute(_BATCH_OF, [site_id, edge, session, seq, digest])
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


async def forget_books(conn: Connection, batch_id: int, *, rows: int) -> None:
    """Begin the books of a message anew: it could not be read at all, and now it has so many *rows*."""
    await conn.execute("DELETE FROM batch_hour WHERE batch_id = %s", [batch_id])
    await conn.execute("UPDATE batch SET rows = %s WHERE batch_id = %s", [rows, batch_id])


async def put_quarantined(conn: Connection, items: Sequence[Quarantined]) -> None:
    async with conn.cursor() as cursor:
        await cursor.executemany(
            _PUT_QUARANTINE,
            [
                [
                    item.topic,
                    item.site_id,
                    item.edge,
                    item.session,
                    item.seq,
                    item.digest,
                    item.payload,
                    item.reason,
                    None if item.refused is None else Jsonb(list(item.refused)),
                    item.received_at,
                ]
                for item in sorted(items, key=lambda item: (item.topic, item.digest))
            ],
        )


async def advance_clocks(conn: Connection, sites: Mapping[int, datetime], stacks: Mapping[int, datetime]) -> None:
    """Note the newest row of each simulated site and of each stack."""
    for statement, clocks in ((_SITE_CLOCK, sites), (_STACK_LATEST, stacks)):
        if clocks:
            keys, times = zip(*sorted(clocks.items()), strict=True)
            await conn.execute(statement, [list(keys), list(times)])


async def put_edge_state(
    conn: Connection, site_id: int, edge: str, document: Mapping[str, Any], received_at: datetime
) -> None:
    """Keep what the edge says now, and since when it has been online or offline: `since` in its document."""
    state = {"online": document["online"], "document": Jsonb(dict(document)), "received_at": received_at}
    await conn.execute(_EDGE_STATE, {"site_id": site_id, "edge": edge, **state})


async def put_order_ack(
    conn: Connection, site_id: int, edge: str, *, order_id: str, version: int, seen_at: datetime, seen_by: str
) -> None:
    await conn.execute(_ORDER_ACK, [site_id, edge, order_id, version, seen_at, seen_by])


@dataclass(frozen=True, slots=True)
class Released:
    """A quarantined payload that somebody looked at and released."""

    quarantine_id: int
    topic: str
    payload: bytes
    refused: Sequence[Mapping[str, Any]] | None  #: only these rows are still to be taken; None: all
    received_at: datetime

    @property
    def rows(self) -> frozenset[int] | None:
        return None if self.refused is None else frozenset(refusal["row"] for refusal in self.refused)


async def released(conn: Connection, most: int) -> list[Released]:
    """Payloads to be read again, locked until the transaction ends."""
    cursor = await conn.execute(_RELEASED, [most])
    return [Released(*row) for row in await cursor.fetchall()]


async def release_done(
    conn: Connection, quarantine_id: int, reason: str | None, refused: Sequence[Mapping[str, Any]] | None
) -> None:
    """The end of a release: stored, or held again for *reason*."""
    values = {
        "id": quarantine_id,
        "reason": reason,
        "refused": None if refused is None else Jsonb(list(refused)),
    }
    await conn.execute(_RELEASE_DONE, values)
