"""What is published about sites and stacks: register, raw rows, hour and month verdicts, as readers get them.

Every function answers with documents whose times are UTC text. Who may read them, and how late the public
sees an hour, are the caller's arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg.rows import class_row, dict_row

from plant.channels import CHANNELS
from store.pool import Connection
from store.scope import IN_SCOPE, Scope

# The clock that counts at a site: the newest tick, at a simulated one its newest row.
_NOW: Final[LiteralString] = """
    CASE WHEN s.simulated THEN (SELECT newest FROM site_clock c WHERE c.site_id = s.site_id)
         ELSE (SELECT max(at) FROM tick) END AS now
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRow:
    """A site in the reader's scope, with the documents of its units and stacks in the register's order."""

    site_id: int
    code: str
    timezone: str
    simulated: bool
    now: datetime | None  #: None before the first tick or row
    document: dict[str, Any]
    region: dict[str, Any]
    units: list[dict[str, Any]]
    stacks: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRow:
    stack_id: int
    site_id: int
    code: str
    site: str
    timezone: str
    now: datetime | None
    last_sample_at: str | None
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HourFilter:
    """Which hours; an empty tuple or None is not narrowed."""

    start: datetime | None = None
    end: datetime | None = None
    pollutants: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    as_of: datetime | None = None


_SITES: Final[LiteralString] = (
    """
SELECT s.site_id, s.code, s.timezone, s.simulated, s.document, r.document AS region,"""
    + _NOW
    + """,
    ARRAY(SELECT u.document FROM unit u
          WHERE u.site_id = s.site_id AND u.withdrawn_at IS NULL ORDER BY u.unit_id) AS units,
    ARRAY(SELECT k.document FROM stack k
          WHERE k.site_id = s.site_id AND k.withdrawn_at IS NULL ORDER BY k.stack_id) AS stacks
FROM site s JOIN region r USING (region_id)
WHERE """
    + IN_SCOPE
    + """
  AND (%(code)s::text IS NULL OR s.code = %(code)s)
  AND (%(after)s::text IS NULL OR s.code > %(after)s)
ORDER BY s.code
LIMIT %(limit)s
"""
)

_STACKS: Final[LiteralString] = (
    """
SELECT k.stack_id, k.site_id, k.code, s.code AS site, s.timezone, k.document,
    utc_text(l.sampled_at) AS last_sample_at,"""
    + _NOW
    + """
FROM stack k JOIN site s USING (site_id) JOIN region r USING (region_id) LEFT JOIN stack_latest l USING (stack_id)
WHERE """
    + IN_SCOPE
    + """
  AND s.code = %(site)s
  AND (%(stack)s::text IS NULL AND k.withdrawn_at IS NULL OR k.code = %(stack)s)
ORDER BY k.stack_id
"""
)

_ALWAYS: Final = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))  # wherever a server's zone lies
_INSTANT: Final = timedelta(microseconds=1)

_CHANNEL_LIST: Final[LiteralString] = (
    "so2, nox, no, no2, pm, co, nh3, o2, moisture, temperature, pressure, velocity, flow, "
    "power_production_kw, power_abatement_kw, load_pct"
)

# The key is (stack, instrument, sampled_at): a skip over the few instruments, then one ordered read of each. Every look
# is bounded in time, so that a hypertable reads the chunks of that time only.
_MEASUREMENTS: Final[LiteralString] = (
    """
WITH RECURSIVE kept AS (
    (SELECT instrument FROM measurement
     WHERE stack_id = %(stack)s AND sampled_at >= %(first)s AND sampled_at < %(end)s ORDER BY instrument LIMIT 1)
    UNION ALL
    SELECT (SELECT m.instrument FROM measurement m
            WHERE m.stack_id = %(stack)s AND m.instrument > kept.instrument
              AND m.sampled_at >= %(first)s AND m.sampled_at < %(end)s
            ORDER BY m.instrument LIMIT 1)
    FROM kept WHERE kept.instrument IS NOT NULL
)
SELECT utc_text(m.sampled_at) AS sampled_at, utc_text(m.received_at) AS received_at, utc_text(m.sent_at) AS sent_at,
    m.interval_s, m.instrument, m.flag, coalesce(m.flags, '{}') AS flags, m.state, m.revision, m.versions, m.extra,
    """
    + _CHANNEL_LIST
    + """
FROM kept CROSS JOIN LATERAL (
    SELECT * FROM measurement
    WHERE stack_id = %(stack)s AND instrument = kept.instrument
      AND sampled_at >= %(first)s AND sampled_at < %(end)s
      AND (%(after_at)s::timestamptz IS NULL OR (sampled_at, instrument) > (%(after_at)s, %(after_instrument)s::text))
    ORDER BY sampled_at LIMIT %(limit)s
) m
WHERE %(instrument)s::text IS NULL OR kept.instrument = %(instrument)s
ORDER BY m.sampled_at, m.instrument
LIMIT %(limit)s
"""
)

