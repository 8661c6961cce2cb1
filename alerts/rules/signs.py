"""Signs that a source runs, whatever is said of it: gas that is drawn, heat, fire, drive.

Each is held against what was usual while nobody said that the source rests. A source of which that is said for longer
than the memory of `alerts.rules.learned` has no such hours left; then a load or an oxygen speaks by itself, and any
other sign only where it leaves what it was meanwhile, up or down: whether it rested meanwhile is not known.

One kind of sign alone shows little (a fan cools a furnace that stands, ducts stay warm), so the rules ask for two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.learned import Learned, learned
from alerts.rules.process_values import channel, process_value
from plant.readings import Counts, Truths, Values
from plant.signals import LOAD_PCT, PRODUCTION_KW

HALF: Final = 0.5  #: of what it draws while it runs: more than fans at their turn-down or a hot idle [D]
KINDS_NEEDED: Final = 2
AIR_O2_VOL_PCT: Final = 20.9  #: dry air, as the arithmetic counts it
FIRE_BELOW_VOL_PCT: Final = 19.0
"""Oxygen below which something burns, where nothing better is known: the sheet's upper end of a sinter head, the most
airy of hot sources (section 8.3) [D]."""
LOAD_AT_LEAST_PCT: Final = 30.0  #: of rated: below it furnaces, mills and boilers do not produce [D]
OTHERWISE: Final = 3.0  #: times what it was, or that part of it: a machine began or ceased to turn [D]
WARMER_K: Final = 40.0  #: or colder: more than the seasons or the sun make of a duct in two weeks [D]

_DRAUGHT: Final = ("flow", "velocity")
_DRIVE: Final = (PRODUCTION_KW, LOAD_PCT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One quantity; arrays of shape (n_hours,)."""

    name: str
    kind: str  #: draught, heat, fire or drive
    value: Values
    threshold: Values  #: from which on it says that the source runs; oxygen: up to which
    known: Truths
    shown: Truths


def signs(history: History, rests: Truths, asked: Truths) -> tuple[Sign, ...]:
    """Every sign that the stack's data allow, of the hours that are *asked*.

    *rests*: hours of which anybody says that the source rests.
    """
    return tuple(_signs(_Memory(history, rests, asked)))


def kinds_of(found: Sequence[Sign], *, shown: bool) -> Counts:
    """Shape (n_hours,): how many kinds of sign are known, or shown."""
    total = np.zeros(found[0].value.size if found else 0, dtype=np.int64)
    for kind in sorted({sign.kind for sign in found}):
        ours = [sign.shown if shown else sign.known for sign in found if sign.kind == kind]
        total += np.any(ours, axis=0)
    return total


def quoted(found: Sequence[Sign], i: int) -> list[dict[str, Any]]:
    """The known signs of hour *i*, for the evidence."""
    return [
        {
            "sign": sign.name,
            "kind": sign.kind,
            "observed": float(sign.value[i]),
            "threshold": float(sign.threshold[i]),
            "runs": bool(sign.shown[i]),
        }
        for sign in found
        if sign.known[i]
    ]


@dataclass(frozen=True, slots=True)
class _Memory:
    history: History
    rests: Truths
    asked: Truths

    def running(self, value: Values) -> Learned:
        return learned(self.history.start, value, ~self.rests, self.asked)

    def meanwhile(self, value: Values) -> Values:
        """The middle of what *value* was while it is said to rest."""
        return learned(self.history.start, value, self.rests, self.asked).quantile(0.5)


def _signs(memory: _Memory) -> Iterator[Sign]:
    history = memory.history
    for name in _DRAUGHT:
        value = channel(history, name, "mean")
        if value is not None:
            yield _draws(memory, name, "draught", value)
            break
    for name in _DRIVE:
        process = process_value(history, name)
        if process is not None:
            yield _draws(memory, name, "drive", process.mean)
    temperature = channel(history, "temperature", "mean")
    if temperature is not None:
        yield _heat(memory, temperature)
    oxygen = channel(history, "o2", "mean")
    if oxygen is not None:
        yield _fire(memory, oxygen)


def _draws(memory: _Memory, name: str, kind: str, value: Values) -> Sign:
    """Half of what is usual while it runs."""
    half = HALF * memory.running(value).working()
    if name == LOAD_PCT:
        threshold = np.where(np.isnan(half), LOAD_AT_LEAST_PCT, half)
        return _sign(name, kind, value, threshold, known=value >= 0)
    meanwhile = memory.meanwhile(value)
    return _or_otherwise(name, kind, value, half, meanwhile * OTHERWISE, meanwhile / OTHERWISE)


def _heat(memory: _Memory, value: Values) -> Sign:
    """As warm as in all but the coolest of its running hours."""
    usual, meanwhile = memory.running(value).quantile(0.05), memory.meanwhile(value)
    return _or_otherwise("temperature", "heat", value, usual, meanwhile + WARMER_K, meanwhile - WARMER_K)


def _fire(memory: _Memory, value: Values) -> Sign:
    """Less oxygen than halfway between what is usual and air."""
    usual = memory.running(value).quantile(0.5)
    threshold = np.where(np.isnan(usual), FIRE_BELOW_VOL_PCT, (usual + AIR_O2_VOL_PCT) / 2)
    found = value <= threshold
    return Sign(name="o2", kind="fire", value=value, threshold=threshold, known=~np.isnan(value), shown=found)


def _or_otherwise(name: str, kind: str, value: Values, usual: Values, above: Values, below: Values) -> Sign:
    """Against what is *usual*; where that is forgotten, known only *above* or *below* what it was meanwhile."""
    known = np.where(np.isnan(usual), (value >= above) | (value <= below), ~np.isnan(value))
    return _sign(name, kind, value, np.where(np.isnan(usual), above, usual), known=known)


def _sign(name: str, kind: str, value: Values, threshold: Values, *, known: Truths) -> Sign:
    shown = known & (value >= threshold)
    return Sign(name=name, kind=kind, value=value, threshold=threshold, known=known, shown=shown)
