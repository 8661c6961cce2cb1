"""Silences: who asked that which alerts be quiet, why and until when. SQL of the table silence.

Times are by the tick, also at a simulated site: a silence is about people's attention, not about data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from plant.errors import IllegalTransition, NotFound
from store.pool import Connection
from store.scope import IN_SCOPE, Scope

LONGEST: Final = timedelta(days=31)
EVERYONE: Final = "everyone"
PLANT: Final = "plant"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSilence:
    region: str | None  #: code; None where it is of one site
    site_id: int | None
    stack_id: int | None
    rules: tuple[str, ...]
    severities: tuple[str, ...]
    audience: str
    owner: str
    reason: str
    start: datetime
    end: datetime


_COLUMNS: Final[LiteralString] = """
SELECT q.silence_id AS id, r.code AS region, s.code AS site, k.code AS stack, q.rules, q.severities, q.audience,
    q.owner, q.reason, utc_text(q.start_at) AS start, utc_text(q.end_at) AS "end", q.created_by,
    utc_text(q.created_at) AS created_at, utc_text(q.ended_at) AS ended_at, q.ended_by, q.ended_why,
    CASE WHEN q.in_force THEN 'in_force' WHEN q.ended_at IS NOT NULL OR q.end_at <= now() THEN 'over' ELSE 'ahead'
    END AS state
FROM silence q
LEFT JOIN site s ON s.site_id = q.site_id
JOIN region r ON r.region_id = coalesce(q.region_id, s.region_id)
LEFT JOIN stack k ON k.stack_id = q.stack_id
WHERE """

# A plant sees its own silences: whom the agency does not want to hear of is the agency's affair.
_SEEN: Final[LiteralString] = " AND (q.audience = 'plant' OR NOT %(plant)s)"

_PAGE: Final[LiteralString] = (
    _COLUMNS
    + IN_SCOPE
    + _SEEN
    + """
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(going_on)s::boolean IS NULL OR %(going_on)s = (q.in_force OR (q.ended_at IS NULL AND q.end_at > now())))
  AND (%(after)s::bigint IS NULL OR q.silence_id < %(after)s)
ORDER BY q.silence_id DESC
LIMIT %(limit)s
"""
)

_ONE: Final[LiteralString] = _COLUMNS + IN_SCOPE + _SEEN + " AND q.silence_id = %(silence_id)s"

_CREATE: Final[LiteralString] = """
INSERT INTO silence (region_id, site_id, stack_id, rules, severities, audience, owner, reason, start_at, end_at,
                     created_by)
VALUES ((SELECT region_id FROM region WHERE code = %(region)s), %(site_id)s, %(stack_id)s, %(rules)s, %(severities)s,
        %(audience)s, %(owner)s, %(reason)s, %(start)s, %(end)s, %(by)s)
RETURNING silence_id
"""

_LOCK: Final[LiteralString] = (
    "SELECT ended_at IS NOT NULL OR end_at <= now() FROM silence WHERE silence_id = %s FOR UPDATE"
)

_END: Final[LiteralString] = "UPDATE silence SET ended_at = now(), ended_by = %s, ended_why = %s WHERE silence_id = %s"

_TURN: Final[LiteralString] = """
WITH turned AS (
    UPDATE silence SET in_force = NOT in_force
    WHERE (in_force OR ended_at IS NULL)
      AND in_force <> (ended_at IS NULL AND start_at <= %(now)s AND %(now)s < end_at)
    RETURNING region_id, site_id
)
SELECT DISTINCT s.site_id FROM turned t JOIN site s ON s.site_id = t.site_id OR s.region_id = t.region_id
"""


async def list_silences(
    conn: Connection,
    scope: Scope,
    *,
    plant: bool,
    site: str | None = None,
    going_on: bool | None = None,
    after: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Silences of the scope, the last made first; *plant*: only a plant's own. *going_on* has those ahead, too."""
    values = {
        **scope.parameters(),
        "plant": plant,
        "site": site,
        "going_on": going_on,
        "after": after,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PAGE, values)
        return await cursor.fetchall()


async def find_silence(conn: Connection, scope: Scope, silence_id: int, *, plant: bool) -> dict[str, Any]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ONE, {**scope.parameters(), "plant": plant, "silence_id": silence_id})
        row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"there is no silence {silence_id}")
    return row


async def is_region(conn: Connection, code: str) -> bool:
    cursor = await conn.execute("SELECT FROM region WHERE code = %s", [code])
    return await cursor.fetchone() is not None


async def create_silence(conn: Connection, new: NewSilence, *, by: str) -> int:
    """A new silence; its id. The leader lets it begin with the next tick."""
    values = {
        "region": new.region,
        "site_id": new.site_id,
        "stack_id": new.stack_id,
        "rules": list(new.rules),
        "severities": list(new.severities),
        "audience": new.audience,
        "owner": new.owner,
        "reason": new.reason,
        "start": new.start,
        "end": new.end,
        "by": by,
    }
    row = await (await conn.execute(_CREATE, values)).fetchone()
    assert row is not None
    return int(row[0])


async def end_silence(conn: Connection, silence_id: int, *, by: str, why: str) -> None:
    """End a silence before its time. `IllegalTransition` where it is over."""
    row = await (await conn.execute(_LOCK, [silence_id])).fetchone()
    assert row is not None, "the caller has found the silence in its scope"
    if row[0]:
        raise IllegalTransition(f"silence {silence_id}", "over", "end")
    await conn.execute(_END, [by, why, silence_id])


async def turn(conn: Connection, *, now: datetime) -> list[int]:
    """Let silences begin and end by the tick *now*; the sites whose alerts that may concern."""
    cursor = await conn.execute(_TURN, {"now": now})
    return [site_id for (site_id,) in await cursor.fetchall()]
