"""Judged hours as the rows that are written of them, each with how it follows what stands. Pure.

Whether a row is new, the same, or supersedes another is `store.judging.revise`'s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np

from alerts.hours import JudgedHours, JudgedSeries
from plant.periods import instant, month_of
from store.judging import HourMean, HourVerdict, Step, revise

MeanKey = tuple[str, datetime, str]
VerdictKey = tuple[str, datetime, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database holds of the judged hours, each with its revision."""

    means: Mapping[MeanKey, tuple[HourMean, int]]
    verdicts: Mapping[VerdictKey, tuple[HourVerdict, int]]


@dataclass(slots=True)
class Records:
    """What some hours of a stack come to."""

    means: dict[MeanKey, tuple[HourMean, Step]] = field(default_factory=dict)
    verdicts: dict[VerdictKey, tuple[HourVerdict, Step]] = field(default_factory=dict)

    def changed(self) -> list[HourVerdict]:
        return [verdict for verdict, step in self.verdicts.values() if step.changed]

    def revision(self, pollutant: str, start: datetime, pack: str) -> int:
        """Of the verdict of a listed hour."""
        return self.verdicts[pollutant, start, pack][1].revision


def records_of(judged: JudgedHours, hours: Collection[int], standing: Standing) -> Records:
    """The rows of those *hours* (starts) that are listed, or were."""
    wanted = np.flatnonzero(np.isin(judged.start, list(hours)))
    starts = {at: instant(int(judged.start[at])) for at in wanted.tolist()}
    months = {at: month_of(int(judged.start[at]), judged.subject.site.zone) for at in starts}
    records = Records()
    for series in judged.series:
        for at, start in starts.items():
            if _is_listed(series, at, start, standing):
                _add(records, series, at, start, months[at], standing)
    return records


def _is_listed(series: JudgedSeries, at: int, start: datetime, standing: Standing) -> bool:
    """An hour with a row is judged, and one that had been: its rows may be another instrument's now."""
    watched = series.watched
    if series.listed[at]:
        return True
    stood = (watched.pollutant, start, watched.method.name) in standing.means
    return stood and bool(watched.in_force(series.means.start[at : at + 1])[0])


def _add(records: Records, series: JudgedSeries, at: int, start: datetime, month: date, standing: Standing) -> None:
    key = (series.watched.pollutant, start, series.watched.method.name)
    if key not in records.means:
        mean = _mean(series, at, start)
        records.means[key] = (mean, revise(standing.means.get(key), mean))
    verdict = _verdict(series, at, start, month, records.means[key][1].revision)
    records.verdicts[verdict.key] = (verdict, revise(standing.verdicts.get(verdict.key), verdict))


def _mean(series: JudgedSeries, at: int, start: datetime) -> HourMean:
    means = series.means
    return HourMean(
        pollutant=series.watched.pollutant,
        start=start,
        averaging=series.watched.method.name,
        instrument=str(means.instrument[at]),
        rows=int(means.rows[at]),
        valid=bool(means.valid[at]),
        valid_minutes=int(means.valid_minutes[at]),
        not_running_minutes=int(means.not_running_minutes[at]),
        over_range_minutes=int(means.over_range_minutes[at]),
        claimed_minutes=int(means.claimed_minutes[at]),
        zero_minutes=int(means.zero_minutes[at]),
        mean=_number(means.mean[at]),
        o2=_number(means.o2[at]),
        mass_kg=_number(means.mass_kg[at]),
        rows_hash=means.rows_hash[at],
        final=bool(series.verdicts.final[at]),
    )


def _verdict(series: JudgedSeries, at: int, start: datetime, month: date, mean_revision: int) -> HourVerdict:
    verdicts, watched = series.verdicts, series.watched
    return HourVerdict(
        pollutant=watched.pollutant,
        start=start,
        pack=watched.pack.name,
        pack_version=watched.pack.version,
        averaging=watched.method.name,
        mean_revision=mean_revision,
        month=month,
        corrected=_number(verdicts.corrected[at]),
        corrected_from_minutes=_number(verdicts.corrected_from_minutes[at]),
        method_sensitive=bool(verdicts.method_sensitive[at]),
        limit_value=verdicts.limit,
        verdict=str(verdicts.verdict[at]),
        reason=str(verdicts.reason[at]),
        claimed=bool(verdicts.claimed[at]),
        final=bool(verdicts.final[at]),
    )


def _number(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
