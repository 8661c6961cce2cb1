"""Value below zero for longer than noise is."""

from __future__ import annotations

import pytest

from alerts.rules.negative import RULE
from history_builders import a_history, a_stack, assert_same_in_parts, found, outcomes, shown
from plant.register import Channel


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history()) == []


@pytest.mark.parametrize(("seconds", "hours"), [(599.0, []), (600.0, [50])], ids=["below_ten_minutes", "ten_minutes"])
def test_ten_minutes_far_below_a_registered_range_are_found(seconds: float, hours: list[int]) -> None:
    assert found(RULE, shown(a_history(100), "so2", 50, below_s=seconds), "so2") == hours


@pytest.mark.parametrize(
    ("channel", "mean", "hours"),
    [
        pytest.param("nox", -9.9, [], id="nox_by_less_than_a_fifth_of_its_limit_of_50"),
        pytest.param("nox", -10.1, [50], id="nox_by_more"),
        pytest.param("pm", -2.1, [50], id="dust_by_more_than_a_fifth_of_its_limit_of_10"),
        pytest.param("temperature", -20.0, [], id="a_temperature_may_be_below_zero"),
        pytest.param("pressure", -900.0, [], id="a_draught_is_below_zero"),
    ],
)
def test_without_a_range_the_hour_mean_is_compared_with_the_limit(channel: str, mean: float, hours: list[int]) -> None:
    assert found(RULE, shown(a_history(100), channel, 50, mean=mean)) == hours


def test_oxygen_without_a_range_is_compared_with_that_of_an_oxygen_analyser() -> None:
    history = a_history(100, stack=a_stack(channels={}))
    assert found(RULE, shown(history, "o2", 50, mean=-0.4)) == []
    assert found(RULE, shown(history, "o2", 50, mean=-0.6)) == [50]


def test_a_gas_without_range_and_limit_is_not_judged() -> None:
    levels = {"co": (900.0, 30.0, 1.0), "so2": (21.0, 1.0, 0.1)}
    assert (None, "co", None) not in outcomes(RULE, a_history(100, levels=levels))


def test_the_evidence_says_that_the_bound_was_assumed() -> None:
    evidence = outcomes(RULE, shown(a_history(100), "nox", 50, mean=-15.0))[None, "nox", None].evidence(50)
    assert evidence["bound_assumed"]
    assert evidence["bound"] == -10.0
    assert "bound" not in outcomes(RULE, a_history(100))[None, "so2", None].evidence(50)


def test_a_second_instrument_is_a_series_of_its_own() -> None:
    stack = a_stack(judged_from=("main", "backup"), channels={"so2": Channel(range=(0.0, 300.0))})
    backup = a_history(100, stack=stack, instrument="backup", levels={"so2": (21.0, 1.0, 0.1)})
    said = outcomes(RULE, shown(backup, "so2", 50, instrument="backup", below_s=900.0))
    assert set(said) == {(None, "so2", "backup")}


def test_an_hour_is_judged_alone() -> None:
    assert_same_in_parts(RULE, shown(shown(a_history(100), "so2", [3, 50], below_s=900.0), "nox", 60, mean=-20.0))
