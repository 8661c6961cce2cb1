"""What became of the rows of one session: the end of an import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    stored: int
    duplicate: int
    conflict: int
    quarantined: int


_TOTALS: Final[LiteralString] = """
SELECT coalesce(sum(h.stored), 0)::bigint AS stored, coalesce(sum(h.duplicate), 0)::bigint AS duplicate,
       coalesce(sum(h.conflict), 0)::bigint AS conflict, coalesce(sum(h.quarantined), 0)::bigint AS quarantined
FROM batch b JOIN batch_hour h USING (batch_id)
WHERE b.site_id = %s AND b.edge = %s AND b.session = %s
"""


async def totals(conn: Connection, site_id: int, edge: str, session: str) -> Totals:
    """The fates of all rows of a session, by the books."""
    async with conn.cursor(row_factory=class_row(Totals)) as cursor:
        await cursor.execute(_TOTALS, [site_id, edge, session])
        row = await cursor.fetchone()
    assert row is not None
    return row
