"""Drafts of marks: the rows they are made of, what stands, and what the plant did with them. SQL of mark_draft.

A draft is open until marks cover it, but for `alerts.marks.drafting.SHORTEST_US`, or it is dismissed: then it is
settled. That is worked out with each change of drafts or marks, so a mark filed without looking at drafts settles them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from plant.mark_policy import DEADLINE_H
from plant.periods import HOUR, MINUTE, instant
from store.pool import Connection
from store.scope import IN_SCOPE, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchRow:
    """Rows of one instrument that follow one another and say the same; instants in microseconds."""

    instrument: str
    start: int
    end: int
    rows: int
    flag: str
    flags: dict[str, str]
    state: str | None
    idle: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRow:
    draft_id: str
    kind: str
    cause: str
    start: datetime
    end: datetime
    goes_on: bool
    evidence: dict[str, Any]


# One index scan over the judged hours: most say nothing that would have to be declared.
_SOMETHING: Final[LiteralString] = """
SELECT EXISTS (
    SELECT FROM measurement
    WHERE stack_id = %(stack_id)s AND instrument = ANY(%(instruments)s)
      AND sampled_at >= %(first)s AND sampled_at < %(end)s
      AND (flag <> 'N' OR flags IS NOT NULL OR state <> 'running' OR power_production_kw < %(idle_kw)s)
) OR EXISTS (
    SELECT FROM mark_draft WHERE stack_id = %(stack_id)s AND start_at < %(end)s AND end_at > %(first)s
      AND start_at > %(first)s::timestamptz - interval '2 days'  -- none is longer than a local day
)
"""
_STRETCHES: Final[LiteralString] = """
SELECT instrument, (extract(epoch FROM min(start)) * 1000000)::bigint,
       (extract(epoch FROM max(stop)) * 1000000)::bigint, count(*), flag, coalesce(flags, '{}'), state, idle
FROM (
    SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY instrument ORDER BY start) AS run
    FROM (
        SELECT *, lag(stop) OVER w IS NULL OR start > lag(stop) OVER w + %(gap)s
                  OR (flag, flags, state, idle, part) IS DISTINCT FROM
                     (lag(flag) OVER w, lag(flags) OVER w, lag(state) OVER w, lag(idle) OVER w, lag(part) OVER w)
                  AS begins
        FROM (
            SELECT instrument, flag, flags, state, coalesce(power_production_kw < %(idle_kw)s, false) AS idle,
                   width_bucket(sampled_at - shift.by, %(cuts)s::timestamptz[]) AS part,
                   sampled_at - shift.by AS start, sampled_at - shift.by + interval_s * interval '1 second' AS stop
            FROM measurement CROSS JOIN LATERAL (
                SELECT CASE WHEN %(stamped_at_end)s THEN interval_s * interval '1 second' ELSE interval '0' END AS by
            ) shift
            WHERE stack_id = %(stack_id)s AND instrument = ANY(%(instruments)s)
              AND sampled_at >= %(first)s AND sampled_at < %(end)s
        ) row
        WINDOW w AS (PARTITION BY instrument ORDER BY start)
    ) compared
) numbered
GROUP BY instrument, run, flag, flags, state, idle
ORDER BY 2, 1
"""
_DELETE: Final[LiteralString] = """
DELETE FROM mark_draft
WHERE stack_id = %(stack_id)s AND start_at >= %(first)s AND start_at < %(end)s AND dismissed_at IS NULL
  AND NOT draft_id = ANY(%(ids)s)
"""
_PUT: Final[LiteralString] = """
INSERT INTO mark_draft (draft_id, site_id, stack_id, kind, cause, start_at, end_at, goes_on, evidence)
SELECT %(draft_id)s, site_id, stack_id, %(kind)s, %(cause)s, %(start)s, %(end)s, %(goes_on)s, %(evidence)s
FROM stack WHERE stack_id = %(stack_id)s
ON CONFLICT (draft_id) DO UPDATE SET end_at = excluded.end_at, goes_on = excluded.goes_on, evidence = excluded.evidence
    WHERE (mark_draft.end_at, mark_draft.goes_on, mark_draft.evidence)
          IS DISTINCT FROM (excluded.end_at, excluded.goes_on, excluded.evidence)