_HOUR_COLUMNS: Final[LiteralString] = """
SELECT utc_text(v.start) AS start, v.pollutant, v.pack, v.pack_version, m.valid, m.valid_minutes,
    m.not_running_minutes, m.over_range_minutes, m.claimed_minutes, m.rows, m.instrument, m.mean, v.corrected,
    v.corrected_from_minutes, m.o2, m.mass_kg, v.limit_value AS "limit", v.verdict, v.reason,
    v.method_sensitive, v.claimed, v.final, v.revision, utc_text(v.computed_at) AS computed_at,
    utc_text(v.superseded_at) AS superseded_at
FROM hour_verdict v
LEFT JOIN hour_mean m ON m.stack_id = v.stack_id AND m.pollutant = v.pollutant AND m.start = v.start
    AND m.averaging = v.averaging AND m.revision = v.mean_revision
"""

_KNOWN: Final[LiteralString] = """
  AND CASE WHEN %(as_of)s::timestamptz IS NULL THEN v.superseded_at IS NULL
           ELSE v.computed_at <= %(as_of)s AND (v.superseded_at IS NULL OR v.superseded_at > %(as_of)s) END
"""

_HOURS: Final[LiteralString] = (
    _HOUR_COLUMNS
    + """
    AND m.start >= %(start)s AND m.start < %(end)s
WHERE v.stack_id = %(stack)s AND v.start >= %(start)s AND v.start < %(end)s
  AND (%(pollutants)s::text[] = '{}' OR v.pollutant = ANY(%(pollutants)s::text[]))
  AND (%(packs)s::text[] = '{}' OR v.pack = ANY(%(packs)s::text[]))
"""
    + _KNOWN
    + """
  AND (%(after_at)s::timestamptz IS NULL
       OR (v.start, v.pollutant, v.pack) < (%(after_at)s, %(after_pollutant)s::text, %(after_pack)s::text))
ORDER BY v.start DESC, v.pollutant DESC, v.pack DESC
LIMIT %(limit)s
"""
)

_MONTHS: Final[LiteralString] = (
    """
SELECT v.stack_id, v.pollutant, v.pack, v.pack_version, v.hours_valid, v.hours_within, v.hours_above, v.hours_undecided,
    v.hours_excluded, v.hours_to_come, v.share, v.share_worst, v.required, v.budget, v.budget_now, v.budget_left,
    v.verdict, v.final, v.revision, utc_text(v.computed_at) AS computed_at
FROM month_verdict v
WHERE v.stack_id = ANY(%(stacks)s::integer[]) AND v.month = %(month)s
  AND (%(pack)s::text IS NULL OR v.pack = %(pack)s)
"""
    + _KNOWN
    + """
ORDER BY v.stack_id, v.pack, v.pollutant
"""
)

# A case is public once an order was issued in it: what was decided and what became of it, not why or by whom.
_DECIDED: Final[LiteralString] = (
    """
SELECT c.case_id AS id, s.code AS site, r.code AS region, c.units, c.track, c.state, utc_text(c.opened_at) AS opened_at,
    utc_text(c.closed_at) AS closed_at,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('number', e.number, 'action', e.action, 'role', e.role, 'actor', NULL,
                                                  'at', utc_text(e.at), 'reason', NULL) ORDER BY e.number), '[]')
     FROM case_event e WHERE e.case_id = c.case_id AND e.action = ANY(%(published)s)) AS events
FROM "case" c JOIN site s USING (site_id) JOIN region r USING (region_id)
WHERE """
    + IN_SCOPE
    + """
  AND EXISTS (SELECT FROM plant_order o WHERE o.case_id = c.case_id)
  AND (%(case_id)s::text IS NULL OR c.case_id = %(case_id)s)
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(after_at)s::timestamptz IS NULL OR (c.opened_at, c.case_id) < (%(after_at)s, %(after_id)s::text))
ORDER BY c.opened_at DESC, c.case_id DESC
LIMIT %(limit)s
"""
)
PUBLISHED_ACTIONS: Final = ("serve", "permit_trial", "lift", "stay", "amend", "annul")

_WORST_OPEN: Final[LiteralString] = """
SELECT site_id, severity FROM alert WHERE state IN ('firing', 'acknowledged') AND site_id = ANY(%s::integer[])
GROUP BY site_id, severity
"""

