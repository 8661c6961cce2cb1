"""Hours that stay just below the limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alerts.rules.history import History
from alerts.rules.hugging_the_limit import RULE
from alerts.rules.rule import CLEAR, UNDECIDED
from history_builders import ULE, Hours, a_history, assert_same_in_parts, found, judged, outcomes
from plant.readings import Values
from plant.verdicts import Verdict

PRESSED = slice(360, 460)


def noise(n: int, deviation: float, seed: int = 5) -> Values:
    return np.random.default_rng(seed).normal(0, deviation, n)


def pressed(history: History, hours: Hours = PRESSED, *, at: float = 0.95, deviation: float = 0.002) -> History:
    """*history* with its hour means of SO2 held at a part of the limit of 35 mg/m3."""
    n = history.start[hours].size
    return judged(history, "so2", hours, corrected=35.0 * (at + noise(n, deviation)))


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history(30 * 24)) == []


def test_held_hours_are_found_once_they_fill_four_fifths_of_three_days() -> None:
    hours = found(RULE, pressed(a_history(30 * 24)))
    assert hours[0] == 360 + 71  # before, the rise to the line is a part of the window and widens it
    assert hours[-1] == 459
    assert hours == list(range(431, 460))


def test_the_evidence_has_the_hours_and_both_deviations() -> None:
    said = outcomes(RULE, pressed(a_history(30 * 24)))[ULE, "so2", None]
    evidence = said.evidence(450)
    assert (evidence["hours_valid"], evidence["hours_near"], evidence["emission_limit"]) == (72, 72, 35.0)
    assert evidence["deviation"]["corrected"] == pytest.approx(0.002, rel=0.3)
    assert evidence["deviation_p5_of_history"]["corrected"] > 5 * evidence["deviation"]["corrected"]
    assert said.observed[450] == 1.0


def test_hours_near_the_limit_that_vary_as_ever_are_clear() -> None:
    history = a_history(30 * 24)
    corrected = history.verdicts[ULE, "so2"].corrected
    near = np.clip(33.2 + (corrected[PRESSED] - corrected[PRESSED].mean()), 31.6, 34.9)
    near_as_ever = judged(history, "so2", PRESSED, corrected=near)
    assert found(RULE, near_as_ever) == []
    assert outcomes(RULE, near_as_ever)[ULE, "so2", None].observed[450] >= 0.8


@pytest.mark.parametrize("at", [0.88, 1.02], ids=["further_below", "above_the_limit"])
def test_hours_elsewhere_may_be_steady(at: float) -> None:
    assert found(RULE, pressed(a_history(30 * 24), at=at)) == []


def test_a_stack_that_always_lies_there_is_undecided() -> None:
    said = outcomes(RULE, pressed(a_history(30 * 24), slice(None)))[ULE, "so2", None]
    assert set(said.level[71:].tolist()) == {UNDECIDED}


def test_hugging_is_not_its_own_history_and_goes_on() -> None:
    """Once the days before it are forgotten it is undecided, which ends no alert."""
    level = outcomes(RULE, pressed(a_history(50 * 24), slice(360, None)))[ULE, "so2", None].level[431:]
    forgotten = int(np.argmax(level == UNDECIDED))
    assert forgotten > 20 * 24
    assert (level[:forgotten] > CLEAR).all()
    assert (level[forgotten:] == UNDECIDED).all()


def test_it_is_enough_that_the_measured_values_are_held_while_oxygen_moves_the_corrected_ones() -> None:
    history = pressed(a_history(30 * 24), deviation=0.02)
    assert found(RULE, history) == []
    measured = 30 * (1 + noise(100, 0.002))
    assert found(RULE, judged(history, "so2", PRESSED, mean=measured)) == list(range(431, 460))


def test_two_days_are_too_few() -> None:
    assert found(RULE, pressed(a_history(30 * 24), slice(360, 408))) == []


def test_a_window_with_too_few_verdicts_is_undecided_and_a_few_missing_ones_do_no_harm() -> None:
    history = pressed(a_history(30 * 24))
    excluded: dict[str, Any] = {"verdict": Verdict.EXCLUDED, "corrected": np.nan}
    few = judged(history, "so2", slice(400, 419), **excluded)
    said = outcomes(RULE, few)[ULE, "so2", None].level
    assert said[430] == UNDECIDED
    enough = judged(history, "so2", slice(400, 418), **excluded)
    assert outcomes(RULE, enough)[ULE, "so2", None].level[430:460].max() > CLEAR


def test_an_hour_depends_on_what_it_reaches_back_to_and_no_further() -> None:
    assert_same_in_parts(RULE, pressed(pressed(a_history(45 * 24)), slice(900, 1000)))
