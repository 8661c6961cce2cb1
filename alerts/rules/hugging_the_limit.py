"""Hours that stay just below the limit.

What it says    for three days or more, at least 80 % of the valid hours lay between 90 % and 100 % of the limit, and
                the hours varied less than they used to.
Why it matters  gas that varies cannot keep to a line. Values that do are held there: by a control that was tuned to the
                limit, or by software.
Not for         a stack that always lies close to its limit: without days away from it there is nothing to compare
                with, and nothing is said.
Source          long runs just below the limit, a paper (regulation sheet, 8.3, V-S S38); 80 % of the valid hours in
                [0.90, 1.00) of the limit for 72 h, with a variance below p5 of the history [D].

The variance is the standard deviation of the hour means in the 72 hours by their mean: gas varies in proportion. It is
taken of the corrected means and of the measured ones, for either may be what is held. The history are the same windows,
six hours apart, that ended in the 29 days before and did not hug themselves. One window in twenty is below p5 by
nature, so the deviation must also be below half of the median.

What else explains it    a new control of reagent or ammonia that is better than the old one and aims just below the
limit; a base load that is steadier than before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alerts.rules.history import History, VerdictHours
from alerts.rules.rule import VERDICT_REACH_H, WARNING, Life, Outcomes, Rule, levels
from alerts.rules.stretches import of_last
from plant.readings import Truths, Values
from plant.verdicts import Verdict

NEAR: Final = 0.90
SHARE: Final = 0.80
HOURS: Final = 72
MOST_MISSING: Final = HOURS // 4  #: hours of the window that may be without a verdict
QUIET_SHARE: Final = 0.05
STEADIER: Final = 0.5  #: of the median deviation
APART_H: Final = 6
COMPARED: Final = (VERDICT_REACH_H - 2 * HOURS) // APART_H  #: windows of the history
ENOUGH_WINDOWS: Final = 28  #: a week of them


def judge(history: History) -> Iterator[Outcomes]:
    """Each pollutant under each pack."""
    for (pack, pollutant), hours in history.verdicts.items():
        yield _outcomes(pack, pollutant, hours)


def _outcomes(pack: str, pollutant: str, hours: VerdictHours) -> Outcomes:
    valid = hours.is_(Verdict.CLEAR) | hours.is_(Verdict.BREACHED)
    part = hours.corrected / hours.limit
    near = valid & (part >= NEAR) & (part < 1.0)
    n_valid, n_near = of_last(valid, HOURS), of_last(near, HOURS)
    whole = n_valid >= HOURS - MOST_MISSING
    share = np.divide(n_near, n_valid, out=np.full(valid.size, np.nan), where=whole)
    candidate = share >= SHARE
    level = levels(np.zeros(valid.size, dtype=bool), whole)
    held = {"corrected": _Held.nothing(valid.size), "measured": _Held.nothing(valid.size)}
    at = np.flatnonzero(candidate)
    if at.size:
        held = {
            name: _Held.of(np.where(valid, values, np.nan), whole, candidate, at)
            for name, values in (("corrected", hours.corrected), ("measured", hours.mean))
        }
        steadier = np.any([each.steadier for each in held.values()], axis=0)
        known = np.any([~np.isnan(each.usual) for each in held.values()], axis=0)
        level[at] = levels(steadier[at], known[at], WARNING)

    def evidence(place: int) -> Mapping[str, Any]:
        return {
            "hours_valid": int(n_valid[place]),
            "hours_near": int(n_near[place]),
            "deviation": {name: float(each.deviation[place]) for name, each in held.items()},
            "deviation_p5_of_history": {name: float(each.usual[place]) for name, each in held.items()},
            "corrected": float(hours.corrected[place]),
            "emission_limit": float(hours.limit[place]),
        }

    return Outcomes(
        level=level,
        observed=share,
        limit=np.full(valid.size, SHARE),
        evidence=evidence,
        pollutant=pollutant,
        pack=pack,
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """How steady hour means are; shape (n_hours,)."""

    deviation: Values  #: in each window, by their mean
    usual: Values  #: p5 of the history, at windows that hug the limit
    steadier: Truths

    @classmethod
    def nothing(cls, n_hours: int) -> _Held:
        nan = np.full(n_hours, np.nan)
        return cls(nan, nan, np.zeros(n_hours, dtype=bool))

    @classmethod
    def of(cls, means: Values, whole: Truths, hugs: Truths, at: npt.NDArray[np.intp]) -> _Held:
        deviation = _deviation(means, whole)
        lowest, middle = _of_history(np.where(hugs, np.nan, deviation), at)
        usual, steadier = np.full(means.size, np.nan), np.zeros(means.size, dtype=bool)
        usual[at] = lowest
        steadier[at] = deviation[at] < np.minimum(lowest, STEADIER * middle)
        return cls(deviation, usual, steadier)


def _deviation(means: Values, whole: Truths) -> Values:
    """Of the hours in each window that is whole enough, by their mean."""
    padded = np.concatenate([np.full(HOURS - 1, np.nan), means])
    windows = np.lib.stride_tricks.sliding_window_view(padded, HOURS)
    known = ~np.isnan(windows)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, windows, 0.0).sum(axis=1) / count
    off = np.where(known, windows - mean[:, None], 0.0)
    deviation = np.sqrt((off * off).sum(axis=1) / count)
    part: Values = np.divide(deviation, mean, out=np.full(mean.size, np.nan), where=whole & (mean > 0))
    return part


def _of_history(deviation: Values, at: npt.NDArray[np.intp]) -> tuple[Values, Values]:
    """p5 and median of the windows that ended before the windows *at*; NaN where they are too few."""
    places = at[:, None] - HOURS - APART_H * np.arange(COMPARED)
    past = np.where(places >= 0, deviation[np.maximum(places, 0)], np.nan)
    past.sort(axis=1)  # NaN last
    known = COMPARED - np.isnan(past).sum(axis=1)
    row = np.arange(at.size)

    def quantile(share: float) -> Values:
        picked = past[row, np.floor(share * np.maximum(known - 1, 0) + 0.5).astype(np.int64)]
        return np.where(known >= ENOUGH_WINDOWS, picked, np.nan)

    return quantile(QUIET_SHARE), quantile(0.5)


RULE: Final = Rule(
    name="hugging_the_limit",
    judge=judge,
    unit="share of valid hours",
    clause="regulation sheet 8.3: 80 % of the valid hours in [0.90, 1.00) of the limit for 72 h [D]",
    reach_h=VERDICT_REACH_H,
    lead=True,
    life=Life(keep_h=6),
)
