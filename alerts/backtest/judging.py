"""Judging the history of one stack: its rows part by part, then everything that follows from many hours.

    rows of a part ──▶ `judge_part` ──▶ arrays by the hour ─╮
    rows of a part ──▶ `judge_part` ──▶ arrays by the hour ─┴▶ `conclude` ──▶ hours, months, alerts

Both are pure and what lies between them can be sent elsewhere, so parts may be judged on several machines. What is
judged is what the live stage judges, by the same functions: `alerts.hours`, `plant.months`, `alerts.review`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np

from alerts.backtest.results import Hours, JudgedAlert, MonthKey, Result, SeriesKey, Texts
from alerts.hours import judge_rows
from alerts.lives import Episode
from alerts.review import review
from alerts.rules import hour_above_limit, month_below_share
from alerts.rules.catalogue import RULES
from alerts.rules.finding import Finding
from alerts.rules.history import History, Span, VerdictHours
from alerts.subject import Subject, Watched
from plant.features import Features
from plant.hours import Claim
from plant.months import JudgedHour, Month, judge_month
from plant.periods import HOUR, SECOND, Instants, hour_start, month_bounds, month_of
from plant.readings import Counts, Rows, Truths, Values
from plant.verdicts import Verdict

REACH_H: Final = max((rule.reach_h for rule in RULES), default=0)
"""Silence that rules look back on from the first hour, as they do where a stack was never heard of before."""
BLOCKS: Final = tuple(f"block{n}" for n in range(6))
Pair = tuple[str, str]  #: (pack, pollutant)
Blocks = Mapping[tuple[str, str], Mapping[str, Values]]  #: by (instrument, channel), the features BLOCKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What there is about a stack beside its rows, as `History` has it: over the hours that are judged, and `REACH_H`
    before them."""

    marks: tuple[Span, ...] = ()
    orders: tuple[Span, ...] = ()
    changes: tuple[Span, ...] = ()
    conflicts: Mapping[str, Counts] = field(default_factory=dict)
    reported: Mapping[tuple[str, str, str], Values] = field(default_factory=dict)
    signals: Mapping[tuple[str, str, str], Values] = field(default_factory=dict)
    records: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    mass_before: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some hours of one stack in a row; arrays of shape (n_hours,)."""

    first: int  #: start of the first hour, microseconds since the epoch
    n_hours: int
    rows: int
    features: Features
    verdicts: Mapping[Pair, VerdictHours]
    findings: tuple[Finding, ...]
    conflicts: Mapping[str, Counts]

    @property
    def end(self) -> int:
        return self.first + self.n_hours * HOUR

    def blocks(self) -> Blocks:
        """What the site's other stacks are compared with."""
        kept = {key: {name: of[name] for name in BLOCKS if name in of} for key, of in self.features.channels.items()}
        return {key: of for key, of in kept.items() if of}


