"""What the analysers show of the gas: in the unit and state that the register says, late, noisy, rounded, and cut off.

The register's conversions (`plant.readings`) are applied backwards, then come the sampling line (calibration gas,
instrument air, the response of the instrument), drift, noise, the range and the resolution. The response is a
recurrence carried from step to step. Response within 200 s, a zero and span check every 24 h and a patrol every 7 d
follow HJ 75 as section 3.7 of the project's regulation sheet has it (K-H); noise, drift and resolution are our own [D].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.simulator.cycles import Clock
from edge.simulator.gas import Gas, follow
from edge.simulator.kinds import AIR_O2, Kind, measured_by
from edge.simulator.noise import Floats, Truths, smooth, streams, white
from plant.channels import GASES
from plant.conversion import MOLAR_MASS_G, MOLAR_VOLUME_L, STANDARD_PRESSURE_PA, ZERO_CELSIUS_K
from plant.register import Channel, Stack

NO_SHARE: Final = 0.95  #: of the nitrogen oxides by volume, where NO and NO2 are measured apart [D]
SPAN_GAS: Final = 0.8  #: of the range
PURGE_EVERY_S: Final = 4 * 3600
PURGE_S: Final = 60
PATROL_EVERY_DAYS: Final = 7
PATROL_AT_MIN: Final = 10 * 60 + 5
PATROL_MIN: Final = 12
_DAY_S: Final = 86_400
_DRIFT_S: Final = 2 * _DAY_S


@dataclass(frozen=True, slots=True)
class Sensor:
    """One channel's instrument."""

    range: tuple[float, float]
    decimals: int  #: its resolution
    t90_s: float  #: from a step in the gas to 90 % of it
    noise: float  #: standard deviation, of the range
    drift: float  #: how far zero and span wander, of the range
    extracted: bool  #: fed by the sampling line: calibration gas, instrument air and diluted samples reach it


#: Ranges in mg/m3, vol %, degC, Pa, m/s; the register's own range stands over them. [D]
SENSORS: Final[Mapping[str, Sensor]] = {
    "so2": Sensor((0.0, 300.0), 1, 120.0, 0.0015, 0.004, True),
    "nox": Sensor((0.0, 500.0), 1, 120.0, 0.0010, 0.004, True),
    "no": Sensor((0.0, 300.0), 1, 120.0, 0.0010, 0.004, True),
    "no2": Sensor((0.0, 50.0), 1, 120.0, 0.0010, 0.004, True),
    "pm": Sensor((0.0, 50.0), 2, 30.0, 0.0020, 0.004, False),
    "o2": Sensor((0.0, 25.0), 2, 90.0, 0.0010, 0.003, True),
    "moisture": Sensor((0.0, 40.0), 2, 120.0, 0.0020, 0.004, False),
    "temperature": Sensor((0.0, 400.0), 1, 60.0, 0.0004, 0.0005, False),
    "pressure": Sensor((-5000.0, 5000.0), 0, 5.0, 0.0008, 0.0005, False),
    "velocity": Sensor((0.0, 40.0), 2, 10.0, 0.0060, 0.002, False),
}
SIGNALS: Final[Mapping[str, int]] = {"flow": 0, "power_production_kw": 0, "power_abatement_kw": 0, "load_pct": 1}
"""What is computed by the logger or comes from the control system, with its decimals."""

NORMAL: Final = ord("N")
OVER: Final = ord("T")
CALIBRATING: Final = ord("C")
MAINTAINED: Final = ord("M")


