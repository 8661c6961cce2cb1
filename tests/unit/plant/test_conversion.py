"""Conversions against the worked vectors of the regulation sheet (3.1 to 3.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.conversion import actual_to_standard, mass_kg, ppm_to_mg_m3, to_reference_oxygen, wet_to_dry


@pytest.mark.parametrize(
    ("gas", "factor"),
    [("so2", 2.857), ("no", 1.339), ("no2", 2.054), ("nox", 2.054), ("co", 1.250), ("nh3", 0.759)],
)
def test_a_ppm_of_gas_weighs_its_molar_mass_in_22_4_litres(gas: str, factor: float) -> None:
    assert ppm_to_mg_m3(1.0, gas) == pytest.approx(factor, abs=0.0005)


def test_wet_sulphur_dioxide_of_a_sinter_head_comes_out_just_below_its_limit() -> None:
    dry = wet_to_dry(ppm_to_mg_m3(10.0, "so2"), 8.0)
    o2 = wet_to_dry(15.2, 8.0)
    assert dry == pytest.approx(31.056, abs=0.001)
    assert o2 == pytest.approx(16.522, abs=0.001)
    assert to_reference_oxygen(dry, o2, 16.0) == pytest.approx(34.67, abs=0.011)


def test_nitrogen_oxides_count_as_nitrogen_dioxide_by_volume_or_by_mass() -> None:
    by_volume = ppm_to_mg_m3(12.0 + 1.0, "nox")
    by_mass = 16.071 * 46 / 30 + 2.054
    assert by_volume == pytest.approx(26.696, abs=0.001)
    assert by_mass == pytest.approx(by_volume, abs=0.001)
    assert to_reference_oxygen(by_volume, 16.522, 16.0) == pytest.approx(29.81, abs=0.005)


def test_dust_measured_in_the_stack_is_brought_to_the_standard_state() -> None:
    standard = actual_to_standard(5.0, 120.0, -300.0, 100_800.0)
    assert standard == pytest.approx(7.257, abs=0.001)
    assert wet_to_dry(standard, 8.0) == pytest.approx(7.888, abs=0.001)
    assert to_reference_oxygen(wet_to_dry(standard, 8.0), 16.522, 16.0) == pytest.approx(8.81, abs=0.005)


@pytest.mark.parametrize(("concentration", "kg"), [(31.056, 21.26), (7.888, 5.40)], ids=["so2", "pm"])
def test_mass_takes_the_measured_concentration(concentration: float, kg: float) -> None:
    assert mass_kg(concentration, 684_591.0) == pytest.approx(kg, abs=0.005)


#: (21 - base) / (21 - O2), regulation 3.2
FACTORS = {
    3: (1.385, 1.636, 2.571, 3.600, 5.143, 6.000, 9.0, 18.0, 36.0),
    6: (1.154, 1.364, 2.143, 3.000, 4.286, 5.000, 7.5, 15.0, 30.0),
    8: (1.000, 1.182, 1.857, 2.600, 3.714, 4.333, 6.5, 13.0, 26.0),
    15: (0.462, 0.545, 0.857, 1.200, 1.714, 2.000, 3.0, 6.0, 12.0),
    16: (0.385, 0.455, 0.714, 1.000, 1.429, 1.667, 2.5, 5.0, 10.0),
    18: (0.231, 0.273, 0.429, 0.600, 0.857, 1.000, 1.5, 3.0, 6.0),
}


@pytest.mark.parametrize("base", FACTORS)
def test_the_factors_of_oxygen_are_those_of_the_table(base: int) -> None:
    columns = (8, 10, 14, 16, 17.5, 18, 19, 20, 20.5)
    computed = [round(to_reference_oxygen(1.0, o2, base), 3) for o2 in columns]
    assert computed == pytest.approx(FACTORS[base], abs=0.0006)


@given(st.floats(0.001, 1e4), st.floats(0, 20.5), st.floats(0, 20.5))
def test_correcting_to_a_base_and_back_is_no_change(value: float, o2: float, base: float) -> None:
    there = to_reference_oxygen(value, o2, base)
    assert to_reference_oxygen(there, base, o2) == pytest.approx(value, rel=1e-9)


@given(st.floats(0.001, 1e4), st.floats(0, 99))
def test_dry_gas_holds_never_less_than_wet_gas(value: float, moisture: float) -> None:
    assert wet_to_dry(value, moisture) >= value


@given(st.floats(0.001, 1e4))
def test_gas_at_the_standard_state_needs_no_conversion(value: float) -> None:
    assert actual_to_standard(value, 0.0, 0.0, 101_325.0) == value
