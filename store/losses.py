"""What became of rows that sessions spoke of and that never arrived: the gaps of `plant.tallies` with their fates.

Rows of a gap stand in the hour of the first row of the frame after it: as `dropped` as far as the outbox counted drops;
else as `quarantined` where every frame of the gap is; as `in_flight` while the edge still holds a frame of the gap;
else as `unexplained`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from plant.tallies import Gap, Run, gaps
from store.pool import Connection
from store.receipts import SessionKey

EdgeHour = tuple[int, str, datetime]  #: site_id, edge, UTC hour
LossKey = tuple[int, str, str, int, int, str]  #: session, first, last, fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Rows of one gap with one fate."""

    site_id: int
    edge: str
    session: str
    first: int
    last: int
    fate: str
    rows: int
    hour: datetime
    counted_at: datetime
    since: datetime | None = field(default=None, compare=False)  #: the tick that saw it first; None before one did

    @property
    def key(self) -> LossKey:
        return self.site_id, self.edge, self.session, self.first, self.last, self.fate


# Where no number is missing between two frames, it is the frame before that may have held more rows than could be read.
_LOOK_UP: Final[LiteralString] = """
SELECT coalesce((SELECT min(h.hour) FROM batch_hour h WHERE h.batch_id = g.batch_id),
                date_bin('1 hour', g.received_at, 'epoch')),
    g.first <= g.last AND (
        SELECT count(DISTINCT q.seq) FROM quarantine q
        WHERE q.site_id = g.site_id AND q.edge = g.edge AND q.session = g.session
          AND q.seq BETWEEN g.first AND g.last AND q.refused IS NULL
    ) = g.last - g.first + 1
FROM unnest(%(site_ids)s::integer[], %(edges)s::text[], %(sessions)s::text[], %(firsts)s::bigint[], %(lasts)s::bigint[],
            %(batch_ids)s::bigint[], %(received)s::timestamptz[])
     WITH ORDINALITY AS g (site_id, edge, session, first, last, batch_id, received_at, place)
ORDER BY g.place
"""


async def losses(conn: Connection, sessions: Mapping[SessionKey, tuple[Sequence[Run], int]]) -> list[Loss]:
    """What *sessions* (each its runs and the lowest number that its edge holds) miss, and why."""
    listed = [(key, gap) for key, (runs, low) in sorted(sessions.items()) for gap in gaps(runs, low)]
    if not listed:
        return []
    cursor = await conn.execute(
        _LOOK_UP,
        {
            "site_ids": [key[0] for key, _ in listed],
            "edges": [key[1] for key, _ in listed],
            "sessions": [key[2] for key, _ in listed],
            "firsts": [gap.first for _, gap in listed],
            "lasts": [gap.last for _, gap in listed],
            "batch_ids": [gap.batch_id for _, gap in listed],
            "received": [gap.received_at for _, gap in listed],
        },
    )
    found = await cursor.fetchall()
    return [
        loss
        for (key, gap), (hour, quarantined) in zip(listed, found, strict=True)
        for loss in _fates(key, gap, hour, quarantined=quarantined)
    ]


def _fates(key: SessionKey, gap: Gap, hour: datetime, *, quarantined: bool) -> list[Loss]:
    word = "quarantined" if quarantined else "in_flight" if gap.may_be_held else "unexplained"
    rows = {"dropped": gap.dropped, word: gap.rows - gap.dropped}
    return [
        Loss(
            site_id=key[0],
            edge=key[1],
            session=key[2],
            first=gap.first,
            last=gap.last,
            fate=fate,
            rows=count,
            hour=hour,
            counted_at=gap.received_at,
        )
        for fate, count in rows.items()
        if count
    ]


_STANDING: Final[LiteralString] = """
SELECT l.site_id, l.edge, l.session, l.first, l.last, l.fate, l.rows, l.hour, l.counted_at, l.since
FROM session_loss l JOIN unnest(%s::integer[], %s::text[], %s::text[]) AS k (site_id, edge, session)
    USING (site_id, edge, session)
"""
_FORGET: Final[LiteralString] = """
DELETE FROM session_loss l
USING unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[])
    AS old (site_id, edge, session, first, last, fate)
WHERE (l.site_id, l.edge, l.session, l.first, l.last, l.fate)
    = (old.site_id, old.edge, old.session, old.first, old.last, old.fate)
"""
_PUT: Final[LiteralString] = """
INSERT INTO session_loss (site_id, edge, session, first, last, fate, rows, hour, counted_at, since)
SELECT *, %s::timestamptz FROM unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[],
                                      %s::bigint[], %s::timestamptz[], %s::timestamptz[])
ON CONFLICT (site_id, edge, session, first, last, fate) DO UPDATE
    SET rows = excluded.rows, hour = excluded.hour, counted_at = excluded.counted_at, judged = false
"""


