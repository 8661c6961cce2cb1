"""What another judgement of the same history changes: alerts gained, lost and moved, verdicts of hours and months.

A pack that takes the place of another is compared with it: `instead` maps the name of the new one to that of the old.
An alert has *moved* where both judgements have one of the same rule and series whose periods meet, and its period, its
severity or its numbers are others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alerts.backtest.results import Hours, JudgedAlert, MonthKey, Result, SeriesKey
from plant.periods import month_of
from plant.register import Site

Places = tuple[str, str, str, str | None, str | None]  #: rule, site, stack, pack, pollutant


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    before: JudgedAlert
    after: JudgedAlert
    what: tuple[str, ...]  #: the fields that differ


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedMonth:
    """A series and month in which an hour's verdict or the month's changed; None: there was none."""

    series: SeriesKey
    month: str  #: YYYY-MM, local
    hours: Mapping[tuple[str | None, str | None], int]  #: how many went from one verdict to another
    before: str | None
    after: str | None
    share_before: float | None
    share_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    gained: tuple[JudgedAlert, ...]
    lost: tuple[JudgedAlert, ...]
    moved: tuple[Moved, ...]
    months: tuple[ChangedMonth, ...]

    @property
    def is_none(self) -> bool:
        return not (self.gained or self.lost or self.moved or self.months)


def difference(
    before: Result, after: Result, sites: Mapping[str, Site], *, instead: Mapping[str, str] | None = None
) -> Difference:
    """From *before* to *after*."""
    old_name = dict(instead or {})
    gained, lost, moved = _alerts(before.alerts.values(), after.alerts.values(), old_name)
    return Difference(gained=gained, lost=lost, moved=moved, months=_months(before, after, sites, old_name))


def _alerts(
    before: Iterable[JudgedAlert], after: Iterable[JudgedAlert], old_name: Mapping[str, str]
) -> tuple[tuple[JudgedAlert, ...], tuple[JudgedAlert, ...], tuple[Moved, ...]]:
    olds, news = _by_place(before, {}), _by_place(after, old_name)
    gained, lost, moved = [], [], []
    for place in sorted(olds.keys() | news.keys(), key=str):
        pairs, only_old, only_new = _paired(olds.get(place, []), news.get(place, []))
        gained += only_new
        lost += only_old
        for old, new in pairs:
            what = _differing(old, new)
            if what:
                moved.append(Moved(before=old, after=new, what=what))
    return tuple(gained), tuple(lost), tuple(moved)


def _by_place(alerts: Iterable[JudgedAlert], old_name: Mapping[str, str]) -> dict[Places, list[JudgedAlert]]:
    found: dict[Places, list[JudgedAlert]] = {}
    for alert in sorted(alerts, key=lambda item: (item.period_start, item.alert_id)):
        pack = None if alert.pack is None else old_name.get(alert.pack, alert.pack)
        found.setdefault((alert.rule, alert.site, alert.stack, pack, alert.pollutant), []).append(alert)
    return found


def _paired(
    olds: Sequence[JudgedAlert], news: Sequence[JudgedAlert]
) -> tuple[list[tuple[JudgedAlert, JudgedAlert]], list[JudgedAlert], list[JudgedAlert]]:
    """Alerts of one series whose periods begin together or meet, each once; and those that are left.

    Two instruments of a stack may each have one that begins in the same hour: they are told apart where they can be.
    """
    pairs, alone = [], list(olds)
    left = {new.alert_id: new for new in news}
    for name in (_instrument_and_start, _start):
        by_name = {name(new): new for new in reversed(left.values())}
        for old in alone:
            new = by_name.pop(name(old), None)
            if new is not None:
                del left[new.alert_id]
                pairs.append((old, new))
        paired = {old.alert_id for old, _ in pairs}
        alone = [old for old in alone if old.alert_id not in paired]
    only_old = []
    for old in alone:
        new = next((new for new in left.values() if _meet(old, new)), None)
        if new is None:
            only_old.append(old)
        else:
            del left[new.alert_id]
            pairs.append((old, new))
    return pairs, only_old, list(left.values())


def _instrument_and_start(alert: JudgedAlert) -> Hashable:
    return alert.evidence.get("instrument"), alert.period_start


def _start(alert: JudgedAlert) -> Hashable:
    return alert.period_start


def _meet(one: JudgedAlert, other: JudgedAlert) -> bool:
    return one.period_start < other.period_end and other.period_start < one.period_end


def _differing(old: JudgedAlert, new: JudgedAlert) -> tuple[str, ...]:
    names = ("period_start", "period_end", "ended_at", "severity", "observed", "limit")
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))


def _months(
    before: Result, after: Result, sites: Mapping[str, Site], old_name: Mapping[str, str]
) -> tuple[ChangedMonth, ...]:
    new_hours = {_renamed(key, old_name): hours for key, hours in after.hours.items()}
    new_months = {key._replace(series=_renamed(key.series, old_name)): month for key, month in after.months.items()}
    keys_of: dict[SeriesKey, set[MonthKey]] = {}
    for each in (*before.months, *new_months):
        keys_of.setdefault(each.series, set()).add(each)
    changed = []
    for series in sorted(before.hours.keys() | new_hours.keys() | keys_of.keys()):
        zone = sites[series.site].zone
        counts = _changes(before.hours.get(series), new_hours.get(series))
        by_month: dict[str, Counter[tuple[str | None, str | None]]] = {}
        for (start, old, new), n in counts.items():
            by_month.setdefault(f"{month_of(start, zone):%Y-%m}", Counter())[(old, new)] += n
        keys = {f"{month_of(key.start, zone):%Y-%m}": key for key in keys_of.get(series, ())}
        for month in sorted(by_month.keys() | keys.keys()):
            key = keys.get(month)
            old_month, new_month = (before.months.get(key), new_months.get(key)) if key else (None, None)
            was = None if old_month is None else old_month.verdict.value
            is_now = None if new_month is None else new_month.verdict.value
            if month in by_month or was != is_now:
                changed.append(
                    ChangedMonth(
                        series=series,
                        month=month,
                        hours=dict(by_month.get(month, {})),
                        before=was,
                        after=is_now,
                        share_before=None if old_month is None else old_month.share,
                        share_after=None if new_month is None else new_month.share,
                    )
                )
    return tuple(changed)


def _renamed(key: SeriesKey, old_name: Mapping[str, str]) -> SeriesKey:
    return key._replace(pack=old_name.get(key.pack, key.pack))


def _changes(old: Hours | None, new: Hours | None) -> Counter[tuple[int, str | None, str | None]]:
    """By start, the verdicts that differ."""
    starts = [hours.start for hours in (old, new) if hours is not None]
    if not starts:
        return Counter()
    all_starts = np.unique(np.concatenate(starts))
    was, is_now = _at(old, all_starts), _at(new, all_starts)
    places = np.flatnonzero(was != is_now)
    return Counter({(int(all_starts[at]), _word(was[at]), _word(is_now[at])): 1 for at in places.tolist()})


def _at(hours: Hours | None, starts: Any) -> Any:
    verdicts = np.full(starts.size, None, dtype=object)
    if hours is not None:
        verdicts[np.searchsorted(starts, hours.start)] = hours.verdict
    return verdicts


def _word(verdict: Any) -> str | None:
    return None if verdict is None else str(verdict)
