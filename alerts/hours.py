"""Judging rows: the hours of one stack as means, verdicts and findings. Pure, and the same live and in a backtest.

    rows, accepted marks ──▶ hour means ──▶ verdicts ──▶ findings of the hour rules
                        ╰──▶ features of the values as sent

The arithmetic is `plant`'s. What follows from many hours is `alerts.review`'s, writing it down is `alerts.judge`'s. An
hour counts (is *listed*) under a pack where it has a row of the pollutant's instruments and the pack is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from alerts.rules import hour_above_limit, irrecoverable_hour, keep_below
from alerts.rules.finding import Finding
from alerts.rules.history import VerdictHours
from alerts.subject import Subject, Watched
from plant.features import Features, hour_features
from plant.hours import Claim, HourMeans, average_hours
from plant.periods import HOUR, Instants
from plant.readings import Rows, Truths
from plant.verdicts import HourVerdicts, judge_hours

_NOTHING: Final = np.array(None, dtype=object)


class HourRule(Protocol):
    """The findings of all hours of a series, one an hour at most; `period_start` is the start of the hour."""

    def __call__(
        self, watched: Watched, means: HourMeans, verdicts: HourVerdicts, *, now: int
    ) -> Iterable[Finding]: ...


HOUR_RULES: Final[Mapping[str, HourRule]] = {
    hour_above_limit.NAME: hour_above_limit.judge_hours_of,
    irrecoverable_hour.NAME: irrecoverable_hour.judge_hours_of,
    keep_below.NAME: keep_below.judge_hours_of,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSeries:
    """One pollutant under one pack, averaged and judged; arrays of shape (n_hours,)."""

    watched: Watched
    means: HourMeans
    verdicts: HourVerdicts
    listed: Truths  #: the hour has a row, and the pack is in force

    def hours(self) -> VerdictHours:
        """As a history holds them; revisions are the database's, here each hour has its first."""
        means, verdicts, listed = self.means, self.verdicts, self.listed
        return VerdictHours(
            verdict=np.where(listed, verdicts.verdict, _NOTHING),
            reason=np.where(listed, verdicts.reason, _NOTHING),
            corrected=np.where(listed, verdicts.corrected, np.nan),
            limit=np.where(listed, verdicts.limit, np.nan),
            mean=np.where(listed, means.mean, np.nan),
            o2=np.where(listed, means.o2, np.nan),
            mass_kg=np.where(listed, means.mass_kg, np.nan),
            valid_minutes=np.where(listed, means.valid_minutes, 0),
            claimed=listed & verdicts.claimed,
            revision=listed.astype(np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedHours:
    """Some hours of a stack in a row."""

    subject: Subject
    start: Instants
    now: int
    series: tuple[JudgedSeries, ...]  #: in the order of `Subject.watched`
    features: Features
    findings: tuple[Finding, ...]

    def verdicts(self) -> dict[tuple[str, str], VerdictHours]:
        """By (pack, pollutant), as `alerts.rules.history.History` has them."""
        return {(each.watched.pack.name, each.watched.pollutant): each.hours() for each in self.series}


def judge_rows(
    subject: Subject,
    rows: Mapping[str, Rows],
    *,
    first: int,
    n_hours: int,
    marks: Sequence[Claim] = (),
    now: int,
    with_features: bool = True,
) -> JudgedHours:
    """The *n_hours* hours from the instant *first* as they stand at the instant *now* (microseconds).

    *rows* by instrument: all that touch those hours, sorted. *marks* are the accepted ones. Features are of the rows
    that start in an hour; none are reckoned where nobody looks at them, and while no hour has ended none of channels.
    """
    averaged: dict[tuple[str, str], HourMeans] = {}
    series = tuple(
        _judge(watched, rows, averaged, first=first, n_hours=n_hours, marks=marks, now=now)
        for watched in subject.watched
    )
    return JudgedHours(
        subject=subject,
        start=first + np.arange(n_hours, dtype=np.int64) * HOUR,
        now=now,
        series=series,
        features=hour_features(
            rows if with_features else {},
            subject.stack,
            first=first,
            n_hours=n_hours,
            with_channels=subject.has_ended(first, now),
        ),
        findings=tuple(finding for each in series for finding in _findings(each, now)),
    )


def _judge(
    watched: Watched,
    rows: Mapping[str, Rows],
    averaged: dict[tuple[str, str], HourMeans],
    *,
    first: int,
    n_hours: int,
    marks: Sequence[Claim],
    now: int,
) -> JudgedSeries:
    """*averaged* keeps means by pollutant and method: packs that average alike share them."""
    key = (watched.pollutant, watched.method.name)
    if key not in averaged:
        averaged[key] = average_hours(
            rows, watched.pollutant, watched.stack, watched.method, first=first, n_hours=n_hours, accepted=marks
        )
    means = averaged[key]
    verdicts = judge_hours(
        means,
        watched.pack,
        watched.rule.outlet.key,
        watched.pollutant,
        already_corrected=watched.corrected,
        now=now,
        limit=watched.rule.limit,
    )
    listed = (means.rows > 0) & watched.in_force(means.start)
    return JudgedSeries(watched=watched, means=means, verdicts=verdicts, listed=listed)


def _findings(series: JudgedSeries, now: int) -> Iterable[Finding]:
    start = int(series.means.start[0]) if series.means.start.size else 0
    for judge in HOUR_RULES.values():
        for finding in judge(series.watched, series.means, series.verdicts, now=now):
            if series.listed[(finding.period_start - start) // HOUR]:
                yield finding
