"""Local days by arithmetic on arrays are those of the calendar, where clocks change too."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.periods import HOUR, instant, local_days, micros

EPOCH = date(1970, 1, 1)
ZONES = ("Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "UTC")


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=20, deadline=None)
@given(start=st.integers(micros(datetime(2001, 1, 1, tzinfo=UTC)) // HOUR, 500_000), n=st.integers(0, 400))
def test_every_hour_is_of_its_local_day(zone: str, start: int, n: int) -> None:
    hours = (start + np.arange(n, dtype=np.int64)) * HOUR
    expected = [(instant(at).astimezone(ZoneInfo(zone)).date() - EPOCH).days for at in hours.tolist()]
    assert local_days(hours, ZoneInfo(zone)).tolist() == expected


def test_a_year_with_both_changes_of_the_clock() -> None:
    hours = micros(datetime(2026, 1, 1, tzinfo=UTC)) + np.arange(8760, dtype=np.int64) * HOUR
    zone = ZoneInfo("Europe/Berlin")
    days, counts = np.unique(local_days(hours, zone), return_counts=True)
    lengths = dict(zip(days.tolist(), counts.tolist(), strict=True))
    assert lengths[(date(2026, 3, 29) - EPOCH).days] == 23
    assert lengths[(date(2026, 10, 25) - EPOCH).days] == 25
