"""The gas in a stack: what burns, what that makes, what the abatement takes out, and what air does to it.

    u                 load, 1 at the ordinary level
    V0 = V0r u f      product gas, dry, without a trace of air [m3/h]; f is the fuel's own share of the load
    V                 dry gas with its air: by the oxygen that combustion is held at, or what the fan draws
    O2 = 20.9 (1 - V0/V)
    SO2 = 2 S         twice the mass of the sulphur that goes into the gas [kg/h]
    out = made (b + (1 - b)(1 - e))      e is taken out, b goes by
    V' = V + A        air that leaks in behind the abatement
    C = out 1e6 / V'                     [mg/m3, dry, standard]

So sulphur in is sulphur out of the stack and into the by-product, and air that leaks in lowers every pollutant by V/V'
while 20.9 - O2 falls by the same. Efficiencies and the gas temperature follow what drives them with a lag: a
recurrence carried from step to step, so that any chunking gives the same bits. Equations and lags are of our own
design [D]; flows and velocity are those of `plant.conversion` read backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.simulator.cycles import Cycle
from edge.simulator.kinds import AIR_O2
from edge.simulator.noise import Floats, Ints, smooth, streams, white
from plant.conversion import STANDARD_PRESSURE_PA, ZERO_CELSIUS_K

SO2_OF_S: Final = 2.0  #: 64 g of SO2 hold 32 g of sulphur, as `plant.conversion` counts SO2
AMBIENT_DEGC: Final = 15.0
AMBIENT_MOISTURE: Final = 1.5  #: of outside air [vol %]
ABATED: Final = ("so2", "nox", "pm")

_AT_REST: Final = 0.02  # of the rated flow: what a hood or a chimney still breathes when all is still
_SLOW_S: Final = 3 * 3600  # how fast levels wander
#: How fast what is taken out follows its cause, and the gas temperature its fire [s]. [D]
LAG_S: Final = {"so2": 720.0, "nox": 600.0, "pm": 120.0, "temperature": 900.0}
_HOT_AT: Final = 0.4  # of the load, from which a catalyst is warm enough

#: How each quantity wanders over hours and jitters from step to step, as parts of its mean. [D]
_LEVELS: Final = {
    "sulphur": (0.065, 0.03),
    "nitrogen": (0.045, 0.025),
    "dust": (0.07, 0.04),
    "oxygen": (0.02, 0.008),
    "load": (0.015, 0.004),
    "draught": (0.015, 0.006),
    "water": (0.03, 0.01),
    "fire": (0.015, 0.003),
    "power": (0.01, 0.015),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """The figures of the sources behind the stacks of a works, each of shape (m,)."""

    product_gas: Floats
    flow: Floats
    o2: Floats
    o2_at_no_load: Floats
    suction: Floats  #: 1 where a fan draws the same flow whatever burns
    so2: Floats  #: made [kg/h]
    nox: Floats
    pm: Floats
    takes: Floats  #: shape (3, m): shares that the abatement takes out, in the order of ABATED
    moisture: Floats
    temperature: Floats
    draught: Floats
    load_pct: Floats
    production_kw: Floats
    abatement_kw: Floats
    area_m2: Floats
    kv: Floats  #: velocity in the duct by that of the probe
    ambient_pa: Floats


@dataclass(frozen=True, slots=True)
class Levels:
    """The chances of every quantity, from the streams of each stack."""

    seed: int
    names: tuple[str, ...]

    def draw(self, index: Ints, step_s: int) -> dict[str, Floats]:
        """Factors around 1, shape (n, m)."""
        drawn = {}
        for what, (wander, jitter) in _LEVELS.items():
            factor = smooth(streams(self.seed, self.names, f"{what} wander"), index, _SLOW_S // step_s)
            factor *= wander
            quick = white(streams(self.seed, self.names, f"{what} jitter"), index)
            quick *= jitter
            factor += quick
            factor += 1.0
            drawn[what] = factor
        return drawn


@dataclass(slots=True, kw_only=True)
class Levers:
    """What orders and faults move before the gas is reckoned; shape (n, m), those of each pollutant (3, n, m)."""

    activity: Floats
    state: Ints  #: as the plant reports it
    really: Ints  #: as it is
    takes: Floats  #: the most that the abatement takes out, whatever it could
    burden: Floats  #: on what is made
    bypass: Floats  #: share of the gas that goes around the abatement
    ingress: Floats  #: air that leaks in behind it, as a part of the gas
    abatement_on: Floats
    furnace: Floats  #: what somebody else draws behind the meter, of the rated production power

    @classmethod
    def idle(cls, n: int, m: int) -> Levers:
        return cls(
            activity=np.ones((n, m)),
            state=np.zeros((n, m), dtype=np.int64),
            really=np.zeros((n, m), dtype=np.int64),
            takes=np.ones((3, n, m)),
            burden=np.ones((3, n, m)),
            bypass=np.zeros((n, m)),
            ingress=np.zeros((n, m)),
            abatement_on=np.ones((n, m)),
            furnace=np.zeros((n, m)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gas:
    """What is in the stacks at the sampling plane; shape (n, m)."""

    so2: Floats  #: mg/m3, dry, standard state; so are `nox` and `pm`
    nox: Floats
    pm: Floats
    o2: Floats  #: vol %, dry
    moisture: Floats  #: vol %, of the wet gas
    temperature: Floats  #: degC
    pressure: Floats  #: Pa, static, gauge
    velocity: Floats  #: m/s, at the probe
    flow: Floats  #: m3/h, standard, dry
    load_pct: Floats
    power_production_kw: Floats
    power_abatement_kw: Floats
    so2_made: Floats  #: kg/h
    so2_taken: Floats  #: kg/h, in the by-product


def lag_shares(step_s: int) -> Floats:
    """The share of the way to its target that each lagged quantity goes in one step, shape (4, 1)."""
    lags = np.array([LAG_S[name] for name in (*ABATED, "temperature")])
    return np.asarray(1 - np.exp(-step_s / lags))[:, np.newaxis]


def follow(target: Floats, share: Floats, at: Floats) -> Floats:
    """`y += share (target - y)` from step to step, starting from *at*. Writes y over *target*, shape (k, n, m)."""
    y, step = at.copy(), np.empty_like(at)
    for x in target.swapaxes(0, 1):
        np.subtract(x, y, out=step)
        np.multiply(step, share, out=step)
        np.add(y, step, out=y)
        x[...] = y
    return target


def reckon(
    plant: Plant, levers: Levers, cycle: Cycle, levels: dict[str, Floats], *, shares: Floats, at: Floats | None
) -> tuple[Gas, Floats]:
    """The gas of a run of steps, and where the lagged quantities stand at its end, shape (4, m).

    At least one step. *at* is where they stood at the end of the run before; None: they start level with what
    drives them.
    """
    n = levers.activity.shape[0]
    moving = levers.activity * np.broadcast_to(cycle.load, levers.activity.shape)
    load = moving * levels["load"]
    fuel = load * cycle.fuel
    product = plant.product_gas * fuel
    flow = _dry_flow(plant, load, levers.activity, levels)
    o2 = AIR_O2 * (1 - np.minimum(product / flow, 1.0))

    targets = np.empty((4, n, plant.flow.size))
    warm = np.minimum(levers.activity / _HOT_AT, 1.0)
    for row, (name, well) in enumerate(zip(ABATED, plant.takes, strict=True)):
        on = levers.abatement_on * warm if name == "nox" else levers.abatement_on
        targets[row] = np.minimum(well, levers.takes[row]) * on
    glow = np.minimum(load / 0.05, 1.0) * (0.55 + 0.45 * np.minimum(load, 1.0))
    targets[3] = AMBIENT_DEGC + (plant.temperature * levels["fire"] + cycle.heat - AMBIENT_DEGC) * glow
    followed = follow(targets, shares, targets[:, 0] if at is None else at)

    treated = 1 - levers.bypass
    so2_made = plant.so2 * fuel * levels["sulphur"] * levers.burden[0]
    so2_taken = so2_made * treated * followed[0]
    nox_made = plant.nox * fuel * cycle.nox * levels["nitrogen"] * levers.burden[1]
    pm_made = plant.pm * fuel * levels["dust"] * levers.burden[2]

    air = flow * levers.ingress
    out = flow + air
    share = flow / out
    wet = plant.moisture / (100 - plant.moisture)
    water = plant.flow * wet * levels["water"] * (0.02 + 0.98 * np.minimum(load, 1.2)) + air * AMBIENT_MOISTURE / 100
    moisture = 100 * water / (water + out)
    temperature = followed[3] * share + AMBIENT_DEGC * (1 - share)
    drawn = out / plant.flow
    pressure = -plant.draught * drawn * drawn * levels["draught"]
    gas = Gas(
        so2=(so2_made - so2_taken) * 1e6 / out,
        nox=nox_made * (1 - treated * followed[1]) * 1e6 / out,
        pm=pm_made * (1 - treated * followed[2]) * 1e6 / out,
        o2=o2 * share + AIR_O2 * (1 - share),
        moisture=moisture,
        temperature=temperature,
        pressure=pressure,
        velocity=_velocity(plant, out, moisture, temperature, pressure),
        flow=out,
        load_pct=plant.load_pct * moving * levels["load"],
        power_production_kw=_production_kw(plant, load, levers, levels),
        power_abatement_kw=_abatement_kw(plant, flow * treated, levers, levels),
        so2_made=so2_made,
        so2_taken=so2_taken,
    )
    return gas, followed[:, -1].copy()


def _dry_flow(plant: Plant, load: Floats, activity: Floats, levels: dict[str, Floats]) -> Floats:
    """Dry gas with the air in it: what the fan draws, or what the load burns at the oxygen it is held at. [m3/h]"""
    drawn = plant.flow * activity * levels["draught"]
    held = np.minimum(plant.o2 * levels["oxygen"] + plant.o2_at_no_load * np.maximum(1 - load, 0.0), 20.0)
    burnt = plant.product_gas * load * (AIR_O2 / (AIR_O2 - held))
    return plant.flow * _AT_REST * np.maximum(1 - activity, 0.0) + np.where(plant.suction > 0, drawn, burnt)


def _velocity(plant: Plant, flow: Floats, moisture: Floats, temperature: Floats, pressure: Floats) -> Floats:
    """Equations 31, 30 and 29 of HJ 212-2017 App. D, backwards. [m/s]"""
    actual = (
        flow
        / (1 - moisture / 100)
        * ((ZERO_CELSIUS_K + temperature) / ZERO_CELSIUS_K)
        * (STANDARD_PRESSURE_PA / (plant.ambient_pa + pressure))
    )
    return np.asarray(actual / (3600 * plant.area_m2 * plant.kv))


def _production_kw(plant: Plant, load: Floats, levers: Levers, levels: dict[str, Floats]) -> Floats:
    own = plant.production_kw * (0.01 + 0.09 * (levers.activity > 0) + 0.9 * load) * levels["power"]
    return np.asarray(own + plant.production_kw * levers.furnace)


def _abatement_kw(plant: Plant, treated: Floats, levers: Levers, levels: dict[str, Floats]) -> Floats:
    """Pumps and blowers that run with the plant, and fans by the square of what they move."""
    share = treated / plant.flow
    runs = levers.abatement_on * np.minimum(levers.activity / 0.05, 1.0)
    return np.asarray(plant.abatement_kw * (0.005 + runs * (0.345 + 0.65 * share * share)) * levels["power"])
