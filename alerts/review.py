"""All rules on the hours of a stack, and the alerts that come of it.

Pure: the same history gives the same alerts. A live stage reviews from the local day of the hour that changed, with
the checkpoint of the day before; a backtest reviews from the beginning, without one. Both are this function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, TypeAlias

import numpy as np

from alerts.lives import Episode, Folded, Saved, fold, unwatched
from alerts.rules.catalogue import RULES
from alerts.rules.finding import Series, alert_id
from alerts.rules.history import History
from alerts.rules.rule import UNDECIDED, Outcomes, Rule
from alerts.suppression import source_stopped
from plant.days import day_edges
from plant.periods import HOUR, instant

Checkpoint: TypeAlias = Mapping[str, Saved]
"""The series of a stack of which something goes on at the end of a local day; JSON can hold it."""

_PARTED: Final = "/"  #: between the names in the key of a series; none but the last, an instrument's, may hold it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What the rules say of a stack from the hour `first` on."""

    episodes: tuple[Episode, ...]
    """Every alert of a folded rule that began in or after that hour, or was open before it and how it goes on."""
    open_before: frozenset[str]
    """Ids that the checkpoint knew: what is not among the episodes any more has not become an alert."""
    checkpoints: Mapping[date, Checkpoint]
    """By the local day at whose end it holds, each day whose end was reached; empty where nothing goes on."""
    stopped: bool  #: the source stands still: see `alerts.suppression`


def review(
    history: History,
    checkpoint: Checkpoint | None = None,
    *,
    first: int = 0,
    rules: Sequence[Rule] = RULES,
    keep_checkpoints: bool = True,
) -> Reviewed:
    """Judge *history* by *rules* and fold its hours from place *first* on.

    *first* is the first hour of a local day and *checkpoint* what held at the end of the day before. The history has
    to bring as many hours before *first* as the rules reach back. A backtest needs no checkpoints of its own.
    """
    days, cuts = _day_ends(history, first) if keep_checkpoints else ([], [])
    before = dict(checkpoint or {})
    site, stack = history.site.code, history.stack.code
    folded: dict[str, Folded] = {}
    for rule in rules:
        for outcomes in _judged(rule, history):
            series = _series(rule, outcomes, site, stack)
            key = _key(series)
            if key in folded:
                raise ValueError(f"{rule.name} says two things of {key}")
            folded[key] = fold(series, rule, outcomes, history.start, first=first, before=before.get(key), cuts=cuts)
    ended: list[Episode | None] = []
    for key, saved in before.items():
        if key in folded:
            continue
        series = _series_of(key, site, stack)
        watching = _watching(series, rules, history)
        if watching is None:
            ended.append(unwatched(series, saved, at=_instant_of(first, history)))
        else:
            nothing = _nothing(history.n_hours)
            folded[key] = fold(series, watching, nothing, history.start, first=first, before=saved, cuts=cuts)
    episodes = [episode for each in folded.values() for episode in each.episodes]
    episodes += [episode for episode in ended if episode is not None]
    return Reviewed(
        episodes=tuple(sorted(episodes, key=lambda episode: (episode.period_start, episode.alert_id))),
        open_before=frozenset(alert_id(_series_of(key, site, stack), saved["start"]) for key, saved in before.items()),
        checkpoints={
            day: {key: state for key, each in folded.items() if (state := each.states[at]) is not None}
            for at, day in enumerate(days)
        },
        stopped=source_stopped(history),
    )


def of_rules(checkpoint: Checkpoint, rules: Sequence[Rule]) -> Checkpoint:
    """What goes on in the series of *rules* alone, where only those are reviewed."""
    names = {rule.name for rule in rules}
    return {key: state for key, state in checkpoint.items() if key.split(_PARTED)[0] in names}


def _judged(rule: Rule, history: History) -> list[Outcomes]:
    judged = list(rule.judge(history))
    if rule.early or history.ended.all():
        return judged
    return [
        replace(outcomes, level=np.where(history.ended, outcomes.level, UNDECIDED).astype(np.int8))
        for outcomes in judged
    ]


def _watching(series: Series, rules: Sequence[Rule], history: History) -> Rule | None:
    """The rule of a series of which nothing is said now; None where it, or the pack, is no longer judged."""
    if series.pack is not None and series.pack not in {pack.name for pack in history.packs}:
        return None
    return next((rule for rule in rules if rule.name == series.rule), None)


def _nothing(n_hours: int) -> Outcomes:
    no_number = np.full(n_hours, np.nan)
    undecided = np.full(n_hours, UNDECIDED, np.int8)
    return Outcomes(level=undecided, observed=no_number, limit=no_number, evidence=lambda place: {})


def _instant_of(place: int, history: History) -> int:
    return int(history.start[place]) if place < history.n_hours else history.now


def _day_ends(history: History, first: int) -> tuple[list[date], list[int]]:
    """The local days from *first* on that have ended within the history, and the place behind the last hour of each."""
    if first >= history.n_hours:
        return [], []
    zone, end = history.site.zone, int(history.start[-1]) + HOUR
    since = instant(int(history.start[first])).astimezone(zone).date()
    n_days = (instant(end).astimezone(zone).date() - since).days
    edges = day_edges(since, n_days, zone)[1:]
    places: list[int] = np.searchsorted(history.start, edges).tolist()
    return [since + timedelta(days=n) for n in range(n_days)], places


def _series(rule: Rule, outcomes: Outcomes, site: str, stack: str) -> Series:
    return Series(
        rule=rule.name,
        site=site,
        stack=stack,
        pack=outcomes.pack,
        pollutant=outcomes.pollutant,
        instrument=outcomes.instrument,
    )


def _key(series: Series) -> str:
    return _PARTED.join((series.rule, series.pack or "", series.pollutant or "", series.instrument or ""))


def _series_of(key: str, site: str, stack: str) -> Series:
    rule, pack, pollutant, instrument = key.split(_PARTED, 3)
    return Series(
        rule=rule,
        site=site,
        stack=stack,
        pack=pack or None,
        pollutant=pollutant or None,
        instrument=instrument or None,
    )
