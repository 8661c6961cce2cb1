"""Value outside its range."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.rules.out_of_range import RULE
from alerts.rules.rule import CLEAR, UNDECIDED
from history_builders import a_history, a_stack, assert_same_in_parts, found, outcomes, shown, without_rows
from plant.register import Channel


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history()) == []


@pytest.mark.parametrize(("seconds", "hours"), [(599.0, []), (600.0, [50])], ids=["below_ten_minutes", "ten_minutes"])
@pytest.mark.parametrize("feature", ["t_s", "over_s"])
def test_ten_minutes_of_an_hour_are_found_whether_flagged_or_not(
    feature: str, seconds: float, hours: list[int]
) -> None:
    features: dict[str, Any] = {feature: seconds}
    history = shown(a_history(100), "so2", 50, **features)
    assert found(RULE, history, "so2") == hours


def test_the_evidence_says_what_was_flagged_and_what_was_not() -> None:
    history = shown(a_history(100), "so2", 50, over_s=1200.0, t_s=300.0, high=310.0)
    evidence = outcomes(RULE, history)[None, "so2", None].evidence(50)
    assert evidence["range"] == (0.0, 300.0)
    assert (evidence["over_s"], evidence["t_s"], evidence["high"]) == (1200.0, 300.0, 310.0)


def test_a_flag_counts_where_no_range_is_registered() -> None:
    assert found(RULE, shown(a_history(100), "nox", 50, t_s=1800.0)) == [50]


def test_a_temperature_is_outside_where_the_mean_of_its_hour_is() -> None:
    stack = a_stack(channels={"temperature": Channel(range=(0.0, 400.0))})
    history = shown(a_history(100, stack=stack), "temperature", [50, 51], mean=410.0)
    history = shown(history, "temperature", 60, high=410.0)
    assert found(RULE, history, "temperature") == [50, 51]
    assert found(RULE, shown(a_history(100), "temperature", 50, mean=410.0)) == []


def test_an_hour_without_rows_is_undecided_and_the_next_is_clear() -> None:
    said = outcomes(RULE, without_rows(a_history(100), 50))[None, "so2", None]
    assert said.level[49:52].tolist() == [CLEAR, UNDECIDED, CLEAR]


def test_an_hour_is_judged_alone() -> None:
    assert_same_in_parts(RULE, shown(a_history(100), "so2", [3, 50, 99], t_s=900.0))
