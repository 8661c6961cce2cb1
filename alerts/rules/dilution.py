"""Gas or sample diluted with air.

What it says    oxygen rose and the other gases fell, all by the same ratio, while the source ran as usual: for two
                hours or more the share of gas that is not air was below 80 % of what is usual here.
Why it matters  air that gets in takes every measured concentration down. At a base oxygen the corrected value does not
                change, so this hides nothing there; but an outlet without one is judged by what is measured, and where
                only the sample is diluted, the mass that is reported falls with the concentration, while flow and
                emission stay. Air in the duct raises the flow by as much as the concentrations fall.
Not for         lower load, which shows in flow, load, power or temperature too; fans that run on without fire; single
                pollutants that fall (the abatement got better); values sent at base oxygen; stacks with fewer than two
                pollutants, where a ratio says nothing.
Source          diluted gas is among the ministry's cases of 2023-10-19 (regulation sheet, 8.2, V-S S37); oxygen up and
                SO2, NOx, PM down in the same ratio, the dry-gas identity [D].

    r = (20.9 - O2) / its usual      q = C / its usual, of each pollutant      diluted: q = r, and both well below 1

Values are taken as they are sent: gas mixes with air in one ratio, wet or dry, while a correction for moisture would
use that of the stack for a sample that has another. Dust is often measured in the duct itself and does not fall where
only the sample is diluted: it may agree, and need not.

What else explains it    a leaking joint, a filter change or a cracked probe (repair it); a fan that runs on while less
is burnt behind it, where no load or power is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels
from alerts.rules.usual import (
    LOWER,
    QUIETEST,
    at_ordinary_load,
    first_instrument,
    reach_of,
    running,
    usual,
    without_fire,
)
from plant.channels import GASES
from plant.readings import Truths, Values

AIR: Final = 20.9  #: vol % of oxygen in dry air
DILUTED: Final = 0.8
"""Of the usual share of gas that is not air. A boiler that follows its load between three quarters and all of it, at an
oxygen that rises with it, stays above 0.85 [D]."""
AGREES: Final = (
    0.75,
    1.3,
)  #: q by r: what a gas is made of wanders by 7 % an hour, two of them by three times that [D]
IN_THE_DUCT: Final = 0.85  #: of the gas that is usual at least: then all of it is there, and air with it [D]
LEARNED_DAYS: Final = 12


def judge(history: History) -> Iterator[Outcomes]:
    """One series for the stack, from the instrument that it is judged from."""
    instrument = first_instrument(history)
    pollutants = [name for name in (*GASES, "pm") if _tells(history, instrument, name)]
    if len(pollutants) < 2 or (instrument, "o2") not in history.channels:
        return
    air_free = _to_usual(history, AIR - history.value(instrument, "o2", "mean"))
    found = (air_free <= DILUTED) & ~without_fire(history)
    parts: dict[str, Values] = {}
    if found.any():
        parts = {name: _to_usual(history, history.value(instrument, name, "mean")) for name in pollutants}
        found &= _in_ratio(parts, air_free) & at_ordinary_load(history, instrument, days=LEARNED_DAYS)
        found &= _in_the_duct(history, air_free) | ~_cold(history, instrument)
    known = np.sum([~np.isnan(history.value(instrument, name, "mean")) for name in pollutants], axis=0) >= 2
    yield _outcomes(history, air_free, found, known, parts)


def _outcomes(
    history: History, air_free: Values, found: Truths, known: Truths, parts: Mapping[str, Values]
) -> Outcomes:
    instrument = first_instrument(history)

    def evidence(at: int) -> Mapping[str, Any]:
        flow = _to_usual(history, history.value(instrument, "flow", "mean"))[at]
        return {
            "instrument": instrument,
            "gas_to_usual": float(air_free[at]),
            "pollutants_to_usual": {name: float(part[at]) for name, part in parts.items()},
            "flow_to_usual": float(flow) if np.isfinite(flow) else None,
            "where": None if np.isnan(flow) else ("duct" if _in_the_duct(history, air_free)[at] else "sample"),
        }

    return Outcomes(
        level=levels(found, running(history) & ~np.isnan(air_free) & known),
        observed=air_free,
        limit=np.full(history.n_hours, DILUTED),
        evidence=evidence,
    )


def _in_the_duct(history: History, air_free: Values) -> Truths:
    """All the gas that is usual is in the flow, and air besides."""
    flow = _to_usual(history, history.value(first_instrument(history), "flow", "mean"))
    return np.asarray(flow * air_free > IN_THE_DUCT)


def _cold(history: History, instrument: str) -> Truths:
    """Below the quiet hours of ordinary days: less is burnt, whatever the fan does."""
    temperature = history.value(instrument, "temperature", "mean")
    return np.asarray(temperature < LOWER * usual(history, temperature, days=LEARNED_DAYS, share=QUIETEST))


def _tells(history: History, instrument: str, name: str) -> bool:
    return (instrument, name) in history.channels and not history.stack.channel(name).corrected


def _to_usual(history: History, values: Values) -> Values:
    """Each hour by what is usual; NaN where that is nothing."""
    ordinary = usual(history, values, days=LEARNED_DAYS)
    part: Values = np.divide(values, ordinary, out=np.full(values.size, np.nan), where=ordinary > 0)
    return part


def _in_ratio(parts: Mapping[str, Values], air_free: Values) -> Truths:
    """Two pollutants or more fell by the ratio, and no gas did otherwise."""
    low, high = AGREES
    agreeing = np.zeros(air_free.size, dtype=np.int64)
    agrees = np.ones(air_free.size, dtype=bool)
    for name, part in parts.items():
        alike = (part > low * air_free) & (part < high * air_free) & (part < 1)
        agreeing += alike
        if name in GASES:
            agrees &= alike | np.isnan(part)
    return agrees & (agreeing >= 2)


RULE: Final = Rule(
    name="dilution",
    judge=judge,
    unit="of the usual 20.9 - O2",
    clause="regulation sheet 8.3: oxygen up and SO2, NOx, PM down in one ratio (dry-gas identity) [D]",
    reach_h=reach_of(LEARNED_DAYS),
    lead=True,
    life=Life(hold_h=2, keep_h=3),
)
