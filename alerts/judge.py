"""Judging the asked hours of one stack: rows to means, verdicts, months, alerts, in the caller's transaction.

The arithmetic is `plant`'s, the statements are `store`'s; this module only carries values from the one to the other.
Live and historical judging are this code, with another `now`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from alerts.rules import hour_above_limit, month_below_share
from alerts.rules.finding import Finding, Series, alert_id
from plant.hours import HourMeans, average_hours
from plant.limits import Governing, governing
from plant.months import JudgedHour, judge_month
from plant.packs import Pack, all_packs
from plant.periods import HOUR, SECOND, instant, micros, month_bounds, month_of
from plant.register import Site, Stack
from plant.verdicts import HourVerdicts, Verdict, judge_hours, method_of
from store import findings, judging, measurements
from store.findings import AlertRow
from store.judging import HourMean, HourVerdict, MonthRow, Step
from store.pool import Connection

GAP_HOURS: Final = 72  # two asked hours that lie further apart are read and averaged apart

Events = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The stack that is judged, as registered."""

    site_id: int
    stack_id: int
    site: Site
    stack: Stack

    def series(self, rule: str, pack: str, pollutant: str) -> Series:
        return Series(rule=rule, pack=pack, site=self.site.code, stack=self.stack.code, pollutant=pollutant)


@dataclass(slots=True)
class Judgement:
    """What judging some hours of a stack did."""

    hours: int = 0
    events: Events = field(default_factory=list)
    breached_months: list[str] = field(default_factory=list)  #: alert ids of months found breached


async def judge_stack(conn: Connection, subject: Subject, hours: Sequence[int], *, now: int) -> Judgement:
    """Judge *hours* (starts in microseconds, rising) of a stack at the instant *now*."""
    done = Judgement()
    for run in _runs(hours):
        await _judge_run(conn, subject, run, now, done)
    months = {month_of(hour, subject.site.zone) for hour in hours}
    for pack in _packs(subject.stack):
        if pack.month is not None:
            await _judge_months(conn, subject, pack, sorted(months), now, done)
    await findings.announce(conn, done.events)
    return done


def _runs(hours: Sequence[int]) -> Iterable[list[int]]:
    """*hours* cut where the gap is too wide to be read across."""
    run: list[int] = []
    for hour in hours:
        if run and hour - run[-1] > GAP_HOURS * HOUR:
            yield run
            run = []
        run.append(hour)
    if run:
        yield run


def _packs(stack: Stack) -> list[Pack]:
    packs = all_packs()
    return [packs[name] for name in stack.packs]


