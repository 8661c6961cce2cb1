"""What a process value was while its machine worked: order statistics over all hours of the days before an hour's day.

`alerts.rules.usual` has the middle of a quantity day by day; a machine that works in shifts, stands for a week or is
looked at by its load needs the hours themselves. All hours of a UTC day are held against the same 13 days before it,
so a year costs a few hundred sorts of 312 values, and an hour depends on the 14 days up to it and on nothing else.
Which hours may teach (those in which the source ran, those by day) is the rule's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.rules.rule import LONGEST_REACH_H
from plant.periods import HOUR, Instants
from plant.readings import Counts, Truths, Values

DAYS: Final = 13
REACH_H: Final = LONGEST_REACH_H  #: the last hour of a day lies 23 hours behind its start
FEWEST_H: Final = 24  #: a day's worth of hours before anything is known [D]
WORKING_SHARE: Final = 0.3
"""Of the 90th percentile: below it a machine idles. Fans, pumps and furnaces at their turn-down draw more, standing
ones draw a few per cent [D]."""

_DAY_H: Final = 24


@dataclass(frozen=True, slots=True)
class Learned:
    """The values that taught, in order, by day."""

    day: Counts  #: shape (n_hours,), the place of each hour's day
    ordered: Values  #: shape (n_days, 312), rising, NaN behind
    count: Counts  #: shape (n_days,)

    def quantile(self, share: float, *, fewest: int = FEWEST_H) -> Values:
        """Shape (n_hours,): the value that *share* of them are not above; NaN with fewer than *fewest*."""
        return self._by_hour(self._at(share, self.count, fewest))

    def working(self, share: float = 0.5, *, fewest: int = FEWEST_H) -> Values:
        """Shape (n_hours,): the same of those above `WORKING_SHARE` of the 90th percentile: while the machine worked.

        A value that is not above zero at its 90th percentile is of a machine that never worked: NaN.
        """
        most = self._at(0.9, self.count, 1)
        with np.errstate(invalid="ignore"):
            above = self.ordered > WORKING_SHARE * most[:, np.newaxis]
        n = np.where(most > 0, above.sum(axis=1), 0)
        return self._by_hour(self._at(share, n, fewest))

    def _at(self, share: float, n: Counts, fewest: int) -> Values:
        """By day, the value that *share* of the highest *n* are not above, the lower of two neighbours."""
        place = self.count - n + np.floor(share * (n - 1)).astype(np.int64)
        found = self.ordered[np.arange(n.size), np.clip(place, 0, self.ordered.shape[1] - 1)]
        return np.where(n >= fewest, found, np.nan)

    def _by_hour(self, by_day: Values) -> Values:
        taken: Values = by_day[self.day]
        return taken


def learned(start: Instants, value: Values, teaches: Truths, asked: Truths | None = None) -> Learned:
    """What *value* was in the hours that *teach*; arrays of shape (n_hours,), hours that follow one another.

    Only the days of hours that are *asked* are learned for; of the others nothing is known. None: of every day.
    """
    day, taught = windows(start, np.where(teaches, value, np.nan))
    if asked is not None:
        days = np.unique(day[asked])
        places = np.full(taught.shape[0], days.size)
        places[days] = np.arange(days.size)
        day, taught = places[day], np.concatenate([taught[days], np.full((1, taught.shape[1]), np.nan)])
    ordered = np.sort(taught, axis=1)
    return Learned(day, ordered, (~np.isnan(ordered)).sum(axis=1))


def highest(start: Instants, value: Values) -> Values:
    """Shape (n_hours,): the highest *value* in the 13 days before each hour's day; NaN without any."""
    into, grid = _by_day(start, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # days without a value
        of_days = np.nanmax(grid, axis=1)
        most = np.nanmax(np.lib.stride_tricks.sliding_window_view(of_days[:-1], DAYS), axis=1)
    found: Values = most[(np.arange(start.size) + into) // _DAY_H]
    return found


def windows(start: Instants, value: Values) -> tuple[Counts, Values]:
    """The place of each hour's day, shape (n_hours,), and by day what *value* was in the 13 days before: (n_days, 312).

    NaN where the hours do not reach back.
    """
    into, grid = _by_day(start, value)
    # Day d is row d + DAYS, so its window are the rows from d on.
    rows = np.lib.stride_tricks.sliding_window_view(grid[:-1], DAYS, axis=0)
    return (np.arange(start.size) + into) // _DAY_H, rows.swapaxes(1, 2).reshape(-1, DAYS * _DAY_H)


def _by_day(start: Instants, value: Values) -> tuple[int, Values]:
    """The hour of its day in which the first hour lies, and (DAYS + n_days, 24) with DAYS empty days before."""
    into = int(start[0] // HOUR % _DAY_H) if start.size else 0
    n_days = max(1, -(-(into + start.size) // _DAY_H))
    grid = np.full((n_days + DAYS) * _DAY_H, np.nan)
    first = DAYS * _DAY_H + into
    grid[first : first + start.size] = value
    return into, grid.reshape(-1, _DAY_H)
