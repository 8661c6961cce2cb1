"""What the stacks of an imaginary works send, minute by minute, as a function of seed, breakdowns and orders.

A pollutant is what the process makes times what its abatement lets through; a breakdown lowers the
abatement's efficiency, an order takes the load away. The levels are invented and plausible, chosen to
stay well below the ultra-low limits while everything works; they are no data of any plant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from edge.simulator.noise import Floats, Ints, key, smooth, white

MINUTE_MS: Final = 60_000
INTERVAL_S: Final = 60

STOPPING_MIN: Final = 60  # from full load to standstill
STARTING_MIN: Final = 120  # from the first heat to full load
_RAMP_MIN: Final = 30  # an abatement fails and recovers by and by
_AMBIENT_O2: Final = 20.9
_AMBIENT_DEGC: Final = 15.0
_BANKED: Final = 0.05  # what a hot battery that makes nothing still breathes
_SLOWED: Final = 0.7  # longer coking time
_SLOW_MIN: Final = 180  # how fast levels wander


@dataclass(frozen=True, slots=True)
class Level:
    """A quantity while the works runs: its mean, and how it wanders and jitters as parts of the mean."""

    mean: float
    wander: float = 0.04
    jitter: float = 0.02


@dataclass(frozen=True, slots=True)
class Pollutant:
    """What the process makes [mg/m3, dry, at measured oxygen] and the share that the abatement takes out."""

    made: Level
    efficiency: float
    span: float  #: of the analyser's calibration gas [mg/m3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One kind of outlet."""

    pollutants: Mapping[str, Pollutant]
    o2: Level
    moisture: Level
    temperature: Level
    flow: Level
    load: Level


MODELS: Final[Mapping[str, Model]] = {
    "sinter_head": Model(
        pollutants={
            "so2": Pollutant(Level(600.0, 0.07, 0.04), 0.965, 160.0),
            "nox": Pollutant(Level(240.0, 0.05, 0.03), 0.86, 240.0),
            "pm": Pollutant(Level(3000.0, 0.08, 0.05), 0.9985, 40.0),
        },
        o2=Level(15.8, 0.008, 0.004),
        moisture=Level(9.5),
        temperature=Level(128.0),
        flow=Level(1_050_000.0, 0.02, 0.01),
        load=Level(92.0, 0.015, 0.004),
    ),
    "coke_chimney": Model(
        pollutants={
            "so2": Pollutant(Level(250.0, 0.07, 0.04), 0.94, 160.0),
            "nox": Pollutant(Level(500.0, 0.05, 0.03), 0.8, 400.0),
            "pm": Pollutant(Level(120.0, 0.08, 0.05), 0.96, 40.0),
        },
        o2=Level(8.5, 0.02, 0.01),
        moisture=Level(11.0),
        temperature=Level(182.0),
        flow=Level(310_000.0, 0.02, 0.01),
        load=Level(95.0, 0.01, 0.003),
    ),
    "hot_blast_stove": Model(
        pollutants={
            "so2": Pollutant(Level(24.0, 0.07, 0.04), 0.0, 160.0),
            "nox": Pollutant(Level(85.0, 0.06, 0.04), 0.0, 400.0),
            "pm": Pollutant(Level(4.2, 0.08, 0.05), 0.0, 40.0),
        },
        o2=Level(4.0, 0.06, 0.03),
        moisture=Level(7.5),
        temperature=Level(165.0),
        flow=Level(420_000.0, 0.02, 0.01),
        load=Level(90.0, 0.02, 0.005),
    ),
}
"""By outlet key of the rule packs. [mg/m3; vol %; degC; m3/h standard, dry; % of rated load]"""

_DECIMALS: Final = {"so2": 2, "nox": 2, "pm": 2, "o2": 2, "moisture": 2, "temperature": 1, "flow": 0, "load_pct": 1}
_STATES: Final = ("running", "stopping", "stopped", "starting", "banked")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackModel:
    code: str
    process: str
    units: tuple[str, ...] = ()
    calibration_minute: int = 200  #: of the local day; six minutes leave the hour valid
    calibration_minutes: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """An abatement that takes out less. A stop of its unit is used to repair it."""

    stack: str
    pollutant: str
    since_ms: int
    until_ms: int
    efficiency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """An order as it acts on one unit, from when the works began to obey until it was free again."""

    unit: str
    mode: str  #: stop, hot_idle, max_load (value in %), min_coking_time
    value: float | None = None
    since_ms: int
    until_ms: int | None = None


