"""Payloads that could not be read, as people see and release them: reads of the table quarantine.

Putting a payload there, and reading it again once it is released, are the ingestor's work.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from plant.errors import IllegalTransition, NotFound
from store.pool import Connection
from store.scope import IN_SCOPE, Scope

ANSWER_BYTES: Final = 4_000_000  #: a page ends early rather than carry more than this of payloads

# A payload whose site is unknown belongs to nobody: only who is not narrowed at all sees it.
_VISIBLE: Final[LiteralString] = (
    """
    (q.site_id IS NULL AND %(scope_sites)s::text[] IS NULL AND %(scope_regions)s::text[] IS NULL
     OR q.site_id IS NOT NULL AND """
    + IN_SCOPE
    + ")"
)

_PAGE: Final[LiteralString] = (
    """
WITH page AS (
    SELECT q.quarantine_id, s.code AS site,
        sum(octet_length(q.payload)) OVER (ORDER BY q.quarantine_id DESC) - octet_length(q.payload) AS bytes_before
    FROM quarantine q LEFT JOIN site s USING (site_id) LEFT JOIN region r USING (region_id)
    WHERE """
    + _VISIBLE
    + """
      AND (%(site)s::text IS NULL OR s.code = %(site)s)
      AND (%(status)s::text IS NULL OR q.status = %(status)s)
      AND (%(after)s::bigint IS NULL OR q.quarantine_id < %(after)s)
    ORDER BY q.quarantine_id DESC
    LIMIT %(limit)s
)
SELECT q.quarantine_id AS id, q.topic, page.site, q.edge, q.session, q.seq, utc_text(q.received_at) AS received_at,
    q.reason, q.refused, translate(encode(q.payload, 'base64'), E'\\n', '') AS bytes, octet_length(q.payload) AS size,
    q.deliveries, q.status, q.released_by, utc_text(q.released_at) AS released_at
FROM page JOIN quarantine q USING (quarantine_id)
WHERE page.bytes_before < %(bytes)s
ORDER BY q.quarantine_id DESC
"""
)

_LOCK: Final[LiteralString] = (
    """
SELECT q.status FROM quarantine q LEFT JOIN site s USING (site_id) LEFT JOIN region r USING (region_id)
WHERE q.quarantine_id = %(quarantine_id)s AND """
    + _VISIBLE
    + " FOR UPDATE OF q"
)

_RELEASE: Final[LiteralString] = """
UPDATE quarantine SET status = 'released', released_by = %s, released_at = now() WHERE quarantine_id = %s
"""


async def list_quarantine(
    conn: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    status: str | None = None,
    after: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Payloads newest first, behind the id *after*; `bytes` is base64. Large ones make a page shorter, never empty."""
    parameters = {
        **scope.parameters(),
        "site": site,
        "status": status,
        "after": after,
        "limit": limit,
        "bytes": ANSWER_BYTES,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PAGE, parameters)
        return await cursor.fetchall()


async def find_quarantined(conn: Connection, scope: Scope, quarantine_id: int) -> dict[str, Any]:
    rows = await list_quarantine(conn, scope, after=quarantine_id + 1, limit=1)
    if not rows or rows[0]["id"] != quarantine_id:
        raise NotFound(f"there is no quarantined payload {quarantine_id}")
    return rows[0]


async def release(conn: Connection, scope: Scope, quarantine_id: int, *, by: str) -> None:
    """Let the ingestor read it once more. `IllegalTransition` where it was released before."""
    cursor = await conn.execute(_LOCK, {**scope.parameters(), "quarantine_id": quarantine_id})
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"there is no quarantined payload {quarantine_id}")
    if row[0] != "held":
        raise IllegalTransition(f"quarantined payload {quarantine_id}", row[0], "release")
    await conn.execute(_RELEASE, [by, quarantine_id])
    await conn.execute("SELECT pg_notify('quarantine', %s)", [str(quarantine_id)])
