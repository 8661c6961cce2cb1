"""Hour means: rows to minutes to hours, with their validity (contract, section 5; HJ 212-2017 App. D eq. 23, 24).

`average_hours` takes every row of one stack that touches a run of hours and gives the means of one pollutant
for each hour at once. It knows no limit: `plant.verdicts` does. Sums run in the order of `sampled_at`, so the
same rows give bit-equal means whatever the order in which they arrived.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from plant.conversion import mass_kg
from plant.packs import Averaging
from plant.periods import HOUR, MINUTE, Instants
from plant.readings import Counts, Reading, Rows, Truths, Values, flow_of, reading
from plant.register import Stack

MINUTES: Final = HOUR // MINUTE


@dataclass(frozen=True, slots=True)
class Claim:
    """An accepted mark: `[start, end)` in microseconds; a condition of the source, or of the device."""

    start: int
    end: int
    of_source: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How hours of one pollutant are averaged: the pack's parameters and what corrects the channel here."""

    averaging: Averaging
    with_oxygen: bool

    @property
    def name(self) -> str:
        """Names the method in the database: a mean knows how it was averaged, and no pack."""
        rule = self.averaging
        oxygen = f";o2<{rule.oxygen_at_ambient_vol_pct:g}" if self.with_oxygen else ""
        return f"cover={rule.min_minute_cover:g};valid={rule.min_valid_minutes};off={rule.not_running_minutes}{oxygen}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HourMeans:
    """One pollutant of one stack, hour by hour; every array has shape (n_hours,)."""

    start: Instants
    instrument: npt.NDArray[np.object_]
    rows: Counts
    valid: Truths
    valid_minutes: Counts
    not_running_minutes: Counts
    over_range_minutes: Counts
    claimed_minutes: Counts
    accepted_off_minutes: Counts  #: not running by an accepted mark, whatever the rows say
    mean: Values  #: mg/m3, dry, standard state, at measured oxygen
    o2: Values  #: vol %, dry, over the same minutes
    mass_kg: Values
    minute_mean: Values  #: shape (n_hours, 60)
    minute_o2: Values  #: shape (n_hours, 60)
    rows_hash: Sequence[bytes]


