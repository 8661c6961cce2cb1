"""Laws that hold in every stack: sulphur is not lost, air dilutes all alike, power follows load."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.simulator.activity import Effect
from edge.simulator.faults import HOUR_MS, Fault
from edge.simulator.gas import Gas
from edge.simulator.kinds import AIR_O2, KINDS
from edge.simulator.works import Works
from fakes.imagined import BEGIN_MS, DAY_MS, a_fault, a_stack, a_works
from plant.conversion import flow_actual, flow_standard_dry

BURNING = [name for name, kind in KINDS.items() if kind.o2 is not None]


def gas_of(works: Works, days: float = 2, effects: tuple[Effect, ...] = ()) -> Gas:
    (block, _), *rest = works.blocks(
        works.begin, BEGIN_MS + round(days * DAY_MS), effects, at_once_ms=round(days * DAY_MS)
    )
    assert not rest
    return block.gas


@pytest.mark.parametrize("faults", [(), (a_fault("bypass", "sinter_strand"), a_fault("air_ingress", "coal_boiler"))])
def test_sulphur_that_is_made_leaves_by_the_stack_or_the_by_product(faults: tuple[Fault, ...]) -> None:
    gas = gas_of(a_works(faults=faults))
    out_kg_h = gas.so2 * gas.flow * 1e-6
    assert np.allclose(gas.so2_made, out_kg_h + gas.so2_taken, rtol=1e-12, atol=1e-9)
    rated = np.array([kind.sulphur * 2 for kind in KINDS.values()])
    assert gas.so2_made.mean(axis=0) == pytest.approx(rated, rel=0.25)


def test_air_that_leaks_in_lowers_all_pollutants_by_the_dry_gas_ratio_while_oxygen_rises() -> None:
    clean, leaking = gas_of(a_works()), gas_of(a_works(faults=tuple(a_fault("air_ingress", s) for s in KINDS)))
    during = slice(24 * 60, 48 * 60)
    for column, name in enumerate(KINDS):
        ratio = clean.flow[during, column] / leaking.flow[during, column]
        assert ratio == pytest.approx(1 / 1.8)
        for pollutant in KINDS[name].pollutants:
            then, now = getattr(clean, pollutant)[during, column], getattr(leaking, pollutant)[during, column]
            assert np.allclose(now, then * ratio, rtol=1e-9)
        assert np.allclose(AIR_O2 - leaking.o2[during, column], (AIR_O2 - clean.o2[during, column]) * ratio)
    assert np.allclose(clean.so2[:1440], leaking.so2[:1440])


def test_the_velocity_gives_the_flow_by_the_equations_of_the_standard() -> None:
    works = a_works()
    gas = gas_of(works)
    for column, plan in enumerate(works.stacks):
        area = dataclasses.replace(plan.stack).area_m2
        assert area is None  # as built: taken from the flow
        actual = flow_actual(gas.velocity[:, column], 1.0)
        dry = flow_standard_dry(
            actual, gas.temperature[:, column], gas.pressure[:, column], 101325.0, gas.moisture[:, column]
        )
        built = gas.flow[:, column] / dry
        assert np.allclose(built, built[0], rtol=1e-9)
        assert 0.5 < gas.velocity[:, column].mean() < 40


def test_power_and_flow_follow_the_load_down_and_up_again() -> None:
    stop = tuple(
        Effect(unit=f"U-{kind}", mode="stop", since_ms=BEGIN_MS + 6 * HOUR_MS, until_ms=BEGIN_MS + 16 * HOUR_MS)
        for kind in KINDS
    )
    gas = gas_of(a_works(), 1, stop)
    before, still, after = slice(0, 6 * 60), slice(8 * 60, 16 * 60), slice(20 * 60, 24 * 60)
    for column, kind in enumerate(KINDS.values()):
        assert gas.power_production_kw[still, column].max() < 0.02 * gas.power_production_kw[before, column].mean()
        assert gas.flow[still, column].max() < 0.05 * gas.flow[before, column].mean()
        assert gas.load_pct[still, column].max() == 0
        assert gas.power_production_kw[after, column].mean() > 0.5 * gas.power_production_kw[before, column].mean()
        if kind.abatement_kw:
            running = gas.power_abatement_kw[before, column].mean()
            assert gas.power_abatement_kw[still, column].max() < 0.02 * running
        if kind.o2 is not None:
            assert gas.o2[still, column].min() > 20.8
        assert gas.temperature[still, column][-1] < 20


def test_a_start_with_a_cold_catalyst_lets_nitrogen_oxides_through() -> None:
    stop = Effect(unit="U-coal_boiler", mode="stop", since_ms=BEGIN_MS + HOUR_MS, until_ms=BEGIN_MS + 6 * HOUR_MS)
    gas = gas_of(a_works(a_stack("coal_boiler")), 1, (stop,))
    kg_per_load = gas.nox[:, 0] * gas.flow[:, 0] / np.maximum(gas.load_pct[:, 0], 1)
    assert kg_per_load[6 * 60 + 20] > 3 * kg_per_load[:60].mean()
    assert kg_per_load[-60:].mean() == pytest.approx(kg_per_load[:60].mean(), rel=0.3)


def test_a_coke_battery_reverses_every_twenty_minutes() -> None:
    gas = gas_of(a_works(a_stack("coke_battery")), 1)
    o2 = gas.o2[:, 0]
    peaks = np.flatnonzero((o2[1:-1] > o2[:-2] + 1) & (o2[1:-1] > o2[2:] + 1))
    assert len(peaks) >= 60
    assert set(np.diff(peaks)) <= {19, 20, 21, 40}


def test_stoves_change_between_gas_and_blast() -> None:
    load = gas_of(a_works(a_stack("hot_stove")), 1).load_pct[:, 0]
    assert load.max() > 1.3 * load.min()
    spectrum = np.abs(np.fft.rfft(load - load.mean()))
    period_min = load.size / int(np.argmax(spectrum))
    assert period_min == pytest.approx(35, abs=2)  # three stoves, 105 minutes each


@pytest.mark.parametrize("kind", BURNING)
def test_what_burns_leaves_less_oxygen_than_air_and_more_at_low_load(kind: str) -> None:
    works = a_works(a_stack(kind))
    full = gas_of(works, 0.5)
    low = gas_of(works, 0.5, (Effect(unit=f"U-{kind}", mode="max_load", value=50.0, since_ms=BEGIN_MS),))
    assert full.o2.max() < AIR_O2
    if not KINDS[kind].suction:
        assert low.o2.mean() > full.o2.mean()
