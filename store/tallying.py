"""Folding what was noted of frames into the short tables that the books are read from; one session at a time does so.

    book_entry   ──▶ book_line                        what became of the rows that arrived
    session_news ──▶ session_run ──▶ session_loss     what sessions counted and nobody brought

A killed fold was not committed: its notes are there for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString

from store import losses
from store.losses import EdgeHour
from store.pool import Connection
from store.sessions import put_runs, take_news

NOTES_AT_ONCE: Final = 20_000
_LOCK: Final = 7_274_006

# Lines that come to nothing (their frames are gone) go with the next entry that touches them.
_FOLD: Final[LiteralString] = """
WITH taken AS (
    DELETE FROM book_entry WHERE ctid = ANY(ARRAY(SELECT ctid FROM book_entry LIMIT %(most)s)) RETURNING *
), summed AS (
    SELECT hour, site_id, edge, sum(stored) AS stored, sum(duplicate) AS duplicate, sum(conflict) AS conflict,
           sum(quarantined) AS quarantined, sum(redelivered) AS redelivered
    FROM taken GROUP BY hour, site_id, edge
), folded AS (
    INSERT INTO book_line AS line (hour, site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
    SELECT * FROM summed ORDER BY hour, site_id, edge
    ON CONFLICT (hour, site_id, edge) DO UPDATE
        SET stored = line.stored + excluded.stored, duplicate = line.duplicate + excluded.duplicate,
            conflict = line.conflict + excluded.conflict, quarantined = line.quarantined + excluded.quarantined,
            redelivered = line.redelivered + excluded.redelivered
), added AS (
    INSERT INTO book_edge AS edge (site_id, edge, stored, duplicate, conflict, quarantined, redelivered)
    SELECT site_id, edge, sum(stored), sum(duplicate), sum(conflict), sum(quarantined), sum(redelivered)
    FROM summed GROUP BY site_id, edge ORDER BY site_id, edge
    ON CONFLICT (site_id, edge) DO UPDATE
        SET stored = edge.stored + excluded.stored, duplicate = edge.duplicate + excluded.duplicate,
            conflict = edge.conflict + excluded.conflict, quarantined = edge.quarantined + excluded.quarantined,
            redelivered = edge.redelivered + excluded.redelivered
)
SELECT count(*), array_agg(DISTINCT hour) FROM taken
"""
_CLEAR: Final[LiteralString] = """
DELETE FROM book_line WHERE hour = ANY(%s) AND (stored, duplicate, conflict, quarantined, redelivered) = (0, 0, 0, 0, 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    more: bool  #: something was left for the next time
    changed: set[EdgeHour] = field(default_factory=set)  #: hours whose losses changed


async def fold(conn: Connection, *, now: datetime, most: int = NOTES_AT_ONCE) -> Folded:
    """Fold at most *most* notes of each kind, as of the tick *now*, in the caller's transaction."""
    await conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    entries = await _fold_entries(conn, most)
    news, changed = await _fold_news(conn, most, now)
    return Folded(more=max(entries, news) >= most, changed=changed)


async def _fold_entries(conn: Connection, most: int) -> int:
    row = await (await conn.execute(_FOLD, {"most": most})).fetchone()
    assert row is not None
    count, hours = row
    if hours:
        await conn.execute(_CLEAR, [hours])
    return int(count)


async def _fold_news(conn: Connection, most: int, now: datetime) -> tuple[int, set[EdgeHour]]:
    sessions = await take_news(conn, most)
    runs = {key: session.runs() for key, session in sessions.items()}
    await put_runs(conn, ((key, session.tallied, runs[key]) for key, session in sessions.items()))
    found = await losses.losses(conn, {key: (runs[key], session.low) for key, session in sessions.items()})
    changed = await losses.replace(conn, list(sessions), found, now=now)
    return sum(session.notes for session in sessions.values()), changed
