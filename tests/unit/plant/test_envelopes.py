"""What the register says the minutes to come will lie in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hour_builders import a_stack
from plant.envelopes import Envelope, envelope_of
from plant.readings import Rows, reading
from plant.register import Channel, Stack

HOT_WET = {
    "so2": Channel(unit="ppm", wet=True, actual_state=True, range=(0.0, 70.0), zero_drift=1.5, slope=1.1),
    "o2": Channel(wet=True, range=(10.0, 18.0)),
    "moisture": Channel(range=(4.0, 12.0)),
    "temperature": Channel(range=(90.0, 160.0)),
    "pressure": Channel(range=(-900.0, 100.0)),
}


def a_hot_stack(**channels: Channel) -> Stack:
    return replace(a_stack(), channels={**HOT_WET, **channels})


def test_the_range_of_a_dry_analyser_is_its_envelope() -> None:
    stack = a_stack(so2=Channel(range=(0.0, 200.0)), o2=Channel(range=(14.0, 18.0)))
    assert envelope_of(stack, "so2", with_oxygen=True) == Envelope(low=0.0, high=200.0, o2=(14.0, 18.0))
    assert envelope_of(stack, "so2", with_oxygen=False) == Envelope(low=0.0, high=200.0)


def test_the_outlets_own_oxygen_goes_before_the_range_of_its_analyser() -> None:
    stack = a_stack(so2=Channel(range=(0.0, 200.0)), o2=Channel(range=(0.0, 25.0)))
    found = envelope_of(stack, "so2", with_oxygen=True, o2=(14.0, 18.5))
    assert found is not None
    assert found.o2 == (14.0, 18.5)


def test_a_range_in_ppm_of_wet_gas_is_brought_to_dry_milligrams() -> None:
    """10 ppm of SO2 are 28.571 mg/m3 wet, 31.056 dry at a moisture of 8 % (regulation 3.3)."""
    stack = a_stack(so2=Channel(unit="ppm", wet=True, range=(0.0, 10.0)), moisture=Channel(range=(2.0, 8.0)))
    found = envelope_of(stack, "so2", with_oxygen=False)
    assert found is not None
    assert found.low == 0.0
    assert found.high == pytest.approx(31.056, abs=0.001)


def test_readings_reach_below_zero_down_to_the_zero_drift() -> None:
    found = envelope_of(a_stack(so2=Channel(range=(0.0, 200.0), zero_drift=5.0)), "so2", with_oxygen=False)
    assert found == Envelope(low=-5.0, high=200.0)


def test_nitrogen_oxides_from_two_channels_need_both_ranges() -> None:
    no, no2 = Channel(range=(0.0, 60.0)), Channel(range=(0.0, 10.0))
    stack = replace(a_stack(no=no, no2=no2), nox_from="no_no2")
    found = envelope_of(stack, "nox", with_oxygen=False)
    assert found is not None
    assert found.high == pytest.approx(60 * 46 / 30 + 10)
    assert envelope_of(replace(a_stack(no=no), nox_from="no_no2"), "nox", with_oxygen=False) is None


@pytest.mark.parametrize("missing", list(HOT_WET))
def test_without_one_of_the_ranges_it_takes_there_is_no_envelope(missing: str) -> None:
    channels = {missing: replace(HOT_WET[missing], range=None)}
    assert envelope_of(a_hot_stack(), "so2", with_oxygen=True) is not None
    assert envelope_of(a_hot_stack(**channels), "so2", with_oxygen=True) is None


def test_ranges_that_end_where_no_gas_can_be_bound_nothing() -> None:
    soaked = a_hot_stack(moisture=Channel(range=(0.0, 100.0)))
    assert envelope_of(soaked, "so2", with_oxygen=False) is None


def test_what_is_no_range_is_refused() -> None:
    for low, high, o2 in ((1.0, 0.0, None), (np.nan, 1.0, None), (-np.inf, 1.0, None), (0.0, 1.0, (18.0, 14.0))):
        with pytest.raises(ValueError, match="no range"):
            Envelope(low=low, high=high, o2=o2)


share = st.floats(0.0, 1.0)


@settings(deadline=None, max_examples=200)
@given(share, share, share, share, share)
def test_every_reading_within_the_registered_ranges_lies_in_the_envelope(
    so2: float, o2: float, moisture: float, temperature: float, pressure: float
) -> None:
    stack = a_hot_stack()
    found = envelope_of(stack, "so2", with_oxygen=True)
    assert found is not None
    assert found.o2 is not None
    shares = {"so2": so2, "o2": o2, "moisture": moisture, "temperature": temperature, "pressure": pressure}
    values = {}
    for name, at in shares.items():
        low, high = HOT_WET[name].range or (0.0, 0.0)
        low = -1.5 if name == "so2" else low
        values[name] = np.array([low + at * (high - low)])
    row = Rows(
        sampled_at=np.zeros(1, dtype=np.int64),
        interval_s=np.array([60]),
        not_running=np.zeros(1, dtype=bool),
        values=values,
        flags={},
        row_flag=np.array([ord("N")], dtype=np.uint8),
    )
    read = reading(row, "so2", stack, with_oxygen=True)
    assert found.low - 1e-9 <= read.value[0] <= found.high + 1e-9
    assert found.o2[0] - 1e-9 <= read.o2[0] <= found.o2[1] + 1e-9