"""


async def says_something(
    conn: Connection, stack_id: int, instruments: Sequence[str], *, first: int, end: int, idle_kw: float | None
) -> bool:
    """Whether rows of `[first, end)` (microseconds) might have to be declared, or a draft of then stands."""
    values = {
        "stack_id": stack_id,
        "instruments": list(instruments),
        "first": instant(first),
        "end": instant(end),
        "idle_kw": idle_kw,
    }
    row = await (await conn.execute(_SOMETHING, values)).fetchone()
    return bool(row and row[0])


async def read_stretches(
    conn: Connection,
    stack_id: int,
    instruments: Sequence[str],
    *,
    first: int,
    end: int,
    cuts: Sequence[int],
    idle_kw: float | None,
    stamped_at_end: bool,
) -> list[StretchRow]:
    """The rows of a stack that touch `[first, end)` (microseconds), alike ones in a row as one, but for the *cuts*."""
    values = {
        "stack_id": stack_id,
        "instruments": list(instruments),
        # No row stands for more than an hour (store.measurements.read_rows).
        "first": instant(first - HOUR),
        "end": instant(end + HOUR if stamped_at_end else end),
        "cuts": [instant(cut) for cut in cuts],
        "gap": instant(MINUTE) - instant(0),
        "idle_kw": idle_kw,
        "stamped_at_end": stamped_at_end,
    }
    cursor = await conn.execute(_STRETCHES, values)
    names = StretchRow.__slots__
    found = [StretchRow(**dict(zip(names, row, strict=True))) for row in await cursor.fetchall()]
    return [stretch for stretch in found if stretch.end > first and stretch.start < end]


async def put_day(conn: Connection, stack_id: int, drafts: Sequence[DraftRow], *, first: int, end: int) -> None:
    """Make *drafts* those of the day `[first, end)`; what was dismissed stays."""
    ids = [draft.draft_id for draft in drafts]
    day = {"stack_id": stack_id, "first": instant(first), "end": instant(end), "ids": ids}
    await conn.execute(_DELETE, day)
    async with conn.cursor() as cursor:
        rows = [{name: getattr(draft, name) for name in DraftRow.__slots__} for draft in drafts]
        await cursor.executemany(
            _PUT, [{**row, "stack_id": stack_id, "evidence": Jsonb(row["evidence"])} for row in rows]
        )
    await settle(conn, stack_id, start=instant(first), end=instant(end))


async def settle(conn: Connection, stack_id: int, *, start: datetime, end: datetime) -> None:
    """Note which drafts of a stack that touch `[start, end)` are settled, after drafts or marks of then changed."""
    await conn.execute(_SETTLE, {"stack_id": stack_id, "start": start, "end": end})


# What no mark covers of a draft `d`, and no other draft that was dismissed.
_REST: Final[LiteralString] = """
SELECT coalesce(sum(upper(part) - lower(part)), interval '0') AS length, min(lower(part)) AS first,
       max(upper(part)) AS last
FROM unnest(tstzmultirange(tstzrange(d.start_at, d.end_at)) - coalesce((
    SELECT range_agg(tstzrange(said.start_at, said.end_at)) FROM (
        SELECT start_at, end_at FROM mark m
        WHERE m.stack_id = d.stack_id AND m.start_at < d.end_at AND m.end_at > d.start_at
        UNION ALL
        SELECT start_at, end_at FROM mark_draft o
        WHERE o.stack_id = d.stack_id AND o.start_at < d.end_at AND o.end_at > d.start_at
          AND o.dismissed_at IS NOT NULL AND o.draft_id <> d.draft_id
    ) said), '{}')) AS part
"""
_SETTLE: Final[LiteralString] = (
    """
UPDATE mark_draft SET settled = now_is.settled
FROM mark_draft d
CROSS JOIN LATERAL ("""
    + _REST
    + """) rest
CROSS JOIN LATERAL (SELECT d.dismissed_at IS NOT NULL
    -- Of a condition over midnight one day's draft may be as short as that by itself.
    OR rest.length <= interval '15 minutes' AND rest.length < d.end_at - d.start_at AS settled) now_is
WHERE d.draft_id = mark_draft.draft_id AND d.stack_id = %(stack_id)s AND d.start_at < %(end)s AND d.end_at > %(start)s
  AND d.start_at > %(start)s::timestamptz - interval '2 days'  -- none is longer than a local day
  AND mark_draft.settled <> now_is.settled
"""
)
# The clock that counts at a site: the newest tick, at a simulated one its newest row.
_LISTED: Final[LiteralString] = (
    """
