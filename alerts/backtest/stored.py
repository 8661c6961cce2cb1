"""Judging what the database holds, and reading what stands there to compare it with.

Rows, marks and whatever else is said beside the rows are read; nothing is written. Each cut and each conclusion opens
a connection of its own, so that they can be made on other machines.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from psycopg_pool import AsyncConnectionPool

from alerts.backtest.folder import day_start
from alerts.backtest.judging import REACH_H, Beside, Blocks, Part, conclude, judge_part
from alerts.backtest.results import Hours, JudgedAlert, MonthKey, Result, SeriesKey
from alerts.backtest.running import LEAD, TAIL, Asked, Cut, Parts, Span, come_by, last_needed
from alerts.histories import beside
from alerts.hours import HOUR_RULES
from alerts.rules.catalogue import MONTH_RULES, RULES
from alerts.subject import Subject
from plant.errors import BadDocument, Fault
from plant.months import Month, MonthVerdict
from plant.periods import HOUR, hour_start, micros, month_bounds
from plant.register import Site
from store import judged, judging, measurements
from store.clock import clock
from store.pool import Connection, connect, transaction
from store.register import RegisteredSite, load_register

T = TypeVar("T")

#: Alerts that come of rows; those about edges and about stackwatch itself have no history to be judged again.
COMPARED: Final = (*HOUR_RULES, *MONTH_RULES, *(rule.name for rule in RULES))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSource:
    """The history of some sites in the database at *database_url*."""

    database_url: str = field(repr=False)  # it may hold a password
    asked: Asked
    registered: Mapping[str, RegisteredSite]
    clocks: Mapping[str, int]  #: of the sites that have one, microseconds since the epoch
    first_rows: Mapping[str, int]  #: of the sites that have any
    last_ends: Mapping[str, int] = field(default_factory=dict)  #: of what stands and is to be compared

    @property
    def sites(self) -> Mapping[str, Site]:
        return {code: found.site for code, found in self.registered.items()}

    def span(self, site: Site) -> Span | None:
        clock_us, oldest = self.clocks.get(site.code), self.first_rows.get(site.code)
        first, end = self.asked.first, self.asked.end
        assert first is not None
        assert end is not None
        if clock_us is None or oldest is None:
            return None
        needed = max(last_needed(end, site), self.last_ends.get(site.code, 0) + TAIL)
        now = min(clock_us, needed) if self.asked.now is None else self.asked.now
        if now < max(oldest, first):
            return None
        return Span(first=day_start(max(oldest, first - LEAD), site), end=hour_start(now, site.zone) + HOUR, now=now)

    def judge(self, cut: Cut) -> Parts:
        return self._in_database(lambda conn: self._judge(conn, cut))

    def conclude(
        self, site: str, stack: str, parts: Sequence[Part], siblings: Mapping[str, Blocks], now: int
    ) -> Result:
        subject = self.subject(site, stack)
        first, n_hours = parts[0].first - REACH_H * HOUR, REACH_H + sum(part.n_hours for part in parts)
        found = self._in_database(lambda conn: beside(conn, subject, first=first, n_hours=n_hours))
        return conclude(subject, parts, now=now, beside=Beside(**found), siblings=siblings)

    def standing(self) -> Result:
        """What stands, as far as it lies in the time that is asked for."""
        return self._in_database(self._standing)

    def subject(self, site: str, stack: str) -> Subject:
        found = self.registered[site]
        of = next(each for each in found.site.stacks if each.code == stack)
        return self.asked.subject(found.site, of, site_id=found.site_id, stack_id=found.stack_ids[stack])

    async def _judge(self, conn: Connection, cut: Cut) -> Parts:
        parts = {}
        for code in cut.stacks:
            subject = self.subject(cut.site, code)
            stack, stack_id = subject.stack, subject.stack_id
            rows = await measurements.read_rows(conn, stack_id, stack, first=cut.first, end=cut.end)
            if self.asked.now is not None:
                rows = come_by(rows, self.asked.now)
            accepted = await judging.accepted_marks(conn, stack_id, first=cut.first, end=cut.end)
            n_hours = (cut.end - cut.first) // HOUR
            parts[code] = judge_part(subject, rows, first=cut.first, n_hours=n_hours, now=cut.now, accepted=accepted)
        return parts

    async def _standing(self, conn: Connection) -> Result:
        result = Result()
        for site in self.sites.values():
            span = self.span(site)
            if span is not None:
                for stack in site.stacks:
                    result.add(await _standing(conn, self.subject(site.code, stack.code), span))
        assert self.asked.first is not None
        return result.within(self.asked.first, self.asked.end)

    def _in_database(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return asyncio.run(_with_connection(self.database_url, work))


async def _with_connection(database_url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    async with await connect(database_url, name="backtest") as conn, conn.transaction():
        return await work(conn)


async def open_stored(
    pool: AsyncConnectionPool[Connection],
    database_url: str,
    sites: Sequence[str],
    asked: Asked,
    *,
    as_it_stands: bool = False,
) -> StoredSource:
    """The history of *sites*, or of every registered one.

    *as_it_stands*: it is to be compared with what stands, so it is judged until the alerts of that time had ended.

    Raises
    ------
    BadDocument
        For a site that is not registered.
    """
    async with transaction(pool) as conn:
        registered = await load_register(conn)
        unknown = [code for code in sites if code not in registered]
        if unknown:
            says = f"there is no site {unknown[0]!r}; there are {', '.join(sorted(registered)) or 'none'}"
            raise BadDocument("arguments", [Fault("--site", says)])
        wanted = {code: found for code, found in registered.items() if not sites or code in sites}
        clocks = {code: await clock(conn, of.site_id, simulated=of.site.simulated) for code, of in wanted.items()}
        site_ids = [found.site_id for found in wanted.values()]
        oldest = await judged.first_rows(conn, site_ids)
        ends = (
            await _last_ends(conn, site_ids, asked, max(filter(None, clocks.values()), default=0))
            if as_it_stands
            else {}
        )
    return StoredSource(
        database_url=database_url,
        asked=asked,
        registered=wanted,
        clocks={code: now for code, now in clocks.items() if now is not None},
        first_rows={code: oldest[found.site_id] for code, found in wanted.items() if found.site_id in oldest},
        last_ends={code: ends[found.site_id] for code, found in wanted.items() if found.site_id in ends},
    )


async def _last_ends(conn: Connection, site_ids: Sequence[int], asked: Asked, clock_us: int) -> dict[int, int]:
    assert asked.first is not None
    assert asked.end is not None
    return await judged.last_ends(conn, site_ids, COMPARED, first=asked.first, end=asked.end, ever=clock_us)


async def _standing(conn: Connection, subject: Subject, span: Span) -> Result:
    """What stands of one stack, cut off where judging again would be: an end behind the span is not known there."""
    result = Result()
    site, stack = subject.site.code, subject.stack.code
    by_series: dict[SeriesKey, list[judged.StandingHour]] = {}
    for hour in await judged.standing_hours(conn, subject.stack_id, first=span.first, end=span.end):
        by_series.setdefault(SeriesKey(site, stack, hour.pack, hour.pollutant), []).append(hour)
    result.hours = {key: _hours(of) for key, of in by_series.items()}
    for row in await judged.standing_months(conn, subject.stack_id, first=span.first, end=span.end):
        key = SeriesKey(site, stack, row.pack, row.pollutant)
        result.months[MonthKey(key, *month_bounds(row.month, subject.site.zone))] = _month(row)
    for alert in await judged.standing_alerts(conn, subject.stack_id, COMPARED, first=span.first, end=span.end):
        result.alerts[alert.alert_id] = _alert(alert, site, stack, span)
    return result


def _hours(of: Sequence[judged.StandingHour]) -> Hours:
    return Hours(
        start=np.array([micros(hour.start) for hour in of], dtype=np.int64),
        verdict=np.array([hour.verdict for hour in of], dtype=object),
        reason=np.array([hour.reason for hour in of], dtype=object),
        corrected=np.array([math.nan if hour.corrected is None else hour.corrected for hour in of]),
        limit=np.array([hour.limit_value for hour in of]),
    )


def _month(row: judged.StandingMonth) -> Month:
    return Month(
        hours_within=row.hours_within,
        hours_above=row.hours_above,
        hours_undecided=row.hours_undecided,
        hours_excluded=row.hours_excluded,
        hours_to_come=row.hours_to_come,
        share=row.share,
        share_worst=row.share_worst,
        required=row.required,
        budget=row.budget,
        budget_now=row.budget_now,
        verdict=MonthVerdict(row.verdict),
        final=row.final,
    )


def _alert(alert: judged.StandingAlert, site: str, stack: str, span: Span) -> JudgedAlert:
    ended_at = None if alert.ended_at is None else micros(alert.ended_at)
    return JudgedAlert(
        alert_id=alert.alert_id,
        rule=alert.rule,
        severity=alert.severity,
        site=site,
        stack=stack,
        pollutant=alert.pollutant,
        pack=alert.pack,
        period_start=micros(alert.period_start),
        period_end=micros(alert.period_end),
        ended_at=None if ended_at is None or ended_at >= span.end else ended_at,
        observed=alert.observed,
        limit=alert.limit_value,
        unit=alert.unit or "",
        clause=alert.clause,
        evidence=alert.evidence,
    )