def judge_part(
    subject: Subject,
    rows: Mapping[str, Rows],
    *,
    first: int,
    n_hours: int,
    now: int,
    accepted: Sequence[Claim] = (),
    conflicts: Mapping[str, Instants] | None = None,
) -> Part:
    """The *n_hours* hours from the instant *first*, as `alerts.hours.judge_rows`; *conflicts* by channel: when."""
    judged = judge_rows(subject, rows, first=first, n_hours=n_hours, marks=accepted, now=now)
    return Part(
        first=first,
        n_hours=n_hours,
        rows=sum(int(np.count_nonzero(_within(one.sampled_at, first, n_hours))) for one in rows.values()),
        features=judged.features,
        verdicts=judged.verdicts(),
        findings=judged.findings,
        conflicts={
            channel: np.bincount((at[_within(at, first, n_hours)] - first) // HOUR, None, n_hours)
            for channel, at in (conflicts or {}).items()
        },
    )


def _within(at: Instants, first: int, n_hours: int) -> Truths:
    return (at >= first) & (at < first + n_hours * HOUR)


def conclude(
    subject: Subject,
    parts: Sequence[Part],
    *,
    now: int,
    beside: Beside = Beside(),
    siblings: Mapping[str, Blocks] | None = None,
) -> Result:
    """What follows from the parts of a stack's history: its final hours, its months, its alerts at the instant *now*.

    *parts* follow one another without a gap, the first begins a local day. *siblings* are the blocks of the site's
    other stacks, by stack (`join_blocks`). They and the arrays of *beside* begin `REACH_H` hours earlier; conflicts
    that the parts found count beside those there.
    """
    before = judge_part(subject, {}, first=parts[0].first - REACH_H * HOUR, n_hours=REACH_H, now=now)
    whole = join([before, *parts])
    start = whole.first + np.arange(whole.n_hours, dtype=np.int64) * HOUR
    result = Result(rows=whole.rows)
    for watched in subject.watched:
        pair = (watched.pack.name, watched.pollutant)
        key = SeriesKey(subject.site.code, subject.stack.code, *pair)
        hours = _final_hours(watched, whole.verdicts[pair], start, now)
        result.hours[key] = hours
        _conclude_months(result, watched, key, hours, whole.verdicts[pair], now)
        _hour_alerts(result, subject, watched, hours, whole.findings)
    _episodes(result, subject, whole, start, beside, now, siblings or {})
    return result


def join(parts: Sequence[Part]) -> Part:
    """Consecutive parts as one."""
    if len(parts) == 1:
        return parts[0]
    sizes = [part.n_hours for part in parts]
    for before, after in itertools.pairwise(parts):
        if before.end != after.first:
            raise ValueError("the parts of a history have to follow one another")
    pairs = parts[0].verdicts.keys()
    return Part(
        first=parts[0].first,
        n_hours=sum(sizes),
        rows=sum(part.rows for part in parts),
        features=Features(
            {name: np.concatenate([part.features.outlet[name] for part in parts]) for name in parts[0].features.outlet},
            _join_tables([part.features.channels for part in parts], sizes),
        ),
        verdicts={pair: _join_verdicts([part.verdicts[pair] for part in parts]) for pair in pairs},
        findings=tuple(finding for part in parts for finding in part.findings),
        conflicts={
            channel: np.concatenate(
                [part.conflicts.get(channel, np.zeros(part.n_hours, dtype=np.int64)) for part in parts]
            )
            for channel in sorted({channel for part in parts for channel in part.conflicts})
        },
    )


def _join_tables(
    tables: Sequence[Mapping[tuple[str, str], Mapping[str, Values]]], sizes: Sequence[int]
) -> dict[tuple[str, str], dict[str, Values]]:
    """Features by channel, one part behind the other; NaN where a part has not seen a channel."""
    joined: dict[tuple[str, str], dict[str, Values]] = {}
    for key in sorted({key for table in tables for key in table}):
        names = next(table[key] for table in tables if key in table)
        joined[key] = {
            name: np.concatenate(
                [
                    table[key][name] if key in table else np.full(n, np.nan)
                    for table, n in zip(tables, sizes, strict=True)
                ]
            )
            for name in names
        }
    return joined


def join_blocks(parts: Sequence[Part]) -> Blocks:
    """The blocks of consecutive parts of one stack, behind the silence of `REACH_H` hours."""
    return _join_tables([{}, *(part.blocks() for part in parts)], [REACH_H, *(part.n_hours for part in parts)])


def _join_verdicts(parts: Sequence[VerdictHours]) -> VerdictHours:
    names = [each.name for each in fields(VerdictHours)]
    return VerdictHours(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _final_hours(watched: Watched, verdicts: VerdictHours, start: Instants, now: int) -> Hours:
    final = (verdicts.revision > 0) & (now >= start + HOUR + watched.pack.averaging.ended_after_s * SECOND)
    return Hours(
        start=start[final],
        verdict=verdicts.verdict[final],
        reason=verdicts.reason[final],
        corrected=verdicts.corrected[final],
        limit=verdicts.limit[final],
    )


def _conclude_months(
    result: Result, watched: Watched, key: SeriesKey, hours: Hours, verdicts: VerdictHours, now: int
) -> None:
    """The months that have a final hour, and the alerts of those that are breached."""
    pack, rule = watched.pack, watched.pack.month
    if rule is None or not hours.start.size:
        return
    claimed = verdicts.claimed[verdicts.revision > 0][: hours.start.size]  # final hours come first
    judged: list[tuple[Month, Finding | None, int]] = []
    zone = watched.site.zone
    month = month_of(int(hours.start[0]), zone)
    while True:
        start, end = month_bounds(month, zone)
        low, high = np.searchsorted(hours.start, (start, end))
        if low < high:
            found = _judge_month(watched, hours, claimed, slice(low, high), start, end, now)
            series = watched.series(month_below_share.NAME)
            finding = month_below_share.judge(pack, rule, series, found, start=start, end=end, revision=1)
            judged.append((found, finding, start))
            result.months[MonthKey(key, start, end)] = found
        if end > int(hours.start[-1]):
            break
        month = month_of(end, zone)
    clear = np.array([at for found, _, at in judged if found.final and found.verdict == "clear"], dtype=np.int64)
    for _, finding, _ in judged:
        if finding is not None:
            _add(result, watched.site.code, finding, _first_after(clear, finding.period_start))


def _judge_month(watched: Watched, hours: Hours, claimed: Truths, of: slice, start: int, end: int, now: int) -> Month:
    rule, after_s = watched.pack.month, watched.pack.averaging.ended_after_s
    assert rule is not None
    kinds = _kinds(hours.verdict[of], hours.reason[of], claimed[of])
    ended = max(0, min(end, now - after_s * SECOND) - start) // HOUR
    return judge_month(
        kinds,
        rule,
        hours_ended=ended,
        hours_to_come=(end - start) // HOUR - ended,
        has_ended=now >= end + after_s * SECOND,
    )


def _kinds(verdict: Texts, reason: Texts, claimed: Truths) -> dict[JudgedHour, int]:
    """How many hours there are of each kind."""
    found: dict[JudgedHour, int] = {}
    for each in Verdict:
        places = np.flatnonzero(verdict == each)
        for why in sorted(set(reason[places])):
            same = claimed[places[reason[places] == why]]
            for claim, n in ((True, int(same.sum())), (False, int((~same).sum()))):
                if n:
                    found[JudgedHour(each, str(why), claim)] = n
    return found


def _hour_alerts(result: Result, subject: Subject, watched: Watched, hours: Hours, findings: Iterable[Finding]) -> None:
    """An alert ends where its rule says, else with the first later clear hour."""
    clear = hours.start[hours.verdict == Verdict.CLEAR]
    for finding in findings:
        if (finding.series.pack, finding.series.pollutant) != (watched.pack.name, watched.pollutant):
            continue
        ended_at = finding.ended_at
        if finding.series.rule == hour_above_limit.NAME:
            ended_at = _first_after(clear, finding.period_start)
        _add(result, subject.site.code, finding, ended_at)


def _first_after(starts: Instants, at: int) -> int | None:
    place = int(np.searchsorted(starts, at, side="right"))
    return int(starts[place]) if place < starts.size else None


def _add(result: Result, site: str, finding: Finding | Episode, ended_at: int | None) -> None:
    series = finding.series
    assert series.stack is not None
    result.alerts[finding.alert_id] = JudgedAlert(
        alert_id=finding.alert_id,
        rule=series.rule,
        severity=finding.severity,
        site=site,
        stack=series.stack,
        pollutant=series.pollutant,
        pack=series.pack,
        period_start=finding.period_start,
        period_end=finding.period_end,
        ended_at=ended_at,
        observed=finding.observed,
        limit=finding.limit,
        unit=finding.unit,
        clause=finding.clause,
        evidence=finding.evidence,
    )


def _episodes(
    result: Result,
    subject: Subject,
    whole: Part,
    start: Instants,
    beside: Beside,
    now: int,
    siblings: Mapping[str, Blocks],
) -> None:
    history = History(
        site=subject.site,
        stack=subject.stack,
        packs=subject.packs,
        now=now,
        start=start,
        ended=subject.ended(start, now),
        outlet=whole.features.outlet,
        channels=whole.features.channels,
        verdicts=whole.verdicts,
        marks=beside.marks,
        orders=beside.orders,
        changes=beside.changes,
        conflicts={**whole.conflicts, **beside.conflicts},
        reported=beside.reported,
        signals=beside.signals,
        siblings={(stack, *key): of for stack, blocks in siblings.items() for key, of in blocks.items()},
        records=beside.records,
        mass_before=beside.mass_before,
    )
    for episode in review(history, first=REACH_H, keep_checkpoints=False).episodes:
        _add(result, subject.site.code, episode, episode.ended_at)


def as_of(newest: int, subject: Subject) -> int:
    """The earliest instant at which the hour of the newest row has ended."""
    return hour_start(newest, subject.site.zone) + HOUR + subject.ended_after_s * SECOND
