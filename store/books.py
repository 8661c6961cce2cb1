"""The books: what became of every row that an edge published, by hour of its sampled_at (UTC).

`published` is always the sum of the fates beside it. What arrived is read from the folded lines and the entries that
are not folded yet; what sessions counted and nobody brought from `store.losses`, which says in which hour it stands.
No answer depends on how far the stage has folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

from store.losses import Loss, losses, settled_losses
from store.pool import Connection
from store.scope import EVERYWHERE, IN_SCOPE, Scope
from store.sessions import with_news

ARRIVED: Final = ("stored", "duplicate", "conflict", "quarantined")
FATES: Final = (*ARRIVED, "dropped", "in_flight", "unexplained")

LineKey = tuple[datetime, str, str]  #: hour, site, edge: the order of the books, read from behind


async def codes_of_sites(conn: Connection) -> dict[int, str]:
    return dict(await (await conn.execute("SELECT site_id, code FROM site")).fetchall())


_SITES: Final[LiteralString] = (
    "SELECT s.site_id, s.code FROM site s JOIN region r USING (region_id) WHERE "
    + IN_SCOPE
    + " AND (%(site)s::text IS NULL OR s.code = %(site)s)"
)
# One statement: an entry that is folded meanwhile is in one of the two.
_ARRIVED: Final[LiteralString] = """
WITH folded AS (
    SELECT l.hour, s.code AS site, l.edge, l.stored, l.duplicate, l.conflict, l.quarantined, l.redelivered
    FROM book_line l JOIN site s USING (site_id)
    WHERE (%(sites)s::integer[] IS NULL OR site_id = ANY(%(sites)s)) AND (%(edge)s::text IS NULL OR edge = %(edge)s)
      AND (%(start)s::timestamptz IS NULL OR hour >= %(start)s) AND (%(end)s::timestamptz IS NULL OR hour < %(end)s)
      AND (%(after_at)s::timestamptz IS NULL
           OR hour <= %(after_at)s AND (hour, s.code COLLATE "C", edge COLLATE "C")
                                     < (%(after_at)s, %(after_site)s::text, %(after_edge)s::text))
    ORDER BY l.hour DESC, s.code COLLATE "C" DESC, l.edge COLLATE "C" DESC LIMIT %(limit)s
)
SELECT hour, site, edge, stored, duplicate, conflict, quarantined, redelivered FROM folded
UNION ALL
SELECT e.hour, s.code, e.edge, sum(e.stored), sum(e.duplicate), sum(e.conflict), sum(e.quarantined), sum(e.redelivered)
FROM book_entry e JOIN site s USING (site_id)
WHERE (%(sites)s::integer[] IS NULL OR site_id = ANY(%(sites)s)) AND (%(edge)s::text IS NULL OR edge = %(edge)s)
  AND (%(start)s::timestamptz IS NULL OR hour >= %(start)s) AND (%(end)s::timestamptz IS NULL OR hour < %(end)s)
GROUP BY e.hour, s.code, e.edge
"""


async def list_books(
    conn: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    edge: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: LineKey | None = None,
    limit: int | None,
) -> list[dict[str, Any]]:
    """One line an edge and hour, newest hour first, behind the key *after* (hour, site, edge)."""
    sites, codes = await _sites(conn, scope, site)
    span = {"sites": sites, "edge": edge, "start": start, "end": end}
    lost = await _lost(conn, sites=sites, edge=edge, start=start, end=end)
    names = ("after_at", "after_site", "after_edge")
    position = dict(zip(names, after or (None, None, None), strict=True))
    cursor = await conn.execute(_ARRIVED, {**span, **position, "limit": limit})
    lines: dict[LineKey, dict[str, int]] = {}
    async for hour, code, name, *counts in cursor:
        _add(lines, (hour, code, name), zip((*ARRIVED, "redelivered"), counts, strict=True))
    for loss in lost:
        _add(lines, (loss.hour, codes[loss.site_id], loss.edge), [(loss.fate, loss.rows)])
    # Folded lines are the first *limit* of their kind, so what stands behind the first *limit* of all is left out.
    keys = sorted((key for key in lines if after is None or key < after), reverse=True)
    return [_line(key, lines[key]) for key in keys[:limit]]


async def _sites(conn: Connection, scope: Scope, site: str | None) -> tuple[list[int] | None, dict[int, str]]:
    """The sites that are asked for, None for all of them, and their codes."""
    codes = dict(await (await conn.execute(_SITES, {**scope.parameters(), "site": site})).fetchall())
    return (None if scope == EVERYWHERE and site is None else sorted(codes)), codes


async def _lost(
    conn: Connection,
    *,
    sites: Sequence[int] | None,
    edge: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Loss]:
    sessions = await with_news(conn, sites=sites, edge=edge)
    tallied = await losses(conn, {key: (session.runs(), session.low) for key, session in sessions.items()})
    settled = await settled_losses(conn, sites=sites, edge=edge, start=start, end=end, but=sessions)
    within = [loss for loss in tallied if (start is None or loss.hour >= start) and (end is None or loss.hour < end)]
    return within + settled


def _add(lines: dict[LineKey, dict[str, int]], key: LineKey, counts: Iterable[tuple[str, int]]) -> None:
    line = lines.setdefault(key, dict.fromkeys((*FATES, "redelivered"), 0))
    for name, count in counts:
        line[name] += int(count)


def _line(key: LineKey, counts: dict[str, int]) -> dict[str, Any]:
    hour, site, edge = key
    published = sum(counts[fate] for fate in FATES)
    return {
        "site": site,
        "edge": edge,
        "hour": f"{hour.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "published": published,
        **counts,
    }


_TOTALS: Final[LiteralString] = """
SELECT coalesce(sum(stored), 0), coalesce(sum(duplicate), 0), coalesce(sum(conflict), 0),
       coalesce(sum(quarantined), 0), coalesce(sum(redelivered), 0)
FROM (SELECT site_id, stored, duplicate, conflict, quarantined, redelivered FROM book_edge
      UNION ALL
      SELECT site_id, stored, duplicate, conflict, quarantined, redelivered FROM book_entry) line
WHERE %(sites)s::integer[] IS NULL OR site_id = ANY(%(sites)s)
"""


async def book_totals(conn: Connection, scope: Scope, *, site: str | None = None) -> dict[str, int]:
    """The sums over all lines of the books."""
    sites, _ = await _sites(conn, scope, site)
    lost = await _lost(conn, sites=sites)
    row = await (await conn.execute(_TOTALS, {"sites": sites})).fetchone()
    assert row is not None
    sums = {**dict.fromkeys(FATES, 0), **dict(zip((*ARRIVED, "redelivered"), map(int, row), strict=True))}
    for loss in lost:
        sums[loss.fate] += loss.rows
    return {"published": sum(sums[fate] for fate in FATES), **sums}
