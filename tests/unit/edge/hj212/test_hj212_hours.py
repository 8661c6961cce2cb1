"""Which hours of a logger are here: whatever comes in whatever order, what is missing is asked for and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.hj212.hours import HOUR_MS, MOST_ASKED, Hours
from fakes.hj212_logger import AT_MS, days_of

NOW_MS = AT_MS + 1000 * HOUR_MS


def heard(hours: Hours, *numbers: int) -> Hours:
    for number in numbers:
        hours.hear(AT_MS + number * HOUR_MS, None, None, now_ms=NOW_MS)
    return hours


def missing(hours: Hours, until: int) -> tuple[int, int] | None:
    span = hours.missing(AT_MS + until * HOUR_MS)
    return None if span is None else ((span[0] - AT_MS) // HOUR_MS, (span[1] - AT_MS) // HOUR_MS)


def test_a_day_is_asked_for_at_most() -> None:
    assert missing(Hours(AT_MS), 100) == (0, MOST_ASKED - 1)


def test_what_is_here_is_not_asked_for() -> None:
    hours = heard(Hours(AT_MS), 0, 1, 5)
    assert missing(hours, 10) == (2, 4)
    assert missing(heard(hours, 2, 3, 4), 10) == (6, 9)
    assert missing(heard(hours, 6, 7, 8, 9), 10) is None


def test_an_hour_that_still_runs_is_not_asked_for() -> None:
    assert Hours(AT_MS).missing(AT_MS + HOUR_MS - 1) is None
    assert Hours(AT_MS).missing(AT_MS + HOUR_MS) == (AT_MS, AT_MS)


def test_an_hour_is_here_when_all_its_parts_are() -> None:
    hours = Hours(AT_MS)
    for number in (3, 1, 1):
        hours.hear(AT_MS, number, 3, now_ms=NOW_MS)
    assert missing(hours, 1) == (0, 0)
    hours.hear(AT_MS, 2, 3, now_ms=NOW_MS)
    assert missing(hours, 1) is None


def test_an_hour_that_the_logger_does_not_have_is_given_up_at_the_third_answer() -> None:
    hours = heard(Hours(AT_MS), 0, 2)
    for _ in range(2):
        hours.answered(AT_MS, AT_MS + 2 * HOUR_MS)
        assert missing(hours, 3) == (1, 1)
    hours.answered(AT_MS, AT_MS + 2 * HOUR_MS)
    assert (missing(hours, 3), hours.absent) == (None, 1)


def test_times_that_are_no_hours_or_lie_ahead_say_nothing() -> None:
    hours = Hours(AT_MS)
    for at_ms in (AT_MS + 1, AT_MS - HOUR_MS, NOW_MS, NOW_MS + HOUR_MS):
        hours.hear(at_ms, None, None, now_ms=NOW_MS)
    assert hours == Hours(AT_MS)


def test_what_lies_more_than_a_year_back_is_not_remembered() -> None:
    hours = Hours(AT_MS)
    first, _ = hours.missing(AT_MS + 400 * 24 * HOUR_MS) or (0, 0)
    assert first == AT_MS + 34 * 24 * HOUR_MS
    assert hours.absent == 34 * 24


def test_a_position_that_cannot_be_read_begins_where_it_is_told() -> None:
    for text in (None, "", "[]", "{}", "[1]", '["a", 1]', "nonsense"):
        assert Hours.of(text, otherwise_ms=AT_MS + 5).through_ms == AT_MS


@given(st.lists(st.integers(0, 60), max_size=80), st.integers(0, 60))
def test_asking_until_nothing_is_missing_brings_every_hour_once_over_restarts(pushed: list[int], until: int) -> None:
    hours = heard(Hours(AT_MS), *pushed)
    brought = set(pushed)
    while (span := hours.missing(AT_MS + until * HOUR_MS)) is not None:
        hours = Hours.of(hours.position(), otherwise_ms=0)
        for hour in range(span[0], span[1] + 1, HOUR_MS):
            number = (hour - AT_MS) // HOUR_MS
            assert number not in brought
            brought.add(number)
            hours = heard(hours, number)
    assert brought >= set(range(until))
    assert hours.through_ms >= days_of(until + 1)[-1]
