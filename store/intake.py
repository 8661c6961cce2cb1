"""What surrounds the rows of a message: its batch, the books, the settled numbers, the quarantine, the queue.

Everything here is written in the transaction that stores the rows, so a receipt never promises more than is
committed. Locks are taken in one order (frames, rows, sessions, clocks), by every writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from plant.periods import instant
from plant.wire import Receipt
from store.pool import Connection

# A receipt is retained, and a broker ends the connection of who publishes what it finds too large.
RECEIPT_REFUSALS: Final = 100  # frames, the newest of a session
REASONS_LISTED: Final = 8  # of one frame
ROWS_LISTED: Final = 100  # of one reason
ALSO_LISTED: Final = 10_000  # the newest; an edge's window lies at its highest numbers


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


@dataclass(slots=True)
class HourBook:
    """What became of the rows of one message whose `sampled_at` lies in one hour."""

    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0


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


@dataclass(slots=True)
class Settling:
    """What one commit settles of one session."""

    seqs: set[int] = field(default_factory=set)
    low: int = 1


SessionKey = tuple[int, str, str]  #: site_id, edge, session

_PUT_BATCH: Final[LiteralString] = """
INSERT INTO batch (site_id, edge, session, seq, digest, low, rows_before, dropped_before, sent_at, received_at, rows,
                   ingestor)
VALUES (%(site_id)s, %(edge)s, %(session)s, %(seq)s, %(digest)s, %(low)s, %(rows_before)s, %(dropped_before)s,
        %(sent_at)s, %(received_at)s, %(rows)s, %(ingestor)s)
ON CONFLICT (site_id, edge, session, seq, digest) WHERE session IS NOT NULL
    DO UPDATE SET deliveries = batch.deliveries + 1, low = greatest(batch.low, excluded.low)
RETURNING batch_id, deliveries
"""
_PUT_BOOK: Final[LiteralString] = """
INSERT INTO batch_hour (batch_id, hour, stored, duplicate, conflict, quarantined) VALUES (%s, %s, %s, %s, %s, %s)
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
_SETTLE: Final[LiteralString] = """
INSERT INTO edge_session (site_id, edge, session, settled, low)
VALUES (%(site_id)s, %(edge)s, %(session)s,
        (SELECT coalesce(range_agg(int8range(seq, seq + 1)), '{}') FROM unnest(%(seqs)s::bigint[]) AS s (seq)), %(low)s)
ON CONFLICT (site_id, edge, session) DO UPDATE
    SET settled = edge_session.settled + excluded.settled, low = greatest(edge_session.low, excluded.low),
        changed_at = now()
"""
_RECEIPT: Final[LiteralString] = """
SELECT (s.settled + int8multirange(int8range(1, greatest(s.low, 1))))::text,
       (SELECT coalesce(jsonb_agg(r ORDER BY r -> 'seq'), '[]') FROM (
            SELECT jsonb_build_object('seq', q.seq, 'rows', q.refused, 'reason', q.reason) AS r
            FROM quarantine q
            WHERE q.site_id = s.site_id AND q.edge = s.edge AND q.session = s.session AND q.status <> 'stored'
            ORDER BY q.quarantine_id DESC LIMIT %(most)s) newest)
FROM edge_session s
WHERE s.site_id = %(site_id)s AND s.edge = %(edge)s AND s.session = %(session)s
"""
_REJUDGE: Final[LiteralString] = """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT k.stack_id, k.hour, %(reason)s
FROM unnest(%(stacks)s::integer[], %(hours)s::timestamptz[]) AS k (stack_id, hour)
"""
_SITE_CLOCK: Final[LiteralString] = """
INSERT INTO site_clock (site_id, newest) VALUES (%s, %s)
ON CONFLICT (site_id) DO UPDATE SET newest = greatest(site_clock.newest, excluded.newest)
"""
_STACK_LATEST: Final[LiteralString] = """
INSERT INTO stack_latest (stack_id, sampled_at) VALUES (%s, %s)
ON CONFLICT (stack_id) DO UPDATE SET sampled_at = greatest(stack_latest.sampled_at, excluded.sampled_at)
"""
_EDGE_STATE: Final[LiteralString] = """
INSERT INTO edge_state (site_id, edge, online, document, received_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (site_id, edge) DO UPDATE
    SET online = excluded.online, document = excluded.document, received_at = excluded.received_at
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


async def put_batch(conn: Connection, batch: NewBatch) -> tuple[int, bool]:
    """(batch_id, whether it is here for the first time) of *batch*."""
    values = {name: getattr(batch, name) for name in NewBatch.__slots__}
    values["sent_at"] = None if batch.sent_at is None else instant(batch.sent_at)
    cursor = await conn.execute(_PUT_BATCH, values)
    row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1] == 1


async def put_books(conn: Connection, books: Mapping[tuple[int, datetime], HourBook]) -> None:
    """Add the fates of rows by (batch_id, hour); what is released moves from one fate to another."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            _PUT_BOOK,
            [
                [batch_id, hour, book.stored, book.duplicate, book.conflict, book.quarantined]
                for (batch_id, hour), book in sorted(books.items())
            ],
        )


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


