"""Oxygen high, low or flat while the source runs as usual."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.rules.history import History
from alerts.rules.oxygen_high import RULE
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
    shown,
)

SOME = slice(300, 310)
COKE = {**LEVELS, "o2": (8.5, 0.15, 0.01)}


def at(history: History, o2: float, hours: Hours = SOME) -> History:
    """*history* with this oxygen, as it is judged and as it is sent."""
    history = shown(history, "o2", hours, mean=o2, low=o2 - 0.4, high=o2 + 0.4)
    for pollutant in ("so2", "nox", "pm"):
        history = judged(history, pollutant, hours, o2=o2)
    return history


def flat(history: History, hours: Hours = SOME) -> History:
    mean = history.value("main", "o2", "mean")[hours]
    return shown(history, "o2", hours, low=mean - 0.01, high=mean + 0.01)


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history()) == []


@pytest.mark.parametrize(
    ("process", "levels", "o2", "hours"),
    [
        pytest.param("sinter_head", LEVELS, 18.9, [], id="a_sinter_head_below_19"),
        pytest.param("sinter_head", LEVELS, 19.1, list(range(301, 310)), id="a_sinter_head_above_19"),
        pytest.param("sinter_head", LEVELS, 20.7, [], id="a_fan_without_fire"),
        pytest.param("coke_chimney", COKE, 14.9, [], id="a_coke_chimney_below_15"),
        pytest.param("coke_chimney", COKE, 15.1, list(range(301, 310)), id="a_coke_chimney_above_15"),
        pytest.param("gas_turbine", LEVELS, 19.5, [], id="an_outlet_that_the_sheet_does_not_name"),
    ],
)
def test_high_oxygen_is_found_from_its_second_hour_on(
    process: str, levels: dict[str, tuple[float, float, float]], o2: float, hours: list[int]
) -> None:
    assert found(RULE, at(a_history(stack=a_stack(process), levels=levels), o2)) == hours


def test_low_oxygen_is_found_at_any_outlet_with_oxygen_unless_it_is_usual_there() -> None:
    assert found(RULE, at(a_history(stack=a_stack("gas_turbine")), 1.9)) == list(range(301, 310))
    assert found(RULE, at(a_history(), 2.1)) == []
    rich = {**LEVELS, "o2": (2.2, 0.15, 0.01)}
    assert found(RULE, at(a_history(stack=a_stack("hot_blast_stove"), levels=rich), 1.9)) == []


def test_flat_oxygen_is_found_from_its_fourth_hour_on_while_the_rest_moves() -> None:
    history = flat(a_history())
    assert found(RULE, history) == list(range(303, 310))
    assert outcomes(RULE, history)[None, "o2", None].evidence(305)["says"] == ["flat"]
    for channel in ("so2", "nox", "pm", "flow", "temperature"):
        mean = history.value("main", channel, "mean")[SOME]
        history = shown(history, channel, SOME, low=mean, high=mean)
    assert found(RULE, history) == []


@pytest.mark.parametrize(
    ("extent", "hours"),
    [
        pytest.param(0.4, list(range(303, 310)), id="a_trace_of_the_purge"),
        pytest.param(3.0, [], id="the_purge_as_on_any_day"),
    ],
)
def test_flat_oxygen_may_answer_a_little_to_the_purge_every_four_hours(extent: float, hours: list[int]) -> None:
    def purged(history: History, every: Hours, by: float) -> History:
        return shown(history, "o2", every, high=history.value("main", "o2", "low")[every] + by)

    history = flat(purged(a_history(), slice(1, None, 4), 3.0))
    assert found(RULE, purged(history, slice(301, 310, 4), extent)) == hours


@pytest.mark.parametrize("channel", ["flow", "load_pct", "power_production_kw"])
def test_high_oxygen_at_lower_load_is_clear(channel: str) -> None:
    assert found(RULE, shown(at(a_history(), 19.5), channel, SOME, mean=lambda value: 0.7 * value)) == []


def test_a_source_that_stands_still_is_undecided() -> None:
    said = outcomes(RULE, outlet(at(a_history(), 19.5), SOME, stopped_s=3600.0))[None, "o2", None]
    assert said.level[299:311].tolist() == [CLEAR, *[UNDECIDED] * 10, CLEAR]


def test_the_evidence_has_what_is_usual() -> None:
    said = outcomes(RULE, at(a_history(), 19.5))[None, "o2", None]
    evidence = said.evidence(305)
    assert (said.observed[305], said.limit[305], evidence["says"]) == (19.5, 19.0, ["high"])
    assert evidence["usual_vol_pct"] == pytest.approx(15.8, abs=0.1)


def test_a_stack_without_oxygen_is_not_judged() -> None:
    dust = {"pm": LEVELS["pm"], "flow": LEVELS["flow"]}
    (said,) = outcomes(RULE, a_history(stack=a_stack("bof_secondary"), levels=dust)).values()
    assert set(said.level.tolist()) == {UNDECIDED}


def test_oxygen_that_is_judged_dry_and_sent_wet_is_taken_dry() -> None:
    history = a_history()
    wet = shown(history, "o2", slice(None), mean=lambda value: 0.9 * value)
    for pollutant in ("so2", "nox", "pm"):
        wet = judged(wet, pollutant, SOME, o2=19.5)
    assert found(RULE, wet) == list(range(301, 310))
    assert np.nanmax(wet.value("main", "o2", "mean")) < 19.0
    assert history.verdicts[ULE, "so2"].o2.max() < 19.0


def test_a_history_without_an_hour_says_nothing() -> None:
    assert found(RULE, a_history(0)) == []


def test_an_hour_depends_on_what_it_reaches_back_to_and_no_further() -> None:
    assert_same_in_parts(RULE, flat(at(at(a_history(30 * 24), 19.5), 1.5, slice(500, 505)), slice(600, 650)), parts=9)
