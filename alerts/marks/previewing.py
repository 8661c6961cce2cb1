"""The effect of marks, from the database: rows read, judged without and with them, as the API shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from alerts.enforcement.chain import utc_text
from alerts.hours import judge_rows
from alerts.marks.effect import HourEffect, Judged, MonthEffect, hours_that_differ, months_of_both
from alerts.subject import Subject
from plant.hours import Claim
from plant.months import JudgedHour
from plant.periods import HOUR, instant, micros, month_of
from store import mark_effects, retention
from store.clock import clock
from store.marks import hours_touched
from store.measurements import read_rows
from store.pool import Connection
from store.register import site_by_code

LONGEST_H: Final = 31 * 24  #: of touched hours of one stack: what one request may judge again
AT_ONCE_H: Final = 24  #: hours whose rows are in memory together, and for which other requests wait


@dataclass(frozen=True, slots=True)
class Marked:
    """A mark, as far as its effect is concerned."""

    mark_id: int
    start: datetime
    end: datetime


async def effect_of(
    conn: Connection, site: str, stack: str, marks: Sequence[Marked], *, most_h: int = LONGEST_H
) -> dict[str, Any] | None:
    """What accepting *marks* of one stack, all together, changes or changed; None where it cannot be worked out.

    It cannot where they touch more than *most_h* hours, where the stack is no longer registered, or before the first
    tick.
    """
    registered = await site_by_code(conn, site)
    found = next((one for one in registered.site.stacks if one.code == stack), None) if registered else None
    if registered is None or found is None:
        return None
    subject = Subject(
        site_id=registered.site_id, stack_id=registered.stack_ids[stack], site=registered.site, stack=found
    )
    now = await clock(conn, subject.site_id, simulated=subject.site.simulated)
    hours = _touched(marks, subject, now, most_h) if now is not None else None
    if now is None or hours is None:
        return None
    gone = await retention.frozen(conn, subject.stack_id, set(hours), now=now)
    judged = await _judged(conn, subject, marks, [hour for hour in hours if hour not in gone], now)
    months = sorted({month_of(hour, subject.site.zone) for hour in hours})
    outside = (
        await mark_effects.hours_outside(conn, subject.stack_id, months, [hour for hour in hours if hour not in gone])
        if months
        else {}
    )
    return {
        "as_of": utc_text(instant(now)),
        "hours_touched": len(hours),
        "hours_without_rows": len(gone),
        "months": [_month(effect) for effect in months_of_both(subject, outside, judged, now=now)],
        "hours": [_hour(effect) for effect in hours_that_differ(judged)],
    }


def _touched(marks: Iterable[Marked], subject: Subject, now: int, most_h: int) -> list[int] | None:
    """The local hours of *marks* that have begun; None where there are more than *most_h*."""
    found: set[int] = set()
    for mark in marks:
        if micros(mark.start) <= now:
            found.update(map(micros, hours_touched(mark.start, min(mark.end, instant(now)), subject.site.timezone)))
        if len(found) > most_h:
            return None
    return sorted(found)


async def _judged(
    conn: Connection, subject: Subject, marks: Iterable[Marked], hours: Sequence[int], now: int
) -> list[Judged]:
    asked = list(marks)
    claims = [Claim(micros(mark.start), micros(mark.end)) for mark in asked]
    ids = [mark.mark_id for mark in asked]
    stack, found = subject.stack, []
    for first, n_hours in _runs(hours):
        end = first + n_hours * HOUR
        rows = await read_rows(conn, subject.stack_id, stack, first=first, end=end)
        others = await mark_effects.other_accepted(conn, subject.stack_id, ids, first=first, end=end)
        found.append(
            Judged(
                judge_rows(subject, rows, first=first, n_hours=n_hours, marks=others, now=now),
                judge_rows(subject, rows, first=first, n_hours=n_hours, marks=[*others, *claims], now=now),
            )
        )
    return found


def _runs(hours: Sequence[int]) -> Iterator[tuple[int, int]]:
    """*hours* as runs without a gap: first and how many."""
    first, n_hours = None, 0
    for hour in hours:
        if first is not None and hour == first + n_hours * HOUR and n_hours < AT_ONCE_H:
            n_hours += 1
            continue
        if first is not None:
            yield first, n_hours
        first, n_hours = hour, 1
    if first is not None:
        yield first, n_hours


def _month(effect: MonthEffect) -> dict[str, Any]:
    return {
        "month": effect.month.strftime("%Y-%m"),
        "pack": effect.pack,
        "pollutant": effect.pollutant,
        "not_accepted": effect.not_accepted.figures(),
        "accepted": effect.accepted.figures(),
    }


def _hour(effect: HourEffect) -> dict[str, Any]:
    return {
        "start": utc_text(instant(effect.start)),
        "pack": effect.pack,
        "pollutant": effect.pollutant,
        "not_accepted": _verdict(effect.not_accepted),
        "accepted": _verdict(effect.accepted),
    }


def _verdict(hour: JudgedHour) -> dict[str, Any]:
    return {"verdict": hour.verdict.value, "reason": hour.reason, "claimed": hour.claimed}