def average_hours(
    rows: Mapping[str, Rows],
    pollutant: str,
    stack: Stack,
    method: Method,
    *,
    first: int,
    n_hours: int,
    accepted: Sequence[Claim] = (),
) -> HourMeans:
    """Means of *pollutant* for the *n_hours* hours from the instant *first*.

    *rows* by instrument: all that touch those hours, an earlier row that reaches into them too. An hour takes
    the first instrument of `stack.judged_from` that makes it valid, else the first that has any row; it
    never mixes two. Hours without a row have `rows` 0.
    """
    grid = _Grid(first, n_hours)
    not_running = _not_running(rows, grid, accepted)
    ranked = [
        _average(name, rows[name], pollutant, stack, method, grid, not_running, accepted)
        for name in stack.judged_from
        if name in rows
    ]
    return _first_valid(ranked, grid)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The minutes of a run of hours."""

    first: int
    n_hours: int

    @property
    def n_minutes(self) -> int:
        return self.n_hours * MINUTES

    def spread(self, rows: Rows) -> tuple[Counts, Counts, Counts]:
        """(row, minute, seconds) of each minute that a row covers.

        A row belongs to the minute it starts in; one of n x 60 s covers n minutes.
        """
        long = (rows.interval_s >= 60) & (rows.interval_s % 60 == 0)
        n_covered = np.where(long, rows.interval_s // 60, 1)
        row = np.repeat(np.arange(rows.sampled_at.size), n_covered)
        nth = np.arange(row.size) - np.repeat(np.cumsum(n_covered) - n_covered, n_covered)
        minute = (rows.sampled_at[row] - self.first) // MINUTE + nth
        inside = (minute >= 0) & (minute < self.n_minutes)
        return row[inside], minute[inside], np.minimum(rows.interval_s, 60)[row[inside]]

    def claimed(self, claims: Sequence[Claim], *, of_source: bool) -> Truths:
        """Minutes that an accepted mark covers, in whole or in part."""
        covered = np.zeros(self.n_minutes, dtype=bool)
        for claim in claims:
            if claim.of_source == of_source and claim.end > self.first:
                start = max(0, (claim.start - self.first) // MINUTE)
                covered[start : max(start, -((self.first - claim.end) // MINUTE))] = True
        return covered


def _not_running(rows: Mapping[str, Rows], grid: _Grid, accepted: Sequence[Claim]) -> Truths:
    """Minutes in which a row of any instrument, or an accepted mark, says that the source does not run."""
    stopped = grid.claimed(accepted, of_source=True)
    for instrument in rows.values():
        row, minute, _ = grid.spread(instrument)
        stopped[minute[instrument.not_running[row]]] = True
    return stopped


def _average(
    name: str,
    rows: Rows,
    pollutant: str,
    stack: Stack,
    method: Method,
    grid: _Grid,
    not_running: Truths,
    accepted: Sequence[Claim],
) -> HourMeans:
    row, minute, seconds = grid.spread(rows)
    found = reading(rows, pollutant, stack, with_oxygen=method.with_oxygen)
    n = grid.n_minutes

    def per_minute(weights: npt.NDArray[np.float64]) -> Values:
        return np.bincount(minute, weights, n).astype(np.float64)

    counted = found.counted[row]
    cover = per_minute(np.where(counted, seconds, 0).astype(np.float64))
    device = grid.claimed(accepted, of_source=False)
    valid = (cover >= method.averaging.min_minute_cover * 60) & ~not_running & ~device
    minute_mean = _mean(found.value[row], counted, minute, n)
    minute_o2 = _mean(found.o2[row], (found.o2_usable & ~np.isnan(found.o2))[row], minute, n)
    if method.with_oxygen:
        valid &= ~np.isnan(minute_o2)
    over_range = (per_minute(found.over_range[row].astype(np.float64)) > 0) & ~not_running & ~device
    # Any row covers, whatever its flag or value: what is left out then, a claim of the plant's took out.
    present = per_minute(seconds.astype(np.float64)) >= method.averaging.min_minute_cover * 60
    flagged = per_minute(found.flagged[row].astype(np.float64)) > 0
    accepted_off = grid.claimed(accepted, of_source=True)
    said_stopped = not_running & ~accepted_off
    claimed = present & ~valid & ((flagged & ~device) | said_stopped)

    hour = np.arange(n) // MINUTES

    def per_hour(truth: Truths) -> Counts:
        return np.bincount(hour, truth, grid.n_hours).astype(np.int64)

    valid_minutes = per_hour(valid)
    stopped = per_hour(not_running)
    touched = _touched(row, minute // MINUTES, grid.n_hours)
    mean = _mean(minute_mean, valid, hour, grid.n_hours)
    flow_rate = flow_of(rows, stack)
    flow = _mean(flow_rate[row], ~np.isnan(flow_rate)[row], minute, n)
    hour_is_valid = (stopped < method.averaging.not_running_minutes) & (
        valid_minutes >= method.averaging.min_valid_minutes
    )
    return HourMeans(
        start=grid.first + np.arange(grid.n_hours, dtype=np.int64) * HOUR,
        instrument=np.full(grid.n_hours, name, dtype=object),
        rows=np.diff(touched.edges),
        valid=hour_is_valid,
        valid_minutes=valid_minutes,
        not_running_minutes=stopped,
        over_range_minutes=per_hour(over_range),
        claimed_minutes=per_hour(claimed),
        accepted_off_minutes=per_hour(accepted_off),
        mean=mean,
        o2=_mean(minute_o2, valid & ~np.isnan(minute_o2), hour, grid.n_hours),
        mass_kg=np.where(
            hour_is_valid,
            mass_kg(np.maximum(mean, 0.0), _mean(flow, valid & ~np.isnan(flow), hour, grid.n_hours)),
            np.nan,
        ),
        minute_mean=np.where(valid, minute_mean, np.nan).reshape(-1, MINUTES),
        minute_o2=np.where(valid, minute_o2, np.nan).reshape(-1, MINUTES),
        rows_hash=_hashes(rows, found, touched),
    )


def _first_valid(ranked: Sequence[HourMeans], grid: _Grid) -> HourMeans:
    """Hour by hour the first of *ranked* that is valid, else the first that has a row."""
    if not ranked:
        return _no_hours(grid)
    if len(ranked) == 1:
        return ranked[0]
    score = np.stack([2 * means.valid + (means.rows > 0) for means in ranked])
    choice = np.argmax(score, axis=0)  # the first of the highest: rank decides between equals

    def pick(name: str) -> Any:
        stacked = np.stack([getattr(means, name) for means in ranked])
        return stacked[choice, np.arange(grid.n_hours)]

    names = [name for name in HourMeans.__slots__ if name != "rows_hash"]
    hashes = [ranked[which].rows_hash[hour] for hour, which in enumerate(choice)]
    return HourMeans(**{name: pick(name) for name in names}, rows_hash=hashes)


def _no_hours(grid: _Grid) -> HourMeans:
    n = grid.n_hours
    none, nan = np.zeros(n, dtype=np.int64), np.full(n, np.nan)
    return HourMeans(
        start=grid.first + np.arange(n, dtype=np.int64) * HOUR,
        instrument=np.full(n, "", dtype=object),
        rows=none,
        valid=np.zeros(n, dtype=bool),
        valid_minutes=none,
        not_running_minutes=none,
        over_range_minutes=none,
        claimed_minutes=none,
        accepted_off_minutes=none,
        mean=nan,
        o2=nan,
        mass_kg=nan,
        minute_mean=np.full((n, MINUTES), np.nan),
        minute_o2=np.full((n, MINUTES), np.nan),
        rows_hash=[b""] * n,
    )


def _mean(value: Values, of: Truths, group: Counts, n_groups: int) -> Values:
    """The mean of the values *of* each group, added up in their order; NaN where there are none.

    What is added up is the distance from the group's first value: equal values give that value to the last digit,
    where a plain sum would show a reading of 61.2 as 61.19999999999994.
    """
    group, value = group[of], value[of]
    count = np.bincount(group, None, n_groups)
    first = np.full(n_groups, np.nan)
    first[group[::-1]] = value[::-1]  # of several, the last one written stays: the first in order
    distance = np.bincount(group, value - first[group], n_groups)
    mean: Values = first + np.divide(distance, count, out=np.zeros(n_groups), where=count > 0)
    return mean


@dataclass(frozen=True, slots=True)
class _Touched:
    """The rows that touch each hour: `row[edges[h]:edges[h + 1]]`, in the order of `sampled_at`."""

    row: Counts
    edges: Counts


def _touched(row: Counts, hour: Counts, n_hours: int) -> _Touched:
    """*row* and *hour* are of each minute a row covers, in the order of the rows."""
    once = np.ones(row.size, dtype=bool)
    once[1:] = (row[1:] != row[:-1]) | (hour[1:] != hour[:-1])
    row, hour = row[once], hour[once]
    if np.any(hour[1:] < hour[:-1]):  # a row that reaches into the next hour, and one after it that does not
        order = np.argsort(hour, kind="stable")
        row, hour = row[order], hour[order]
    return _Touched(row, np.searchsorted(hour, np.arange(n_hours + 1)))


def _hashes(rows: Rows, found: Reading, touched: _Touched) -> list[bytes]:
    """A digest of what each hour was computed from: times, intervals, values, oxygen, flags and states."""
    order, edges = touched.row, touched.edges
    table = np.column_stack(
        [
            rows.sampled_at[order],
            rows.interval_s[order],
            found.value.view(np.int64)[order],
            found.o2.view(np.int64)[order],
            found.counted[order],
            found.over_range[order],
            rows.not_running[order],
        ]
    ).astype(np.int64)
    return [
        hashlib.blake2b(table[edges[h] : edges[h + 1]].tobytes(), digest_size=16).digest()
        for h in range(edges.size - 1)
    ]
