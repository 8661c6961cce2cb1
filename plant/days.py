"""Local days and months of hours: means, totals, and when they are valid (HJ 212-2017 App. D eq. 25, 32, 34).

Works on any hourly figure, measured or corrected, with or without substitution: which one it is given is the
caller's matter. Hours come in any order; sums run in the order of time, so the same hours give bit-equal means. An
hour belongs to the local day, and that to the local month, in which it starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from plant.conversion import Values
from plant.packs import DayRule
from plant.periods import HOUR, Instants, instant, micros
from plant.sums import distances

Counts = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]
Dates = npt.NDArray[np.datetime64]  #: shape (n,), unit D: local calendar days

FEBRUARY: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What makes a day and a month valid (regulation sheet, 3.4)."""

    min_valid_hours: int = 20  #: of a day; eq. 25, m >= 20, mark V-P
    min_valid_days: int = 25  #: of a month; mark K-M
    min_valid_days_february: int = 23  #: mark K-M

    @classmethod
    def of(cls, rule: DayRule) -> Completeness:
        """What a pack asks of days made of hours; where it is silent, the defaults above."""
        asked = {
            "min_valid_hours": rule.min_valid,
            "min_valid_days": rule.min_valid_days,
            "min_valid_days_february": rule.min_valid_days_february,
        }
        return cls(**{name: number for name, number in asked.items() if number is not None})

    def days_needed(self, months: npt.NDArray[np.datetime64]) -> Counts:
        """Valid days that each of *months* (unit M) needs."""
        number = months.astype("datetime64[M]").astype(np.int64) % 12 + 1
        return np.where(number == FEBRUARY, self.min_valid_days_february, self.min_valid_days).astype(np.int64)


DEFAULT: Final = Completeness()


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMeans:
    """One hourly figure day by day; every array has shape (n_days,)."""

    day: Dates
    hours: Counts  #: hours of the local calendar day: 24, or 23 or 25 where clocks change
    valid_hours: Counts
    valid: Truths
    mean: Values  #: of the valid hours; NaN where the day is not valid


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals:
    """What came out day by day; every array has shape (n_days,)."""

    day: Dates
    hours: Counts
    counted_hours: Counts  #: hours with a figure; the others are unknown, not zero
    total: Values  #: of the counted hours; NaN without one


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthMeans:
    """Day means month by month; every array has shape (n_months,)."""

    month: npt.NDArray[np.datetime64]  #: unit M
    days: Counts  #: of those given
    valid_days: Counts
    needed_days: Counts
    valid: Truths
    mean: Values  #: of the valid days; NaN where the month is not valid


def day_edges(first: date, n_days: int, zone: ZoneInfo) -> Instants:
    """The starts of *n_days* local days from *first*, and the end of the last; shape (n_days + 1,).

    Where clocks skip midnight, the day starts at the skip.
    """
    days = (first + timedelta(days=n) for n in range(n_days + 1))
    return np.array([micros(datetime(day.year, day.month, day.day, tzinfo=zone)) for day in days], dtype=np.int64)


def average_days(
    start: Instants, value: Values, valid: Truths, zone: ZoneInfo, *, rule: Completeness = DEFAULT
) -> DayMeans:
    """Means of the local days that the hours touch, from the first to the last without a gap (eq. 25).

    *start*, *value* and *valid* have shape (n_hours,). A NaN is not valid. Each hour counts the same.
    """
    days = _group(start, value, valid & ~np.isnan(value), zone)
    enough = days.count >= rule.min_valid_hours
    mean = days.first + np.divide(days.distance, days.count, out=np.full(days.day.size, np.nan), where=days.count > 0)
    return DayMeans(
        day=days.day, hours=days.hours, valid_hours=days.count, valid=enough, mean=np.where(enough, mean, np.nan)
    )


def total_days(start: Instants, value: Values, zone: ZoneInfo) -> DayTotals:
    """Sums over the hours of each local day: daily mass `Gd = sum(Gh)` [kg] (eq. 34), daily flow (eq. 32).

    *start* and *value* have shape (n_hours,); NaN is an hour without a figure. The printed eq. 34 repeats the 1e-6
    of eq. 33; that is read as a misprint [D], for the hourly rates are kilograms already.

    Examples
    --------
    >>> hours = micros(datetime(2026, 11, 10, tzinfo=ZoneInfo("Asia/Shanghai"))) + np.arange(24) * HOUR
    >>> round(float(total_days(hours, np.full(24, 21.26), ZoneInfo("Asia/Shanghai")).total[0]), 2)
    510.24
    """
    days = _group(start, value, ~np.isnan(value), zone, from_first=False)
    total = np.where(days.count > 0, days.distance, np.nan)
    return DayTotals(day=days.day, hours=days.hours, counted_hours=days.count, total=total)


def average_months(days: DayMeans, *, rule: Completeness = DEFAULT) -> MonthMeans:
    """Means of the local months that *days* touch: the mean of the valid days' means.

    That a month averages its days, and not its hours, is our reading [D]; that it needs 25 valid days, 23 in
    February, is marked K-M.
    """
    month = days.day.astype("datetime64[M]")
    months = np.unique(month)
    which = np.searchsorted(months, month)
    count = np.bincount(which[days.valid], minlength=months.size).astype(np.int64)
    needed = rule.days_needed(months)
    first, distance = distances(days.mean[days.valid], which[days.valid], months.size)
    enough = count >= needed
    mean = first + np.divide(distance, count, out=np.full(months.size, np.nan), where=count > 0)
    return MonthMeans(
        month=months,
        days=np.bincount(which, minlength=months.size).astype(np.int64),
        valid_days=count,
        needed_days=needed,
        valid=enough,
        mean=np.where(enough, mean, np.nan),
    )


@dataclass(frozen=True, slots=True)
class _Days:
    day: Dates
    hours: Counts
    count: Counts
    first: Values  #: the first counted value of the day
    distance: Values  #: the sum of the distances from it, or of the values


def _group(start: Instants, value: Values, counted: Truths, zone: ZoneInfo, *, from_first: bool = True) -> _Days:
    if start.size == 0:
        none = np.zeros(0, dtype=np.int64)
        return _Days(np.zeros(0, dtype="datetime64[D]"), none, none, np.zeros(0), np.zeros(0))
    order = np.argsort(start, kind="stable")
    start, value, counted = start[order], value[order], counted[order]
    if np.any(start[1:] == start[:-1]):
        raise ValueError("an hour is there twice")
    first, last = (instant(int(at)).astimezone(zone).date() for at in (start[0], start[-1]))
    n_days = (last - first).days + 1
    edges = day_edges(first, n_days, zone)
    which = np.searchsorted(edges, start, side="right") - 1
    which, value = which[counted], value[counted]
    if from_first:
        origin, total = distances(value, which, n_days)
    else:
        origin, total = np.zeros(n_days), np.bincount(which, value, n_days).astype(np.float64)
    return _Days(
        day=np.datetime64(first, "D") + np.arange(n_days),
        hours=np.diff(edges) // HOUR,
        count=np.bincount(which, minlength=n_days).astype(np.int64),
        first=origin,
        distance=total,
    )
