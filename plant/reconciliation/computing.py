"""A period's mean of one channel, taken in any `Way`.

Rows become minutes once for each way that changes rows; the rest works on minutes, so that a month of hours in every
way of the lattice takes seconds. The way that is ours gives what `plant.hours` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from plant.channels import GASES
from plant.conversion import to_reference_oxygen
from plant.minutes import spread
from plant.packs import Averaging
from plant.periods import MINUTE, SECOND, Instants
from plant.readings import NORMAL, OVER_RANGE, Counts, Rows, Truths, Values, auxiliary, reading
from plant.reconciliation.ways import FURTHEST_SHIFT_S, Way
from plant.register import Stack
from plant.sums import means

DAY_S: Final = 86_400

_LEFT_OUT: Final[Mapping[str, Mapping[str, Any]]] = {
    "as_sent": {"unit": "mg/m3"},
    "wet": {"wet": False},
    "actual": {"actual_state": False},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which means are looked for."""

    channel: str
    period_s: int  #: whole minutes
    starts: Instants  #: shape (n_periods,)
    base_o2: float | None  #: vol %; None: the measured value is looked for, else the value at this base
    averaging: Averaging
    digits: int  #: decimals of what was reported


@dataclass(frozen=True, slots=True)
class _Minutes:
    """Arrays of shape (n_minutes,)."""

    value: Values
    o2: Values
    seconds: Counts  #: that counted rows cover
    value_sum: Values  #: over the counted rows
    o2_sum: Values
    o2_rows: Counts
    rows: Counts
    stopped: Truths


