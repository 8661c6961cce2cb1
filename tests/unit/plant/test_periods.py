"""Local hours and months in UTC, where zones are odd and clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.periods import HOUR, hour_start, instant, micros, month_bounds, month_of

SHANGHAI, KOLKATA, BERLIN, KATHMANDU, LORD_HOWE, CHATHAM = map(
    ZoneInfo,
    (
        "Asia/Shanghai",
        "Asia/Kolkata",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Chatham",
    ),
)
ZONES = [SHANGHAI, KOLKATA, BERLIN, KATHMANDU, LORD_HOWE, CHATHAM]


def at(text: str) -> int:
    return micros(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("zone", "moment", "start"),
    [
        pytest.param(SHANGHAI, "2026-11-20T08:59:59.999999+08:00", "2026-11-20T08:00:00+08:00", id="shanghai"),
        pytest.param(SHANGHAI, "2026-11-20T09:00:00+08:00", "2026-11-20T09:00:00+08:00", id="its_own_start"),
        pytest.param(KOLKATA, "2026-11-20T08:29:00+00:00", "2026-11-20T07:30:00+00:00", id="kolkata_cuts_at_half"),
        pytest.param(KATHMANDU, "2026-11-20T08:14:00+00:00", "2026-11-20T07:15:00+00:00", id="kathmandu_at_a_quarter"),
        pytest.param(BERLIN, "2026-10-25T00:30:00+00:00", "2026-10-25T00:00:00+00:00", id="first_02_h_of_berlin"),
        pytest.param(BERLIN, "2026-10-25T01:30:00+00:00", "2026-10-25T01:00:00+00:00", id="second_02_h_of_berlin"),
    ],
)
def test_an_hour_is_cut_at_the_local_hour(zone: ZoneInfo, moment: str, start: str) -> None:
    assert hour_start(at(moment), zone) == at(start)


@pytest.mark.parametrize(
    ("zone", "month", "start", "hours"),
    [
        pytest.param(SHANGHAI, date(2026, 2, 1), "2026-01-31T16:00:00+00:00", 672, id="shanghai_february"),
        pytest.param(SHANGHAI, date(2028, 2, 1), "2028-01-31T16:00:00+00:00", 696, id="leap_year"),
        pytest.param(SHANGHAI, date(2026, 12, 1), "2026-11-30T16:00:00+00:00", 744, id="december"),
        pytest.param(KOLKATA, date(2026, 11, 1), "2026-10-31T18:30:00+00:00", 720, id="kolkata"),
        pytest.param(BERLIN, date(2026, 3, 1), "2026-02-28T23:00:00+00:00", 743, id="berlin_loses_an_hour"),
        pytest.param(BERLIN, date(2026, 10, 1), "2026-09-30T22:00:00+00:00", 745, id="berlin_gains_an_hour"),
    ],
)
def test_a_month_has_the_hours_of_its_local_days(zone: ZoneInfo, month: date, start: str, hours: int) -> None:
    first, end = month_bounds(month, zone)
    assert first == at(start)
    assert (end - first) // HOUR == hours


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-29", 23), ("2026-03-30", 24), ("2026-10-25", 25)],
    ids=["clocks_go_forward", "any_day", "clocks_go_back"],
)
def test_a_day_of_berlin_has_23_24_or_25_hours(day: str, hours: int) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    end = (start + timedelta(days=1)).replace(tzinfo=BERLIN)
    starts = {hour_start(moment, BERLIN) for moment in range(micros(start), micros(end), HOUR // 4)}
    assert len(starts) == hours


def test_the_last_instant_of_a_month_is_in_it_and_the_next_is_not() -> None:
    _, end = month_bounds(date(2026, 11, 1), SHANGHAI)
    assert month_of(end - 1, SHANGHAI) == date(2026, 11, 1)
    assert month_of(end, SHANGHAI) == date(2026, 12, 1)
    assert month_of(month_bounds(date(2026, 12, 1), SHANGHAI)[1], SHANGHAI) == date(2027, 1, 1)


def test_instants_are_exact_to_the_microsecond() -> None:
    moment = datetime(2026, 11, 20, 8, 0, 0, 123_457, tzinfo=timezone(timedelta(hours=8)))
    assert instant(micros(moment)) == moment
    assert micros(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert instant(1_500_000).microsecond == 500_000


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="has no offset"):
        micros(datetime(2026, 11, 20))  # noqa: DTZ001


moments = st.integers(micros(datetime(2020, 1, 1, tzinfo=UTC)), micros(datetime(2040, 1, 1, tzinfo=UTC)))


@settings(deadline=None, max_examples=150)
@given(moments, st.sampled_from(ZONES))
def test_every_instant_lies_in_its_hour_and_its_month(moment: int, zone: ZoneInfo) -> None:
    start = hour_start(moment, zone)
    assert start <= moment < start + HOUR
    first, end = month_bounds(month_of(moment, zone), zone)
    assert first <= moment < end