_MONTH_WORDS: Final[LiteralString] = """
SELECT DISTINCT k.site_id, v.verdict
FROM unnest(%(sites)s::integer[], %(months)s::date[]) AS w(site_id, month)
JOIN stack k USING (site_id)
JOIN month_verdict v ON v.stack_id = k.stack_id AND v.month = w.month AND v.superseded_at IS NULL
"""


async def list_sites(
    conn: Connection, scope: Scope, *, code: str | None = None, after: str | None = None, limit: int = 1
) -> list[SiteRow]:
    """Sites by code, behind the code *after*; or the one of *code*."""
    async with conn.cursor(row_factory=class_row(SiteRow)) as cursor:
        await cursor.execute(_SITES, {**scope.parameters(), "code": code, "after": after, "limit": limit})
        return await cursor.fetchall()


async def list_stacks(conn: Connection, scope: Scope, site: str, stack: str | None = None) -> list[StackRow]:
    """The stacks of a site in the register, or the one of that code, a withdrawn one too: its history stays."""
    async with conn.cursor(row_factory=class_row(StackRow)) as cursor:
        await cursor.execute(_STACKS, {**scope.parameters(), "site": site, "stack": stack})
        return await cursor.fetchall()


async def list_measurements(
    conn: Connection,
    stack_id: int,
    *,
    start: datetime | None,
    end: datetime | None,
    instrument: str | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Raw rows as they count now, oldest first; channels without a column of their own stand beside the others."""
    starts = [at for at in (start, after[0] if after else None) if at is not None]
    parameters = {
        "stack": stack_id,
        "first": max(starts, default=_ALWAYS[0]),
        "end": _ALWAYS[1] if end is None else end,
        "instrument": instrument,
        "after_at": after[0] if after else None,
        "after_instrument": after[1] if after else None,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_MEASUREMENTS, parameters)
        rows = await cursor.fetchall()
    return [{**(row.pop("extra") or {}), **row} for row in rows]


async def list_hours(
    conn: Connection,
    stack_id: int,
    wanted: HourFilter,
    *,
    started_by: datetime | None = None,
    after: tuple[datetime, str, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Hour verdicts with the means they stand on, newest first; of hours begun by *started_by* only."""
    # `start` is what is paged by, too: pages behind the first do not look at newer chunks
    ends = [at + _INSTANT for at in (started_by, after[0] if after else None) if at is not None]
    parameters = {
        "stack": stack_id,
        "start": _ALWAYS[0] if wanted.start is None else wanted.start,
        "end": min([*ends, _ALWAYS[1] if wanted.end is None else wanted.end]),
        "pollutants": list(wanted.pollutants),
        "packs": list(wanted.packs),
        "as_of": wanted.as_of,
        "after_at": after[0] if after else None,
        "after_pollutant": after[1] if after else None,
        "after_pack": after[2] if after else None,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_HOURS, parameters)
        return await cursor.fetchall()


async def list_months(
    conn: Connection,
    stack_ids: Sequence[int],
    month: date,
    *,
    pack: str | None = None,
    as_of: datetime | None = None,
) -> list[dict[str, Any]]:
    """Month verdicts of several stacks, as they are or as they were known at *as_of*."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_MONTHS, {"stacks": list(stack_ids), "month": month, "pack": pack, "as_of": as_of})
        return await cursor.fetchall()


async def list_decided_cases(
    conn: Connection,
    scope: Scope,
    *,
    case_id: str | None = None,
    state: str | None = None,
    site: str | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int = 1,
) -> list[dict[str, Any]]:
    """What everybody may read of cases in which an order was issued, newest first."""
    parameters = {
        **scope.parameters(),
        "published": list(PUBLISHED_ACTIONS),
        "case_id": case_id,
        "state": state,
        "site": site,
        "after_at": after[0] if after else None,
        "after_id": after[1] if after else None,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_DECIDED, parameters)
        return await cursor.fetchall()


async def open_severities(conn: Connection, site_ids: Sequence[int]) -> dict[int, set[str]]:
    """Severities of the open alerts of each site."""
    cursor = await conn.execute(_WORST_OPEN, [list(site_ids)])
    found: dict[int, set[str]] = {}
    for site_id, severity in await cursor.fetchall():
        found.setdefault(site_id, set()).add(severity)
    return found


async def month_words(conn: Connection, months: dict[int, date]) -> dict[int, set[str]]:
    """Verdicts of each site's month, over its stacks, pollutants and packs."""
    cursor = await conn.execute(_MONTH_WORDS, {"sites": list(months), "months": list(months.values())})
    found: dict[int, set[str]] = {}
    for site_id, verdict in await cursor.fetchall():
        found.setdefault(site_id, set()).add(verdict)
    return found


assert tuple(_CHANNEL_LIST.split(", ")) == CHANNELS, "one list of channels, written twice because SQL stays literal"
