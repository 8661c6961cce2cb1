"""Process values of a stack's source by the hour: from the stack's own rows, else from the signals of its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.rules.history import History
from plant.readings import Truths, Values
from plant.signals import LOAD_PCT, PROCESS_VALUES

NAMES: Final = PROCESS_VALUES  #: signals that rules read
_FIGURES: Final = ("mean", "low", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process value; arrays of shape (n_hours,), NaN where nothing came."""

    name: str
    mean: Values
    low: Values
    high: Values


def process_value(history: History, name: str, *, unit: str | None = None) -> Process | None:
    """*name* of the whole stack, or of one *unit* by its own signals; None where it is never sent."""
    if unit is None:
        for instrument in instruments(history):
            if (instrument, name) in history.channels:
                figures = history.channels[(instrument, name)]
                return Process(name=name, mean=figures["mean"], low=figures["low"], high=figures["high"])
    units = _sending(history, name, (unit,) if unit else history.stack.units)
    if not units:
        return None
    by_unit = [[_signal(history, code, name, figure) for code in units] for figure in _FIGURES]
    share = len(units) if name == LOAD_PCT else 1
    mean, low, high = (np.sum(values, axis=0) / share for values in by_unit)
    return Process(name=name, mean=mean, low=low, high=high)


def widest(history: History, name: str) -> Process | None:
    """Of *name*, which any unit or the stack itself may send, the highest by the hour; None where none does."""
    units = [code for code in ("", *history.stack.units) if (code, name, "mean") in history.signals]
    if not units:
        return None
    each = [[_signal(history, code, name, figure) for code in units] for figure in _FIGURES]
    mean, low, high = (np.fmax.reduce(values) for values in each)
    return Process(name=name, mean=mean, low=low, high=high)


def _signal(history: History, unit: str, name: str, figure: str) -> Values:
    """Of hours with rows: a signal is kept with the other numbers of its hour, and without a row there are none."""
    return np.where(history.outlet["rows"] > 0, history.signals[(unit, name, figure)], np.nan)


def _sending(history: History, name: str, units: Sequence[str]) -> Sequence[str]:
    """Whose signals make up *name*: the stack's own, else those of all *units*; a part of them says nothing of it."""
    if ("", name, "mean") in history.signals and len(units) == len(history.stack.units):
        return ("",)
    return units if all((code, name, "mean") in history.signals for code in units) else ()


def channel(history: History, name: str, feature: str) -> Values | None:
    """*feature* of a channel of the first instrument that sends it; None where none does."""
    for instrument in instruments(history):
        if (instrument, name) in history.channels:
            return history.channels[(instrument, name)][feature]
    return None


def instruments(history: History) -> list[str]:
    """All that send anything, those that the stack is judged from first."""
    others = sorted({instrument for instrument, _ in history.channels})
    return list(dict.fromkeys((*history.stack.judged_from, *history.stack.ducts, *others)))


def has_rows(history: History, share: float = 0.5) -> Truths:
    """Hours of which rows cover at least *share*."""
    covered: Truths = history.outlet["covered_s"] >= share * 3600
    return covered