@dataclass(frozen=True, slots=True)
class Line:
    """When the sampling line carries something else than the gas; shape (n, m)."""

    zero: Truths
    span: Truths
    air: Truths
    flag: np.ndarray[tuple[int, int], np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routine:
    """When each stack is calibrated and looked after, in minutes of the local day; shape (m,)."""

    calibration_at: Floats
    calibration_min: Floats  #: zero gas, span gas and the purge after them, a third each
    purge_phase: Floats
    patrol_day: Floats

    def line(self, clock: Clock, missed: Truths) -> Line:
        """*missed*: steps in which no calibration is done, shape (n, m)."""
        day_s = (clock.local % _DAY_S)[:, np.newaxis]
        into = (day_s - self.calibration_at * 60) % _DAY_S
        part = self.calibration_min * 60 / 3
        calibrating = (into < 3 * part) & ~missed
        purging = (clock.second[:, np.newaxis] + self.purge_phase * PURGE_EVERY_S) % PURGE_EVERY_S < PURGE_S
        day = (clock.local // _DAY_S)[:, np.newaxis]
        patrolled = (day + self.patrol_day) % PATROL_EVERY_DAYS < 1
        patrolled = patrolled & (day_s >= PATROL_AT_MIN * 60) & (day_s < (PATROL_AT_MIN + PATROL_MIN) * 60)
        maintained = (purging | patrolled) & ~calibrating
        flag = np.where(calibrating, CALIBRATING, np.where(maintained, MAINTAINED, NORMAL)).astype(np.uint8)
        zero = calibrating & (into < part)
        return Line(zero=zero, span=calibrating & ~zero & (into < 2 * part), air=maintained, flag=flag)


@dataclass(frozen=True, slots=True)
class Analysers:
    """All instruments of a works: channels by name, each of shape (m,); what a stack does not measure is NaN there."""

    seed: int
    names: tuple[str, ...]
    stacks: tuple[Stack, ...]
    channels: tuple[str, ...]
    measured: Truths  #: shape (k, m)
    low: Floats
    high: Floats
    share: Floats  #: of the way to a new value in one step
    base_o2: Floats  #: shape (m,), NaN where there is none

    @classmethod
    def of(
        cls,
        seed: int,
        names: Sequence[str],
        stacks: Sequence[Stack],
        kinds: Sequence[Kind],
        base_o2: Floats,
        step_s: int,
    ) -> Analysers:
        channels = tuple(SENSORS)
        measured = np.array([[c in measured_by(s, k) for s, k in zip(stacks, kinds, strict=True)] for c in channels])
        ranges = np.array([[range_of(stack.channel(c), c) for stack in stacks] for c in channels])
        lags = np.array([SENSORS[c].t90_s for c in channels]) / np.log(10)
        share = np.repeat((1 - np.exp(-step_s / lags))[:, np.newaxis], len(stacks), axis=1)
        return cls(
            seed, tuple(names), tuple(stacks), channels, measured, ranges[..., 0], ranges[..., 1], share, base_o2
        )

    def seen(self, gas: Gas, dilution: Floats) -> Floats:
        """The gas as each instrument would show it at once and without fault, shape (k, n, m).

        *dilution*: share of air in the sampling line, shape (n, m).
        """
        seen = np.empty((len(self.channels), *gas.o2.shape))
        whole = 1 - dilution
        moisture = gas.moisture * whole
        o2 = gas.o2 * whole + AIR_O2 * dilution
        for row, name in enumerate(self.channels):
            sensor = SENSORS[name]
            if name == "o2":
                true = o2
            elif name in ("no", "no2"):
                share = NO_SHARE * MOLAR_MASS_G["no"] / MOLAR_MASS_G["no2"] if name == "no" else 1 - NO_SHARE
                true = gas.nox * share
            else:
                true = getattr(gas, name)
            diluted = sensor.extracted and name != "o2"
            seen[row] = true * whole if diluted else true
        self._registered(seen, gas, moisture, o2)
        return seen

    def _registered(self, seen: Floats, gas: Gas, moisture: Floats, o2: Floats) -> None:
        """From dry gas at standard state to what the register says of each channel: `plant.readings` backwards."""
        for column, stack in enumerate(self.stacks):
            for name, channel in stack.channels.items():
                if name not in self.channels:
                    continue
                row = self.channels.index(name)
                if not self.measured[row, column]:
                    continue
                value = seen[row, :, column]
                if channel.wet:
                    value = value * (1 - moisture[:, column] / 100)
                if channel.actual_state:
                    kelvin = ZERO_CELSIUS_K / (ZERO_CELSIUS_K + gas.temperature[:, column])
                    value = value * kelvin * (stack.ambient_pressure_pa + gas.pressure[:, column])
                    value = value / STANDARD_PRESSURE_PA
                if channel.unit == "ppm":
                    value = value * (MOLAR_VOLUME_L / MOLAR_MASS_G[name])
                if channel.corrected and not np.isnan(self.base_o2[column]):
                    value = value * (21 - self.base_o2[column]) / np.maximum(21 - o2[:, column], 0.1)
                seen[row, :, column] = (value - channel.intercept) / channel.slope

    def shown(self, seen: Floats, line: Line, clock: Clock, at: Floats | None) -> tuple[Floats, Floats]:
        """What the instruments answer to what they see, before range and resolution, and where they stand at the end.

        Shape (k, n, m); *at* is of shape (k, m), None at the beginning.
        """
        fed = seen
        for row, name in enumerate(self.channels):
            if SENSORS[name].extracted or name == "pm":
                air = AIR_O2 if name == "o2" else 0.0
                value = np.where(line.span, SPAN_GAS * self.high[row], fed[row])
                fed[row] = np.where(line.zero, 0.0, np.where(line.air, air, value))
        followed = follow(fed, self.share, fed[:, 0] if at is None else at)
        end = followed[:, -1].copy()
        for row, name in enumerate(self.channels):
            self._disturb(followed[row], row, name, clock)
        return followed, end

    def _disturb(self, value: Floats, row: int, name: str, clock: Clock) -> None:
        """Noise and the slow drift of zero and span, in place."""
        sensor = SENSORS[name]
        width = self.high[row] - self.low[row]
        drift = smooth(streams(self.seed, self.names, f"{name} span"), clock.index, _DRIFT_S // clock.step_s)
        drift *= sensor.drift
        drift += 1.0
        value *= drift
        zero = smooth(streams(self.seed, self.names, f"{name} zero"), clock.index, _DRIFT_S // clock.step_s)
        zero *= sensor.drift / 4 * width
        value += zero
        noise = white(streams(self.seed, self.names, f"{name} noise"), clock.index)
        noise *= sensor.noise * width
        value += noise

    def limited(self, shown: Floats) -> tuple[Floats, Truths]:
        """*shown* within the ranges and rounded, in place, and where it was over the range."""
        low, high = self.low[:, np.newaxis], self.high[:, np.newaxis]
        over = shown > high
        np.clip(shown, low - 0.05 * (high - low), high, out=shown)
        for row, name in enumerate(self.channels):
            np.round(shown[row], SENSORS[name].decimals, out=shown[row])
        over &= self.measured[:, np.newaxis]
        return shown, over


def range_of(channel: Channel, name: str) -> tuple[float, float]:
    """The registered range, else the instrument's usual one in the registered unit."""
    if channel.range is not None:
        return channel.range
    low, high = SENSORS[name].range
    ppm = MOLAR_VOLUME_L / MOLAR_MASS_G[name] if name in GASES and channel.unit == "ppm" else 1.0
    return low * ppm, high * ppm