async def replace(
    conn: Connection, sessions: Collection[SessionKey], found: Sequence[Loss], *, now: datetime
) -> set[EdgeHour]:
    """Let *found* be all that *sessions* miss, as of the tick *now*; (site_id, edge, hour) of what changed."""
    if not sessions:
        return set()
    cursor = await conn.execute(_STANDING, [list(column) for column in zip(*sessions, strict=True)])
    before = {loss.key: loss for loss in [_loss(row) for row in await cursor.fetchall()]}
    after = {loss.key: loss for loss in found}
    gone = [loss for key, loss in before.items() if key not in after]
    new = [loss for key, loss in after.items() if before.get(key) != loss]
    if gone:
        await conn.execute(_FORGET, [list(column) for column in zip(*(loss.key for loss in gone), strict=True)])
    if new:
        rows = [(*loss.key, loss.rows, loss.hour, loss.counted_at) for loss in new]
        await conn.execute(_PUT, [now, *(list(column) for column in zip(*rows, strict=True))])
    changed = [*gone, *new, *(before[loss.key] for loss in new if loss.key in before)]
    return {(loss.site_id, loss.edge, loss.hour) for loss in changed}


def _loss(row: Sequence[Any]) -> Loss:
    site_id, edge, session, first, last, fate, rows, hour, counted_at, since = row
    return Loss(
        site_id=site_id,
        edge=edge,
        session=session,
        first=first,
        last=last,
        fate=fate,
        rows=rows,
        hour=hour,
        counted_at=counted_at,
        since=since,
    )


_SETTLED: Final[LiteralString] = """
SELECT l.site_id, l.edge, l.session, l.first, l.last, l.fate, l.rows, l.hour, l.counted_at, l.since
FROM session_loss l
WHERE (%(sites)s::integer[] IS NULL OR l.site_id = ANY(%(sites)s)) AND (%(edge)s::text IS NULL OR l.edge = %(edge)s)
  AND (%(start)s::timestamptz IS NULL OR l.hour >= %(start)s) AND (%(end)s::timestamptz IS NULL OR l.hour < %(end)s)
  AND NOT EXISTS (
    SELECT FROM unnest(%(but_sites)s::integer[], %(but_edges)s::text[], %(but_sessions)s::text[])
        AS but (site_id, edge, session)
    WHERE (but.site_id, but.edge, but.session) = (l.site_id, l.edge, l.session))
"""


async def settled_losses(
    conn: Connection,
    *,
    sites: Sequence[int] | None,
    edge: str | None,
    start: datetime | None,
    end: datetime | None,
    but: Collection[SessionKey],
) -> list[Loss]:
    """What was tallied as missing in the hours from *start* to *end*, but not of the sessions *but*."""
    but_sites, but_edges, but_sessions = ([key[place] for key in but] for place in range(3))
    values = {"sites": sites, "edge": edge, "start": start, "end": end}
    cursor = await conn.execute(
        _SETTLED, {**values, "but_sites": but_sites, "but_edges": but_edges, "but_sessions": but_sessions}
    )
    return [_loss(row) for row in await cursor.fetchall()]


_UNJUDGED: Final[LiteralString] = """
SELECT DISTINCT site_id, edge, hour FROM session_loss WHERE NOT judged AND since <= %s
"""
_JUDGED: Final[LiteralString] = "UPDATE session_loss SET judged = true WHERE NOT judged AND since <= %s"
_OF_HOURS: Final[LiteralString] = """
SELECT l.site_id, l.edge, l.session, l.first, l.last, l.fate, l.rows, l.hour, l.counted_at, l.since
FROM unnest(%s::integer[], %s::text[], %s::timestamptz[]) AS k (site_id, edge, hour)
JOIN session_loss l USING (site_id, edge, hour)
"""


async def unjudged(conn: Connection, *, since: datetime) -> set[EdgeHour]:
    """Edges and hours with losses that no rule has looked at since they are so old; from now on one has."""
    found = {(row[0], row[1], row[2]) for row in await (await conn.execute(_UNJUDGED, [since])).fetchall()}
    if found:
        await conn.execute(_JUDGED, [since])
    return found


async def of_hours(conn: Connection, hours: Collection[EdgeHour]) -> dict[EdgeHour, list[Loss]]:
    """What each of *hours* misses, as tallied."""
    found: dict[EdgeHour, list[Loss]] = {hour: [] for hour in hours}
    if hours:
        cursor = await conn.execute(_OF_HOURS, [list(column) for column in zip(*sorted(hours), strict=True)])
        for loss in [_loss(row) for row in await cursor.fetchall()]:
            found[loss.site_id, loss.edge, loss.hour].append(loss)
    return found


_CLEAN: Final[LiteralString] = """
SELECT k.site_id, k.edge, k.hour, (
    SELECT b.hour FROM book_line b
    WHERE b.site_id = k.site_id AND b.edge = k.edge AND b.hour > k.hour AND b.stored + b.duplicate > 0
      AND NOT EXISTS (SELECT FROM session_loss l WHERE l.site_id = b.site_id AND l.edge = b.edge AND l.hour = b.hour
                      AND l.fate = 'dropped')
    ORDER BY b.hour LIMIT 1)
FROM unnest(%s::integer[], %s::text[], %s::timestamptz[]) AS k (site_id, edge, hour)
"""


async def next_hours_without_drops(conn: Connection, hours: Collection[EdgeHour]) -> dict[EdgeHour, datetime | None]:
    """The first hour after each of *hours* of which rows of its edge arrived and none was dropped."""
    if not hours:
        return {}
    cursor = await conn.execute(_CLEAN, [list(column) for column in zip(*sorted(hours), strict=True)])
    return {(row[0], row[1], row[2]): row[3] for row in await cursor.fetchall()}
