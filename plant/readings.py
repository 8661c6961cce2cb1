"""From raw rows to what an hour is made of: each row's value in mg/m3, dry, standard state, and whether it counts.

The register says what applies to a channel; `plant.conversion` has the equations. A row counts for its pollutant when
the flags of the channel and of everything that corrects it are normal, or over range, which makes its value a
lower bound (contract, section 5). Minutes and hours are `plant.hours`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from plant.channels import NOT_RUNNING
from plant.conversion import (
    ZERO_CELSIUS_K,
    actual_to_standard,
    flow_actual,
    flow_standard_dry,
    nox_from_mass,
    ppm_to_mg_m3,
    wet_to_dry,
)
from plant.periods import SECOND, Instants
from plant.register import Stack

Values = npt.NDArray[np.float64]  #: shape (n,), NaN where there is no value
Letters = npt.NDArray[np.uint8]  #: shape (n,), ASCII of a flag
Counts = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

NORMAL: Final = ord("N")
OVER_RANGE: Final = ord("T")
CALIBRATION: Final = ord("C")
LARGEST: Final = 1e12  #: beyond it nothing is measured: a broken instrument, and sums that could overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What one instrument of one stack sent, sorted by `sampled_at`; every array has shape (n_rows,)."""

    sampled_at: Instants
    interval_s: Counts
    not_running: Truths  #: the row says stopped, starting, stopping or banked
    values: Mapping[str, Values]
    flags: Mapping[str, Letters]  #: by channel; `row_flag` where a channel has none of its own
    row_flag: Letters

    def value(self, channel: str) -> Values:
        return self.values.get(channel, np.full(self.sampled_at.size, np.nan))

    def flag(self, channel: str) -> Letters:
        return self.flags.get(channel, self.row_flag)


@dataclass(frozen=True, slots=True)
class Reading:
    """One pollutant row by row, converted; every array has shape (n_rows,)."""

    value: Values  #: mg/m3, dry, standard state; a lower bound where over range
    o2: Values  #: vol %, dry
    o2_usable: Truths
    counted: Truths  #: covers its minute
    over_range: Truths
    flagged: Truths  #: a flag, not a missing value, keeps the row out


def reading(rows: Rows, pollutant: str, stack: Stack, *, with_oxygen: bool) -> Reading:
    """*pollutant* in *rows*; *with_oxygen* where the outlet has a base oxygen that the channel needs."""
    sources = ("no", "no2") if pollutant == "nox" and stack.nox_from != "nox" else (pollutant,)
    oxygen = stack.channel("o2")
    correctors = {"o2"} if with_oxygen else set()
    if with_oxygen and oxygen.wet:
        correctors.add("moisture")
    for name in sources:
        correctors |= _correctors(stack, name)
    if len(sources) == 2:
        value = nox_from_mass(_gas(rows, "no", stack), _gas(rows, "no2", stack))
    else:
        value = _gas(rows, pollutant, stack)
    o2 = _registered(rows, "o2", stack)
    if oxygen.wet:
        o2 = wet_to_dry(o2, _moisture(rows, stack))

    usable = np.ones(rows.sampled_at.size, dtype=bool)
    over_range = np.zeros(rows.sampled_at.size, dtype=bool)
    for name in (*sources, *sorted(correctors)):
        flag = rows.flag(name)
        # More pressure means less of the gas at standard state, so its upper end bounds nothing.
        bounds_from_below = name != "pressure"
        usable &= (flag == NORMAL) | ((flag == OVER_RANGE) & bounds_from_below)
        over_range |= (flag == OVER_RANGE) & bounds_from_below
    for name in sources:
        usable &= ~_settling(rows, name, stack.settle_s)
    possible = ~np.isnan(value)
    for name in sources:
        possible &= ~_below_zero(rows, name, stack)
    return Reading(
        value=value,
        o2=o2,
        o2_usable=_usable(rows, ("o2", "moisture") if oxygen.wet else ("o2",)),
        counted=usable & possible,
        over_range=over_range & usable,
        flagged=~usable | over_range,
    )


def flow_of(rows: Rows, stack: Stack) -> Values:
    """Flow, standard and dry [m3/h]: as sent, else from velocity and the registered area (eq. 29 to 31); NaN else."""
    sent = _possible(rows.value("flow"), above=-LARGEST, below=LARGEST)
    flow = np.where(rows.flag("flow") == NORMAL, sent, np.nan)
    if stack.area_m2 is None:
        return flow
    velocity = _possible(rows.value("velocity"), above=-LARGEST, below=LARGEST)
    usable = _usable(rows, ("velocity", "temperature", "pressure", "moisture"), normal_only=True)
    computed = flow_standard_dry(
        flow_actual(velocity * stack.velocity_factor, stack.area_m2),
        _temperature(rows, stack),
        _pressure(rows, stack),
        stack.ambient_pressure_pa,
        _moisture(rows, stack),
    )
    return np.where(np.isnan(flow) & usable, computed, flow)


