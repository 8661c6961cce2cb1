"""Value outside its range.

What it says    values of a channel lay above its registered range, or were flagged as over range, for ten minutes of an
                hour or more; or the hour mean of a channel without such a flag (temperature, flow, ...) lies outside.
Why it matters  over its range an analyser only knows that there is more. The hour is at best undecided, and a range
                that is set too low hides an exceedance behind a hole.
Not for         values below zero (`negative`); values that stop at a number inside the range (`constant`).
Source          flag T of HJ 212-2017 table 8 (sheet 4.8, V-P; 8.3 names the cap of a range as a red flag). Ten minutes
                as the sheet has it for negative values: [D].

What else explains it    a real peak, a start-up; a range entered wrongly in the register; a broken current loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels
from alerts.rules.usual import other_than_first
from plant.features import HEAVY
from plant.readings import Values

LEAST_S: Final = 600.0


def judge(history: History) -> Iterator[Outcomes]:
    """Each channel of each instrument that can be over its range."""
    for instrument, channel in history.channels:
        if channel in HEAVY:
            yield _flagged(history, instrument, channel)
        elif history.stack.channel(channel).range is not None:
            yield _outside(history, instrument, channel)


def _flagged(history: History, instrument: str, channel: str) -> Outcomes:
    over, said = history.value(instrument, channel, "over_s"), history.value(instrument, channel, "t_s")
    return _outcomes(history, instrument, channel, np.fmax(over, said))


def _outside(history: History, instrument: str, channel: str) -> Outcomes:
    """Of a channel whose seconds outside are not counted: the whole hour, where its mean lies outside."""
    low, high = history.stack.channel(channel).range or (-np.inf, np.inf)
    mean, seen = (history.value(instrument, channel, name) for name in ("mean", "seen_s"))
    return _outcomes(history, instrument, channel, np.where((mean < low) | (mean > high), seen, 0.0 * seen))


def _outcomes(history: History, instrument: str, channel: str, outside_s: Values) -> Outcomes:
    def evidence(at: int) -> Mapping[str, Any]:
        names = ("over_s", "t_s", "seen_s", "mean", "high") if channel in HEAVY else ("seen_s", "mean", "low", "high")
        figures = {name: float(history.value(instrument, channel, name)[at]) for name in names}
        return {"instrument": instrument, "range": history.stack.channel(channel).range, **figures}

    return Outcomes(
        level=levels(outside_s >= LEAST_S, ~np.isnan(outside_s)),
        observed=outside_s,
        limit=np.full(history.n_hours, LEAST_S),
        evidence=evidence,
        pollutant=channel,
        instrument=other_than_first(history, instrument),
    )


RULE: Final = Rule(
    name="out_of_range",
    judge=judge,
    unit="s of the hour",
    clause="flag T of HJ 212-2017, table 8; ten minutes [D]",
    reach_h=0,
    lead=True,
    life=Life(keep_h=3),
)