class Computing:
    """The rows of one instrument, ready to be averaged in many ways.

    *rows*: all that touch the periods and an hour before and after them.
    """

    def __init__(self, rows: Rows, stack: Stack, question: Question) -> None:
        self._rows = rows
        self._stack = stack
        self._asked = question
        self._first = int(question.starts.min()) - FURTHEST_SHIFT_S * SECOND if question.starts.size else 0
        end = (
            int(question.starts.max()) + (question.period_s + FURTHEST_SHIFT_S) * SECOND if question.starts.size else 0
        )
        self._n = (end - self._first) // MINUTE
        self._known: dict[tuple[str, str, int], _Minutes] = {}

    def mean(self, way: Way, of: Counts | None = None) -> Values:
        """The mean of each period, or of the periods numbered *of*; NaN where there is none."""
        # A shift of less than a minute moves rows between minutes, a longer one moves the period over them.
        shift_min, row_shift_s = (0, way.shift_s) if abs(way.shift_s) < 60 else (way.shift_s // 60, 0)
        found = self._minutes(way.flags, way.units, row_shift_s)
        starts = self._asked.starts if of is None else self._asked.starts[of]
        at = (starts - self._first) // MINUTE + shift_min
        place = at[:, None] + np.arange(self._asked.period_s // 60)
        counts = found.seconds >= (1 if way.minutes == "any" else self._asked.averaging.min_minute_cover * 60)
        if way.states == "ours":
            counts &= ~found.stopped
        base = self._base(way)
        if base is not None:
            counts &= ~np.isnan(found.o2)
        if way.weighing == "rows":
            return self._of_rows(found, way, place, base)
        value, o2 = np.where(counts, found.value, np.nan), np.where(counts, found.o2, np.nan)
        if way.gaps == "last":
            value, o2 = _carried(value), _carried(o2)
        elif way.gaps == "zero":
            value = np.where(counts, value, 0.0)
            o2 = _carried(o2)
        if way.digits == "minutes_rounded":
            value = _rounded(value, self._asked.digits)
        return self._of_periods(value[place], o2[place], way, base)

    def valid_minutes(self) -> Counts:
        """Of each period, in our way."""
        way = Way()
        found = self._minutes(way.flags, way.units, 0)
        counts = (found.seconds >= self._asked.averaging.min_minute_cover * 60) & ~found.stopped
        if self._base(way) is not None:
            counts &= ~np.isnan(found.o2)
        place = ((self._asked.starts - self._first) // MINUTE)[:, None] + np.arange(self._asked.period_s // 60)
        minutes: Counts = counts[place].sum(axis=1)
        return minutes

    def _base(self, way: Way) -> float | None:
        if self._asked.base_o2 is None or way.base_o2 == "none":
            return None
        return self._asked.base_o2 if way.base_o2 == "ours" else float(way.base_o2)

    def _of_periods(self, value: Values, o2: Values, way: Way, base: float | None) -> Values:
        """The means of *value* and *o2*, of shape (n_periods, minutes of a period)."""
        if self._asked.period_s == DAY_S and way.order == "ours":
            return self._of_hours(value, o2, base)
        if way.order == "correct_first":
            return _mean(self._at_base(value, o2, base))
        return self._at_base(_mean(value), _mean(o2), base)

    def _of_hours(self, value: Values, o2: Values, base: float | None) -> Values:
        """A day is the mean of its valid hours (eq. 25)."""
        n = value.shape[0]
        value, o2 = value.reshape(n * 24, 60), o2.reshape(n * 24, 60)
        valid = (~np.isnan(value)).sum(axis=1) >= self._asked.averaging.min_valid_minutes
        hours = self._at_base(_mean(value), _mean(o2), base)
        return _mean(np.where(valid, hours, np.nan).reshape(n, 24))

    def _of_rows(self, found: _Minutes, way: Way, place: Counts, base: float | None) -> Values:
        running = ~found.stopped if way.states == "ours" else np.ones_like(found.stopped)

        def mean(total: Values, rows: Counts) -> Values:
            n = np.where(running, rows, 0)[place].sum(axis=1)
            added = np.where(running, total, 0.0)[place].sum(axis=1)
            found: Values = np.divide(added, n, out=np.full(n.size, np.nan), where=n > 0)
            return found

        return self._at_base(mean(found.value_sum, found.rows), mean(found.o2_sum, found.o2_rows), base)

    def _at_base(self, value: Values, o2: Values, base: float | None) -> Values:
        if base is None:
            return value
        rule = self._asked.averaging
        usable = np.where(o2 < rule.oxygen_at_ambient_vol_pct, o2, np.nan)
        corrected: Values = to_reference_oxygen(value, usable, base, rule.oxygen_in_air_vol_pct)
        return corrected

    def _minutes(self, flags: str, units: str, row_shift_s: int) -> _Minutes:
        key = (flags, units, row_shift_s)
        if key not in self._known:
            self._known[key] = self._average(flags, units, row_shift_s)
        return self._known[key]

    def _average(self, flags: str, units: str, row_shift_s: int) -> _Minutes:
        rows = self._rows
        if flags == "all":
            normal = np.full(rows.sampled_at.size, NORMAL, dtype=np.uint8)
            # A value beyond the range stays what it is: its flag is how we know of it.
            rows = replace(rows, row_flag=normal, flags={})
        value, o2, counted, o2_counted = self._values(rows, _as_if(self._stack, units), over_range=flags == "ours")
        # The logger's minute begins so much later than ours: seen from it, a row lies so much earlier.
        at = rows.sampled_at - row_shift_s * SECOND
        row, minute, seconds = spread(at, rows.interval_s, self._first, self._n)
        counts, o2_counts = counted[row], o2_counted[row]
        n = int(self._n)
        stopped = np.zeros(n, dtype=bool)
        stopped[minute[rows.not_running[row]]] = True
        value, o2 = value[row], o2[row]
        return _Minutes(
            value=means(value, counts, minute, n),
            o2=means(o2, o2_counts, minute, n),
            seconds=np.bincount(minute, np.where(counts, seconds, 0), n).astype(np.int64),
            value_sum=np.bincount(minute, np.where(counts, value, 0.0), n).astype(np.float64),
            o2_sum=np.bincount(minute, np.where(o2_counts, o2, 0.0), n).astype(np.float64),
            o2_rows=np.bincount(minute, o2_counts, n).astype(np.int64),
            rows=np.bincount(minute, counts, n).astype(np.int64),
            stopped=stopped,
        )

    def _values(self, rows: Rows, stack: Stack, *, over_range: bool) -> tuple[Values, Values, Truths, Truths]:
        """(value, oxygen, value counts, oxygen counts), row by row; *over_range*: such rows count."""
        channel = self._asked.channel
        if channel in (*GASES, "pm"):
            found = reading(rows, channel, stack, with_oxygen=self._asked.base_o2 is not None)
            counted = found.counted if over_range else found.counted & ~found.over_range
            return found.value, found.o2, counted, found.o2_usable & ~np.isnan(found.o2)
        value, usable = auxiliary(rows, channel, stack)
        if not over_range:
            usable &= rows.flag(channel) != OVER_RANGE
        return value, np.full(value.size, np.nan), usable & ~np.isnan(value), np.zeros(value.size, dtype=bool)


def _as_if(stack: Stack, units: str) -> Stack:
    """*stack* as a logger would see it that leaves one conversion out."""
    if units == "ours":
        return stack
    left_out = _LEFT_OUT[units]
    return replace(stack, channels={name: replace(c, **left_out) for name, c in stack.channels.items()})


def _mean(values: Values) -> Values:
    """Over the last axis, of what is there; distances from the first value, as `plant.sums` has it."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    first = np.take_along_axis(values, there.argmax(axis=-1)[..., None], axis=-1)
    distance = np.cumsum(np.where(there, values - first, 0.0), axis=-1)[..., -1]
    mean: Values = first[..., 0] + np.divide(distance, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _carried(values: Values) -> Values:
    """Each gap filled by the last value before it."""
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(values.size)))
    return np.where(last >= 0, values[last], np.nan)


def _rounded(values: Values, digits: int) -> Values:
    """Half up, as loggers' firmware does."""
    rounded: Values = np.floor(values * 10.0**digits + 0.5) / 10.0**digits
    return rounded
