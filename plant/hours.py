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
from plant.minutes import spread
from plant.packs import Averaging
from plant.periods import HOUR, MINUTE, Instants
from plant.readings import Counts, Reading, Rows, Truths, Values, flow_of, reading
from plant.register import Stack
from plant.sums import means as means_of

MINUTES: Final = HOUR // MINUTE


@dataclass(frozen=True, slots=True)
class Claim:
    """An accepted mark: `[start, end)` in microseconds. What it covers is not running (contract, section 5)."""

    start: int
    end: int


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
    zero_minutes: Counts  #: valid minutes of exactly zero: no analyser is so still
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
    never mixes two. Where the outlet has several ducts, their instruments together are one, weighted by flow. Hours
    without a row have `rows` 0.
    """
    grid = _Grid(first, n_hours)
    not_running = _not_running(rows, grid, accepted)
    accepted_off = grid.claimed(accepted)

    def minutes(name: str) -> _Minutes:
        return _minutes(name, rows[name], pollutant, stack, method, grid, not_running, accepted)

    sources: list[_Minutes] = []
    if stack.ducts:
        if all(name in rows for name in stack.ducts):
            sources = [_weighted_by_flow([minutes(name) for name in stack.ducts])]
    else:
        sources = [minutes(name) for name in stack.judged_from if name in rows]
    ranked = [_hours(source, method, grid, not_running, accepted_off) for source in sources]
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
        """(row, minute, seconds) of each minute that a row covers."""
        return spread(rows.sampled_at, rows.interval_s, self.first, self.n_minutes)

    def claimed(self, claims: Sequence[Claim]) -> Truths:
        """Minutes that an accepted mark covers, in whole or in part."""
        covered = np.zeros(self.n_minutes, dtype=bool)
        for claim in claims:
            if claim.end > self.first:
                start = max(0, (claim.start - self.first) // MINUTE)
                covered[start : max(start, -((self.first - claim.end) // MINUTE))] = True
        return covered


def _not_running(rows: Mapping[str, Rows], grid: _Grid, accepted: Sequence[Claim]) -> Truths:
    """Minutes in which a row of any instrument, or an accepted mark, says that the source does not run."""
    stopped = grid.claimed(accepted)
    for instrument in rows.values():
        row, minute, _ = grid.spread(instrument)
        stopped[minute[instrument.not_running[row]]] = True
    return stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class _Minutes:
    """One pollutant of one instrument, or of all ducts together, minute by minute; arrays of shape (n_minutes,)."""

    instrument: str
    value: Values
    o2: Values
    flow: Values
    valid: Truths
    over_range: Truths
    claimed: Truths
    rows: Counts  #: shape (n_hours,)
    rows_hash: Sequence[bytes]  #: of each hour


def _minutes(
    name: str,
    rows: Rows,
    pollutant: str,
    stack: Stack,
    method: Method,
    grid: _Grid,
    not_running: Truths,
    accepted: Sequence[Claim],
) -> _Minutes:
    row, minute, seconds = grid.spread(rows)
    found = reading(rows, pollutant, stack, with_oxygen=method.with_oxygen)
    n = grid.n_minutes
    enough_s = method.averaging.min_minute_cover * 60

    def any_row(truth: Truths) -> Truths:
        minutes = np.zeros(n, dtype=bool)
        minutes[minute[truth[row]]] = True
        return minutes

    counted = found.counted[row]
    valid = (np.bincount(minute, np.where(counted, seconds, 0), n) >= enough_s) & ~not_running
    o2 = means_of(found.o2[row], (found.o2_usable & ~np.isnan(found.o2))[row], minute, n)
    if method.with_oxygen:
        valid &= ~np.isnan(o2)
    # Any row covers, whatever its flag or value: what is left out then, a claim of the plant's took out.
    present = np.bincount(minute, seconds, n) >= enough_s
    said_stopped = not_running & ~grid.claimed(accepted)
    flow = flow_of(rows, stack)
    touched = _touched(row, minute // MINUTES, grid.n_hours)
    return _Minutes(
        instrument=name,
        value=means_of(found.value[row], counted, minute, n),
        o2=o2,
        flow=means_of(flow[row], ~np.isnan(flow)[row], minute, n),
        valid=valid,
        over_range=any_row(found.over_range) & ~not_running,
        claimed=present & ~valid & (any_row(found.flagged) | said_stopped),
        rows=np.diff(touched.edges),
        rows_hash=_hashes(rows, found, touched),
    )


def _weighted_by_flow(ducts: Sequence[_Minutes]) -> _Minutes:
    """Several ducts of one outlet: each minute's mean by their flows, valid where every duct and its flow is."""
    flow = np.stack([duct.flow for duct in ducts])
    total = flow.sum(axis=0)
    valid = np.logical_and.reduce([duct.valid for duct in ducts]) & (flow >= 0).all(axis=0) & (total > 0)

    def weighted(parts: Sequence[Values]) -> Values:
        mean: Values = np.divide(
            (np.stack(parts) * flow).sum(axis=0), total, out=np.full(total.size, np.nan), where=valid
        )
        return mean

    return _Minutes(
        instrument="+".join(duct.instrument for duct in ducts),
        value=weighted([duct.value for duct in ducts]),
        o2=weighted([duct.o2 for duct in ducts]),
        flow=total,
        valid=valid,
        over_range=np.logical_or.reduce([duct.over_range for duct in ducts]),
        claimed=np.logical_or.reduce([duct.claimed for duct in ducts]) & ~valid,
        rows=np.sum([duct.rows for duct in ducts], axis=0),
        rows_hash=[
            hashlib.blake2b(b"".join(parts), digest_size=16).digest()
            for parts in zip(*(duct.rows_hash for duct in ducts), strict=True)
        ],
    )


