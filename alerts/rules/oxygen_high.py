"""Oxygen high, low or flat while the source runs as usual.

What it says    for two hours or more the oxygen of a sinter head was above 19 %, of a coke oven chimney above 15 %; or
                that of any outlet with a base oxygen was below 2 % though it is usually above 3 %; or it hardly moved
                for four hours while the rest of the stack did.
Why it matters  everything at a base oxygen is corrected with it. High oxygen is air that was let in, low oxygen makes
                every corrected value low, and oxygen that is written and not measured is flat.
Not for         fans that run on without fire, at the oxygen of air; lower load; other processes, for which the sheet
                names no oxygen; oxygen and pollutants that change by one ratio (`dilution`).
Source          enforcement cases (regulation sheet, 8.3, V-S S37); above 19 % and 15 % while flow and load are normal,
                below 2 %, or flat: [D].

Flat is an hour in which the oxygen covers less than a quarter of what it covers in the quiet hours of an ordinary day.
One hour of the four may cover a quarter of what it does in the widest: instruments are purged every few hours, and what
is written over them lets a trace of that through.

What else explains it    a leak; a start-up; a sensor at the end of its life, which loses its noise first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels
from alerts.rules.stretches import in_a_row, of_last
from alerts.rules.usual import (
    WEEK,
    at_ordinary_load,
    dry_oxygen,
    first_instrument,
    reach_of,
    running,
    usual,
    without_fire,
)
from plant.readings import Truths, Values

HIGHEST: Final[Mapping[str, float]] = {"sinter_head": 19.0, "coke_chimney": 15.0}  #: vol %, by outlet
LOWEST: Final = 2.0
USUALLY_ABOVE: Final = 3.0  #: what burns with less air by design is no lead [D]
FLAT: Final = 0.25
"""Of the range of a quiet hour, in which little more than the noise of the analyser is left: that does not fall so
far. [D]"""
QUIET: Final = 0.25
FLAT_HOURS: Final = 4  #: as a constant value
STILL_HOURS: Final = 3
"""Of them: an analyser that is purged every few hours answers to that, so one may move a little more. [D]"""
WIDEST: Final = 0.9  #: of a day's hours move less than those with a purge or a calibration
HIGH_HOURS: Final = 2
BESIDE: Final = ("so2", "nox", "no", "pm", "flow", "temperature")


def judge(history: History) -> Iterator[Outcomes]:
    """One series for the stack."""
    instrument = first_instrument(history)
    oxygen = dry_oxygen(history, instrument)
    if oxygen is None:
        return
    runs = running(history)
    highest = HIGHEST.get(history.stack.process, np.inf)
    high = in_a_row((oxygen > highest) & ~without_fire(history) & runs, HIGH_HOURS)
    low = in_a_row((oxygen < LOWEST) & runs, HIGH_HOURS)
    flat = _flat(history, instrument, runs)
    if low.any():
        low &= usual(history, oxygen) > USUALLY_ABOVE
    if flat.any():
        flat &= _others_move(history, instrument)
    if high.any():
        high &= at_ordinary_load(history, instrument)
    said = {"high": high, "low": low, "flat": flat}

    def evidence(at: int) -> Mapping[str, Any]:
        extent = _extent(history, instrument, "o2")
        return {
            "instrument": instrument,
            "says": [name for name, found in said.items() if found[at]],
            "o2": float(oxygen[at]),
            "moved_vol_pct": float(extent[at]),
            "usual_vol_pct": float(usual(history, oxygen)[at]),
        }

    yield Outcomes(
        level=levels(high | low | flat, runs & ~np.isnan(oxygen)),
        observed=oxygen,
        limit=np.where(low, LOWEST, np.where(high, highest, np.nan)),
        evidence=evidence,
        pollutant="o2",
    )


def _flat(history: History, instrument: str, runs: Truths) -> Truths:
    extent = _extent(history, instrument, "o2")
    still = extent < FLAT * usual(history, extent, share=QUIET)
    quiet = (extent < FLAT * usual(history, extent, share=WIDEST)) & runs
    return np.asarray(in_a_row(quiet, FLAT_HOURS) & (of_last(still & runs, FLAT_HOURS) >= STILL_HOURS))


def _others_move(history: History, instrument: str) -> Truths:
    """Something else at the stack covers half of what it does in a quiet hour: it is the oxygen that stands."""
    moves = np.zeros(history.n_hours, dtype=bool)
    for name in BESIDE:
        if (instrument, name) in history.channels:
            extent = _extent(history, instrument, name)
            moves |= extent > 0.5 * usual(history, extent, share=QUIET)
    return moves


def _extent(history: History, instrument: str, channel: str) -> Values:
    return history.value(instrument, channel, "high") - history.value(instrument, channel, "low")


RULE: Final = Rule(
    name="oxygen_high",
    judge=judge,
    unit="vol %",
    clause="regulation sheet 8.3: oxygen above 19 % (sinter head), 15 % (coke chimney), below 2 %, or flat [D]",
    reach_h=reach_of(WEEK) + FLAT_HOURS,
    lead=True,
    life=Life(keep_h=3),
)
