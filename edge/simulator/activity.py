"""How much a stack's units run, by the orders that act on them and by the stops that were planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge.simulator.noise import Floats, Ints

MINUTE_MS: Final = 60_000
STOPPING_MIN: Final = 60  # from full load to standstill
STARTING_MIN: Final = 120  # from the first heat to full load
STATES: Final = ("running", "stopping", "stopped", "starting", "banked")
RUNNING: Final = STATES.index("running")
STOPPED: Final = STATES.index("stopped")
MODES: Final = frozenset({"stop", "hot_idle", "max_load", "min_coking_time"})

_BANKED: Final = 0.05  # what a hot battery that makes nothing still breathes
_SLOWED: Final = 0.7  # longer coking time


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """An order or a planned stop as it acts on one unit, from when it is obeyed until the unit is free again."""

    unit: str
    mode: str  #: stop, hot_idle, max_load (value in %), min_coking_time
    value: float | None = None
    since_ms: int
    until_ms: int | None = None

    def later(self, by_ms: int) -> Effect:
        until_ms = None if self.until_ms is None else self.until_ms + by_ms
        return replace(self, since_ms=self.since_ms + by_ms, until_ms=until_ms)


def activity(units: Sequence[str], effects: Sequence[Effect], at_ms: Ints, step_ms: int) -> tuple[Floats, Ints]:
    """The share of its normal load that a stack's units carry, and the state its operator reports."""
    ours = [effect for effect in effects if effect.unit in units]
    if not ours:
        return np.ones(at_ms.size), np.zeros(at_ms.size, dtype=np.int64)
    each = [_of_unit([effect for effect in ours if effect.unit == unit], at_ms, step_ms) for unit in units]
    mean = np.asarray(sum(part for part, _ in each) / len(each))
    busiest = np.argmax(np.stack([part for part, _ in each]), axis=0)
    state = np.take_along_axis(np.stack([state for _, state in each]), busiest[np.newaxis, :], axis=0)[0]
    return mean, state


def _of_unit(effects: Sequence[Effect], at_ms: Ints, step_ms: int) -> tuple[Floats, Ints]:
    runs = np.ones(at_ms.size)
    state = np.zeros(at_ms.size, dtype=np.int64)
    for effect in effects:
        part, told = _obeying(effect, at_ms, step_ms)
        lower = part < runs
        runs = np.where(lower, part, runs)
        state = np.where(lower | ((state == 0) & (told != 0)), told, state)
    return runs, state


def _obeying(effect: Effect, at_ms: Ints, step_ms: int) -> tuple[Floats, Ints]:
    """What one order makes of one unit: activity from 0 to 1 and state, step by step."""
    until_ms = effect.until_ms
    bound = (at_ms >= effect.since_ms) & (True if until_ms is None else at_ms < until_ms)
    if effect.mode in ("max_load", "min_coking_time"):
        share = _SLOWED if effect.mode == "min_coking_time" else min(1.0, (effect.value or 0.0) / 100)
        return np.where(bound, share, 1.0), np.zeros(at_ms.size, dtype=np.int64)
    rest, rest_state = (_BANKED, "banked") if effect.mode == "hot_idle" else (0.0, "stopped")
    stopping_ms, starting_ms = STOPPING_MIN * MINUTE_MS, STARTING_MIN * MINUTE_MS
    since = at_ms - effect.since_ms
    runs = np.where(bound, np.maximum(rest, 1 - (since + step_ms) / stopping_ms), 1.0)
    told = np.where(bound, np.where(since < stopping_ms, STATES.index("stopping"), STATES.index(rest_state)), 0)
    if until_ms is not None:
        lowest = max(rest, 1 - max(0, until_ms - effect.since_ms) / stopping_ms)
        starting = (at_ms >= until_ms) & (at_ms < until_ms + starting_ms)
        runs = np.where(starting, lowest + (1 - lowest) * ((at_ms - until_ms) / starting_ms), runs)
        told = np.where(starting, STATES.index("starting"), told)
    return runs, told.astype(np.int64)
