"""Judging the asked hours of one stack: rows to means, verdicts, months, alerts, in the caller's transaction.

    rows ──▶ hours (alerts.hours) ──▶ means, verdicts, digest, alerts of the hour
                                 ╰──▶ months ──▶ review of what the rules say of many hours (alerts.reviewing)

The arithmetic is `plant`'s, the statements are `store`'s; this module only carries values from the one to the other.
Live and historical judging are this code, with another `now`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from alerts.digests import digests_of, told
from alerts.hour_alerts import end_hour_alerts, put_hour_alerts
from alerts.hours import JudgedHours, judge_rows
from alerts.looking import NextLook, next_look
from alerts.marks.keeping import draft_marks
from alerts.month_judging import judge_months
from alerts.records import Records, Standing, records_of
from alerts.reviewing import Asked, review_stack
from alerts.rows import Events
from alerts.rules.history import VerdictHours
from alerts.signal_features import Signals, with_signals
from alerts.subject import Subject
from alerts.suppressing import mark_stack
from plant.periods import HOUR, instant, micros, month_of
from plant.signals import PROCESS_VALUES
from store import features, findings, judging, measurements
from store.features import HourDigest
from store.history_inputs import Wanted, signal_hours
from store.judging import HourMean, HourVerdict
from store.pool import Connection

__all__ = ["Judgement", "Subject", "judge_stack"]

GAP_HOURS: Final = 72  # two asked hours that lie further apart are read and averaged apart


@dataclass(slots=True)
class Judgement:
    """What judging some hours of a stack did."""

    hours: int = 0
    events: Events = field(default_factory=list)
    breached_months: list[str] = field(default_factory=list)  #: alert ids of months found breached
    changed: list[int] = field(default_factory=list)  #: starts of the hours of which any number is another now
    shown: list[HourDigest] = field(default_factory=list)  #: what stood of those that show other values now
    next_look: NextLook | None = None  #: when an hour can be lost


async def judge_stack(
    conn: Connection, subject: Subject, hours: Sequence[int], *, now: int, touched: Collection[int] = ()
) -> Judgement:
    """Judge *hours* (starts in microseconds, rising) of a stack at the instant *now*.

    *touched* are those of them that something besides their rows was said about (a mark, an order, an instrument's
    record, another stack): what many hours say is judged anew from there on even if no number changed.
    """
    done = Judgement()
    hours = _with_settling(subject, hours, now)
    for run in _runs(hours):
        await _judge_run(conn, subject, run, now, done)
    ended = [hour for hour in hours if subject.has_ended(hour, now)]
    if ended:
        months = await judge_months(conn, subject, sorted({month_of(h, subject.site.zone) for h in ended}), now=now)
        done.events += months.events
        done.breached_months += [row.alert_id for row in months.found]
        await draft_marks(conn, subject, ended)
    asked = Asked(judged=hours, changed=done.changed, touched=touched, shown=done.shown)
    done.events += await review_stack(conn, subject, asked, now=now)
    if done.events:
        done.events += await mark_stack(conn, subject.stack_id, done.events)
    await findings.announce(conn, done.events)
    return done


def _with_settling(subject: Subject, hours: Sequence[int], now: int) -> Sequence[int]:
    """*hours*, and those behind them that have begun where the gas of a calibration may still be in the line then."""
    if not subject.stack.settle_s:
        return hours
    return sorted({*hours, *(hour + HOUR for hour in hours if hour + HOUR <= now)})


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


async def _judge_run(conn: Connection, subject: Subject, hours: list[int], now: int, done: Judgement) -> None:
    judged = await _read_and_judge(conn, subject, hours, now)
    starts = [instant(hour) for hour in hours]
    standing = Standing(
        means=await judging.standing(conn, HourMean, subject.stack_id, starts),
        verdicts=await judging.standing(conn, HourVerdict, subject.stack_id, starts),
    )
    records = records_of(judged, hours, standing)
    await judging.write(conn, subject.stack_id, records.means.values())
    await judging.write(conn, subject.stack_id, records.verdicts.values())
    await _write_digests(conn, judged, records, hours, done)
    done.events += await put_hour_alerts(conn, judged, records, starts)
    done.events += await end_hour_alerts(conn, subject, records, standing)
    done.hours += len(hours)
    done.next_look = next_look(judged)


async def glance(conn: Connection, subject: Subject, hours: Sequence[int], *, now: int) -> NextLook | None:
    """When running *hours* of a stack should be looked at again; None where they should be judged at once.

    Reads and writes nothing down: a third of the work of judging an hour in which nothing happens.
    """
    if not hours:
        return None  # all that is asked lies ahead of the clock: an edge whose own is fast
    judged = await _read(conn, subject, hours, now, with_features=False)
    return None if judged.findings else next_look(judged)


async def _read_and_judge(conn: Connection, subject: Subject, hours: Sequence[int], now: int) -> JudgedHours:
    judged = await _read(conn, subject, hours, now)
    first, n_hours = int(judged.start[0]), judged.start.size
    if not subject.has_ended(first, now):
        return judged  # nothing looks at the process values of a running hour
    signals = await _signals(conn, subject, first, n_hours)
    return replace(judged, features=with_signals(judged.features, signals)) if signals else judged


async def _read(
    conn: Connection, subject: Subject, hours: Sequence[int], now: int, *, with_features: bool = True
) -> JudgedHours:
    first, end = hours[0], hours[-1] + HOUR
    stack = subject.stack
    rows = await measurements.read_rows(conn, subject.stack_id, stack, first=first, end=end)
    marks = await judging.accepted_marks(conn, subject.stack_id, first=first, end=end)
    n_hours = (end - first) // HOUR
    return judge_rows(subject, rows, first=first, n_hours=n_hours, marks=marks, now=now, with_features=with_features)


async def _signals(conn: Connection, subject: Subject, first: int, n_hours: int) -> Signals:
    wanted = Wanted(
        site_id=subject.site_id,
        stack_id=subject.stack_id,
        site=subject.site.code,
        stack=subject.stack.code,
        units=subject.stack.units,
        first=first,
        n_hours=n_hours,
        values_from=first,
        day_from=first,
    )
    return await signal_hours(conn, wanted, PROCESS_VALUES)


async def _write_digests(
    conn: Connection, judged: JudgedHours, records: Records, hours: Sequence[int], done: Judgement
) -> None:
    """Write what rules look back on, and note the hours of which any number is another now."""
    stack_id, first = judged.subject.stack_id, int(judged.start[0])
    standing = await features.standing_digests(conn, stack_id, hours)
    known = told(judged.features)
    places = [(hour - first) // HOUR for hour in hours]
    wanted = [at for at, hour in zip(places, hours, strict=True) if known[at] or hour in standing]
    digests, layouts = digests_of(judged.start, judged.features, _revised(judged, records), wanted)
    changed = [digest for digest in digests if standing.get(digest.start) != digest]
    if changed:
        there = {digest.layout for digest in standing.values()}
        new = {layout: layouts[layout] for layout in {digest.layout for digest in changed} - there}
        await features.put_digests(conn, stack_id, changed, new)
    done.changed += sorted(digest.start for digest in changed)
    stood = ((digest, standing[digest.start]) for digest in changed if digest.start in standing)
    done.shown += [old for new, old in stood if old.blocks and old.blocks != new.blocks]


def _revised(judged: JudgedHours, records: Records) -> dict[tuple[str, str], VerdictHours]:
    """The verdicts of the judged hours with the revisions that they were written under."""
    first = int(judged.start[0])
    found = judged.verdicts()
    revisions = {key: hours.revision.copy() for key, hours in found.items()}
    for verdict, step in records.verdicts.values():
        place = (micros(verdict.start) - first) // HOUR
        revision = revisions[verdict.pack, verdict.pollutant]
        revision[place] = step.revision if revision[place] else 0
    return {key: replace(hours, revision=revisions[key]) for key, hours in found.items()}
