"""What a source does by itself from step to step: strand stops, reversals, stove changes, rolling delays, the day.

Each function gives, for the stacks of one kind, how far load, fuel, heat and NOx lie off the rated figures, as a
function of the instant alone. Shapes are (n_steps, n_stacks). Periods are usual ones [D].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.simulator.noise import Floats, Ints, Streams, Truths, ease, uniform

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0

REVERSAL_S: Final = 20 * MINUTE_S
_STOVE_S: Final = 105 * MINUTE_S
_ON_GAS_S: Final = 65 * MINUTE_S
_HEAT_S: Final = 40 * MINUTE_S


@dataclass(frozen=True, slots=True)
class Clock:
    """The instants of a run of steps."""

    second: Ints  #: since the epoch, start of the step
    local: Ints  #: the same on the site's wall clock
    step_s: int

    @property
    def index(self) -> Ints:
        """Number of the step: what noise is drawn by."""
        return self.second // self.step_s

    def part_of(self, into: Floats, length_s: float) -> Floats:
        """The part of each step that lies in the first *length_s* of a period which it is *into* [s]."""
        return np.clip((length_s - into) / self.step_s, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Cycle:
    """Factors on rated figures. `load` moves fuel and air alike, `fuel` the fuel alone."""

    load: Floats | float = 1.0
    fuel: Floats | float = 1.0
    heat: Floats | float = 0.0  #: on the gas temperature [K]
    nox: Floats | float = 1.0


@dataclass(frozen=True, slots=True)
class Draws:
    """The chances of the stacks of one kind."""

    phase: Floats  #: shape (m,), from 0 to 1
    chance: Streams
    when: Streams
    long: Streams


def strand(clock: Clock, draws: Draws) -> Cycle:
    """A strand stops for some minutes now and then, its fans do not: oxygen rises while load falls."""
    stopped = _now_and_then(clock, draws, every_s=8 * HOUR_S, chance=0.12, least_s=240, most_s=840, edge_s=120)
    return Cycle(fuel=1 - 0.65 * stopped)


def reversal(clock: Clock, draws: Draws) -> Cycle:
    """Gas is shut for a minute at each reversal, and one half of the flues burns a little hotter."""
    at = clock.second[:, np.newaxis] + draws.phase * 2 * REVERSAL_S
    into = at % REVERSAL_S
    half = (at // REVERSAL_S) % 2
    return Cycle(fuel=1 - 0.88 * clock.part_of(into, MINUTE_S), nox=0.97 + 0.06 * half)


def stoves(clock: Clock, draws: Draws) -> Cycle:
    """Three stoves in turn: on gas, a change of five minutes, on blast with their chimney valve shut."""
    shape = (clock.second.size, draws.phase.size)
    burning, heat = np.zeros(shape), np.zeros(shape)
    for stove in range(3):
        into = (clock.second[:, np.newaxis] + (draws.phase + stove / 3) * _STOVE_S) % _STOVE_S
        on_gas = np.clip(into / 180, 0, 1) * np.clip((_ON_GAS_S - into) / 180, 0, 1)
        burning += on_gas
        heat += on_gas * (into / _ON_GAS_S - 0.5)
    load = burning / (3 * (_ON_GAS_S - 180) / _STOVE_S)
    return Cycle(load=load, heat=120 * heat / np.maximum(burning, 0.05))


def rolling(clock: Clock, draws: Draws) -> Cycle:
    """The mill waits now and then and the furnace holds its heat meanwhile."""
    waits = _now_and_then(clock, draws, every_s=3 * HOUR_S, chance=0.35, least_s=600, most_s=3000, edge_s=300)
    return Cycle(load=1 - 0.55 * waits)


def peaking(clock: Clock, draws: Draws) -> Cycle:
    """A turbine follows the day a little."""
    return Cycle(load=0.86 + 0.14 * _day(clock, draws))


def following(clock: Clock, draws: Draws) -> Cycle:
    """A boiler follows the day."""
    return Cycle(load=0.72 + 0.28 * _day(clock, draws))


def heats(clock: Clock, draws: Draws) -> Cycle:
    """A converter blows for fifteen of forty minutes: dust comes in heats, the fan stays."""
    into = (clock.second[:, np.newaxis] + draws.phase * _HEAT_S) % _HEAT_S
    blowing = np.clip(into / 120, 0, 1) * np.clip((900 - into) / 120, 0, 1)
    return Cycle(fuel=0.55 + 1.1 * blowing, heat=25 * blowing)


CYCLES: Final[Mapping[str, Callable[[Clock, Draws], Cycle]]] = {
    "sinter_strand": strand,
    "coke_battery": reversal,
    "hot_stove": stoves,
    "reheating_furnace": rolling,
    "gas_turbine": peaking,
    "coal_boiler": following,
    "dust_collector": heats,
}


def _now_and_then(
    clock: Clock, draws: Draws, *, every_s: float, chance: float, least_s: float, most_s: float, edge_s: float
) -> Floats:
    """1 while an event lasts that comes with *chance* once in each *every_s*, eased over *edge_s* at either end."""
    window = clock.second // int(every_s)
    first = int(window[0])
    windows = np.arange(first, int(window[-1]) + 1, dtype=np.int64)
    length = least_s + (most_s - least_s) * uniform(draws.long, windows)
    begin = (every_s - length) * uniform(draws.when, windows)
    comes: Truths = uniform(draws.chance, windows) < chance
    at = window - first
    into = (clock.second - window * int(every_s))[:, np.newaxis] - begin[at]
    inside = np.clip(into / edge_s, 0, 1) * np.clip((length[at] - into) / edge_s, 0, 1)
    return np.where(comes[at], inside, 0.0)


def _day(clock: Clock, draws: Draws) -> Floats:
    """From 0 in the small hours to 1 in the afternoon, an hour earlier or later by stack."""
    hour = ((clock.local[:, np.newaxis] + (draws.phase - 0.5) * 2 * HOUR_S) % DAY_S) / HOUR_S
    return ease(1 - np.abs((hour - 15 + 12) % 24 - 12) / 12)
