"""From raw rows to dry gas at standard state: the worked vectors of the regulation through the register's entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hour_builders import as_rows, samples
from plant.readings import flow_of, reading
from plant.register import Channel, Stack


def a_stack(**fields: Any) -> Stack:
    known: dict[str, Any] = {"code": "A", "name": "A", "process": "sinter_head", "packs": (), "interval_s": 60}
    return Stack(**(known | fields))


def values(stack: Stack, pollutant: str, *, with_oxygen: bool = False, **channels: Any) -> list[float]:
    """The value of each row that counts, NaN else."""
    found = reading(as_rows(samples(3, **channels)), pollutant, stack, with_oxygen=with_oxygen)
    return [float(value) for value in np.where(found.counted, found.value, np.nan)]


def test_ten_ppm_of_wet_sulphur_dioxide_are_31_milligrams_dry() -> None:
    stack = a_stack(channels={"so2": Channel(unit="ppm", wet=True), "o2": Channel(wet=True)})
    rows = as_rows(samples(1, so2=10.0, o2=15.2, moisture=8.0))
    found = reading(rows, "so2", stack, with_oxygen=True)
    assert found.value == pytest.approx([31.056], abs=5e-4)
    assert found.o2 == pytest.approx([16.522], abs=5e-4)


@pytest.mark.parametrize(
    ("channels", "no", "no2"),
    [
        pytest.param({"no": Channel(unit="ppm"), "no2": Channel(unit="ppm")}, 12.0, 1.0, id="by_volume"),
        pytest.param({}, 16.071, 2.054, id="by_mass"),
    ],
)
def test_nitrogen_oxides_are_computed_from_their_two_gases(channels: dict[str, Channel], no: float, no2: float) -> None:
    stack = a_stack(channels=channels, nox_from="no_no2")
    assert values(stack, "nox", no=no, no2=no2, nox=999.0) == pytest.approx([26.696] * 3, abs=2e-3)


def test_a_flag_of_either_gas_holds_for_the_nitrogen_oxides_computed_from_them() -> None:
    stack = a_stack(nox_from="no_no2")
    assert np.isnan(values(stack, "nox", no=16.0, no2=2.0, flags={"no2": "C"})).all()


def test_dust_in_the_stack_is_brought_to_the_standard_state_and_dried() -> None:
    stack = a_stack(channels={"pm": Channel(wet=True, actual_state=True)}, ambient_pressure_pa=100_800.0)
    assert values(stack, "pm", pm=5.0, temperature=120.0, pressure=-300.0, moisture=8.0) == pytest.approx(
        [7.888] * 3, abs=5e-4
    )


def test_flow_comes_from_velocity_and_area_where_it_is_not_sent() -> None:
    stack = a_stack(area_m2=20.0, ambient_pressure_pa=100_800.0)
    sent: dict[str, Any] = {"velocity": 15.0, "temperature": 120.0, "pressure": -300.0, "moisture": 8.0}
    assert flow_of(as_rows(samples(1, **sent)), stack) == pytest.approx([684_591], abs=1)
    assert flow_of(as_rows(samples(1, **sent, flow=700_000.0)), stack) == pytest.approx([700_000])
    assert np.isnan(flow_of(as_rows(samples(1, **sent)), a_stack())).all(), "no area, no flow"
    assert np.isnan(flow_of(as_rows(samples(1, **sent, flags={"velocity": "D"})), stack)).all()


def test_velocity_is_multiplied_by_its_factor() -> None:
    sent: dict[str, Any] = {"velocity": 15.0, "temperature": 0.0, "moisture": 0.0}
    whole = flow_of(as_rows(samples(1, **sent)), a_stack(area_m2=20.0))
    less = flow_of(as_rows(samples(1, **sent)), a_stack(area_m2=20.0, velocity_factor=0.84))
    assert less == pytest.approx(whole * 0.84)


def test_the_registered_line_is_applied_to_the_raw_value() -> None:
    stack = a_stack(channels={"pm": Channel(slope=2.0, intercept=-1.0)})
    assert values(stack, "pm", pm=5.0) == [9.0] * 3


def test_a_value_over_range_is_at_least_the_upper_end_on_the_registered_line() -> None:
    stack = a_stack(channels={"pm": Channel(slope=2.0, range=(0.0, 50.0))})
    assert values(stack, "pm", pm=5.0, flag="T") == [100.0] * 3


@pytest.mark.parametrize(
    ("pm", "counts"),
    [
        pytest.param(-0.5, True, id="within_the_drift"),
        pytest.param(-1.0, True, id="at_the_drift"),
        pytest.param(-1.1, False, id="below_it"),
    ],
)
def test_a_small_negative_stays_and_one_below_the_zero_drift_is_no_reading(pm: float, counts: bool) -> None:
    stack = a_stack(channels={"pm": Channel(zero_drift=1.0)})
    assert np.isfinite(values(stack, "pm", pm=pm)).all() == counts


def test_without_a_registered_drift_every_negative_stays() -> None:
    assert values(a_stack(), "pm", pm=-40.0) == [-40.0] * 3


def test_after_a_calibration_its_gas_is_still_in_the_line() -> None:
    stack = a_stack(settle_s=120)
    rows = samples(2, so2=20.0, flag="C") + samples(5, start=120, so2=20.0)
    found = reading(as_rows(rows), "so2", stack, with_oxygen=False)
    assert found.counted.tolist() == [False, False, False, False, True, True, True]
    assert found.flagged.tolist() == [True, True, True, True, False, False, False]
    untouched = reading(as_rows(rows), "so2", a_stack(), with_oxygen=False)
    assert untouched.counted.tolist() == [False, False, True, True, True, True, True]
