"""Process values of a stack's source by the hour: from the stack's own rows, else from the signals of its units.

What counts is chosen hour by hour: whether anything came long before an hour says nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.usual import first_known
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
    found: Process | None = None
    for process in _ways(history, name, unit):
        found = process if found is None else _filled(found, process)
    return found


def _ways(history: History, name: str, unit: str | None) -> Iterator[Process]:
    """Each way in which *name* comes, what counts first before the others."""
    if unit is None:
        for instrument in _in_turn(history):
            if (instrument, name) in history.channels:
                figures = history.channels[(instrument, name)]
                yield Process(name=name, mean=figures["mean"], low=figures["low"], high=figures["high"])
    units = (unit,) if unit else history.stack.units
    if len(units) == len(history.stack.units):
        yield from _of_units(history, name, ("",))
    yield from _of_units(history, name, units)


def _of_units(history: History, name: str, units: Sequence[str]) -> Iterator[Process]:
    """*name* of all *units* together; a part of them says nothing of it."""
    if not units or any((code, name, "mean") not in history.signals for code in units):
        return
    by_unit = [[_signal(history, code, name, figure) for code in units] for figure in _FIGURES]
    share = len(units) if name == LOAD_PCT else 1
    mean, low, high = (np.sum(values, axis=0) / share for values in by_unit)
    yield Process(name=name, mean=mean, low=low, high=high)


def _filled(one: Process, other: Process) -> Process:
    """*one*, and *other* in the hours of which *one* says nothing."""
    missing = np.isnan(one.mean)
    if not missing.any():
        return one
    mean, low, high = (np.where(missing, getattr(other, name), getattr(one, name)) for name in _FIGURES)
    return Process(name=one.name, mean=mean, low=low, high=high)


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


def channel(history: History, name: str, feature: str) -> Values | None:
    """*feature* of a channel, by the hour of the first instrument that sends it; None where none ever does."""
    sent = [history.channels[at] for each in _in_turn(history) if (at := (each, name)) in history.channels]
    return first_known([features[feature] for features in sent]) if sent else None


def _in_turn(history: History) -> list[str]:
    """Instruments of which one stands for another; of several ducts the first alone does, the others add to it."""
    return [instrument for instrument in instruments(history) if instrument not in history.stack.ducts[1:]]


def instruments(history: History) -> list[str]:
    """All that send anything, those that the stack is judged from first."""
    others = sorted({instrument for instrument, _ in history.channels})
    return list(dict.fromkeys((*history.stack.judged_from, *history.stack.ducts, *others)))


def has_rows(history: History, share: float = 0.5) -> Truths:
    """Hours of which rows cover at least *share*."""
    covered: Truths = history.outlet["covered_s"] >= share * 3600
    return covered
