"""The rows of one instrument as hours: which rows each hour has, what each stands for, which of a channel's count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plant.periods import HOUR, MINUTE, SECOND
from plant.readings import Counts, Rows, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """The rows of one instrument that start in a run of hours, sorted; each array has shape (n_rows,)."""

    n_hours: int
    bounds: Counts  #: shape (n_hours + 1,): hour h has the rows from bounds[h] to bounds[h + 1]
    offset: Counts  #: start of the row, in microseconds from the first hour's
    seconds: Values  #: for which it stands: until the next row of its hour, or the hour's end, at the longest
    minute: Counts  #: in which it starts, from the first hour's
    slot: Counts  #: its place in its hour, in intervals

    @classmethod
    def of(cls, rows: Rows, window: slice, *, first: int, n_hours: int) -> Hours:
        at = rows.sampled_at[window]
        offset = at - first
        bounds = np.searchsorted(offset, np.arange(n_hours + 1, dtype=np.int64) * HOUR).astype(np.int64)
        hour = np.repeat(np.arange(n_hours, dtype=np.int64), np.diff(bounds))
        until = (hour + 1) * HOUR
        np.minimum(until[:-1], offset[1:], out=until[:-1])
        interval = np.maximum(rows.interval_s[window], 1) * SECOND
        return cls(
            n_hours=n_hours,
            bounds=bounds,
            offset=offset,
            seconds=np.minimum(interval, until - offset) / SECOND,
            minute=offset // MINUTE,
            slot=(offset - hour * HOUR) // interval,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The rows of a channel that count, and the hours that have some."""

    value: Values
    seconds: Values
    hours: Counts  #: that have rows, rising
    starts: Counts  #: of their rows
    counts: Counts

    @classmethod
    def of(cls, hours: Hours, value: Values, index: Counts) -> Kept:
        bounds = np.searchsorted(index, hours.bounds)
        counts = np.diff(bounds)
        present = np.flatnonzero(counts)
        return cls(
            value=value[index],
            seconds=hours.seconds[index],
            hours=present,
            starts=bounds[:-1][present],
            counts=counts[present],
        )

    def sum(self, of: Values) -> Values:
        return np.asarray(np.add.reduceat(of, self.starts))

    def spread(self, of_hours: Values) -> Values:
        """What is known of each hour, at each of its rows."""
        return np.repeat(of_hours, self.counts)

    def at(self, of_hours: Values, n_hours: int) -> Values:
        """What is known of the hours that have rows, at all hours; NaN at the others."""
        if self.hours.size == n_hours:
            return of_hours
        out = np.full(n_hours, np.nan)
        out[self.hours] = of_hours
        return out
