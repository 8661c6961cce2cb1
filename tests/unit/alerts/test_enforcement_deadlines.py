from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.enforcement.deadlines import add_working_days, due
from alerts.enforcement.workflow import State

SHANGHAI = ZoneInfo("Asia/Shanghai")
OPENED = datetime(2026, 8, 20, 2, 0, tzinfo=UTC)
ENTERED = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # a Friday, 16:00 in Shanghai


def test_a_decision_is_due_ninety_calendar_days_after_the_case_was_opened() -> None:
    at = due(State.VERIFIED, opened_at=OPENED, entered_at=ENTERED, zone=SHANGHAI)
    assert at == datetime(2026, 11, 18, 2, 0, tzinfo=UTC)


def test_service_is_due_seven_working_days_after_the_decision() -> None:
    at = due(State.DECIDED, opened_at=OPENED, entered_at=ENTERED, zone=SHANGHAI)
    assert at == datetime(2026, 12, 1, 8, 0, tzinfo=UTC)  # Mon-Fri, then Mon and Tue


@pytest.mark.parametrize("state", sorted(set(State) - {State.VERIFIED, State.DECIDED}))
def test_where_no_law_of_this_slice_sets_a_limit_nothing_is_due(state: State) -> None:
    assert due(state, opened_at=OPENED, entered_at=ENTERED, zone=SHANGHAI) is None


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        pytest.param("2026-11-16T09:00+08:00", 1, "2026-11-17T09:00+08:00", id="monday_to_tuesday"),
        pytest.param("2026-11-20T09:00+08:00", 1, "2026-11-23T09:00+08:00", id="friday_to_monday"),
        pytest.param("2026-11-21T09:00+08:00", 1, "2026-11-23T09:00+08:00", id="saturday_to_monday"),
        pytest.param("2026-11-22T23:30+08:00", 5, "2026-11-27T23:30+08:00", id="sunday_to_friday"),
        # 00:30 on Monday in Shanghai is still Sunday in UTC: the site's day counts.
        pytest.param("2026-11-23T00:30+08:00", 1, "2026-11-24T00:30+08:00", id="by_the_sites_own_day"),
    ],
)
def test_working_days_are_monday_to_friday_at_the_site(start: str, days: int, end: str) -> None:
    got = add_working_days(datetime.fromisoformat(start), days, SHANGHAI)
    assert got == datetime.fromisoformat(end)


def test_a_day_is_a_local_day_across_a_change_of_the_clocks() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 10, 23, 9, 0, tzinfo=berlin)  # Friday; the clocks go back on Sunday
    assert add_working_days(start, 1, berlin).astimezone(berlin) == datetime(2026, 10, 26, 9, 0, tzinfo=berlin)


@given(st.integers(0, 4 * 365 * 24 * 60), st.integers(1, 30))
def test_exactly_so_many_weekdays_lie_behind_a_due_day(minutes: int, days: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=SHANGHAI) + timedelta(minutes=minutes)
    end = add_working_days(start, days, SHANGHAI).astimezone(SHANGHAI)
    between = [start + timedelta(days=n) for n in range(1, (end.date() - start.date()).days + 1)]
    assert sum(day.isoweekday() <= 5 for day in between) == days
    assert end.isoweekday() <= 5