async def settle(conn: Connection, settled: Mapping[SessionKey, Settling]) -> None:
    """Note that the numbers in *settled* need not be sent again."""
    for (site_id, edge, session), what in sorted(settled.items()):
        values = {
            "site_id": site_id,
            "edge": edge,
            "session": session,
            "seqs": sorted(what.seqs),
            "low": what.low,
        }
        await conn.execute(_SETTLE, values)


async def receipt_of(conn: Connection, key: SessionKey) -> Receipt | None:
    """What the database says it has of a session: any ingestor gives the same receipt."""
    site_id, edge, session = key
    cursor = await conn.execute(
        _RECEIPT, {"site_id": site_id, "edge": edge, "session": session, "most": RECEIPT_REFUSALS}
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    ranges = _ranges(row[0])
    through = ranges.pop(0)[1] - 1 if ranges and ranges[0][0] <= 1 else 0
    return Receipt(session=session, through=through, also=_newest(ranges), refused=tuple(_refusals(row[1])))


def _newest(ranges: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The highest numbers of rising *ranges*, rising."""
    found: list[int] = []
    for low, high in reversed(ranges):
        room = ALSO_LISTED - len(found)
        found += range(high - 1, max(low, high - room) - 1, -1)
    return tuple(reversed(found))


def _ranges(text: str) -> list[tuple[int, int]]:
    """The half-open ranges of a multirange such as `{[1,42),[43,45)}`, in order."""
    inner = text.strip("{}")
    pairs = (part.strip("[)").split(",") for part in inner.split("),")) if inner else ()
    return [(int(low), int(high)) for low, high in pairs]


def _refusals(items: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """One entry for each reason: `{"seq", "rows", "reason"}`; no `rows` where the whole frame was refused.

    What is too much to be listed is counted in the words of its reason.
    """
    for item in items:
        if item["rows"] is None:
            yield {"seq": item["seq"], "rows": [], "reason": item["reason"]}
            continue
        by_reason: dict[str, list[int]] = {}
        for refusal in item["rows"]:
            by_reason.setdefault(refusal["reason"], []).append(refusal["row"])
        reasons = list(by_reason.items())
        for reason, rows in reasons[:REASONS_LISTED]:
            more = f" ({len(rows)} rows; the first {ROWS_LISTED} of them are listed)" if len(rows) > ROWS_LISTED else ""
            yield {"seq": item["seq"], "rows": rows[:ROWS_LISTED], "reason": reason + more}
        others = sorted(row for _, rows in reasons[REASONS_LISTED:] for row in rows)
        if others:
            more = f"; the first {ROWS_LISTED} of them are listed" if len(others) > ROWS_LISTED else ""
            said = f"{len(reasons) - REASONS_LISTED} other reasons, {len(others)} rows{more}"
            yield {"seq": item["seq"], "rows": others[:ROWS_LISTED], "reason": said}


async def ask_to_judge(conn: Connection, hours: Iterable[tuple[int, datetime]], *, reason: str) -> None:
    """Put (stack_id, hour) into the queue of the rule stage and wake it."""
    pairs = sorted(set(hours))
    if pairs:
        stacks, starts = zip(*pairs, strict=True)
        await conn.execute(_REJUDGE, {"stacks": list(stacks), "hours": list(starts), "reason": reason})
        await conn.execute("SELECT pg_notify('rejudge', '')")


async def advance_clocks(conn: Connection, sites: Mapping[int, datetime], stacks: Mapping[int, datetime]) -> None:
    """Note the newest row of each simulated site and of each stack."""
    async with conn.cursor() as cursor:
        await cursor.executemany(_SITE_CLOCK, sorted(sites.items()))
        await cursor.executemany(_STACK_LATEST, sorted(stacks.items()))


async def put_edge_state(
    conn: Connection, site_id: int, edge: str, document: Mapping[str, Any], received_at: datetime
) -> None:
    await conn.execute(_EDGE_STATE, [site_id, edge, document["online"], Jsonb(dict(document)), received_at])


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
