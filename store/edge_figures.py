"""What to watch of each edge and site, from the short tables that the stage keeps: cheap with a country of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row

from store.books import FATES
from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeFigures:
    """The books of one edge, over all hours, and what it says of itself; None where it never said."""

    site: str
    region: str
    edge: str
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    dropped: int
    in_flight: int
    unexplained: int
    redelivered: int
    online: bool | None
    outbox: int | None  #: frames that wait for a receipt
    outbox_age_s: float | None  #: of the oldest of them, at the newest tick

    @property
    def published(self) -> int:
        return sum(getattr(self, fate) for fate in FATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFigures:
    """Rows of the last hour that ended at a site."""

    site: str
    region: str
    expected: int
    missing: int


_EDGES: Final[LiteralString] = """
WITH lost AS (
    SELECT site_id, edge, coalesce(sum(rows) FILTER (WHERE fate = 'dropped'), 0) AS dropped,
           coalesce(sum(rows) FILTER (WHERE fate = 'quarantined'), 0) AS quarantined,
           coalesce(sum(rows) FILTER (WHERE fate = 'in_flight'), 0) AS in_flight,
           coalesce(sum(rows) FILTER (WHERE fate = 'unexplained'), 0) AS unexplained
    FROM session_loss GROUP BY site_id, edge
)
SELECT s.code AS site, r.code AS region, edge, coalesce(b.stored, 0) AS stored, coalesce(b.duplicate, 0) AS duplicate,
       coalesce(b.conflict, 0) AS conflict,
       (coalesce(b.quarantined, 0) + coalesce(l.quarantined, 0))::bigint AS quarantined,
       coalesce(l.dropped, 0)::bigint AS dropped, coalesce(l.in_flight, 0)::bigint AS in_flight,
       coalesce(l.unexplained, 0)::bigint AS unexplained, coalesce(b.redelivered, 0) AS redelivered,
       e.online,
       CASE WHEN jsonb_typeof(e.document -> 'outbox') = 'number' THEN (e.document ->> 'outbox')::numeric::bigint END
           AS outbox,
       CASE WHEN jsonb_typeof(e.document -> 'oldest') = 'number' THEN greatest(0, extract(epoch FROM
           (SELECT max(at) FROM tick))::float8 - (e.document ->> 'oldest')::float8 / 1000) END AS outbox_age_s
FROM book_edge b
FULL JOIN lost l USING (site_id, edge)
FULL JOIN edge_state e USING (site_id, edge)
JOIN site s USING (site_id) JOIN region r USING (region_id)
ORDER BY s.code, edge
"""
_SITES: Final[LiteralString] = """
SELECT s.code AS site, r.code AS region, m.expected, m.missing
FROM site_missing m JOIN site s USING (site_id) JOIN region r USING (region_id) ORDER BY s.code
"""
# The newest hundred messages: received, and then committed.
_LAG: Final[LiteralString] = """
SELECT coalesce(max(extract(epoch FROM stored_at - received_at)), 0)::float8
FROM (SELECT stored_at, received_at FROM batch ORDER BY batch_id DESC LIMIT 100) newest
"""


async def edge_figures(conn: Connection) -> Sequence[EdgeFigures]:
    """Each edge that ever spoke, as of the last fold."""
    async with conn.cursor(row_factory=class_row(EdgeFigures)) as cursor:
        await cursor.execute(_EDGES)
        return await cursor.fetchall()


async def site_figures(conn: Connection) -> Sequence[SiteFigures]:
    async with conn.cursor(row_factory=class_row(SiteFigures)) as cursor:
        await cursor.execute(_SITES)
        return await cursor.fetchall()


async def ingest_lag_s(conn: Connection) -> float:
    """The longest that one of the newest messages took from the ingestor's hands into the database."""
    row = await (await conn.execute(_LAG)).fetchone()
    return float(row[0]) if row else 0.0
