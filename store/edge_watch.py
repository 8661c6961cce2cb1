"""What the rules on edges look at: what each said last, when its newest frames came, and what was refused of it.

Read at every tick, so only edges come that something may be wrong with, or that are asked for by name; the frames
of the others are looked at in turn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection

EdgeKey = tuple[int, str]  #: site_id, edge

TURNS: Final = 7  #: sites take turns by the second of the tick; prime, so that ticks at any regular times meet all
FRAMES: Final = 15  #: the newest of an edge
REFUSALS: Final = 2_000  #: the newest that are searched for rows in the future
IN_THE_FUTURE: Final = "ahead of the system"  #: in the reason of `ingestor.rows` for such a row


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeNow:
    """One edge; None where it never said so, or never sent a frame."""

    site_id: int
    site: str
    edge: str
    simulated: bool
    online: bool | None
    since: datetime | None
    said_at: datetime | None
    outbox: int | None
    oldest: datetime | None
    frame_at: datetime | None
    longest_interval_s: int
    sent: Sequence[tuple[datetime, datetime]] = ()  #: of its newest frames: sent_at, received_at


# The newest frames of an edge are those with the highest numbers of the session that settled last.
_TROUBLED: Final[LiteralString] = """
WITH said AS (
    SELECT coalesce(e.site_id, b.site_id) AS site_id, coalesce(e.edge, b.edge) AS edge, e.online,
           coalesce((e.document ->> 'since')::timestamptz, e.received_at) AS since, e.received_at AS said_at,
           CASE WHEN jsonb_typeof(e.document -> 'outbox') = 'number'
                THEN (e.document ->> 'outbox')::numeric::bigint END AS outbox,
           CASE WHEN jsonb_typeof(e.document -> 'oldest') = 'number'
                     AND (e.document ->> 'oldest')::float8 BETWEEN 0 AND 1e13  -- an edge may say anything
                THEN to_timestamp((e.document ->> 'oldest')::float8 / 1000) END AS oldest
    FROM edge_state e FULL JOIN book_edge b USING (site_id, edge)
), listed AS (
    SELECT said.* FROM said
    WHERE online IS NOT TRUE OR said_at < %(silent_since)s OR oldest < said_at - make_interval(secs => %(old)s)
       OR (site_id, edge) IN (SELECT * FROM unnest(%(sites)s::integer[], %(edges)s::text[]))
)
SELECT l.site_id, s.code AS site, l.edge, s.simulated, l.online, l.since, l.said_at, l.outbox, l.oldest,
       f.received_at AS frame_at,
       coalesce((SELECT max(k.interval_s) FROM stack k WHERE k.site_id = l.site_id AND k.withdrawn_at IS NULL), 0)
           AS longest_interval_s
FROM listed l JOIN site s USING (site_id)
LEFT JOIN LATERAL (
    SELECT session FROM edge_session n WHERE (n.site_id, n.edge) = (l.site_id, l.edge) ORDER BY changed_at DESC LIMIT 1
) n ON true
LEFT JOIN LATERAL (
    SELECT received_at FROM batch b
    WHERE (b.site_id, b.edge, b.session) = (l.site_id, l.edge, n.session) AND b.session IS NOT NULL
    ORDER BY seq DESC LIMIT 1
) f ON true
ORDER BY l.site_id, l.edge
"""
_TIMED: Final[LiteralString] = """
WITH newest AS (
    SELECT DISTINCT ON (site_id, edge) site_id, edge, session FROM edge_session
    WHERE site_id %% %(turns)s = %(turn)s
       OR (site_id, edge) IN (SELECT * FROM unnest(%(sites)s::integer[], %(edges)s::text[]))
    ORDER BY site_id, edge, changed_at DESC
)
SELECT n.site_id, s.code AS site, n.edge, s.simulated, e.online,
       coalesce((e.document ->> 'since')::timestamptz, e.received_at) AS since, e.received_at AS said_at,
       CASE WHEN jsonb_typeof(e.document -> 'outbox') = 'number'
            THEN (e.document ->> 'outbox')::numeric::bigint END AS outbox,
       NULL::timestamptz AS oldest, f.received[1] AS frame_at, 0 AS longest_interval_s, f.sent, f.received
FROM newest n JOIN site s USING (site_id)
LEFT JOIN edge_state e USING (site_id, edge)
CROSS JOIN LATERAL (
    SELECT array_agg(sent_at ORDER BY seq DESC) AS sent, array_agg(received_at ORDER BY seq DESC) AS received
    FROM (SELECT seq, sent_at, received_at FROM batch b
          WHERE (b.site_id, b.edge, b.session) = (n.site_id, n.edge, n.session) AND b.session IS NOT NULL
          ORDER BY seq DESC LIMIT %(frames)s) last
    WHERE sent_at IS NOT NULL AND received_at > %(since)s
) f
WHERE NOT s.simulated
ORDER BY n.site_id, n.edge
"""
_AHEAD: Final[LiteralString] = """
SELECT site_id, edge, received_at
FROM (SELECT * FROM quarantine ORDER BY quarantine_id DESC LIMIT %(most)s) q
JOIN site s USING (site_id)
WHERE edge IS NOT NULL AND NOT s.simulated AND q.received_at > %(since)s
  AND (reason LIKE %(words)s OR refused::text LIKE %(words)s)
ORDER BY q.quarantine_id DESC
"""


def _columns(keys: Collection[EdgeKey]) -> dict[str, Any]:
    return {"sites": [site_id for site_id, _ in keys], "edges": [edge for _, edge in keys]}


async def troubled(
    conn: Connection, *, silent_since: datetime, old_s: float, also: Collection[EdgeKey]
) -> list[EdgeNow]:
    """Edges that are away, silent since before that instant, or hold a frame for so long; and those of *also*."""
    async with conn.cursor(row_factory=class_row(EdgeNow)) as cursor:
        values = {"silent_since": silent_since, "old": old_s, **_columns(also)}
        await cursor.execute(_TROUBLED, values)
        return await cursor.fetchall()


async def timed(conn: Connection, *, turn: int, since: datetime, also: Collection[EdgeKey]) -> list[EdgeNow]:
    """The edges whose turn it is, and those of *also*, with the frames received after *since*; no simulated ones."""
    values = {"turn": turn % TURNS, "turns": TURNS, "since": since, "frames": FRAMES, **_columns(also)}
    cursor = await conn.execute(_TIMED, values)
    names = [column.name for column in cursor.description or ()][:-2]
    return [
        EdgeNow(**dict(zip(names, row[:-2], strict=True)), sent=tuple(zip(row[-2] or (), row[-1] or (), strict=True)))
        for row in await cursor.fetchall()
    ]


async def refused_as_future(conn: Connection, *, since: datetime) -> Mapping[EdgeKey, list[datetime]]:
    """When, after *since*, frames came of which rows lay too far in the future; the newest first."""
    values = {"most": REFUSALS, "since": since, "words": f"%{IN_THE_FUTURE}%"}
    found: dict[EdgeKey, list[datetime]] = {}
    for site_id, edge, received_at in await (await conn.execute(_AHEAD, values)).fetchall():
        found.setdefault((site_id, edge), []).append(received_at)
    return found
