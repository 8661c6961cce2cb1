"""Analyser that was not calibrated when it had to be.

What it says    since the last zero and span check that flags or records show, more time with data has passed than the
                interval of this kind of CEMS and half of a day more.
Why it matters  data of an analyser that is not calibrated in time are not valid (sheet, 3.7, K-H), and who leaves the
                check out may have a reason to.
Not for         analysers of which nobody knows how they are calibrated: the register does not say it (`cems` of the
                channel) and they have no habit of a check a day. A habit shorter than six days may rest over a week's
                end. Hours without rows or without anything of the channel do not count (the check may lie in them), nor
                does a source that stands still. Of intervals longer than two weeks only records show that they have
                passed.
Source          sheet, 3.7, by `plant.calibration` (K-H); the habit and the half day are ours [D].
What else explains it
                a check that is done and not flagged, a calibration unit under repair (a record says so).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.process_values import has_rows, instruments
from alerts.rules.rule import LONGEST_REACH_H, WARNING, Life, Outcomes, Rule, levels
from alerts.rules.said import state_rests
from alerts.rules.usual import other_than_first
from plant.calibration import Cems, Task, intervals
from plant.periods import HOUR, written
from plant.readings import Truths, Values

NAME: Final = "calibration_overdue"

GRACE_H: Final = 12  #: a check may wait for a disturbed process; half a day later it has failed to come [D]
HABIT_H: Final = 72  #: four checks a day apart are a habit [D]
EVERY_DAY_H: Final = 116  #: six of them are one that no week's end interrupts; before, that much more is allowed [D]
WEEKS_END_H: Final = 48
DAILY_H: Final = 26  #: between two checks of a daily habit at most: they begin by a clock [D]
WHOLE: Final = 0.9  #: of an hour: zero gas, span gas and purging take six minutes and more [D]
REACH_H: Final = LONGEST_REACH_H
CALIBRATED: Final = ("so2", "nox", "no", "no2", "pm", "co", "nh3", "o2")


def judge(history: History) -> Iterator[Outcomes]:
    counted = has_rows(history) & ~state_rests(history)
    for instrument in instruments(history):
        checks = [
            check
            for name in CALIBRATED
            if (instrument, name) in history.channels and (check := _check(history, instrument, name, counted))
        ]
        if not checks:
            continue
        over = np.array([check.over for check in checks])
        worst, hours = np.argmax(over, axis=0), np.arange(history.n_hours)
        known = np.any([~np.isnan(check.most) for check in checks], axis=0)
        yield Outcomes(
            level=levels(over.max(axis=0) > 0, known & counted & history.ended, WARNING),
            observed=np.array([check.since for check in checks])[worst, hours],
            limit=np.array([check.most for check in checks])[worst, hours],
            evidence=partial(_evidence, history, checks),
            instrument=other_than_first(history, instrument),
        )


@dataclass(frozen=True, slots=True)
class _Check:
    """Zero and span of one channel; arrays of shape (n_hours,)."""

    channel: str
    since: Values  #: hours with data since the last that there can have been; a lower bound where none is seen
    most: Values  #: how many there may be; NaN where nobody knows

    @property
    def over(self) -> Values:
        return np.nan_to_num(self.since - self.most, nan=-np.inf)


def _check(history: History, instrument: str, name: str, counted: Truths) -> _Check | None:
    cems = history.stack.channel(name).cems
    told = ~np.isnan(history.channels[(instrument, name)]["seen_s"])
    flagged = np.nan_to_num(history.channels[(instrument, name)]["c_s"]) > 0
    if cems:
        most = np.full(history.n_hours, float(interval_h(Cems(cems)) + GRACE_H))
    elif flagged.any():
        lasted = _habit_h(flagged)
        most = np.where(lasted >= EVERY_DAY_H, 24.0 + GRACE_H, 24.0 + GRACE_H + WEEKS_END_H)
        most[lasted < HABIT_H] = np.nan
    else:
        return None
    longest = float(np.nanmax(most, initial=0.0))
    since = _since(history, flagged, counted & told, has_rows(history, WHOLE) & told, longest=longest)
    return _Check(name, since, np.where(told, most, np.nan))


def _since(history: History, flagged: Truths, counted: Truths, whole: Truths, *, longest: float) -> Values:
    """Hours with data since the last check that a flag or a record shows, or that what did not arrive may hide."""
    hours = np.arange(history.n_hours)
    passed = np.concatenate([[0], np.cumsum(counted)])  # before each hour, and at the end
    missed = ~whole & (passed[1:] > 0)
    last = np.maximum.accumulate(np.where(flagged | missed | _recorded(history), hours, -1))
    recent = (last >= 0) & (hours - last < REACH_H)
    since = passed[hours + 1] - np.where(recent, passed[last + 1], passed[np.maximum(hours + 1 - REACH_H, 0)])
    if longest <= REACH_H:
        return since.astype(np.float64)
    return np.where(recent, since, _hours_since_record(history))


def _habit_h(flagged: Truths) -> Values:
    """By the hour, how long there had been a check a day when the last one was made; 0 once that is forgotten."""
    at, hours = np.flatnonzero(flagged), np.arange(flagged.size)
    fresh = np.concatenate([[True], np.diff(at) > DAILY_H])
    begun = at[np.maximum.accumulate(np.where(fresh, np.arange(at.size), 0))]
    place = np.searchsorted(at, hours, side="right") - 1
    near = (place >= 0) & (hours - at[place] < REACH_H - EVERY_DAY_H - DAILY_H)
    return np.where(near, np.minimum(at - begun, EVERY_DAY_H)[place], 0).astype(np.float64)


def interval_h(cems: Cems) -> int:
    """Hours between two checks of zero and span at this kind of CEMS (3.7)."""
    of = intervals(cems)
    return of[Task.FLOW_ZERO if Task.FLOW_ZERO in of else Task.ZERO_SPAN].hours


def _recorded(history: History) -> Truths:
    """Hours in which a calibration is recorded."""
    found = np.zeros(history.n_hours, dtype=bool)
    place = np.searchsorted(history.start, history.records.get("calibration", ()), side="right") - 1
    found[place[(place >= 0) & (place < history.n_hours)]] = True
    return found


def _hours_since_record(history: History) -> Values:
    """By the clock; NaN before the first."""
    records = np.array(history.records.get("calibration", ()), dtype=np.int64)
    if not records.size:
        return np.full(history.n_hours, np.nan)
    place = np.searchsorted(records, history.start + HOUR) - 1
    return np.where(place >= 0, (history.start - records[np.maximum(place, 0)]) // HOUR, np.nan)


def _evidence(history: History, checks: Sequence[_Check], i: int) -> Mapping[str, Any]:
    records = [at for at in history.records.get("calibration", ()) if at < history.start[i] + HOUR]
    return {
        "channels": [
            {
                "channel": check.channel,
                "cems": history.stack.channel(check.channel).cems,
                "hours_since": None if np.isnan(check.since[i]) else float(check.since[i]),
                "at_most_h": float(check.most[i]),
            }
            for check in checks
            if not np.isnan(check.most[i])
        ],
        "last_record": written(records[-1]) if records else None,
    }


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="hours with data",
    clause="HJ 75-2017, quality control (sheet 3.7, K-H)",
    reach_h=REACH_H,
    lead=True,
    life=Life(hold_h=1, keep_h=1, escalate_after_h=72),
)
