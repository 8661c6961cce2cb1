"""Abatement that draws less power than it used to at the same load.

What it says    for hours, with production on, the abatement's power is below the middle of its own history at like load
                by a fifth or more, and by more than the highest twentieth of that history lies above it.
Why it matters  fans and pumps that are turned down, or lines that stand still, save power and take out less (sheet,
                8.1 L2).
Not for         abatement that is off (`production_without_abatement`); loads at which it was seen for less than half
                a day. What has lasted for a week is its new history: the alert ends, what it said stays.
Source          sheet, 8.1 L2 and "abatement power too low for its load" (K-M); "learn baseline per device" [D].
What else explains it
                new bags or a cleaned absorber (less resistance), a fan with a new drive, warm thin air.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.learned import REACH_H, highest, learned, windows
from alerts.rules.process_values import Process, process_value
from alerts.rules.rule import WARNING, Life, Outcomes, Rule, levels
from plant.readings import Counts, Truths, Values
from plant.signals import ABATEMENT_KW, LOAD_PCT, PRODUCTION_KW

NAME: Final = "abatement_power_low"

LOAD_STEP: Final = 0.05
"""Of the load: loads within one such step are alike. A fan's power goes by its cube at most, so within a step it lies
within 8 % of the middle [D]."""
LESS_BY: Final = 0.8
"""Of the middle at like load. The step makes 8 % of it; air density, draught and meters leave a tenth [D]."""
FEWEST_LIKE_H: Final = 12  #: half a day at like load, before anything is usual of it [D]
OFF_BELOW: Final = 0.1  #: of the middle at like load: that is not low but off, and another rule's
WORKS_ABOVE: Final = 0.3  #: of the usual load: below it the plant idles, and nothing is like anything [D]
_STEPS: Final = 10_000  # more than there are: 1.05 to that power; the last is of hours that do not count


def judge(history: History) -> Iterator[Outcomes]:
    abatement = process_value(history, ABATEMENT_KW)
    if abatement is None or not (abatement.mean > 0).any():
        return  # no abatement behind this stack
    each, left = [], history.ended & ~np.isnan(abatement.mean)
    for name in (LOAD_PCT, PRODUCTION_KW):
        load = process_value(history, name)
        if load is not None and (by := left & ~np.isnan(load.mean)).any():
            each.append(_against(history, abatement.mean, load, by))
            left &= ~by
    if each:
        yield _outcomes(history, abatement.mean, each)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Against:
    """The abatement's power against that at like load, in the hours that are judged *by* this load; (n_hours,)."""

    load: Process
    by: Truths
    middle: Values
    low: Values
    found: Truths
    decided: Truths


def _against(history: History, power: Values, load: Process, by: Truths) -> _Against:
    known = ~(np.isnan(power) | np.isnan(load.mean))
    most = highest(history.start, np.where(known, power, np.nan))
    works = by & (most > 0) & (load.mean > WORKS_ABOVE * learned(history.start, load.mean, known).working())
    # Only what is well below the highest of all loads can be below the middle of its own; most hours end here.
    asked = works & (power < LESS_BY * most)
    middle, low = _at_like_load(history, power, load.mean, known & (load.mean > 0), asked)
    off = asked & (power < OFF_BELOW * middle)
    found = asked & ~off & (power < low) & (power < LESS_BY * middle)
    decided = works & ~off & ~(asked & np.isnan(middle))
    return _Against(load=load, by=by, middle=middle, low=low, found=found, decided=decided)


def _outcomes(history: History, power: Values, each: Sequence[_Against]) -> Outcomes:
    which, hours = np.argmax([one.by for one in each], axis=0), np.arange(history.n_hours)
    middle, low = (np.array([getattr(one, name) for one in each])[which, hours] for name in ("middle", "low"))
    found, decided = (np.any([getattr(one, name) for one in each], axis=0) for name in ("found", "decided"))
    return Outcomes(
        level=levels(found, decided, WARNING),
        observed=power,
        limit=np.fmin(low, LESS_BY * middle),
        evidence=lambda i: {
            "abatement_kw": float(power[i]),
            "usual_kw_at_like_load": float(middle[i]),
            "least_usual_kw_at_like_load": float(low[i]),
            "load": float(each[which[i]].load.mean[i]),
            "load_channel": each[which[i]].load.name,
        },
    )


def _at_like_load(
    history: History, power: Values, load: Values, teaches: Truths, asked: Truths
) -> tuple[Values, Values]:
    """Of each hour that is *asked*, the middle of the power at like load before it and the least that is usual, or NaN.

    That stands for the lowest twentieth: it is the mirror image of the highest one at the middle, so that the hours
    which are looked for do not lower what they are held against.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.where(teaches, np.floor(np.log(load) / np.log1p(LOAD_STEP)), np.nan)
    step -= np.nanmin(step, initial=0.0)
    day, powers = windows(history.start, np.where(teaches, power, np.nan))
    _, steps = windows(history.start, step)
    days, row = np.unique(day[asked], return_inverse=True)
    # Each day's values in the order of their step, and within a step in their own.
    by_power = np.argsort(powers[days], axis=1)
    steps = np.take_along_axis(np.nan_to_num(steps[days], nan=_STEPS - 1), by_power, axis=1).astype(np.int16)
    by_step = np.argsort(steps, axis=1, kind="stable")
    values = np.take_along_axis(np.take_along_axis(powers[days], by_power, axis=1), by_step, axis=1).ravel()
    offset = np.arange(days.size, dtype=np.int64) * _STEPS
    places = (np.take_along_axis(steps, by_step, axis=1) + offset[:, np.newaxis]).ravel()
    wanted = step[asked].astype(np.int64) + offset[row]
    first, end = np.searchsorted(places, wanted), np.searchsorted(places, wanted, side="right")
    n = end - first
    middle, low = np.full(power.size, np.nan), np.full(power.size, np.nan)
    middle[asked] = _taken(values, first + 0.5 * (n - 1), n)
    low[asked] = 2 * middle[asked] - _taken(values, first + 0.95 * (n - 1), n)
    return middle, low


def _taken(values: Values, place: Values, n: Counts) -> Values:
    if not values.size:
        return np.full(n.size, np.nan)
    at = np.clip(np.floor(place).astype(np.int64), 0, values.size - 1)
    return np.where(n >= FEWEST_LIKE_H, values[at], np.nan)


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="kW",
    clause="project rule; Code arts 164, 1104",
    reach_h=REACH_H,
    lead=True,
    life=Life(hold_h=3, keep_h=3),
)