def _hours(minutes: _Minutes, method: Method, grid: _Grid, not_running: Truths, accepted_off: Truths) -> HourMeans:
    hour = np.arange(grid.n_minutes) // MINUTES
    valid = minutes.valid

    def count(truth: Truths) -> Counts:
        counts: Counts = truth.reshape(-1, MINUTES).sum(axis=1)
        return counts

    valid_minutes, stopped = count(valid), count(not_running)
    hour_is_valid = (stopped < method.averaging.not_running_minutes) & (
        valid_minutes >= method.averaging.min_valid_minutes
    )
    mean = means_of(minutes.value, valid, hour, grid.n_hours)
    flow = means_of(minutes.flow, valid & ~np.isnan(minutes.flow), hour, grid.n_hours)
    return HourMeans(
        start=grid.first + np.arange(grid.n_hours, dtype=np.int64) * HOUR,
        instrument=np.full(grid.n_hours, minutes.instrument, dtype=object),
        rows=minutes.rows,
        valid=hour_is_valid,
        valid_minutes=valid_minutes,
        not_running_minutes=stopped,
        over_range_minutes=count(minutes.over_range),
        claimed_minutes=count(minutes.claimed),
        accepted_off_minutes=count(accepted_off),
        zero_minutes=count(valid & (minutes.value == 0)),
        mean=mean,
        o2=means_of(minutes.o2, valid & ~np.isnan(minutes.o2), hour, grid.n_hours),
        # A mean below zero is the noise of an analyser at zero: nothing is taken out of the air.
        mass_kg=np.where(hour_is_valid, mass_kg(np.maximum(mean, 0.0), flow), np.nan),
        minute_mean=np.where(valid, minutes.value, np.nan).reshape(-1, MINUTES),
        minute_o2=np.where(valid, minutes.o2, np.nan).reshape(-1, MINUTES),
        rows_hash=minutes.rows_hash,
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
        zero_minutes=none,
        mean=nan,
        o2=nan,
        mass_kg=nan,
        minute_mean=np.full((n, MINUTES), np.nan),
        minute_o2=np.full((n, MINUTES), np.nan),
        rows_hash=[b""] * n,
    )


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
    """A digest of what each hour was computed from: times, intervals, values, oxygen, what counts and what stopped."""
    order, edges = touched.row, touched.edges
    said = rows.interval_s * 8 + found.counted + 2 * found.over_range + 4 * rows.not_running
    table = np.empty((order.size, 4), dtype=np.int64)
    for column, values in enumerate((rows.sampled_at, said, found.value.view(np.int64), found.o2.view(np.int64))):
        table[:, column] = values[order]
    return [
        hashlib.blake2b(table[edges[hour] : edges[hour + 1]].data, digest_size=16).digest()
        for hour in range(edges.size - 1)
    ]
