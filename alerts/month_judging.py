"""Judging the months of one stack from its final hours, in the caller's transaction.

The arithmetic is `plant.months`', the statements are `store`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from alerts.rows import Events, alert_row
from alerts.rules import month_below_share
from alerts.rules.finding import Finding, alert_id
from alerts.subject import Subject, Watched
from plant.months import JudgedHour, judge_month
from plant.packs import Pack
from plant.periods import HOUR, SECOND, instant, month_bounds
from store import findings, judging
from store.findings import AlertRow
from store.judging import MonthRow, Step
from store.pool import Connection

Standing = Mapping[tuple[str, date, str], tuple[MonthRow, int]]


@dataclass(slots=True)
class JudgedMonths:
    """What judging some months of a stack did."""

    written: list[tuple[MonthRow, Step]] = field(default_factory=list)
    found: list[AlertRow] = field(default_factory=list)  #: of the months that are breached
    gone: list[str] = field(default_factory=list)
    moved: dict[tuple[str, str], list[datetime]] = field(default_factory=dict)  #: by (pack, pollutant)
    events: Events = field(default_factory=list)

    def note(self, subject: Subject, row: MonthRow, step: Step, finding: Finding | None, old: MonthRow | None) -> None:
        start = month_bounds(row.month, subject.site.zone)[0]
        self.written.append((row, step))
        if finding is not None:
            self.found.append(alert_row(finding, site_id=subject.site_id, stack_id=subject.stack_id))
        elif old is not None and old.verdict == "breached":
            self.gone.append(alert_id(subject.series(month_below_share.NAME, row.pack, row.pollutant), start))
        if old is None or old.verdict != row.verdict:
            self.moved.setdefault((row.pack, row.pollutant), []).append(instant(start))


async def judge_months(conn: Connection, subject: Subject, months: Sequence[date], *, now: int) -> JudgedMonths:
    """Judge *months* (their first days, rising) under every pack that has a share of hours."""
    done = JudgedMonths()
    watched = [each for each in subject.watched if each.pack.month is not None]
    if not watched or not months:
        return done
    standing = await judging.standing(conn, MonthRow, subject.stack_id, months)
    packs = list({each.pack.name for each in watched})
    hours = await judging.hours_of_months(conn, subject.stack_id, packs, months)
    for month in months:
        for each in watched:
            of_kind = hours.get((month, each.pack.name, each.pollutant), {})
            _judge(done, subject, each, month, of_kind, now, standing)
    await judging.write(conn, subject.stack_id, done.written)
    done.events += await findings.apply(conn, done.found, copying=findings.HOURS)
    done.events += await findings.withdraw(conn, done.gone)
    for (pack, pollutant), starts in sorted(done.moved.items()):
        done.events += await _end(conn, subject, pack, pollutant, starts)
    return done


def _judge(
    done: JudgedMonths,
    subject: Subject,
    watched: Watched,
    month: date,
    hours: Mapping[JudgedHour, int],
    now: int,
    standing: Standing,
) -> None:
    """One series; nothing where it has neither an ended hour with data nor a verdict that stands."""
    pack, rule = watched.pack, watched.pack.month
    assert rule is not None
    start, end = month_bounds(month, subject.site.zone)
    to_come = _hours_to_come(start, end, now, pack)
    judged = judge_month(
        hours,
        rule,
        hours_ended=(end - start) // HOUR - to_come,
        hours_to_come=to_come,
        has_ended=now >= end + pack.averaging.ended_after_s * SECOND,
    )
    row = judging.month_row(
        judged, pollutant=watched.pollutant, first_day=month, pack=pack.name, pack_version=pack.version, as_of=now
    )
    stood = standing.get(row.key)
    if not hours and stood is None:
        return
    step = judging.revise(stood, row)
    series = watched.series(month_below_share.NAME)
    finding = month_below_share.judge(pack, rule, series, judged, start=start, end=end, revision=step.revision)
    done.note(subject, row, step, finding, None if stood is None else stood[0])


def _hours_to_come(start: int, end: int, now: int, pack: Pack) -> int:
    """How many hours of the month have not ended at *now*."""
    ended_before = now - pack.averaging.ended_after_s * SECOND
    ended = max(0, min(end, ended_before) - start) // HOUR
    return (end - start) // HOUR - ended


async def _end(conn: Connection, subject: Subject, pack: str, pollutant: str, starts: Sequence[datetime]) -> Events:
    first, last = min(starts), max(starts)
    clear = await judging.clear_periods(conn, subject.stack_id, pollutant, pack, months=True, first=first, last=last)
    return await findings.end(
        conn,
        stack_id=subject.stack_id,
        rule=month_below_share.NAME,
        pack=pack,
        pollutant=pollutant,
        clear=clear,
        first=first,
        last=last,
    )
