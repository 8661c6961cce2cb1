"""Capture rate, transmission and the audit of a quarter."""

from __future__ import annotations

from datetime import date, datetime
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.periods import HOUR, micros
from plant.quarters import (
    Capture,
    audit_due,
    capture_of,
    capture_rate,
    capture_rates,
    count_quarters,
    next_quarter,
    quarter_bounds,
    quarter_of,
    transmission,
)

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
BERLIN: Final = ZoneInfo("Europe/Berlin")


def test_the_capture_rate_leaves_shutdown_out_above_and_below() -> None:
    assert capture_rate(2160, 216, 0) == 0.9
    assert capture_rate(2208, 201, 198) == 0.9
    assert capture_rate(100, 0, 20) == 1.0
    assert capture_rate(100, 80, 20) == 0.0


@pytest.mark.parametrize(
    ("invalid", "capture"),
    [
        pytest.param(1000, Capture.FULL, id="0.9000"),
        pytest.param(1001, Capture.REDUCED, id="0.8999"),
        pytest.param(2500, Capture.REDUCED, id="0.7500"),
        pytest.param(2501, Capture.NOT_VALID, id="0.7499"),
    ],
)
def test_what_a_quarter_allows_turns_at_90_and_at_75_percent(invalid: int, capture: Capture) -> None:
    assert capture_of(capture_rate(10_000, invalid, 0)).item() == capture


def test_a_quarter_in_which_nothing_ran_has_no_rate() -> None:
    assert np.isnan(capture_rate(2160, 0, 2160))
    assert capture_of(float("nan")).item() == Capture.NOTHING_RAN


def test_more_lost_hours_than_the_quarter_has_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0"):
        capture_rate(100, 60, 50)


@settings(max_examples=300)
@given(st.integers(1, 2209), st.data())
def test_a_rate_is_compared_as_if_it_were_a_fraction(hours: int, data: st.DataObject) -> None:
    shutdown = data.draw(st.integers(0, hours - 1))
    invalid = data.draw(st.integers(0, hours - shutdown))
    exact = Fraction(hours - shutdown - invalid, hours - shutdown)
    rate = capture_rate(hours, invalid, shutdown)
    assert (rate >= 0.90) == (exact >= Fraction(9, 10))
    assert (rate >= 0.75) == (exact >= Fraction(3, 4))
    assert capture_rates([hours, hours], [invalid, invalid], [shutdown, shutdown]).tolist() == [rate, rate]


def test_the_effective_transmission_rate_is_the_product_of_both_rates() -> None:
    rates = transmission(due=1000, received=950, valid=855)
    assert (rates.transmission, rates.validity) == (0.95, 0.9)
    assert rates.effective == pytest.approx(rates.transmission * rates.validity)
    assert np.isnan(transmission(0, 0, 0).effective)
    assert transmission(10, 0, 0).effective == 0.0
    with pytest.raises(ValueError, match="received"):
        transmission(10, 11, 5)


@pytest.mark.parametrize(
    ("day", "first"),
    [
        (date(2026, 1, 1), date(2026, 1, 1)),
        (date(2026, 3, 31), date(2026, 1, 1)),
        (date(2026, 4, 1), date(2026, 4, 1)),
        (date(2026, 12, 31), date(2026, 10, 1)),
    ],
)
def test_every_day_has_its_quarter(day: date, first: date) -> None:
    assert quarter_of(day) == first


def test_quarters_follow_each_other_over_the_year() -> None:
    found = [date(2026, 1, 1)]
    for _ in range(4):
        found.append(next_quarter(found[-1]))
    assert found[1:] == [date(2026, 4, 1), date(2026, 7, 1), date(2026, 10, 1), date(2027, 1, 1)]


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        pytest.param(SHANGHAI, date(2026, 1, 1), 2160, id="90_days"),
        pytest.param(SHANGHAI, date(2028, 1, 1), 2184, id="a_leap_year"),
        pytest.param(BERLIN, date(2026, 1, 1), 2159, id="clocks_go_forward"),
        pytest.param(BERLIN, date(2026, 10, 1), 2209, id="clocks_go_back"),
    ],
)
def test_a_quarter_has_the_hours_of_its_local_days(zone: ZoneInfo, first: date, hours: int) -> None:
    start, end = quarter_bounds(first, zone)
    assert (end - start) // HOUR == hours


def test_hours_are_counted_in_their_local_quarter_and_missing_ones_are_invalid() -> None:
    start, end = quarter_bounds(date(2026, 7, 1), SHANGHAI)
    hours = np.arange(start, end + 48 * HOUR, HOUR)
    kept = np.arange(hours.size) >= 100  # the first hundred hours have no row
    valid = np.arange(hours.size) % 10 != 0
    shutdown = (hours >= start + 200 * HOUR) & (hours < start + 248 * HOUR)
    found = count_quarters(hours[kept], valid[kept], shutdown[kept], SHANGHAI, until=end + 40 * HOUR)
    assert [quarter.first_day for quarter in found] == [date(2026, 7, 1), date(2026, 10, 1)]
    third, fourth = found
    assert (third.hours, third.shutdown) == (2208, 48)
    assert third.valid == int((valid & kept & ~shutdown)[:2208].sum())
    assert third.invalid == 2208 - 48 - third.valid
    assert third.capture_rate == third.valid / 2160
    assert third.capture is Capture.REDUCED
    assert fourth.hours == 40
    assert count_quarters(hours, valid, shutdown, SHANGHAI, until=start) == ()


def test_an_hour_of_the_last_quarter_is_not_counted_before_it_has_ended() -> None:
    start = micros(datetime(2026, 10, 1, tzinfo=SHANGHAI))
    hours = start + np.arange(3) * HOUR
    found = count_quarters(hours, np.ones(3, bool), np.zeros(3, bool), SHANGHAI, until=start + 2 * HOUR + 1)
    assert (found[0].hours, found[0].valid) == (2, 2)


@pytest.mark.parametrize(
    ("first", "due"),
    [
        pytest.param(date(2026, 1, 1), date(2026, 4, 7), id="april_begins_on_a_wednesday"),
        pytest.param(date(2026, 10, 1), date(2027, 1, 7), id="over_the_year"),
        pytest.param(date(2026, 4, 1), date(2026, 7, 7), id="july"),
    ],
)
def test_the_audit_is_due_on_the_fifth_working_day_of_the_next_quarter(first: date, due: date) -> None:
    assert audit_due(first) == due


def test_holidays_move_the_audit_and_a_worked_weekend_brings_it_back() -> None:
    golden_week = {date(2026, 10, day) for day in range(1, 8)}
    assert audit_due(date(2026, 7, 1), days_off=golden_week) == date(2026, 10, 14)
    assert audit_due(date(2026, 7, 1), days_off=golden_week, workdays={date(2026, 10, 10)}) == date(2026, 10, 13)
