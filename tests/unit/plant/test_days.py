"""Local days and months of hours, and the mass of a day."""

from __future__ import annotations

from datetime import date, datetime
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.conversion import Values, mass_kg
from plant.days import DayMeans, average_days, average_months, day_edges, total_days
from plant.periods import HOUR, Instants, micros

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
BERLIN: Final = ZoneInfo("Europe/Berlin")
CAIRO: Final = ZoneInfo("Africa/Cairo")
KOLKATA: Final = ZoneInfo("Asia/Kolkata")


def hours(first: str, n: int, zone: ZoneInfo = SHANGHAI) -> Instants:
    """*n* hours from the local midnight of *first*."""
    start = micros(datetime.fromisoformat(first).replace(tzinfo=zone))
    return start + np.arange(n, dtype=np.int64) * HOUR


def a_day(n_valid: int, *, mean: float = 30.0) -> DayMeans:
    start = hours("2026-11-10", 24)
    return average_days(start, np.full(24, mean), np.arange(24) < n_valid, SHANGHAI)


def whole_days(first: str, n_days: int, *, valid: int, zone: ZoneInfo = SHANGHAI) -> DayMeans:
    """Days of which the first *valid* have all their hours and the others none that is valid."""
    start = hours(first, 24 * n_days, zone)
    day = np.arange(start.size) // 24
    return average_days(start, 10.0 + day.astype(np.float64), day < valid, zone)


@pytest.mark.parametrize(("n_valid", "valid"), [(19, False), (20, True)], ids=["19_hours", "20_hours"])
def test_a_day_is_valid_with_twenty_valid_hours(n_valid: int, valid: bool) -> None:
    day = a_day(n_valid)
    assert day.valid.tolist() == [valid]
    assert day.valid_hours.tolist() == [n_valid]
    assert np.isnan(day.mean[0]) == (not valid)


def test_only_valid_hours_are_averaged() -> None:
    value = np.concatenate([np.full(10, 20.0), np.full(10, 40.0), np.full(4, 1000.0)])
    day = average_days(hours("2026-11-10", 24), value, np.arange(24) < 20, SHANGHAI)
    assert day.mean.tolist() == [30.0]


def test_a_number_that_is_missing_is_not_valid_whatever_is_said_of_it() -> None:
    value = np.full(24, 30.0)
    value[:5] = np.nan
    day = average_days(hours("2026-11-10", 24), value, np.ones(24, dtype=bool), SHANGHAI)
    assert (day.valid_hours[0], day.valid[0]) == (19, False)


def test_days_are_cut_at_local_midnight() -> None:
    start = hours("2026-11-10", 48)
    value = np.repeat([10.0, 20.0], 24)
    found = average_days(start, value, np.ones(48, dtype=bool), SHANGHAI)
    assert found.mean.tolist() == [10.0, 20.0]
    assert found.day.tolist() == [date(2026, 11, 10), date(2026, 11, 11)]
    assert np.array_equal(day_edges(date(2026, 11, 10), 2, SHANGHAI), [start[0], start[24], start[24] + 24 * HOUR])
    utc = average_days(start, value, np.ones(48, dtype=bool), ZoneInfo("UTC"))
    assert utc.day.size == 3


@pytest.mark.parametrize(
    ("zone", "first", "lengths"),
    [
        pytest.param(SHANGHAI, date(2026, 11, 10), [24, 24], id="shanghai"),
        pytest.param(KOLKATA, date(2026, 11, 10), [24, 24], id="an_offset_of_a_half_hour"),
        pytest.param(BERLIN, date(2026, 3, 28), [24, 23], id="berlin_loses_an_hour"),
        pytest.param(BERLIN, date(2026, 10, 24), [24, 25], id="berlin_gains_an_hour"),
        pytest.param(CAIRO, date(2026, 4, 23), [24, 23], id="cairo_skips_midnight"),
    ],
)
def test_a_day_has_the_hours_of_its_clock(zone: ZoneInfo, first: date, lengths: list[int]) -> None:
    assert (np.diff(day_edges(first, 2, zone)) / HOUR).tolist() == lengths
    start = hours(first.isoformat(), sum(lengths), zone)
    found = average_days(start, np.ones(start.size), np.ones(start.size, dtype=bool), zone)
    assert found.hours.tolist() == found.valid_hours.tolist() == lengths


def test_a_day_without_any_hour_between_two_others_is_there_and_not_valid() -> None:
    start = np.concatenate([hours("2026-11-10", 24), hours("2026-11-12", 24)])
    found = average_days(start, np.ones(48), np.ones(48, dtype=bool), SHANGHAI)
    assert found.valid.tolist() == [True, False, True]
    assert found.hours.tolist() == [24, 24, 24]