MODES: Final = frozenset({"stop", "hot_idle", "max_load", "min_coking_time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Works:
    """All stacks of one site."""

    seed: int
    stacks: tuple[StackModel, ...]
    breakdowns: tuple[Breakdown, ...] = ()
    timezone: str = "UTC"

    def columns(self, since_ms: int, until_ms: int, effects: Sequence[Effect] = ()) -> tuple[dict[str, Any], int]:
        """The rows of `[since, until)`, by column and in order of time, and their number; whole minutes."""
        minutes = np.arange(since_ms // MINUTE_MS, until_ms // MINUTE_MS, dtype=np.int64)
        parts = [self._stack(stack, minutes, effects) for stack in self.stacks]
        rows = len(minutes) * len(parts)
        if rows == 0:
            return {}, 0
        frame: dict[str, Any] = {
            "stack": [stack.code for stack in self.stacks] * len(minutes),
            "sampled_at": np.repeat(minutes * MINUTE_MS, len(parts)).tolist(),
            "interval_s": INTERVAL_S,
            "state": _woven([np.array(_STATES)[part.state] for part in parts]),
            "flag": _woven([np.where(part.calibrating, "C", "N") for part in parts]),
        }
        for name in ("state", "flag"):
            if len(set(frame[name])) == 1:
                frame[name] = frame[name][0]
        for channel, decimals in _DECIMALS.items():
            frame[channel] = _woven([np.round(part.values[channel], decimals) for part in parts])
        return frame, rows

    def _stack(self, stack: StackModel, minutes: Ints, effects: Sequence[Effect]) -> _Part:
        model = MODELS[stack.process]
        ours = [effect for effect in effects if effect.unit in stack.units]
        activity, state = _activity(stack.units, ours, minutes)

        def level(name: str, of: Level) -> Floats:
            wander = smooth(key(self.seed, stack.code, name, "wander"), minutes, _SLOW_MIN)
            jitter = white(key(self.seed, stack.code, name, "jitter"), minutes)
            return np.asarray(of.mean * (1 + of.wander * wander + of.jitter * jitter))

        calibrating, span = self._calibration(stack, minutes)
        values: dict[str, Floats] = {
            "o2": level("o2", model.o2) * activity + _AMBIENT_O2 * (1 - activity),
            "moisture": level("moisture", model.moisture) * activity + 1.5 * (1 - activity),
            "temperature": level("temperature", model.temperature) * activity + _AMBIENT_DEGC * (1 - activity),
            "flow": level("flow", model.flow) * (0.02 + 0.98 * activity),
            "load_pct": level("load", model.load) * activity,
        }
        for name, pollutant in model.pollutants.items():
            let_through = 1 - self._efficiency(stack, name, pollutant.efficiency, minutes, ours)
            clean = level(name, pollutant.made) * let_through * activity
            values[name] = np.where(calibrating, span * pollutant.span, np.maximum(clean, 0.0))
        return _Part(values, state, calibrating)

    def _calibration(self, stack: StackModel, minutes: Ints) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], Floats]:
        """Which minutes calibrate, and the part of the span that the gas then shows: zero first, then span."""
        into = (minutes + self._offsets(minutes) - stack.calibration_minute) % 1440
        calibrating = into < stack.calibration_minutes
        return calibrating, np.where(into * 2 < stack.calibration_minutes, 0.0, 0.8)

    def _offsets(self, minutes: Ints) -> Ints:
        """Minutes east of UTC, taken once a quarter of an hour: no zone changes in between."""
        if len(minutes) == 0:
            return minutes
        zone = ZoneInfo(self.timezone)
        quarters, where = np.unique(minutes // 15, return_inverse=True)
        offsets = [datetime.fromtimestamp(int(q) * 900, UTC).astimezone(zone).utcoffset() for q in quarters]
        seconds = [0 if offset is None else int(offset.total_seconds()) for offset in offsets]
        return np.asarray(np.array(seconds, dtype=np.int64)[where] // 60)

    def _efficiency(
        self, stack: StackModel, pollutant: str, normal: float, minutes: Ints, effects: Sequence[Effect]
    ) -> Floats:
        efficiency = np.full(len(minutes), normal)
        repairs = [effect.since_ms for effect in effects if effect.mode in ("stop", "hot_idle")]
        for breakdown in self.breakdowns:
            if breakdown.stack != stack.code or breakdown.pollutant != pollutant:
                continue
            since = breakdown.since_ms // MINUTE_MS
            until_ms = min([breakdown.until_ms, *(at for at in repairs if at >= breakdown.since_ms)])
            until = until_ms // MINUTE_MS
            share = np.minimum(
                np.clip((minutes - since) / _RAMP_MIN, 0.0, 1.0), np.clip(1 - (minutes - until) / _RAMP_MIN, 0.0, 1.0)
            )
            efficiency = np.minimum(efficiency, normal + (breakdown.efficiency - normal) * share)
        return np.asarray(efficiency)


@dataclass(frozen=True, slots=True)
class _Part:
    values: Mapping[str, Floats]
    state: Ints
    calibrating: np.ndarray[Any, np.dtype[np.bool_]]


def _activity(units: Sequence[str], effects: Sequence[Effect], minutes: Ints) -> tuple[Floats, Ints]:
    """The share of its normal load that a stack's units carry, and the state its operator reports."""
    if not effects:
        return np.ones(len(minutes)), np.zeros(len(minutes), dtype=np.int64)
    each = [_unit_activity([e for e in effects if e.unit == unit], minutes) for unit in units]
    activity = np.asarray(sum(part for part, _ in each) / len(each))
    busiest = np.argmax(np.stack([part for part, _ in each]), axis=0)
    state = np.take_along_axis(np.stack([state for _, state in each]), busiest[np.newaxis, :], axis=0)[0]
    return activity, state


def _unit_activity(effects: Sequence[Effect], minutes: Ints) -> tuple[Floats, Ints]:
    activity = np.ones(len(minutes))
    state = np.zeros(len(minutes), dtype=np.int64)
    for effect in effects:
        part, told = _obeying(effect, minutes)
        lower = part < activity
        activity = np.where(lower, part, activity)
        state = np.where(lower | ((state == 0) & (told != 0)), told, state)
    return activity, state


def _obeying(effect: Effect, minutes: Ints) -> tuple[Floats, Ints]:
    """What one order makes of one unit: activity from 0 to 1 and state by minute."""
    since = effect.since_ms // MINUTE_MS
    until = None if effect.until_ms is None else effect.until_ms // MINUTE_MS
    bound = (minutes >= since) & (True if until is None else minutes < until)
    if effect.mode in ("max_load", "min_coking_time"):
        share = _SLOWED if effect.mode == "min_coking_time" else min(1.0, (effect.value or 0.0) / 100)
        return np.where(bound, share, 1.0), np.zeros(len(minutes), dtype=np.int64)
    rest, rest_state = (_BANKED, "banked") if effect.mode == "hot_idle" else (0.0, "stopped")
    down = np.maximum(rest, 1 - (minutes - since + 1) / STOPPING_MIN)
    activity = np.where(bound, down, 1.0)
    told = np.where(bound, np.where(minutes - since < STOPPING_MIN, 1, _STATES.index(rest_state)), 0)
    if until is not None:
        lowest = max(rest, 1 - max(0, until - since) / STOPPING_MIN)
        starting = (minutes >= until) & (minutes < until + STARTING_MIN)
        up = lowest + (1 - lowest) * ((minutes - until) / STARTING_MIN)
        activity = np.where(starting, up, activity)
        told = np.where(starting, _STATES.index("starting"), told)
    return activity, told.astype(np.int64)


def _woven(parts: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
    """One list in order of time from one array a stack."""
    woven: list[Any] = np.stack(parts, axis=1).ravel().tolist()
    return woven
