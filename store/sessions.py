"""What sessions are known to have sent: the runs that were tallied, and the news since, joined into runs of today.

The stage folds news into runs (`store.tallying`); whoever reads the books in between joins them for the answer only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from psycopg import AsyncCursor

from plant.tallies import Run, grown, joined, run_of_frame
from store.pool import Connection
from store.receipts import SessionKey


@dataclass(slots=True)
class Session:
    """One session of which there is news."""

    low: int = 1  #: the lowest number that its edge holds
    notes: int = 0
    tallied: list[Run] = field(default_factory=list)
    new: list[Run] = field(default_factory=list)
    grown: list[tuple[Run, int]] = field(default_factory=list)

    def runs(self) -> list[Run]:
        """What was tallied, with the news."""
        runs = self.tallied
        for frame, more in self.grown:
            runs = grown(runs, frame, more)
        return joined(runs, self.new)


_NEWS: Final[LiteralString] = """
WITH taken AS (
    SELECT * FROM session_news
    WHERE (%(sites)s::integer[] IS NULL OR site_id = ANY(%(sites)s)) AND (%(edge)s::text IS NULL OR edge = %(edge)s)
),
"""
_TAKE: Final[LiteralString] = """
WITH taken AS (
    DELETE FROM session_news
    WHERE news_id = ANY(ARRAY(SELECT news_id FROM session_news ORDER BY news_id LIMIT %(most)s)) RETURNING *
),
"""
# One statement with either: what is folded meanwhile is still news in it or in the runs already, never both or neither.
_SESSIONS: Final[LiteralString] = """
news AS (
    SELECT site_id, edge, session, batch_id, bool_or(more IS NULL) AS is_new, sum(more) AS more, count(*) AS notes
    FROM taken GROUP BY site_id, edge, session, batch_id
),
asked AS (SELECT site_id, edge, session, sum(notes) AS notes FROM news GROUP BY site_id, edge, session)
SELECT site_id, edge, session, coalesce(e.low, 1) AS low, NULL::boolean AS is_new, notes AS more,
       r.first, r.last, r.counted, r.adds, r.reaches, r.dropped, r.batch_id, r.received_at
FROM asked
LEFT JOIN edge_session e USING (site_id, edge, session) LEFT JOIN session_run r USING (site_id, edge, session)
UNION ALL
SELECT n.site_id, n.edge, n.session, 1, n.is_new, n.more, b.seq, b.seq, b.rows_before, b.rows, 0, b.dropped_before,
       b.batch_id, b.received_at
FROM news n JOIN batch b USING (batch_id)
ORDER BY batch_id, first
"""


async def with_news(
    conn: Connection, *, sites: Sequence[int] | None = None, edge: str | None = None
) -> dict[SessionKey, Session]:
    """The sessions of *sites* (all, if None) and *edge* of which there is news."""
    return await _read(await conn.execute(_NEWS + _SESSIONS, {"sites": sites, "edge": edge}))


async def take_news(conn: Connection, most: int) -> dict[SessionKey, Session]:
    """Take the oldest news, at most *most*, to be folded in the caller's transaction."""
    return await _read(await conn.execute(_TAKE + _SESSIONS, {"most": most}))


async def _read(cursor: AsyncCursor[Any]) -> dict[SessionKey, Session]:
    found: dict[SessionKey, Session] = {}
    async for site_id, edge, code, low, is_new, more, *rest in cursor:
        session = found.setdefault((site_id, edge, code), Session())
        if is_new is None:
            session.low, session.notes = low, int(more)
            if rest[0] is not None:
                session.tallied.append(_run(rest))
        elif is_new:
            session.new.append(_frame(rest))
        elif more:
            session.grown.append((_frame(rest), int(more)))
    for session in found.values():
        session.tallied.sort(key=lambda run: run.first)
    return found


def _run(columns: Sequence[Any]) -> Run:
    first, last, counted, adds, reaches, dropped, batch_id, received_at = columns
    return Run(
        first=first,
        last=last,
        counted=counted,
        adds=adds,
        reaches=reaches,
        dropped=dropped,
        batch_id=batch_id,
        received_at=received_at,
    )


def _frame(columns: Sequence[Any]) -> Run:
    seq, _, rows_before, rows, _, dropped_before, batch_id, received_at = columns
    return run_of_frame(
        seq=seq,
        rows=rows,
        rows_before=rows_before,
        dropped_before=dropped_before,
        batch_id=batch_id,
        received_at=received_at,
    )


_FORGET_RUNS: Final[LiteralString] = """
DELETE FROM session_run r USING unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[])
    AS old (site_id, edge, session, first)
WHERE (r.site_id, r.edge, r.session, r.first) = (old.site_id, old.edge, old.session, old.first)
"""
_PUT_RUNS: Final[LiteralString] = """
INSERT INTO session_run (site_id, edge, session, first, last, counted, adds, reaches, dropped, batch_id, received_at)
SELECT * FROM unnest(%s::integer[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                     %s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[])
"""


async def put_runs(conn: Connection, sessions: Iterable[tuple[SessionKey, Sequence[Run], Sequence[Run]]]) -> None:
    """Write the runs of sessions anew, each given with what stood; a run that stays as it is is not touched."""
    gone: list[tuple[Any, ...]] = []
    new: list[tuple[Any, ...]] = []
    for key, before, now in sessions:
        kept = set(before) & set(now)
        gone += [(*key, run.first) for run in before if run not in kept]
        new += [
            (
                *key,
                run.first,
                run.last,
                run.counted,
                run.adds,
                run.reaches,
                run.dropped,
                run.batch_id,
                run.received_at,
            )
            for run in now
            if run not in kept
        ]
    for statement, rows in ((_FORGET_RUNS, gone), (_PUT_RUNS, new)):
        if rows:
            await conn.execute(statement, [list(column) for column in zip(*rows, strict=True)])
