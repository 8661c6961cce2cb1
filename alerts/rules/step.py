"""Value that jumps though its process does not.

What it says    the level of one channel changed from one minute to the next by more than three standard deviations of
                its last week, and stayed there, while nothing else at the stack moved.
Why it matters  gas changes with what burns, and then more than one channel shows it. A level that changes by itself was
                changed: a slope, a range, a valve in the sampling line.
Not for         peaks that pass within minutes; hours with values over range; the first and last minutes of an hour,
                beside which no level is known; the ten minutes after a calibration or a flag; starts and stops;
                stacks that send nothing of their process, and rows that are more than a minute apart.
Source          more than 3 sigma, one non-official recipe (regulation sheet, 8.3, V-S S38); 3 sigma of the last 7 d in
                one minute, not with a process change [D].

The standard deviation is that of all values of the 168 hours before. A noisy channel changes by three of it all the
time, so the change must also be twice the largest of an ordinary day, make most of the deviation of its own hour, and
lie between two levels of five minutes that are as far apart.

What else explains it    one burner, line or filter chamber that was taken over at once; a purge that nobody flagged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels
from alerts.rules.usual import WEEK, other_than_first, reach_of, running, usual
from plant.features import HEAVY
from plant.minute_features import SETTLE_MIN
from plant.readings import Truths, Values

SIGMAS: Final = 3.0
LARGEST_TIMES: Final = 2.0  #: of the largest change of an ordinary day [D]
MOST_OF_IT: Final = 1.6
"""Times the hour's own deviation that the levels lie apart. A step in an hour without any noise makes half of itself of
deviation at the most, so two times; noise makes levels of five minutes that differ by less than one. [D]"""
AT_ONCE: Final = 2 / 3  #: of the way from level to level lies in the one minute [D]
FEWEST_H: Final = 72  #: of the week that must be known

PROCESS: Final = ("flow", "temperature", "load_pct", "power_production_kw")
MOVED_TIMES: Final = 1.5  #: of the range that a process value has in the widest hours of an ordinary day [D]
WIDEST: Final = 0.9


@dataclass(frozen=True, slots=True)
class _Change:
    """The largest change of each hour; shape (n_hours,)."""

    step: Values
    shift: Values  #: between the levels before and after it
    sigma: Values


def judge(history: History) -> Iterator[Outcomes]:
    """Each gas, dust and oxygen, by instrument."""
    changes = {key: _change(history, *key) for key in history.channels if key[1] in HEAVY}
    runs = running(history)
    runs &= np.concatenate([[False], runs[:-1]]) if runs.size else runs
    settled = runs & ~_moved(history)
    for (instrument, channel), change in changes.items():
        others = [of for key, of in changes.items() if key[0] == instrument and key[1] != channel]
        yield _outcomes(history, instrument, channel, change, others, settled)


def _outcomes(
    history: History, instrument: str, channel: str, change: _Change, others: list[_Change], settled: Truths
) -> Outcomes:
    step, spread = change.step, history.value(instrument, channel, "std")
    found = (change.shift > SIGMAS * change.sigma) & (step > SIGMAS * change.sigma) & (step > AT_ONCE * change.shift)
    found &= change.shift > MOST_OF_IT * spread
    found &= step > history.value(instrument, channel, "grain")  # one step of its resolution is no change
    found &= ~(history.value(instrument, channel, "t_s") > 0)  # it comes from the range's end or goes there
    found &= ~_disturbed(history, instrument, channel)
    if found.any():
        found &= settled
        found &= step > LARGEST_TIMES * usual(history, step, share=1.0)
        for other in others:
            # In another minute, maybe: of two changes of an hour one channel may show the first best, one the second.
            found &= ~((other.shift > SIGMAS * other.sigma) | (other.step > usual(history, other.step, share=1.0)))
    known = ~np.isnan(change.sigma) & ~np.isnan(step)
    if not any((instrument, name) in history.channels for name in PROCESS):
        known[:] = False

    def evidence(at: int) -> Mapping[str, Any]:
        names = ("step", "step_minute", "step_before", "step_after")
        figures = {name: float(history.value(instrument, channel, name)[at]) for name in names}
        return {"instrument": instrument, **figures, "sigma_of_week": float(change.sigma[at])}

    return Outcomes(
        level=levels(found, known),
        observed=change.shift,
        limit=SIGMAS * change.sigma,
        evidence=evidence,
        pollutant=channel,
        instrument=other_than_first(history, instrument),
    )


def _change(history: History, instrument: str, channel: str) -> _Change:
    def of(name: str) -> Values:
        return history.value(instrument, channel, name)

    # A value that never moved has no sigma; its resolution is the least that can be told.
    sigma = np.fmax(_sigma(of("mean"), of("std")), usual(history, of("grain")))
    return _Change(of("step"), np.abs(of("step_after") - of("step_before")), sigma)


def _sigma(mean: Values, std: Values) -> Values:
    """The standard deviation of all values of the week before each hour; NaN where too few of its hours are known."""
    known = ~np.isnan(mean)
    n = _of_week(known.astype(np.float64))
    first = np.divide(_of_week(np.where(known, mean, 0.0)), n, out=np.full(n.size, np.nan), where=n >= FEWEST_H)
    second = _of_week(np.where(known, mean * mean + std * std, 0.0)) / np.maximum(n, 1)
    sigma: Values = np.sqrt(np.maximum(second - first * first, 0.0))
    return sigma


def _of_week(values: Values) -> Values:
    """Their sum over the week before each hour."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(values.size)
    week: Values = total[places] - total[np.maximum(places - WEEK * 24, 0)]
    return week


def _moved(history: History) -> Truths:
    """Hours in which the process itself changed."""
    moved = np.zeros(history.n_hours, dtype=bool)
    for instrument, channel in history.channels:
        if channel in PROCESS:
            extent = history.value(instrument, channel, "high") - history.value(instrument, channel, "low")
            moved |= extent > MOVED_TIMES * usual(history, extent, share=WIDEST)
    return moved


def _disturbed(history: History, instrument: str, channel: str) -> Truths:
    """Steps that lie within ten minutes after a flag of the hour before."""
    quiet = history.value(instrument, channel, "quiet_s")
    since = np.concatenate([[np.nan], quiet[:-1]]) + 60 * history.value(instrument, channel, "step_minute")
    return np.asarray(since < 60 * SETTLE_MIN)


RULE: Final = Rule(
    name="step",
    judge=judge,
    unit="as sent",
    clause="regulation sheet 8.3: 3 sigma of the last 7 d in one minute, not with a process change [D]",
    reach_h=reach_of(WEEK) + 1,
    lead=True,
    life=Life(keep_h=6),
)