def test_no_hours_make_no_days() -> None:
    none = np.zeros(0)
    days = average_days(none.astype(np.int64), none, none.astype(bool), SHANGHAI)
    assert days.day.size == 0
    assert average_months(days).month.size == 0
    assert total_days(none.astype(np.int64), none, SHANGHAI).total.size == 0


def test_an_hour_given_twice_is_refused() -> None:
    start = hours("2026-11-10", 1).repeat(2)
    with pytest.raises(ValueError, match="twice"):
        average_days(start, np.ones(2), np.ones(2, dtype=bool), SHANGHAI)


def test_the_mass_of_a_day_is_the_sum_of_its_hours_and_keeps_the_ones_unknown_apart() -> None:
    """Eq. 34 of the worked vector of 3.3: 31.056 mg/m3 in 684,591 m3/h are 21.26 kg/h."""
    hourly = np.full(24, mass_kg(31.056, 684_591.0))
    day = total_days(hours("2026-11-10", 24), hourly, SHANGHAI)
    assert day.total[0] == pytest.approx(24 * 21.26, abs=0.05)
    hourly[3] = np.nan
    day = total_days(hours("2026-11-10", 24), hourly, SHANGHAI)
    assert day.total[0] == pytest.approx(23 * 21.26, abs=0.05)
    assert (day.counted_hours[0], day.hours[0]) == (23, 24)
    assert np.isnan(total_days(hours("2026-11-10", 24), np.full(24, np.nan), SHANGHAI).total[0])


@pytest.mark.parametrize(
    ("first", "n_days", "valid_days", "valid"),
    [
        pytest.param("2026-11-01", 30, 24, False, id="24_of_november"),
        pytest.param("2026-11-01", 30, 25, True, id="25_of_november"),
        pytest.param("2026-02-01", 28, 22, False, id="22_of_february"),
        pytest.param("2026-02-01", 28, 23, True, id="23_of_february"),
        pytest.param("2028-02-01", 29, 23, True, id="23_of_a_leap_february"),
        pytest.param("2026-12-01", 31, 24, False, id="24_of_december"),
    ],
)
def test_a_month_needs_25_valid_days_and_february_23(first: str, n_days: int, valid_days: int, valid: bool) -> None:
    month = average_months(whole_days(first, n_days, valid=valid_days))
    assert month.valid.tolist() == [valid]
    assert (month.days[0], month.valid_days[0]) == (n_days, valid_days)
    if valid:
        assert month.mean[0] == pytest.approx(10.0 + (valid_days - 1) / 2)
    else:
        assert np.isnan(month.mean[0])


def test_a_month_averages_its_days_and_not_its_hours() -> None:
    start = hours("2026-11-01", 30 * 24)
    day = np.arange(start.size) // 24
    valid = (day > 0) | (np.arange(start.size) < 20)  # the first day has only 20 valid hours
    value = np.where(day == 0, 100.0, 10.0)
    month = average_months(average_days(start, value, valid, SHANGHAI))
    assert month.mean[0] == pytest.approx((100.0 + 29 * 10.0) / 30)


def test_several_months_are_averaged_at_once() -> None:
    months = average_months(whole_days("2026-01-31", 30, valid=30))
    assert [str(month) for month in months.month] == ["2026-01", "2026-02", "2026-03"]
    assert months.days.tolist() == [1, 28, 1]
    assert months.valid.tolist() == [False, True, False]


readings = st.lists(st.floats(0.0, 1e4), min_size=24, max_size=72)


@settings(deadline=None, max_examples=60)
@given(readings, st.randoms(use_true_random=False), st.sampled_from([SHANGHAI, BERLIN, KOLKATA]))
def test_any_order_of_arrival_gives_bit_equal_means_and_totals(
    values: list[float], random: Random, zone: ZoneInfo
) -> None:
    start = hours("2026-10-24", len(values), zone)
    value: Values = np.array(values)
    order = list(range(start.size))
    random.shuffle(order)
    valid = value < 9e3
    one, other = average_days(start, value, valid, zone), average_days(start[order], value[order], valid[order], zone)
    assert one.mean.tobytes() == other.mean.tobytes()
    summed, again = total_days(start, value, zone), total_days(start[order], value[order], zone)
    assert summed.total.tobytes() == again.total.tobytes()


@settings(deadline=None, max_examples=60)
@given(readings)
def test_a_mean_lies_between_the_least_and_the_most_and_equal_hours_give_themselves(values: list[float]) -> None:
    value = np.array(values[:24])
    day = average_days(hours("2026-11-10", 24), value, np.ones(24, dtype=bool), SHANGHAI)
    assert value.min() - 1e-9 <= day.mean[0] <= value.max() + 1e-9
    assert average_days(
        hours("2026-11-10", 24), np.full(24, values[0]), np.ones(24, dtype=bool), SHANGHAI
    ).mean.tolist() == [values[0]]