WITH listed AS (
    SELECT d.draft_id AS id, s.code AS site, k.code AS stack, d.kind, d.cause, d.start_at, d.end_at, d.goes_on,
        d.evidence, d.site_id, d.stack_id, s.timezone, d.dismissed_by, d.dismissed_at, d.dismissed_reason,
        d.end_at + make_interval(hours => coalesce((r.document #>> '{marks,deadline_h}')::integer, %(deadline_h)s))
            AS due_at,
        CASE WHEN s.simulated THEN (SELECT newest FROM site_clock c WHERE c.site_id = s.site_id)
             ELSE (SELECT max(at) FROM tick) END AS now,
        CASE WHEN d.dismissed_at IS NOT NULL THEN 'dismissed' WHEN d.settled THEN 'filed' ELSE 'open' END AS status,
        rest.first AS unfiled_start, rest.last AS unfiled_end
    FROM mark_draft d JOIN stack k USING (stack_id) JOIN site s ON s.site_id = d.site_id
        JOIN region r USING (region_id)
    CROSS JOIN LATERAL ("""
    + _REST
    + """) rest
    WHERE """
)
_COLUMNS: Final[LiteralString] = """
)
SELECT id, site, stack, kind, cause, utc_text(start_at) AS start, utc_text(end_at) AS "end", goes_on, evidence,
    status, utc_text(due_at) AS deadline, coalesce(status = 'open' AND now > due_at, false) AS late,
    utc_text(unfiled_start) AS unfiled_start, utc_text(unfiled_end) AS unfiled_end, dismissed_by,
    utc_text(dismissed_at) AS dismissed_at, dismissed_reason, site_id, stack_id, timezone
FROM listed
"""
_TAIL: Final[LiteralString] = """
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(stack)s::text IS NULL OR k.code = %(stack)s)
  AND (%(start)s::timestamptz IS NULL OR d.end_at > %(start)s)
  AND (%(end)s::timestamptz IS NULL OR d.start_at < %(end)s)
  AND (%(after_at)s::timestamptz IS NULL OR (d.start_at, d.draft_id) < (%(after_at)s, %(after_id)s::text))
ORDER BY d.start_at DESC, d.draft_id DESC LIMIT %(limit)s
"""
_BY_STATUS: Final[dict[str | None, LiteralString]] = {
    None: "",
    "open": " AND NOT d.settled",
    "filed": " AND d.settled AND d.dismissed_at IS NULL",
    "dismissed": " AND d.dismissed_at IS NOT NULL",
}
_PAGES: Final[dict[str | None, LiteralString]] = {
    status: _LISTED + IN_SCOPE + narrowing + _TAIL + _COLUMNS + " ORDER BY start_at DESC, id DESC"
    for status, narrowing in _BY_STATUS.items()
}
_SOME: Final[LiteralString] = (
    _LISTED + IN_SCOPE + " AND d.draft_id = ANY(%(ids)s)" + _COLUMNS + " ORDER BY site, stack, kind, start_at"
)
_LOCK: Final[LiteralString] = "SELECT FROM mark_draft WHERE draft_id = ANY(%s) ORDER BY draft_id FOR UPDATE"
_DISMISS: Final[LiteralString] = """
UPDATE mark_draft SET dismissed_by = %s, dismissed_at = now(), dismissed_reason = %s
WHERE draft_id = ANY(%s) AND dismissed_at IS NULL
RETURNING stack_id, start_at, end_at
"""


async def list_drafts(
    conn: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    stack: str | None = None,
    status: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Drafts that touch `[start, end)`, the latest start first, behind the key *after*."""
    parameters = {
        **scope.parameters(),
        "deadline_h": DEADLINE_H,
        "site": site,
        "stack": stack,
        "start": start,
        "end": end,
        "after_at": after[0] if after else None,
        "after_id": after[1] if after else None,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PAGES[status], parameters)
        return await cursor.fetchall()


async def some_drafts(conn: Connection, scope: Scope, ids: Collection[str], *, lock: bool) -> list[dict[str, Any]]:
    """Those of *ids* that are there and in scope, by stack, kind and start."""
    if lock:
        await conn.execute(_LOCK, [list(ids)])
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SOME, {**scope.parameters(), "deadline_h": DEADLINE_H, "ids": list(ids)})
        return await cursor.fetchall()


async def dismiss(conn: Connection, ids: Collection[str], *, by: str, reason: str) -> None:
    cursor = await conn.execute(_DISMISS, [by, reason, list(ids)])
    for stack_id, start, end in await cursor.fetchall():
        await settle(conn, stack_id, start=start, end=end)
