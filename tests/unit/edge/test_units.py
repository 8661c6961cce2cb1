from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.units import UNITS, unit_of
from plant.channels import CHANNELS
from plant.errors import BadDocument


@pytest.mark.parametrize(
    ("channel", "unit", "given_", "expected"),
    [
        ("so2", "g/m3", 0.0352, 35.2),
        ("nox", "ug/m3", 35_200.0, 35.2),
        ("o2", "fraction", 0.209, 20.9),
        ("temperature", "K", 273.15, 0.0),
        ("temperature", "degF", 212.0, 100.0),
        ("temperature", "degF", -40.0, -40.0),
        ("pressure", "mbar", -12.5, -1250.0),
        ("pressure", "kPa", -1.25, -1250.0),
        ("velocity", "km/h", 36.0, 10.0),
        ("velocity", "ft/min", 60.0, 0.3048),
        ("flow", "m3/s", 2.0, 7200.0),
        # a million cubic feet are 28,316.846592 m3, at 293.15 K
        ("flow", "scfh", 1_000_000.0, 28_316.846592 * 273.15 / 293.15),
        ("flow", "scfm", 1_000_000.0 / 60, 28_316.846592 * 273.15 / 293.15),
        ("power_production_kw", "MW", 1.5, 1500.0),
    ],
)
def test_units_by_worked_examples(channel: str, unit: str, given_: float, expected: float) -> None:
    assert unit_of(channel, unit).to_channel(given_) == pytest.approx(expected, rel=1e-15, abs=1e-12)


@given(value=st.floats(-1e9, 1e9))
def test_a_channel_in_its_own_unit_is_left_as_it_is(value: float) -> None:
    for channel, units in UNITS.items():
        assert unit_of(channel, next(iter(units))).to_channel(value) == value


def test_only_channels_have_units() -> None:
    assert set(UNITS) <= set(CHANNELS)


@pytest.mark.parametrize(
    ("channel", "unit", "said"),
    [
        ("so2", "ppm", "ppm stays raw"),
        ("pm", "ppm", "cannot be given in"),
        ("flow", "acfm", "its units are m3/h"),
        ("dioxin", "mg/m3", "no unit of ours"),
    ],
)
def test_what_is_not_exact_is_not_converted(channel: str, unit: str, said: str) -> None:
    with pytest.raises(BadDocument, match=said):
        unit_of(channel, unit)