async def _judge_run(conn: Connection, subject: Subject, hours: list[int], now: int, done: Judgement) -> None:
    first, end = hours[0], hours[-1] + HOUR
    stack = subject.stack
    rows = await measurements.read_rows(
        conn,
        subject.stack_id,
        stack.ducts or stack.judged_from,
        first=first,
        end=end,
        stamped_at_end=stack.stamped_at_end,
    )
    marks = await judging.accepted_marks(conn, subject.stack_id, first=first, end=end)
    starts = [instant(hour) for hour in hours]
    means = await judging.standing(conn, HourMean, subject.stack_id, starts)
    verdicts = await judging.standing(conn, HourVerdict, subject.stack_id, starts)
    wanted = [(hour - first) // HOUR for hour in hours]
    new_means: dict[tuple[str, datetime, str], tuple[HourMean, Step]] = {}
    new_verdicts: list[tuple[HourVerdict, Step]] = []
    for pack in _packs(stack):
        for pollutant, rule in governing(pack, stack).items():
            corrected, process = stack.channel(pollutant).corrected, rule.outlet.key
            method = method_of(pack, process, already_corrected=corrected)
            n_hours = (end - first) // HOUR
            averaged = average_hours(rows, pollutant, stack, method, first=first, n_hours=n_hours, accepted=marks)
            judged = judge_hours(
                averaged, pack, process, pollutant, already_corrected=corrected, now=now, limit=rule.limit
            )
            series = _Hours(subject, pack, rule, pollutant, method.name, averaged, judged)
            listed = [at for at in wanted if series.is_listed(at, means)]
            changed = series.revise(listed, means, verdicts, new_means, new_verdicts)
            done.events += await _hour_alerts(conn, series, changed, verdicts)
    await judging.write(conn, subject.stack_id, new_means.values())
    await judging.write(conn, subject.stack_id, new_verdicts)
    done.events += await _end_hour_alerts(conn, subject, new_verdicts, verdicts)
    done.hours += len(hours)


@dataclass(frozen=True, slots=True)
class _Hours:
    """A pollutant of a run of hours under one pack, averaged and judged."""

    subject: Subject
    pack: Pack
    rule: Governing
    pollutant: str
    averaging: str
    means: HourMeans
    verdicts: HourVerdicts

    def is_listed(self, at: int, standing: Mapping[tuple[str, datetime, str], tuple[HourMean, int]]) -> bool:
        """An hour with a row is judged, and one that had been: its rows may be another instrument's now."""
        start = int(self.means.start[at])
        if not self.pack.in_force(_local_day(start, self.subject.site)):
            return False
        return bool(self.means.rows[at]) or (self.pollutant, instant(start), self.averaging) in standing

    def mean(self, at: int) -> HourMean:
        means = self.means
        return HourMean(
            pollutant=self.pollutant,
            start=instant(int(means.start[at])),
            averaging=self.averaging,
            instrument=str(means.instrument[at]),
            rows=int(means.rows[at]),
            valid=bool(means.valid[at]),
            valid_minutes=int(means.valid_minutes[at]),
            not_running_minutes=int(means.not_running_minutes[at]),
            over_range_minutes=int(means.over_range_minutes[at]),
            claimed_minutes=int(means.claimed_minutes[at]),
            zero_minutes=int(means.zero_minutes[at]),
            mean=_number(means.mean[at]),
            o2=_number(means.o2[at]),
            mass_kg=_number(means.mass_kg[at]),
            rows_hash=means.rows_hash[at],
            final=bool(self.verdicts.final[at]),
        )

    def verdict(self, at: int, mean_revision: int) -> HourVerdict:
        verdicts, start = self.verdicts, int(self.means.start[at])
        return HourVerdict(
            pollutant=self.pollutant,
            start=instant(start),
            pack=self.pack.name,
            pack_version=self.pack.version,
            averaging=self.averaging,
            mean_revision=mean_revision,
            month=month_of(start, self.subject.site.zone),
            corrected=_number(verdicts.corrected[at]),
            corrected_from_minutes=_number(verdicts.corrected_from_minutes[at]),
            method_sensitive=bool(verdicts.method_sensitive[at]),
            limit_value=verdicts.limit,
            verdict=str(verdicts.verdict[at]),
            reason=str(verdicts.reason[at]),
            claimed=bool(verdicts.claimed[at]),
            final=bool(verdicts.final[at]),
        )

    def revise(
        self,
        places: Iterable[int],
        means: Mapping[tuple[str, datetime, str], tuple[HourMean, int]],
        verdicts: Mapping[tuple[str, datetime, str], tuple[HourVerdict, int]],
        new_means: dict[tuple[str, datetime, str], tuple[HourMean, Step]],
        new_verdicts: list[tuple[HourVerdict, Step]],
    ) -> list[tuple[int, HourVerdict, Step]]:
        """What is to be written, into the two last arguments; the verdicts that changed, with their places."""
        changed = []
        for at in places:
            mean = self.mean(at)
            if mean.key not in new_means:
                new_means[mean.key] = (mean, judging.revise(means.get(mean.key), mean))
            verdict = self.verdict(at, new_means[mean.key][1].revision)
            step = judging.revise(verdicts.get(verdict.key), verdict)
            if step.changed:
                new_verdicts.append((verdict, step))
                changed.append((at, verdict, step))
        return changed

    def finding(self, at: int, verdict: HourVerdict, step: Step) -> Finding | None:
        means, start = self.means, int(self.means.start[at])
        hour = hour_above_limit.JudgedHourMean(
            start=start,
            verdict=Verdict(verdict.verdict),
            reason=verdict.reason,
            mean=float(means.mean[at]),
            corrected=float(self.verdicts.corrected[at]),
            o2=_number(means.o2[at]),
            limit=verdict.limit_value,
            valid_minutes=int(means.valid_minutes[at]),
            over_range_minutes=int(means.over_range_minutes[at]),
            method_sensitive=verdict.method_sensitive,
            instrument=str(means.instrument[at]),
            revision=step.revision,
            rows_hash=means.rows_hash[at].hex(),
        )
        series = self.subject.series(hour_above_limit.NAME, self.pack.name, self.pollutant)
        return hour_above_limit.judge(self.pack, self.rule, series, hour)


async def _hour_alerts(
    conn: Connection,
    hours: _Hours,
    changed: Sequence[tuple[int, HourVerdict, Step]],
    standing: Mapping[tuple[str, datetime, str], tuple[HourVerdict, int]],
) -> Events:
    found, gone = [], []
    series = hours.subject.series(hour_above_limit.NAME, hours.pack.name, hours.pollutant)
    for at, verdict, step in changed:
        finding = hours.finding(at, verdict, step)
        if finding is not None:
            found.append(_alert_row(hours.subject, finding))
        else:
            old = standing.get(verdict.key)
            if old is not None and old[0].verdict == Verdict.BREACHED:
                gone.append(alert_id(series, micros(verdict.start)))
    return await findings.apply(conn, found, copying=findings.ROWS) + await findings.withdraw(conn, gone)


async def _end_hour_alerts(
    conn: Connection,
    subject: Subject,
    written: Sequence[tuple[HourVerdict, Step]],
    standing: Mapping[tuple[str, datetime, str], tuple[HourVerdict, int]],
) -> Events:
    """Move the ends of alerts where an hour became clear, ceased to be, or a breach is new."""
    moved: dict[tuple[str, str], list[datetime]] = {}
    for verdict, _ in written:
        old = standing.get(verdict.key)
        before = old[0].verdict if old is not None and old[0].final else None
        after = verdict.verdict if verdict.final else None
        if before != after and {Verdict.CLEAR, Verdict.BREACHED} & {before, after}:
            moved.setdefault((verdict.pack, verdict.pollutant), []).append(verdict.start)
    events: Events = []
    for (pack, pollutant), starts in sorted(moved.items()):
        events += await _end(conn, subject, hour_above_limit.NAME, pack, pollutant, min(starts), max(starts))
    return events


async def _end(
    conn: Connection, subject: Subject, rule: str, pack: str, pollutant: str, first: datetime, last: datetime
) -> Events:
    months = rule == month_below_share.NAME
    clear = await judging.clear_periods(conn, subject.stack_id, pollutant, pack, months=months, first=first, last=last)
    return await findings.end(
        conn,
        stack_id=subject.stack_id,
        rule=rule,
        pack=pack,
        pollutant=pollutant,
        clear=clear,
        first=first,
        last=last,
    )


async def _judge_months(
    conn: Connection, subject: Subject, pack: Pack, months: Sequence[date], now: int, done: Judgement
) -> None:
    standing = await judging.standing(conn, MonthRow, subject.stack_id, months)
    written: list[tuple[MonthRow, Step]] = []
    found: list[AlertRow] = []
    gone: list[str] = []
    moved: dict[str, list[datetime]] = {}
    for month in months:
        by_pollutant = await judging.hours_of_month(conn, subject.stack_id, pack.name, month)
        start, end = month_bounds(month, subject.site.zone)
        to_come = _hours_to_come(start, end, now, pack)
        for pollutant in governing(pack, subject.stack):
            row, finding, step = _one_month(
                subject, pack, pollutant, month, by_pollutant.get(pollutant, {}), to_come, now, standing
            )
            if row is None:
                continue
            old = standing.get(row.key)
            written.append((row, step))
            if finding is not None:
                found.append(_alert_row(subject, finding))
            elif old is not None and old[0].verdict == "breached":
                series = subject.series(month_below_share.NAME, pack.name, pollutant)
                gone.append(alert_id(series, start))
            if old is None or old[0].verdict != row.verdict:
                moved.setdefault(pollutant, []).append(instant(start))
    await judging.write(conn, subject.stack_id, written)
    opened = await findings.apply(conn, found, copying=findings.HOURS)
    done.breached_months += [row.alert_id for row in found]
    done.events += opened + await findings.withdraw(conn, gone)
    for pollutant, starts in sorted(moved.items()):
        done.events += await _end(conn, subject, month_below_share.NAME, pack.name, pollutant, min(starts), max(starts))


def _one_month(
    subject: Subject,
    pack: Pack,
    pollutant: str,
    month: date,
    hours: Mapping[JudgedHour, int],
    to_come: int,
    now: int,
    standing: Mapping[tuple[str, date, str], tuple[MonthRow, int]],
) -> tuple[MonthRow | None, Finding | None, Step]:
    """The month of one pollutant; nothing where it has neither an ended hour with data nor a verdict that stands."""
    assert pack.month is not None
    start, end = month_bounds(month, subject.site.zone)
    judged = judge_month(
        hours,
        pack.month,
        hours_ended=(end - start) // HOUR - to_come,
        hours_to_come=to_come,
        has_ended=now >= end + pack.averaging.ended_after_s * SECOND,
    )
    row = judging.month_row(
        judged, pollutant=pollutant, first_day=month, pack=pack.name, pack_version=pack.version, as_of=now
    )
    if not hours and row.key not in standing:
        return None, None, Step(0, in_place=False, changed=False)
    step = judging.revise(standing.get(row.key), row)
    series = subject.series(month_below_share.NAME, pack.name, pollutant)
    finding = month_below_share.judge(pack, pack.month, series, judged, start=start, end=end, revision=step.revision)
    return row, finding, step


def _hours_to_come(start: int, end: int, now: int, pack: Pack) -> int:
    """How many hours of the month have not ended at *now*."""
    ended_before = now - pack.averaging.ended_after_s * SECOND
    ended = max(0, min(end, ended_before) - start) // HOUR
    return (end - start) // HOUR - ended


def _alert_row(subject: Subject, finding: Finding) -> AlertRow:
    return AlertRow(
        alert_id=finding.alert_id,
        rule=finding.series.rule,
        severity=finding.severity,
        site_id=subject.site_id,
        stack_id=subject.stack_id,
        pollutant=finding.series.pollutant,
        pack=finding.series.pack,
        period_start=instant(finding.period_start),
        period_end=instant(finding.period_end),
        observed=finding.observed,
        limit_value=finding.limit,
        unit=finding.unit,
        clause=finding.clause,
        evidence=finding.evidence,
        settled=finding.settled,
    )


def _local_day(at_us: int, site: Site) -> date:
    return instant(at_us).astimezone(site.zone).date()


def _number(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
