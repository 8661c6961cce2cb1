"""Value that does not move though its source runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alerts.rules.constant import RULE
from alerts.rules.history import History, Span
from alerts.rules.rule import CLEAR, UNDECIDED
from history_builders import (
    Hours,
    a_history,
    assert_same_in_parts,
    found,
    judged,
    outcomes,
    outlet,
    shown,
    without_rows,
)
from plant.periods import HOUR
from plant.readings import Values

HELD = slice(400, 430)


def held(history: History, hours: Hours = HELD, *, channel: str = "so2", at: float = 20.0) -> History:
    """*history* in which one value stands in *hours*."""
    still: dict[str, Any] = dict.fromkeys(("still_s", "lead_s", "tail_s"), 3600.0)
    level: dict[str, Any] = dict.fromkeys(("mean", "low", "high", "first", "last"), at)
    return shown(history, channel, hours, std=0.0, grain=np.nan, **still, **level)


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history()) == []


def test_a_value_that_stands_is_found_from_its_fourth_hour_on() -> None:
    assert found(RULE, held(a_history())) == list(range(403, 430))


def test_a_run_is_followed_over_the_parts_of_hours_at_its_ends() -> None:
    history = held(a_history(), slice(400, 403))
    history = shown(history, "so2", 399, last=20.0, tail_s=1800.0)
    assert found(RULE, shown(history, "so2", 403, first=20.0, lead_s=1740.0)) == []
    history = shown(history, "so2", 403, first=20.0, lead_s=1800.0)
    assert found(RULE, history) == [403]
    assert outcomes(RULE, history)[None, "so2", None].observed[403] == 4.0


def test_three_hours_and_another_value_are_no_run() -> None:
    assert found(RULE, held(held(a_history(), slice(400, 403)), slice(403, 406), at=21.0)) == []


def test_the_smallest_of_all_differences_is_a_resolution_too() -> None:
    dust = shown(a_history(), "so2", slice(None), grain=5e-324)
    assert found(RULE, held(dust)) == list(range(403, 430))


def test_a_hole_in_the_rows_ends_a_run() -> None:
    history = without_rows(held(a_history(), slice(400, 407)), 403)
    assert found(RULE, history) == []
    assert outcomes(RULE, history)[None, "so2", None].level[402:405].tolist() == [CLEAR, UNDECIDED, CLEAR]


def test_a_source_that_stands_still_may_show_one_value() -> None:
    history = held(a_history())
    mark = Span(start=int(history.start[395]), end=int(history.start[440]), kind="stopped", status="pending")
    assert found(RULE, outlet(history, HELD, stopped_s=3600.0)) == []
    assert found(RULE, shown(history, "flow", HELD, mean=20_000.0)) == []
    assert found(RULE, held(a_history(marks=(mark,)))) == []


def test_a_stack_that_breathes_air_may_show_one_value_whether_or_not_it_is_called_stopped() -> None:
    history = held(a_history())
    for pollutant in ("so2", "nox", "pm"):
        history = judged(history, pollutant, HELD, o2=20.8)
    assert found(RULE, history) == []
    assert found(RULE, held(history, channel="o2", at=20.8), "o2") == list(range(403, 430))


def test_a_mark_that_covers_a_part_counts_for_the_hours_it_touches() -> None:
    start = int(a_history(1).start[0])
    mark = Span(start=start + 400 * HOUR, end=start + 410 * HOUR, kind="stopped")
    assert found(RULE, held(a_history(marks=(mark,)))) == list(range(413, 430))


def of_steps(steps: float, *, step: float = 0.1) -> History:
    """A history whose SO2 moves over so many steps of its resolution in every hour."""
    low, high = 20.0, 20.0 + step * steps
    return shown(a_history(), "so2", slice(None), low=low, high=high, first=low, last=high, mean=low, grain=step)


@pytest.mark.parametrize(("steps", "hours"), [(3.0, []), (5.0, list(range(403, 430)))], ids=["coarse", "fine"])
def test_an_analyser_too_coarse_to_move_is_not_blamed_for_it(steps: float, hours: list[int]) -> None:
    assert found(RULE, held(of_steps(steps), at=20.05)) == hours


def test_what_cannot_be_told_of_a_coarse_analyser_is_undecided() -> None:
    coarse = held(of_steps(1.0))
    assert outcomes(RULE, coarse)[None, "so2", None].level[401:405].tolist() == [CLEAR, CLEAR, UNDECIDED, UNDECIDED]


def cut_off(history: History, hours: Hours = HELD, *, at: float = 22.0, share: float = 0.5) -> History:
    """*history* whose SO2 goes no higher than one value and lies at it for a share of each of *hours*."""
    return shown(history, "so2", hours, high=at, top_s=3600.0 * share)


def test_a_value_that_is_cut_off_is_found_though_it_falls_below_now_and_then() -> None:
    history = cut_off(a_history())
    assert found(RULE, history) == list(range(403, 430))
    evidence = outcomes(RULE, history)[None, "so2", None].evidence(410)
    assert (evidence["cut_off"], evidence["unchanged_s"]) == (True, 14_400.0)
    assert found(RULE, cut_off(a_history(), share=0.45)) == []


def test_a_cap_that_moves_is_none_and_one_that_is_flagged_is_said_elsewhere() -> None:
    assert found(RULE, cut_off(cut_off(a_history()), slice(400, 430, 3), at=22.1)) == []
    assert found(RULE, shown(cut_off(a_history()), "so2", HELD, t_s=1800.0)) == []


def a_row_an_hour(values: Values) -> History:
    history = a_history(values.size)
    level: dict[str, Any] = dict.fromkeys(("mean", "low", "high", "first", "last"), values)
    still: dict[str, Any] = dict.fromkeys(("still_s", "lead_s", "tail_s"), np.full(values.size, 3600.0))
    return shown(history, "so2", slice(None), std=0.0, grain=np.nan, **level, **still)


def test_a_stack_that_sends_a_row_an_hour_is_judged_by_how_it_moves_from_hour_to_hour() -> None:
    fine = np.round(np.random.default_rng(4).normal(60, 3, 480), 2)
    fine[400:410] = fine[400]
    assert found(RULE, a_row_an_hour(fine), "so2") == list(range(403, 410))
    coarse = np.round(fine / 10) * 10
    assert found(RULE, a_row_an_hour(coarse), "so2") == []


def test_a_value_at_the_end_of_its_range_or_below_zero_is_another_rules() -> None:
    assert found(RULE, shown(held(a_history(), at=300.0), "so2", HELD, t_s=3600.0)) == []
    assert found(RULE, held(a_history(), at=-15.0)) == []


def test_a_load_may_be_held_and_a_temperature_may_not() -> None:
    assert found(RULE, held(a_history(), channel="load_pct", at=90.0)) == []
    assert found(RULE, held(a_history(), channel="temperature", at=128.0)) == list(range(403, 430))


def test_a_value_frozen_for_longer_than_is_remembered_stays_undecided() -> None:
    frozen = outcomes(RULE, held(a_history(30 * 24), slice(200, None)))[None, "so2", None]
    assert (frozen.level[203:400] > CLEAR).all()
    assert not (frozen.level[203:] == CLEAR).any()
    assert frozen.observed[600] == 24.0


def test_an_hour_depends_on_what_it_reaches_back_to_and_no_further() -> None:
    assert_same_in_parts(RULE, held(held(a_history(30 * 24), slice(330, 360)), slice(500, 520), channel="pm", at=4.4))
