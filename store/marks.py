"""Marks: conditions that a plant declares and the agency accepts or rejects. The SQL of the table mark.

A mark and its decision ask for the hours they touch to be judged again, in the same transaction. Deadline and quota are
the region's policy (`plant.mark_policy`): the deadline as it stood when the mark was filed, the quota as it stands.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from zoneinfo import ZoneInfo

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from plant.errors import IllegalTransition, NotFound
from plant.mark_policy import DEADLINE_H
from store import mark_drafts
from store.pool import Connection
from store.scope import IN_SCOPE, Scope

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
    source: str = "manual"  #: `auto` where it is a draft, filed as it was
    drafts: tuple[str, ...] = ()  #: what it was filed from


# Hours of a kind and local year are those that marks cover which nobody rejected; where two overlap they count once.
COLUMNS: Final[LiteralString] = """
SELECT m.mark_id AS id, s.code AS site, k.code AS stack, m.kind, utc_text(m.start_at) AS start,
    utc_text(m.end_at) AS "end", m.reason, m.evidence, m.status, m.filed_by,
    utc_text(m.filed_at) AS filed_at, m.decided_by, utc_text(m.decided_at) AS decided_at, m.decision_reason,
    utc_text(m.deadline) AS deadline, m.late, m.source, m.drafts,
    CASE WHEN quota.hours IS NOT NULL THEN jsonb_build_object(
        'hours', quota.hours, 'year', extract(year FROM m.start_at AT TIME ZONE s.timezone)::integer,
        'used_h', used.hours, 'over', used.hours > quota.hours) END AS quota
FROM mark m JOIN stack k USING (stack_id) JOIN site s ON s.site_id = m.site_id JOIN region r USING (region_id)
CROSS JOIN LATERAL (
    SELECT (r.document #>> ARRAY['marks', 'quota_h', m.kind])::double precision AS hours
) quota
LEFT JOIN LATERAL (
    SELECT extract(epoch FROM coalesce(sum(upper(part) - lower(part)), interval '0'))::double precision / 3600 AS hours
    FROM (SELECT date_trunc('year', m.start_at AT TIME ZONE s.timezone) AS begins) local
    CROSS JOIN LATERAL (SELECT local.begins AT TIME ZONE s.timezone AS begins,
                               (local.begins + interval '1 year') AT TIME ZONE s.timezone AS ends) year
    CROSS JOIN LATERAL unnest((
        SELECT range_agg(tstzrange(o.start_at, o.end_at)) FROM mark o
        WHERE o.stack_id = m.stack_id AND o.kind = m.kind AND o.status <> 'rejected' AND quota.hours IS NOT NULL
          AND o.start_at < year.ends AND o.start_at >= year.begins - interval '366 days'  -- `LONGEST`
    ) * tstzmultirange(tstzrange(year.begins, year.ends))) AS part
) used ON quota.hours IS NOT NULL
WHERE """

_PAGE: Final[LiteralString] = (
    COLUMNS
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

_ONE: Final[LiteralString] = COLUMNS + IN_SCOPE + " AND m.mark_id = %(mark_id)s"

_SOME: Final[LiteralString] = COLUMNS + IN_SCOPE + " AND m.mark_id = ANY(%(ids)s) ORDER BY m.mark_id"

# Filing is an act of now; at a simulated site the clock is its newest row.
_FILE: Final[LiteralString] = """
INSERT INTO mark (site_id, stack_id, kind, start_at, end_at, reason, evidence, filed_by, source, drafts, deadline, late)
SELECT s.site_id, %(stack_id)s, %(kind)s, %(start)s, %(end)s, %(reason)s, %(evidence)s, %(by)s, %(source)s, %(drafts)s,
    due.at,
    coalesce(CASE WHEN s.simulated THEN (SELECT newest FROM site_clock c WHERE c.site_id = s.site_id) ELSE now() END
             > due.at, false)
FROM site s JOIN region r USING (region_id) CROSS JOIN LATERAL (
    SELECT %(end)s::timestamptz
        + make_interval(hours => coalesce((r.document #>> '{marks,deadline_h}')::integer, %(deadline_h)s)) AS at
) due
WHERE s.site_id = %(site_id)s
RETURNING mark_id
"""

_LOCK: Final[LiteralString] = """
SELECT m.mark_id, m.status, m.stack_id, m.start_at, m.end_at, s.timezone FROM mark m JOIN site s USING (site_id)
WHERE m.mark_id = ANY(%s) ORDER BY m.mark_id FOR UPDATE OF m
"""

_DECIDE: Final[LiteralString] = """
UPDATE mark SET status = %(decision)s, decided_by = %(by)s, decided_at = now(), decision_reason = %(reason)s
WHERE mark_id = ANY(%(ids)s)
"""

_QUEUE: Final[LiteralString] = (
    COLUMNS
    + IN_SCOPE
    + """
  AND m.status = 'pending'
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(after)s::text IS NULL OR (s.code, k.code, m.kind, m.mark_id)
       > (%(after)s::text, %(after_stack)s::text, %(after_kind)s::text, %(after_id)s::bigint))
ORDER BY s.code, k.code, m.kind, m.mark_id
LIMIT %(limit)s
"""
)

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


async def some_marks(conn: Connection, scope: Scope, ids: Collection[int]) -> list[dict[str, Any]]:
    """Those of *ids* that are there and in scope."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SOME, {**scope.parameters(), "ids": sorted(ids)})
        return await cursor.fetchall()


async def queue(
    conn: Connection, scope: Scope, *, site: str | None, after: Sequence[Any] | None, limit: int
) -> list[dict[str, Any]]:
    """Pending marks by site, stack and kind, behind the key *after* of those three and an id."""
    key = dict(zip(("after", "after_stack", "after_kind", "after_id"), after or (None,) * 4, strict=True))
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUEUE, {**scope.parameters(), "site": site, "limit": limit, **key})
        return await cursor.fetchall()


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
            "source": mark.source,
            "drafts": list(mark.drafts),
            "deadline_h": DEADLINE_H,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    await mark_drafts.settle(conn, mark.stack_id, start=mark.start, end=mark.end)
    await _judge_again(conn, mark.stack_id, hours_touched(mark.start, mark.end, timezone))
    return int(row[0])


async def decide_marks(conn: Connection, ids: Collection[int], *, decision: str, reason: str, by: str) -> None:
    """Accept or reject marks, each once, all or none. `IllegalTransition` where that was done before."""
    rows = await (await conn.execute(_LOCK, [sorted(ids)])).fetchall()
    assert len(rows) == len(set(ids)), "the caller has found the marks in its scope"
    decided = [(mark_id, status) for mark_id, status, *_ in rows if status != "pending"]
    if decided:
        names = ", ".join(str(mark_id) for mark_id, _ in decided)
        raise IllegalTransition(f"mark {names}", decided[0][1], "decide")
    await conn.execute(_DECIDE, {"ids": sorted(ids), "decision": decision, "by": by, "reason": reason})
    for _, _, stack_id, start, end, timezone in rows:
        await _judge_again(conn, stack_id, hours_touched(start, end, timezone))


async def _judge_again(conn: Connection, stack_id: int, hours: list[datetime]) -> None:
    await conn.execute(_REJUDGE, {"stack": stack_id, "hours": hours})
    await conn.execute("SELECT pg_notify('rejudge', '')")
