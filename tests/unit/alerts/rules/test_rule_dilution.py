"""Gas or sample diluted with air."""

from __future__ import annotations

import pytest

from alerts.rules.dilution import AIR, RULE
from alerts.rules.history import History
from alerts.rules.rule import CLEAR, UNDECIDED
from history_builders import (
    LEVELS,
    ULE,
    Hours,
    a_history,
    a_stack,
    assert_same_in_parts,
    found,
    judged,
    outcomes,
    outlet,
    scaled,
    shown,
)
from plant.register import Channel

SOME = slice(320, 350)
SOME_HOURS = list(range(320, 350))


def diluted(history: History, share: float, hours: Hours = SOME, *, gases: tuple[str, ...] = ("so2", "nox")) -> History:
    """*history* with that share of air in the sample: what is not air falls by one ratio."""
    history = shown(history, "o2", hours, mean=lambda o2: AIR - (1 - share) * (AIR - o2))
    for pollutant in ("so2", "nox", "pm"):
        if (ULE, pollutant) in history.verdicts:
            history = judged(history, pollutant, hours, o2=lambda o2: AIR - (1 - share) * (AIR - o2))
    for gas in gases:
        history = scaled(history, gas, hours, 1 - share)
    return history


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history()) == []


def test_a_diluted_sample_is_found_though_dust_in_the_duct_does_not_fall() -> None:
    history = diluted(a_history(), 0.45)
    assert found(RULE, history) == SOME_HOURS
    evidence = outcomes(RULE, history)[None, None, None].evidence(330)
    assert evidence["where"] == "sample"
    assert evidence["gas_to_usual"] == pytest.approx(0.55, abs=0.06)
    assert evidence["pollutants_to_usual"]["pm"] == pytest.approx(1.0, abs=0.15)


def test_air_in_the_duct_is_found_and_told_by_the_flow_that_rises() -> None:
    history = diluted(a_history(), 0.45, gases=("so2", "nox", "pm"))
    history = scaled(history, "flow", SOME, 1 / 0.55)
    assert found(RULE, history) == SOME_HOURS
    assert outcomes(RULE, history)[None, None, None].evidence(330)["where"] == "duct"


def test_a_little_air_is_clear() -> None:
    assert found(RULE, diluted(a_history(), 0.12)) == []


@pytest.mark.parametrize("channel", ["flow", "load_pct", "power_production_kw"])
def test_lower_load_is_clear(channel: str) -> None:
    assert found(RULE, scaled(diluted(a_history(), 0.45), channel, SOME, 0.6)) == []


def test_a_fire_that_goes_down_under_a_fan_that_runs_on_is_clear() -> None:
    levels = {name: LEVELS[name] for name in ("so2", "nox", "pm", "o2", "flow", "temperature")}
    history = diluted(a_history(levels=levels), 0.45, gases=("so2", "nox", "pm"))
    assert found(RULE, history) == SOME_HOURS
    assert found(RULE, scaled(history, "temperature", SOME, 0.7)) == []
    in_the_duct = scaled(scaled(history, "temperature", SOME, 0.7), "flow", SOME, 1 / 0.55)
    assert found(RULE, in_the_duct) == SOME_HOURS


def test_air_alone_is_a_source_without_fire() -> None:
    assert found(RULE, diluted(a_history(), 0.95, gases=("so2", "nox", "pm"))) == []


def test_oxygen_that_rises_alone_is_clear() -> None:
    assert found(RULE, diluted(a_history(), 0.45, gases=())) == []


def test_one_gas_that_does_not_follow_speaks_against_it() -> None:
    assert found(RULE, scaled(diluted(a_history(), 0.45), "nox", SOME, 3.0)) == []


def test_a_cleaner_gas_at_the_same_oxygen_is_clear() -> None:
    history = scaled(scaled(a_history(), "so2", SOME, 0.5), "nox", SOME, 0.5)
    assert found(RULE, history) == []


def test_a_single_pollutant_tells_nothing() -> None:
    levels = {name: LEVELS[name] for name in ("nox", "o2", "flow")}
    assert outcomes(RULE, diluted(a_history(levels=levels), 0.45, gases=("nox",))) == {}


def test_values_sent_at_base_oxygen_tell_nothing() -> None:
    stack = a_stack(channels=dict.fromkeys(("so2", "nox"), Channel(corrected=True)))
    assert outcomes(RULE, a_history(stack=stack)) == {}


def test_without_flow_load_and_power_it_may_be_lower_load_and_is_clear() -> None:
    levels = {name: LEVELS[name] for name in ("so2", "nox", "pm", "o2")}
    assert found(RULE, diluted(a_history(levels=levels), 0.45)) == []


def test_a_source_that_stands_still_is_undecided() -> None:
    said = outcomes(RULE, outlet(diluted(a_history(), 0.45), SOME, stopped_s=3600.0))[None, None, None]
    assert set(said.level[SOME].tolist()) == {UNDECIDED}


def test_the_first_days_are_undecided_and_the_next_are_clear() -> None:
    """The history begins at 16:00 UTC: eight hours, and two days more, are the three days that make anything usual."""
    said = outcomes(RULE, a_history())[None, None, None]
    assert set(said.level[:56].tolist()) == {UNDECIDED}
    assert set(said.level[56:].tolist()) == {CLEAR}


def test_it_must_hold_for_two_hours() -> None:
    assert RULE.life.hold_h == 2


def test_an_hour_depends_on_what_it_reaches_back_to_and_no_further() -> None:
    assert_same_in_parts(RULE, diluted(diluted(a_history(40 * 24), 0.45), 0.3, slice(700, 800)), parts=9)
