"""Keeping the drafts of marks: rows read, drafted, written, in the transaction that judges the hours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Final

from alerts.marks.drafting import IDLE_SHARE, MARGIN_US, Draft, Stretch, draft_day
from alerts.subject import Subject
from plant.periods import HOUR, instant, micros
from plant.register import Site, Stack
from store import mark_drafts
from store.pool import Connection

PRODUCTION: Final = "power_production_kw"
FEW: Final = 3  #: days


async def draft_marks(conn: Connection, subject: Subject, hours: Iterable[int]) -> None:
    """Draft again the days that *hours* (starts in microseconds) of a stack belong to or lie beside."""
    asked = sorted(hours)
    for first, end in _runs(asked):
        if not await _says_something(conn, subject, first, end):
            continue
        days = _days([hour for hour in asked if first <= hour < end], subject.site)
        for day in days:
            start, stop = _bounds(day, subject.site)
            # Of many days, most say nothing; of few, looking twice would cost more than it saves.
            if len(days) <= FEW or await _says_something(conn, subject, start - MARGIN_US, stop + MARGIN_US):
                await _draft_day(conn, subject, start, stop)


async def _says_something(conn: Connection, subject: Subject, first: int, end: int) -> bool:
    stack = subject.stack
    return await mark_drafts.says_something(
        conn,
        subject.stack_id,
        stack.ducts or stack.judged_from,
        first=first,
        end=end + HOUR if stack.stamped_at_end else end,  # as in store.measurements.read_rows
        idle_kw=_idle_kw(stack),
    )


async def _draft_day(conn: Connection, subject: Subject, start: int, end: int) -> None:
    stack = subject.stack
    rows = await mark_drafts.read_stretches(
        conn,
        subject.stack_id,
        stack.ducts or stack.judged_from,
        first=start - MARGIN_US,
        end=end + MARGIN_US,
        cuts=(start, end),
        idle_kw=_idle_kw(stack),
        stamped_at_end=stack.stamped_at_end,
    )
    stretches = [Stretch(**{name: getattr(row, name) for name in Stretch.__slots__}) for row in rows]
    drafts = draft_day((subject.site.code, stack.code), stretches, first=start, end=end, ducts=bool(stack.ducts))
    await mark_drafts.put_day(conn, subject.stack_id, [_row(draft) for draft in drafts], first=start, end=end)


def _runs(hours: Iterable[int]) -> list[tuple[int, int]]:
    """*hours* as runs without a gap, each from an hour before its first: rows of then may reach into it."""
    runs: list[tuple[int, int]] = []
    for hour in hours:
        if runs and hour <= runs[-1][1]:
            runs[-1] = (runs[-1][0], hour + HOUR)
        else:
            runs.append((hour - HOUR, hour + HOUR))
    return runs


def _days(hours: Iterable[int], site: Site) -> list[date]:
    """The local days whose drafts depend on rows of *hours*: `MARGIN_US` beyond midnight belongs to both."""
    instants = (instant(hour + shift) for hour in hours for shift in (-MARGIN_US, 0, MARGIN_US))
    return sorted({at.astimezone(site.zone).date() for at in instants})


def _bounds(day: date, site: Site) -> tuple[int, int]:
    start, end = (
        micros(datetime(at.year, at.month, at.day, tzinfo=site.zone)) for at in (day, day + timedelta(days=1))
    )
    return start, end


def _idle_kw(stack: Stack) -> float | None:
    """Below it a unit that says nothing of its state is taken as standing still; None where no range is registered."""
    bounds = stack.channel(PRODUCTION).range
    return None if bounds is None else IDLE_SHARE * bounds[1]


def _row(draft: Draft) -> mark_drafts.DraftRow:
    return mark_drafts.DraftRow(
        draft_id=draft.draft_id,
        kind=draft.kind,
        cause=draft.cause,
        start=instant(draft.start),
        end=instant(draft.end),
        goes_on=draft.goes_on,
        evidence=dict(draft.evidence),
    )
