"""A damper that stands open while production runs is found; at rest, at its zero, or in a marked fault it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alerts.rules.bypass_open import RULE
from alerts.rules.history import History, Span
from alerts.rules.rule import MAJOR, UNDECIDED
from history_builders import LEVELS, a_history, assert_same_in_parts, found, outcomes, outlet, scaled

OPEN = slice(400, 405)


def opened(history: History, by: float = 30.0, *, signal: str = "bypass_open_pct", unit: str = "S1") -> History:
    """The damper lies at its zero, and in OPEN stands open."""
    position = np.full(history.n_hours, 0.4)
    position[OPEN] = by
    signals = {(unit, signal, figure): position for figure in ("mean", "low", "high")}
    return replace(history, signals={**history.signals, **signals})


def test_nothing_is_said_without_a_damper() -> None:
    assert outcomes(RULE, a_history()) == {}


@pytest.mark.parametrize("signal", ["bypass_open_pct", "g116", "g307"])
@pytest.mark.parametrize("unit", ["", "S1"])
def test_an_open_damper_is_found_by_each_of_its_names(signal: str, unit: str) -> None:
    history = opened(a_history(), signal=signal, unit=unit)
    assert found(RULE, history) == list(range(OPEN.start, OPEN.stop))
    (said,) = outcomes(RULE, history).values()
    assert said.level[400] == MAJOR
    assert said.evidence(400) == {"signal": signal, "mean": 30.0, "low": 30.0, "high": 30.0}


def test_of_two_dampers_the_wider_one_counts() -> None:
    history = opened(opened(a_history(), 5.0, signal="g116"), 60.0, signal="g307")
    (said,) = outcomes(RULE, history).values()
    assert said.evidence(400)["signal"] == "g307"


def test_play_at_the_zero_is_not_open() -> None:
    assert found(RULE, opened(a_history(), 1.9)) == []


@pytest.mark.parametrize("known", ["power_production_kw", "load_pct", "flow"])
def test_a_plant_at_rest_may_open_it(known: str) -> None:
    history = opened(a_history(levels={known: LEVELS[known]}))
    assert found(RULE, history)
    assert found(RULE, scaled(history, known, OPEN, 0.05)) == []


def test_where_nothing_else_is_known_the_state_says_whether_it_runs() -> None:
    history = opened(a_history(levels={"so2": LEVELS["so2"]}))
    assert found(RULE, history)
    assert found(RULE, outlet(history, OPEN, stopped_s=3600.0)) == []


@pytest.mark.parametrize(("status", "is_found"), [("pending", False), ("accepted", False), ("rejected", True)])
def test_a_fault_that_was_marked_is_the_emergency_log(status: str, is_found: bool) -> None:
    history = opened(a_history())
    mark = Span(start=int(history.start[399]), end=int(history.start[406]), kind="fault", status=status)
    assert bool(found(RULE, replace(history, marks=(mark,)))) is is_found


def test_a_damper_that_sends_nothing_decides_nothing() -> None:
    history = opened(a_history(), np.nan)
    (said,) = outcomes(RULE, history).values()
    assert (said.level[OPEN] == UNDECIDED).all()


def test_it_is_the_same_in_parts() -> None:
    assert_same_in_parts(RULE, opened(a_history(40 * 24)))
