"""A gap is measured over the hours it lies in and up to now; it needs no row to be seen, and rows that never were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alerts.review import review
from alerts.rules.data_missing import MAJOR_S, RULE, longest_gap_s
from alerts.rules.history import History
from alerts.rules.rule import CLEAR, LONGEST_REACH_H, MAJOR, UNDECIDED, WARNING
from history_builders import a_history, a_stack, assert_same_in_parts, found, outcomes, outlet, without_rows
from plant.periods import MINUTE

AT = 300


def gap(history: History, first_s: int, end_s: int) -> History:
    """No rows from *first_s* to *end_s*, in seconds from the start of the hour AT."""
    for place in range(history.n_hours):
        begin, end = (min(max(at - (place - AT) * 3600, 0), 3600) for at in (first_s, end_s))
        if begin < end:
            history = outlet(
                history,
                [place],
                gap_s=end - begin,
                lead_gap_s=end if begin == 0 else 0.0,
                tail_gap_s=3600.0 - begin if end == 3600 else 0.0,
                rows=(3600 - end + begin) // 60,
                covered_s=3600.0 - end + begin,
            )
    return history


def running(history: History, minutes: int) -> History:
    """The last hour has run for so long."""
    ended = history.ended.copy()
    ended[-1] = False
    return replace(history, ended=ended, now=int(history.start[-1]) + minutes * MINUTE)


def test_a_stack_that_sends_is_clear() -> None:
    (said,) = outcomes(RULE, a_history()).values()
    assert (said.level == CLEAR).all()


@pytest.mark.parametrize(
    ("first", "end", "places"),
    [
        pytest.param(600, 1440, [], id="14_minutes"),
        pytest.param(600, 1500, [AT], id="15_minutes"),
        pytest.param(3300, 3900, [], id="ten_minutes_over_the_hour"),
        pytest.param(3000, 4000, [AT + 1], id="sixteen_over_the_hour"),
        pytest.param(0, 3600, [AT], id="an_hour"),
        pytest.param(3000, 3600 * 3 + 60, [AT + 1, AT + 2, AT + 3], id="until_a_minute_into_the_fourth"),
    ],
)
def test_a_gap_is_as_long_as_it_is_over_all_its_hours(first: int, end: int, places: list[int]) -> None:
    assert found(RULE, gap(a_history(), first, end)) == places


def test_its_length_grows_from_hour_to_hour() -> None:
    history = gap(a_history(), 1800, 3600 * 8 + 600)
    expected = [1800.0 + 3600 * n for n in range(8)] + [1800.0 + 3600 * 7 + 600]
    assert longest_gap_s(history)[AT : AT + 9].tolist() == expected
    (said,) = outcomes(RULE, history).values()
    assert said.level[AT + 1] == WARNING
    assert [int(said.level[AT + n]) == MAJOR for n in range(9)] == [length >= MAJOR_S for length in expected]


def test_nothing_is_missing_where_rows_came_that_are_not_judged_yet() -> None:
    history = replace(gap(a_history(), 0, 3600 * 8), unread=frozenset(range(AT, AT + 5)))
    (said,) = outcomes(RULE, history).values()
    assert (said.level[AT : AT + 5] == UNDECIDED).all()
    assert found(RULE, history) == [AT + 5, AT + 6, AT + 7]
    assert longest_gap_s(history)[AT + 5] == 3600


def test_it_is_one_episode_and_ends_with_the_rows() -> None:
    (episode,) = review(gap(a_history(), 0, 3600 * 5), rules=(RULE,)).episodes
    assert episode.period_start == int(a_history().start[AT])
    assert episode.period_end == int(a_history().start[AT + 5])


@pytest.mark.parametrize(
    ("minutes", "level"), [pytest.param(14, UNDECIDED, id="14_minutes"), pytest.param(15, WARNING, id="15_minutes")]
)
def test_the_timer_runs_in_an_hour_without_any_row(minutes: int, level: int) -> None:
    history = running(without_rows(a_history(), [479]), minutes)
    (said,) = outcomes(RULE, history).values()
    assert said.level[-1] == level
    assert said.observed[-1] == minutes * 60


def test_what_is_still_to_come_of_a_running_hour_is_not_missing() -> None:
    """The last row covers the tenth minute; now is the twentieth, then the twenty-sixth."""
    history = outlet(a_history(), [479], gap_s=3000.0, tail_gap_s=3000.0, rows=10.0)
    for minutes, level in ((20, UNDECIDED), (26, WARNING)):
        (said,) = outcomes(RULE, running(history, minutes)).values()
        assert said.level[-1] == level
        assert said.observed[-1] == (minutes - 10) * 60


def test_a_running_hour_ends_no_gap() -> None:
    history = running(gap(a_history(), 3600 * 170, 3600 * 179), 30)
    assert len(review(history, rules=(RULE,)).episodes) == 1
    (said,) = outcomes(RULE, history).values()
    assert said.level[-1] == UNDECIDED


def test_a_stack_that_never_sent_is_not_missing() -> None:
    history = a_history(60 * 24)
    history = without_rows(history, slice(0, 1000))
    assert found(RULE, history) == []


def test_after_two_weeks_of_silence_nothing_is_decided_and_nothing_ends() -> None:
    history = without_rows(a_history(60 * 24), slice(100, 60 * 24))
    (said,) = outcomes(RULE, history).values()
    last = 99 + LONGEST_REACH_H
    assert (said.level[100:last] > CLEAR).all()
    assert (said.level[last:] == UNDECIDED).all()
    (episode,) = review(history, rules=(RULE,)).episodes
    assert episode.ended_at is None


def test_a_stack_that_sends_once_an_hour_may_miss_one_row() -> None:
    stack = a_stack(interval_s=3600)
    assert found(RULE, without_rows(a_history(stack=stack), [AT])) == []
    assert found(RULE, without_rows(a_history(stack=stack), [AT, AT + 1])) == [AT + 1]


def test_a_stopped_source_still_reports() -> None:
    history = outlet(gap(a_history(), 0, 3600 * 3), slice(None), stopped_s=3600.0)
    assert found(RULE, history) == [AT, AT + 1, AT + 2]


def test_it_is_the_same_in_parts() -> None:
    history = a_history(60 * 24)
    rng = np.random.default_rng(5)
    for place in rng.choice(np.arange(5, 1400), 60, replace=False).tolist():
        history = without_rows(history, slice(place, place + int(rng.integers(1, 5))))
    assert_same_in_parts(RULE, history)
    assert_same_in_parts(RULE, without_rows(a_history(60 * 24), slice(300, 1000)))
