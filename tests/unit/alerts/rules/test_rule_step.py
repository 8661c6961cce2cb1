"""Value that jumps though its process does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alerts.rules.history import History
from alerts.rules.rule import UNDECIDED
from alerts.rules.step import RULE
from history_builders import (
    LEVELS,
    Change,
    a_history,
    a_stack,
    assert_same_in_parts,
    found,
    outcomes,
    outlet,
    scaled,
    shown,
)

AT = 300


def jumped(history: History, channel: str = "so2", at: int = AT, *, by: float = 15.0, minute: float = 30.0) -> History:
    """*history* in which a level changes at once and stays."""
    level = float(history.value("main", channel, "mean")[at])
    return shown(history, channel, at, step=by, step_minute=minute, step_before=level, step_after=level + by)


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history()) == []


@pytest.mark.parametrize("by", [15.0, -15.0], ids=["up", "down"])
def test_a_level_that_changes_in_one_minute_is_found(by: float) -> None:
    level = float(a_history().value("main", "so2", "mean")[AT])
    history = shown(a_history(), "so2", AT, step=15.0, step_minute=30.0, step_before=level, step_after=level + by)
    assert found(RULE, history) == [AT]


def test_the_evidence_has_the_levels_and_the_deviation_of_the_week() -> None:
    said = outcomes(RULE, jumped(a_history()))[None, "so2", None]
    evidence = said.evidence(AT)
    assert (evidence["step"], evidence["step_minute"]) == (15.0, 30.0)
    assert evidence["step_after"] - evidence["step_before"] == pytest.approx(15.0)
    assert said.limit[AT] == pytest.approx(3 * evidence["sigma_of_week"])
    assert 1.0 < evidence["sigma_of_week"] < 2.0


def test_a_change_within_three_deviations_is_clear() -> None:
    assert found(RULE, jumped(a_history(), by=3.0)) == []


def test_a_peak_that_passes_is_clear() -> None:
    level = float(a_history().value("main", "so2", "mean")[AT])
    assert found(RULE, shown(a_history(), "so2", AT, step=15.0, step_before=level, step_after=level + 1)) == []


def test_a_ramp_over_several_minutes_is_clear() -> None:
    level = float(a_history().value("main", "so2", "mean")[AT])
    assert found(RULE, shown(a_history(), "so2", AT, step=8.0, step_before=level, step_after=level + 25)) == []


def test_a_channel_that_changes_so_every_day_is_clear() -> None:
    history = shown(a_history(), "so2", slice(10, None, 24), step=12.0)
    assert found(RULE, jumped(history)) == []


@pytest.mark.parametrize("channel", ["flow", "temperature", "load_pct", "power_production_kw"])
def test_a_change_with_the_process_is_clear(channel: str) -> None:
    assert found(RULE, shown(jumped(a_history()), channel, AT, high=lambda value: value * 1.2)) == []


def test_a_change_of_two_gases_in_one_hour_is_the_gas_and_not_an_instrument() -> None:
    """Of a stop and the start after it, one channel may show the first most, another the second."""
    assert found(RULE, jumped(jumped(a_history()), "nox", by=20.0, minute=40.0)) == []
    assert found(RULE, jumped(jumped(a_history()), "nox", AT + 1, by=20.0)) == [AT, AT + 1]


def test_another_gas_that_moved_more_than_on_any_ordinary_day_is_enough() -> None:
    """Its own levels may not be known: at the turn of an hour, or beside a flag."""
    history = jumped(a_history())
    largest = float(np.nanmax(history.value("main", "nox", "step")[:AT]))
    at_the_turn = shown(history, "nox", AT, step=1.5 * largest, step_minute=58.0, step_after=np.nan)
    assert found(RULE, at_the_turn) == []


def test_where_a_level_beside_it_is_not_known_nothing_is_found() -> None:
    assert found(RULE, shown(jumped(a_history()), "so2", AT, step_after=np.nan)) == []


def test_ten_minutes_after_a_flag_of_the_hour_before_are_left_to_the_line() -> None:
    history = jumped(a_history(), minute=7.0)
    assert found(RULE, shown(history, "so2", AT - 1, quiet_s=120.0)) == []
    assert found(RULE, shown(history, "so2", AT - 1, quiet_s=240.0)) == [AT]


def test_a_start_of_the_source_is_no_step() -> None:
    assert found(RULE, outlet(jumped(a_history()), AT - 1, stopped_s=3600.0)) == []


def test_without_anything_of_the_process_nothing_is_said() -> None:
    gases = {name: LEVELS[name] for name in ("so2", "nox", "o2")}
    history = jumped(a_history(levels=gases))
    assert set(outcomes(RULE, history)[None, "so2", None].level.tolist()) == {UNDECIDED}


def turned(history: History, channel: str = "so2", *, by: float = 15.0, **features: Change) -> History:
    """*history* in which a level changes with the hour AT and stays for it."""
    level = float(history.value("main", channel, "mean")[AT - 1])
    history = shown(history, channel, AT - 1, minute_last=level)
    changed: dict[str, Any] = {"mean": level + by, "minute_first": level + by} | features
    return shown(history, channel, AT, **changed)


@pytest.mark.parametrize("by", [15.0, -15.0], ids=["up", "down"])
def test_a_level_that_changes_with_the_hour_is_found_by_the_means_of_both(by: float) -> None:
    history = turned(a_history(), by=by)
    assert found(RULE, history) == [AT]
    said = outcomes(RULE, history)[None, "so2", None]
    evidence = said.evidence(AT)
    assert (evidence["step"], evidence["step_minute"]) == (pytest.approx(15.0), 0.0)
    assert said.observed[AT] == pytest.approx(15.0)
    assert evidence["step_after"] - evidence["step_before"] == pytest.approx(by)


@pytest.mark.parametrize("minute", [3.0, 57.0], ids=["after", "before"])
def test_beside_the_turn_of_an_hour_the_levels_are_those_of_the_hours(minute: float) -> None:
    """There a level of five minutes within the hour is not known."""
    hour, side = (AT, "step_before") if minute == 3.0 else (AT - 1, "step_after")
    history = turned(a_history(), minute_first=np.nan)
    near: dict[str, Any] = {"step": 15.0, "step_minute": minute, side: np.nan}
    history = shown(history, "so2", hour, **near)
    assert found(RULE, history) == [AT]
    assert outcomes(RULE, history)[None, "so2", None].evidence(AT)["step_minute"] == (3.0 if hour == AT else -3.0)


def test_a_peak_at_the_turn_of_an_hour_is_clear() -> None:
    level = float(a_history().value("main", "so2", "mean")[AT - 1])
    assert found(RULE, turned(a_history(), mean=level)) == []


@pytest.mark.parametrize("channel", ["flow", "temperature", "load_pct", "power_production_kw"])
def test_a_process_that_changes_between_two_hours_explains_a_change_there(channel: str) -> None:
    history = turned(a_history())
    more: dict[str, Any] = dict.fromkeys(("low", "high"), lambda value: value * 1.4)
    history = shown(history, channel, slice(AT, None), **more)
    assert found(RULE, history) == []


def test_two_gases_that_change_with_the_hour_are_the_gas_and_not_an_instrument() -> None:
    assert found(RULE, turned(turned(a_history()), "nox", by=20.0)) == []
    assert found(RULE, jumped(turned(a_history()), "nox", AT - 1, by=20.0)) == [AT - 1]


def test_the_start_of_an_hour_soon_after_a_flag_is_left_to_the_line() -> None:
    assert found(RULE, shown(turned(a_history()), "so2", AT - 1, quiet_s=599.0)) == []
    assert found(RULE, shown(turned(a_history()), "so2", AT - 1, quiet_s=600.0)) == [AT]


def test_without_a_week_nothing_is_said() -> None:
    assert outcomes(RULE, jumped(a_history(), at=40))[None, "so2", None].level[40] == UNDECIDED


def test_a_week_of_which_little_is_known_has_no_deviation() -> None:
    """Six hours a day are a resolution to tell it by, and no measure of what is ordinary."""
    hours = np.arange(AT)
    history = jumped(a_history(), by=1.0)
    seldom = shown(history, "so2", hours[hours % 24 >= 6], mean=np.nan, std=np.nan, step=np.nan, grain=np.nan)
    assert outcomes(RULE, seldom)[None, "so2", None].level[AT] == UNDECIDED


def test_rows_an_hour_apart_have_no_steps() -> None:
    hourly = shown(a_history(stack=a_stack(interval_s=3600)), "so2", slice(None), step=np.nan)
    assert set(outcomes(RULE, hourly)[None, "so2", None].level.tolist()) == {UNDECIDED}


def test_an_hour_depends_on_what_it_reaches_back_to_and_no_further() -> None:
    history = scaled(jumped(turned(a_history(30 * 24), "nox"), "pm", 500, by=4.0), "so2", slice(600, None), 1.5)
    assert_same_in_parts(RULE, history, parts=9)
