"""What is settled of each session, and the receipts that say so.

A receipt is derived from the database, so any ingestor gives the same one, and it never promises more than the
transaction commits in which it was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from plant.wire import Receipt
from store.pool import Connection

# A receipt is retained, and a broker ends the connection of who publishes what it finds too large.
RECEIPT_REFUSALS: Final = 100  # frames, the newest of a session
REASONS_LISTED: Final = 8  # of one frame
ROWS_LISTED: Final = 100  # of one reason
ALSO_LISTED: Final = 10_000  # the newest; an edge's window lies at its highest numbers

SessionKey = tuple[int, str, str]  #: site_id, edge, session

# One order for every writer, so that two ingestors never wait for each other in a circle.
_SETTLE: Final[LiteralString] = """
INSERT INTO edge_session (site_id, edge, session, settled, low)
SELECT site_id, edge, session, range_agg(int8range(seq, seq + 1)), max(low)
FROM unnest(%(sites)b::integer[], %(edges)b::text[], %(sessions)b::text[], %(seqs)b::bigint[], %(lows)b::bigint[])
     AS s (site_id, edge, session, seq, low)
GROUP BY site_id, edge, session ORDER BY site_id, edge, session
ON CONFLICT (site_id, edge, session) DO UPDATE
    SET settled = edge_session.settled + excluded.settled, low = greatest(edge_session.low, excluded.low),
        changed_at = now()
"""
_RECEIPTS: Final[LiteralString] = """
SELECT s.site_id, s.edge, s.session, (s.settled + int8multirange(int8range(1, greatest(s.low, 1))))::text,
       (SELECT coalesce(jsonb_agg(r ORDER BY r -> 'seq'), '[]') FROM (
            SELECT jsonb_build_object('seq', q.seq, 'rows', q.refused, 'reason', q.reason) AS r
            FROM quarantine q
            WHERE q.site_id = s.site_id AND q.edge = s.edge AND q.session = s.session AND q.status <> 'stored'
            ORDER BY q.quarantine_id DESC LIMIT %(most)s) newest)
FROM unnest(%(sites)b::integer[], %(edges)b::text[], %(sessions)b::text[]) AS k (site_id, edge, session)
JOIN edge_session s USING (site_id, edge, session)
"""


@dataclass(slots=True)
class Settling:
    """What one commit settles of one session."""

    seqs: set[int] = field(default_factory=set)
    low: int = 1


async def settle(conn: Connection, settled: Mapping[SessionKey, Settling]) -> None:
    """Note that the numbers in *settled* need not be sent again."""
    numbers = [(*key, seq, what.low) for key, what in settled.items() for seq in what.seqs]
    if numbers:
        names = ("sites", "edges", "sessions", "seqs", "lows")
        columns = (list(column) for column in zip(*numbers, strict=True))
        await conn.execute(_SETTLE, dict(zip(names, columns, strict=True)))


async def receipts_of(conn: Connection, keys: Iterable[SessionKey]) -> dict[SessionKey, Receipt]:
    """What the database says it has of each session, in the order of *keys*; a session it never saw has none."""
    asked = list(keys)
    if not asked:
        return {}
    sites, edges, sessions = (list(column) for column in zip(*asked, strict=True))
    values = {"sites": sites, "edges": edges, "sessions": sessions, "most": RECEIPT_REFUSALS}
    found: dict[SessionKey, Receipt] = {}
    for site_id, edge, session, settled, refused in await (await conn.execute(_RECEIPTS, values)).fetchall():
        found[site_id, edge, session] = _receipt(session, settled, refused)
    return {key: found[key] for key in asked if key in found}


async def receipt_of(conn: Connection, key: SessionKey) -> Receipt | None:
    return (await receipts_of(conn, [key])).get(key)


def _receipt(session: str, settled: str, refused: Iterable[Mapping[str, Any]]) -> Receipt:
    ranges = _ranges(settled)
    through = ranges.pop(0)[1] - 1 if ranges and ranges[0][0] <= 1 else 0
    return Receipt(session=session, through=through, also=_newest(ranges), refused=tuple(_refusals(refused)))


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
