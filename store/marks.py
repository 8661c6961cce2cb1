"""Marks: conditions that a plant declares and the agency accepts or rejects. The SQL of the table mark.

A mark and its decision ask for the hours they touch to be judged again, in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from zoneinfo import ZoneInfo

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from plant.errors import IllegalTransition, NotFound
from store.pool import Connection
from store.scope import IN_SCOPE, Scope

KINDS: Final = ("start_up", "shut_down", "stopped", "maintenance", "calibration", "fault")
STATUSES: Final = ("pending", "accepted", "rejected")
LONGEST: Final = timedelta(days=366)  #: bounds what one request puts into the queue


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMark:
    stack_id: int
    site_id: int
    kind: str
    start: datetime
    end: datetime
    reason: str
    evidence: list[Any]


_COLUMNS: Final[LiteralString] = """
SELECT m.mark_id AS id, s.code AS site, k.code AS stack, m.kind, utc_text(m.start_at) AS start,
    utc_text(m.end_at) AS "end", m.reason, m.evidence, m.status, m.filed_by,
    utc_text(m.filed_at) AS filed_at, m.decided_by, utc_text(m.decided_at) AS decided_at, m.decision_reason
FROM mark m JOIN stack k USING (stack_id) JOIN site s ON s.site_id = m.site_id JOIN region r USING (region_id)
WHERE """

_PAGE: Final[LiteralString] = (
    _COLUMNS
    + IN_SCOPE
    + """
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(stack)s::text IS NULL OR k.code = %(stack)s)
  AND (%(status)s::text IS NULL OR m.status = %(status)s)
  AND (%(start)s::timestamptz IS NULL OR m.end_at > %(start)s)
  AND (%(end)s::timestamptz IS NULL OR m.start_at < %(end)s)
  AND (%(after)s::bigint IS NULL OR m.mark_id < %(after)s)
ORDER BY m.mark_id DESC
LIMIT %(limit)s
"""
)

_ONE: Final[LiteralString] = _COLUMNS + IN_SCOPE + " AND m.mark_id = %(mark_id)s"

_FILE: Final[LiteralString] = """
INSERT INTO mark (site_id, stack_id, kind, start_at, end_at, reason, evidence, filed_by)
VALUES (%(site_id)s, %(stack_id)s, %(kind)s, %(start)s, %(end)s, %(reason)s, %(evidence)s, %(by)s)
RETURNING mark_id
"""

_LOCK: Final[LiteralString] = """
SELECT m.status, m.stack_id, m.start_at, m.end_at, s.timezone FROM mark m JOIN site s USING (site_id)
WHERE m.mark_id = %s FOR UPDATE OF m
"""

_DECIDE: Final[LiteralString] = """
UPDATE mark SET status = %(decision)s, decided_by = %(by)s, decided_at = now(), decision_reason = %(reason)s
WHERE mark_id = %(mark_id)s
"""

# Hours ahead of the site's clock are judged when they come; one hour more covers a judgement under way.
_REJUDGE: Final[LiteralString] = """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT %(stack)s, h.hour, 'mark'
FROM stack k JOIN site s USING (site_id)
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.simulated THEN (SELECT newest FROM site_clock c WHERE c.site_id = s.site_id)
                ELSE (SELECT max(at) FROM tick) END AS now
) clock
CROSS JOIN unnest(%(hours)s::timestamptz[]) AS h(hour)
WHERE k.stack_id = %(stack)s AND h.hour <= clock.now + interval '1 hour'
"""


def hours_touched(start: datetime, end: datetime, timezone: str) -> list[datetime]:
    """The site's local hours that `[start, end)` shares an instant with, each by its start."""
    zone = ZoneInfo(timezone)
    local = start.astimezone(zone)
    # Backwards by the minutes shown: right for zones off by half an hour, and in the hour that a summer's end repeats.
    hour = start - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    hours = []
    while hour < end:
        hours.append(hour)
        hour += timedelta(hours=1)
    return hours


async def list_marks(
    conn: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    stack: str | None = None,
    status: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Marks that touch `[start, end)`, the last filed first, behind the id *after*."""
    parameters = {
        **scope.parameters(),
        "site": site,
        "stack": stack,
        "status": status,
        "start": start,
        "end": end,
        "after": after,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PAGE, parameters)
        return await cursor.fetchall()


async def find_mark(conn: Connection, scope: Scope, mark_id: int) -> dict[str, Any]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ONE, {**scope.parameters(), "mark_id": mark_id})
        row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"there is no mark {mark_id}")
    return row


async def file_mark(conn: Connection, mark: NewMark, *, timezone: str, by: str) -> int:
    """A new mark, pending; its id."""
    cursor = await conn.execute(
        _FILE,
        {
            "site_id": mark.site_id,
            "stack_id": mark.stack_id,
            "kind": mark.kind,
            "start": mark.start,
            "end": mark.end,
            "reason": mark.reason,
            "evidence": Jsonb(mark.evidence),
            "by": by,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    await _judge_again(conn, mark.stack_id, hours_touched(mark.start, mark.end, timezone))
    return int(row[0])


async def decide_mark(conn: Connection, mark_id: int, *, decision: str, reason: str, by: str) -> None:
    """Accept or reject a mark, once. `IllegalTransition` where that was done before."""
    cursor = await conn.execute(_LOCK, [mark_id])
    row = await cursor.fetchone()
    assert row is not None, "the caller has found the mark in its scope"
    status, stack_id, start, end, timezone = row
    if status != "pending":
        raise IllegalTransition(f"mark {mark_id}", status, "decide")
    await conn.execute(_DECIDE, {"mark_id": mark_id, "decision": decision, "by": by, "reason": reason})
    await _judge_again(conn, stack_id, hours_touched(start, end, timezone))


async def _judge_again(conn: Connection, stack_id: int, hours: list[datetime]) -> None:
    await conn.execute(_REJUDGE, {"stack": stack_id, "hours": hours})
    await conn.execute("SELECT pg_notify('rejudge', '')")
