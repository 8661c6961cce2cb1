"""What stands of a stack's judged history: final verdicts of hours, months, and alerts, for comparing with another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from plant.periods import instant, micros
from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingHour:
    pack: str
    pollutant: str
    start: datetime
    verdict: str
    reason: str
    corrected: float | None
    limit_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingMonth:
    pack: str
    pollutant: str
    month: date
    hours_within: int
    hours_above: int
    hours_undecided: int
    hours_excluded: dict[str, int]
    hours_to_come: int
    share: float | None
    share_worst: float | None
    required: float
    budget: int
    budget_now: int
    verdict: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAlert:
    alert_id: str
    rule: str
    severity: str
    pack: str | None
    pollutant: str | None
    period_start: datetime
    period_end: datetime
    ended_at: datetime | None
    observed: float | None
    limit_value: float | None
    unit: str | None
    clause: str
    evidence: dict[str, Any]


_HOURS: Final[LiteralString] = """
SELECT pack, pollutant, start, verdict, reason, corrected, limit_value FROM hour_verdict
WHERE stack_id = %(stack_id)s AND start >= %(first)s AND start < %(end)s AND superseded_at IS NULL AND final
ORDER BY pack, pollutant, start
"""
_MONTHS: Final[LiteralString] = """
SELECT v.pack, v.pollutant, v.month, v.hours_within, v.hours_above, v.hours_undecided, v.hours_excluded,
       v.hours_to_come, v.share, v.share_worst, v.required, v.budget, v.budget_now, v.verdict, v.final
FROM month_verdict v JOIN stack k USING (stack_id) JOIN site s USING (site_id)
WHERE v.stack_id = %(stack_id)s AND v.superseded_at IS NULL
  AND v.month::timestamp AT TIME ZONE s.timezone < %(end)s
  AND (v.month + interval '1 month')::timestamp AT TIME ZONE s.timezone > %(first)s
"""
_ALERTS: Final[LiteralString] = """
SELECT alert_id, rule, severity, pack, pollutant, period_start, period_end, ended_at, observed, limit_value, unit,
       clause, evidence
FROM alert
WHERE stack_id = %(stack_id)s AND rule = ANY(%(rules)s) AND state <> 'withdrawn'
  AND period_start < %(end)s AND period_end > %(first)s
ORDER BY period_start, alert_id
"""
_LAST_ENDS: Final[LiteralString] = """
SELECT k.site_id, max(coalesce(a.ended_at, %(ever)s::timestamptz)) FROM alert a JOIN stack k USING (stack_id)
WHERE k.site_id = ANY(%(sites)s) AND a.rule = ANY(%(rules)s) AND a.state <> 'withdrawn'
  AND a.period_start < %(end)s AND a.period_end > %(first)s
GROUP BY k.site_id
"""
_FIRST_ROWS: Final[LiteralString] = """
SELECT k.site_id, min(m.sampled_at) FROM stack k CROSS JOIN LATERAL (
    SELECT sampled_at FROM measurement WHERE stack_id = k.stack_id ORDER BY sampled_at LIMIT 1) m
WHERE k.site_id = ANY(%s) GROUP BY k.site_id
"""


async def first_rows(conn: Connection, site_ids: Sequence[int]) -> dict[int, int]:
    """When the first row of each site was sampled, in microseconds; a site without rows is not there."""
    cursor = await conn.execute(_FIRST_ROWS, [list(site_ids)])
    return {site_id: micros(at) for site_id, at in await cursor.fetchall()}


async def last_ends(
    conn: Connection, site_ids: Sequence[int], rules: Sequence[str], *, first: int, end: int, ever: int
) -> dict[int, int]:
    """When the last of a site's alerts of *rules* that touch `[first, end)` ended; *ever* where one goes on [us]."""
    values = {"sites": list(site_ids), "rules": list(rules), "ever": instant(ever)}
    cursor = await conn.execute(_LAST_ENDS, values | {"first": instant(first), "end": instant(end)})
    return {site_id: micros(at) for site_id, at in await cursor.fetchall()}


async def standing_hours(conn: Connection, stack_id: int, *, first: int, end: int) -> list[StandingHour]:
    """The final hours that start in `[first, end)` (microseconds), by pack, pollutant and start."""
    async with conn.cursor(row_factory=class_row(StandingHour)) as cursor:
        await cursor.execute(_HOURS, _bounds(stack_id, first, end))
        return await cursor.fetchall()


async def standing_months(conn: Connection, stack_id: int, *, first: int, end: int) -> list[StandingMonth]:
    """The months that share an instant with `[first, end)`."""
    async with conn.cursor(row_factory=class_row(StandingMonth)) as cursor:
        await cursor.execute(_MONTHS, _bounds(stack_id, first, end))
        return await cursor.fetchall()


async def standing_alerts(
    conn: Connection, stack_id: int, rules: Sequence[str], *, first: int, end: int
) -> list[StandingAlert]:
    """The alerts of *rules* whose period shares an instant with `[first, end)`; none that was withdrawn."""
    async with conn.cursor(row_factory=class_row(StandingAlert)) as cursor:
        await cursor.execute(_ALERTS, {**_bounds(stack_id, first, end), "rules": list(rules)})
        return await cursor.fetchall()


def _bounds(stack_id: int, first: int, end: int) -> dict[str, Any]:
    return {"stack_id": stack_id, "first": instant(first), "end": instant(end)}
