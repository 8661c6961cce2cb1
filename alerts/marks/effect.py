"""What accepting marks changes: the hours and months of a stack with and without them, by the arithmetic that judges.

Pure. Both sides are judged anew from the rows, with every other accepted mark as it stands; so it is a preview before a
decision, and after it what the decision did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from alerts.hours import JudgedHours, JudgedSeries
from alerts.subject import Subject
from plant.months import JudgedHour, Month, judge_month
from plant.packs import Pack
from plant.periods import HOUR, SECOND, month_bounds, month_of
from plant.register import Site
from plant.verdicts import Verdict

MonthKey = tuple[date, str, str]  #: first day of the local month, pack, pollutant


@dataclass(frozen=True, slots=True, kw_only=True)
class HourEffect:
    """An ended hour whose verdict or claim differs."""

    start: int
    pack: str
    pollutant: str
    not_accepted: JudgedHour
    accepted: JudgedHour


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthEffect:
    month: date
    pack: str
    pollutant: str
    not_accepted: Month
    accepted: Month


@dataclass(frozen=True, slots=True)
class Judged:
    """The same hours of a stack, judged without and with the marks."""

    not_accepted: JudgedHours
    accepted: JudgedHours


def hours_that_differ(judged: Iterable[Judged]) -> list[HourEffect]:
    """By start, pack and pollutant."""
    found = []
    for pair in judged:
        for without, with_marks in zip(pair.not_accepted.series, pair.accepted.series, strict=True):
            before, after = _ended(without), _ended(with_marks)
            found += [
                HourEffect(
                    start=start,
                    pack=without.watched.pack.name,
                    pollutant=without.watched.pollutant,
                    not_accepted=before[start],
                    accepted=after[start],
                )
                for start in before
                if before[start] != after[start]
            ]
    return sorted(found, key=lambda hour: (hour.start, hour.pack, hour.pollutant))


def months_of_both(
    subject: Subject, outside: Mapping[MonthKey, Mapping[JudgedHour, int]], judged: Iterable[Judged], *, now: int
) -> list[MonthEffect]:
    """Each touched month that has a share to hold; *outside* are its ended hours that are not among the *judged*."""
    packs = {pack.name: pack for pack in subject.packs if pack.month is not None}
    without = {key: Counter(hours) for key, hours in outside.items() if key[1] in packs}
    accepted = {key: Counter(hours) for key, hours in without.items()}
    for pair in judged:
        _count(without, pair.not_accepted, packs, subject.site)
        _count(accepted, pair.accepted, packs, subject.site)
    return [
        MonthEffect(
            month=key[0],
            pack=key[1],
            pollutant=key[2],
            not_accepted=_month(packs[key[1]], key[0], without[key], subject.site, now),
            accepted=_month(packs[key[1]], key[0], accepted[key], subject.site, now),
        )
        for key in sorted(without)
        if without[key] or accepted[key]
    ]


def _ended(series: JudgedSeries) -> dict[int, JudgedHour]:
    """The ended hours of a series that count, by their start."""
    verdicts = series.verdicts
    return {
        int(series.means.start[at]): JudgedHour(
            Verdict(verdicts.verdict[at]), str(verdicts.reason[at]), bool(verdicts.claimed[at])
        )
        for at in (series.listed & verdicts.final).nonzero()[0].tolist()
    }


def _count(
    months: dict[MonthKey, Counter[JudgedHour]], hours: JudgedHours, packs: Mapping[str, Pack], site: Site
) -> None:
    for series in hours.series:
        if series.watched.pack.name in packs:
            for start, hour in _ended(series).items():
                key = (month_of(start, site.zone), series.watched.pack.name, series.watched.pollutant)
                months.setdefault(key, Counter())[hour] += 1


def _month(pack: Pack, month: date, hours: Mapping[JudgedHour, int], site: Site, now: int) -> Month:
    assert pack.month is not None
    start, end = month_bounds(month, site.zone)
    after = pack.averaging.ended_after_s * SECOND
    ended = max(0, min(end, now - after) - start) // HOUR
    return judge_month(
        hours,
        pack.month,
        hours_ended=ended,
        hours_to_come=(end - start) // HOUR - ended,
        has_ended=now >= end + after,
    )