def auxiliary(rows: Rows, name: str, stack: Stack) -> tuple[Values, Truths]:
    """A channel that is no gas: its value row by row, as `reading` corrects with it, and whether it counts.

    Oxygen [vol %, dry], moisture [vol %], temperature [degC], pressure [Pa], flow [m3/h]; any other as sent.
    """
    if name == "flow":
        value = flow_of(rows, stack)
        return value, ~np.isnan(value)
    usable = _usable(rows, (name,))
    if name == "o2" and stack.channel(name).wet:
        return wet_to_dry(_registered(rows, name, stack), _moisture(rows, stack)), usable & _usable(rows, ("moisture",))
    bounded = {"moisture": _moisture, "temperature": _temperature}.get(name)
    if bounded is not None:
        return bounded(rows, stack), usable
    # Pressure too: that a stack without it is level with the barometer is for corrections, not for a mean of it.
    return _registered(rows, name, stack), usable


def state_not_running(states: Sequence[str | None]) -> Truths:
    """Which of *states* say that the source does not run; unknown counts as running."""
    return np.array([state in NOT_RUNNING for state in states], dtype=bool)


def _correctors(stack: Stack, name: str) -> set[str]:
    """What is needed to bring the channel to dry gas at standard state."""
    channel = stack.channel(name)
    found = {"moisture"} if channel.wet else set()
    return found | ({"temperature", "pressure"} if channel.actual_state else set())


def _gas(rows: Rows, name: str, stack: Stack) -> Values:
    """One gas, or dust, in mg/m3, dry, at standard state."""
    channel = stack.channel(name)
    value = _registered(rows, name, stack)
    if channel.unit == "ppm":
        value = ppm_to_mg_m3(value, name)
    if channel.actual_state:
        pressure = _pressure(rows, stack)
        value = actual_to_standard(value, _temperature(rows, stack), pressure, stack.ambient_pressure_pa)
    if channel.wet:
        value = wet_to_dry(value, _moisture(rows, stack))
    return value


def _registered(rows: Rows, name: str, stack: Stack) -> Values:
    """The channel by its registered line; over range, its value or the range's upper end, whichever is higher."""
    channel = stack.channel(name)
    value = _possible(rows.value(name), above=-LARGEST, below=LARGEST)
    if channel.range is not None:
        value = np.where(rows.flag(name) == OVER_RANGE, np.fmax(value, channel.range[1]), value)
    if channel.slope == 1.0 and channel.intercept == 0.0:
        return value
    return value * channel.slope + channel.intercept


# A gas state that cannot be gives no value: dividing by it would make a high value a low one.


def _moisture(rows: Rows, stack: Stack) -> Values:
    return _possible(_registered(rows, "moisture", stack), above=-100.0, below=100.0)


def _temperature(rows: Rows, stack: Stack) -> Values:
    return _possible(_registered(rows, "temperature", stack), above=-ZERO_CELSIUS_K, below=LARGEST)


def _pressure(rows: Rows, stack: Stack) -> Values:
    """Static pressure is small beside the barometer's; a stack that does not send it is taken as level with it."""
    pressure = np.nan_to_num(rows.value("pressure"), nan=0.0)
    return _possible(pressure, above=-stack.ambient_pressure_pa, below=LARGEST)


def _possible(value: Values, *, above: float, below: float) -> Values:
    """*value* where it lies between the two, else NaN."""
    return np.where((value > above) & (value < below), value, np.nan)


def _usable(rows: Rows, names: Iterable[str], *, normal_only: bool = False) -> Truths:
    usable = np.ones(rows.sampled_at.size, dtype=bool)
    for name in names:
        flag = rows.flag(name)
        usable &= (flag == NORMAL) if normal_only else (flag == NORMAL) | (flag == OVER_RANGE)
    return usable


def _below_zero(rows: Rows, name: str, stack: Stack) -> Truths:
    """Readings further below zero than the registered zero drift: no gas, a broken zero. Smaller ones are noise."""
    drift = stack.channel(name).zero_drift
    if drift is None:
        return np.zeros(rows.sampled_at.size, dtype=bool)
    below: Truths = rows.value(name) < -drift
    return below


def _settling(rows: Rows, name: str, settle_s: int) -> Truths:
    """Rows that start within *settle_s* after a calibration of the channel: its gas is still in the line."""
    if settle_s == 0 or not rows.sampled_at.size:
        return np.zeros(rows.sampled_at.size, dtype=bool)
    ends = np.where(rows.flag(name) == CALIBRATION, rows.sampled_at + rows.interval_s * SECOND, np.iinfo(np.int64).min)
    last_end = np.maximum.accumulate(ends)
    begun = last_end > np.iinfo(np.int64).min
    settling: Truths = begun & (rows.sampled_at < np.where(begun, last_end, 0) + settle_s * SECOND)
    settling &= rows.flag(name) != CALIBRATION
    return settling
