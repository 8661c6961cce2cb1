"""The books by the long way: every frame ever sent is read for each answer. The reference for `store.books`.

It does not know frames that could not be read as a whole, which say nothing of what went before them.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from store.pool import Connection
from store.scope import EVERYWHERE, IN_SCOPE

_BOOKS: Final[LiteralString] = (
    """
WITH speaker AS (
    SELECT s.site_id, s.code FROM site s JOIN region r USING (region_id)
    WHERE """
    + IN_SCOPE
    + """ AND (%(site)s::text IS NULL OR s.code = %(site)s)
),
arrived AS (
    SELECT b.site_id, b.edge, h.hour,
        sum(h.stored) AS stored, sum(h.duplicate) AS duplicate, sum(h.conflict) AS conflict,
        sum(h.quarantined) AS quarantined,
        sum((b.deliveries - 1) * (h.stored + h.duplicate + h.conflict + h.quarantined)::bigint) AS redelivered
    FROM batch_hour h JOIN batch b USING (batch_id) JOIN speaker USING (site_id)
    WHERE (%(edge)s::text IS NULL OR b.edge = %(edge)s)
      AND (%(start)s::timestamptz IS NULL OR h.hour >= %(start)s)
      AND (%(end)s::timestamptz IS NULL OR h.hour < %(end)s)
    GROUP BY b.site_id, b.edge, h.hour
),
frame AS (  -- a restored disk may use a number again: one frame a number speaks for the counts
    SELECT DISTINCT ON (b.site_id, b.edge, b.session, b.seq)
        b.site_id, b.edge, b.session, b.seq, b.batch_id, b.rows, b.rows_before, b.dropped_before, b.received_at
    FROM batch b JOIN speaker USING (site_id)
    WHERE b.session IS NOT NULL AND (%(edge)s::text IS NULL OR b.edge = %(edge)s)
    ORDER BY b.site_id, b.edge, b.session, b.seq, b.batch_id
),
counted AS (
    SELECT site_id, edge, session, batch_id, received_at,
        coalesce(lag(seq) OVER numbered, 0) + 1 AS first,
        seq - 1 AS last,
        rows_before - coalesce(max(rows_before + rows) OVER (
            numbered ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS missing,
        max(dropped_before) OVER (PARTITION BY site_id, edge, session) AS dropped_in_all
    FROM frame
    WINDOW numbered AS (PARTITION BY site_id, edge, session ORDER BY seq)
),
gap AS (
    SELECT c.*, coalesce(e.low, 1) AS low,
        c.first < coalesce(e.low, 1) OR c.first > c.last AS may_be_dropped
    FROM counted c LEFT JOIN edge_session e USING (site_id, edge, session)
    WHERE c.missing > 0
),
split AS (
    SELECT gap.*, CASE WHEN may_be_dropped THEN least(missing, greatest(0, dropped_in_all - coalesce(
            sum(missing) FILTER (WHERE may_be_dropped) OVER (
                PARTITION BY site_id, edge, session ORDER BY first, last
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)))
        ELSE 0 END AS dropped
    FROM gap
),
fate AS (
    SELECT site_id, edge, dropped, missing - dropped AS rest,
        coalesce((SELECT min(h.hour) FROM batch_hour h WHERE h.batch_id = split.batch_id),
                 date_bin('1 hour', received_at, 'epoch')) AS hour,
        CASE
            WHEN first <= last AND (
                SELECT count(DISTINCT q.seq) FROM quarantine q
                WHERE q.site_id = split.site_id AND q.edge = split.edge AND q.session = split.session
                  AND q.seq BETWEEN split.first AND split.last AND q.refused IS NULL
            ) = last - first + 1 THEN 'quarantined'
            WHEN first <= last AND last >= low THEN 'in_flight'
            ELSE 'unexplained'
        END AS word
    FROM split
),
missed AS (
    SELECT site_id, edge, hour, sum(dropped) AS dropped,
        coalesce(sum(rest) FILTER (WHERE word = 'quarantined'), 0) AS quarantined,
        coalesce(sum(rest) FILTER (WHERE word = 'in_flight'), 0) AS in_flight,
        coalesce(sum(rest) FILTER (WHERE word = 'unexplained'), 0) AS unexplained
    FROM fate
    WHERE (%(start)s::timestamptz IS NULL OR hour >= %(start)s) AND (%(end)s::timestamptz IS NULL OR hour < %(end)s)
    GROUP BY site_id, edge, hour
),
line AS (
    SELECT site_id, edge, hour,
        coalesce(a.stored, 0)::bigint AS stored, coalesce(a.duplicate, 0)::bigint AS duplicate,
        coalesce(a.conflict, 0)::bigint AS conflict,
        (coalesce(a.quarantined, 0) + coalesce(m.quarantined, 0))::bigint AS quarantined,
        coalesce(m.dropped, 0)::bigint AS dropped, coalesce(m.in_flight, 0)::bigint AS in_flight,
        coalesce(m.unexplained, 0)::bigint AS unexplained, coalesce(a.redelivered, 0)::bigint AS redelivered
    FROM arrived a FULL JOIN missed m USING (site_id, edge, hour)
)
SELECT speaker.code AS site, edge, utc_text(hour) AS hour,
    stored + duplicate + conflict + quarantined + dropped + in_flight + unexplained AS published,
    stored, duplicate, conflict, quarantined, dropped, in_flight, unexplained, redelivered
FROM line JOIN speaker USING (site_id)
WHERE %(after_at)s::timestamptz IS NULL
   OR (hour, speaker.code, edge) < (%(after_at)s, %(after_site)s::text, %(after_edge)s::text)
ORDER BY hour DESC, speaker.code DESC, edge DESC
LIMIT %(limit)s
"""
)


async def whole_books(conn: Connection, *, edge: str | None = None) -> list[dict[str, Any]]:
    """Every line of the books, newest hour first."""
    names = ("site", "start", "end", "after_at", "after_site", "after_edge")
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _BOOKS, {**EVERYWHERE.parameters(), **dict.fromkeys(names), "edge": edge, "limit": 1_000_000}
        )
        return await cursor.fetchall()
