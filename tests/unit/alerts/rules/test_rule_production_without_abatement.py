"""Production on, abatement off: half an hour is grace, and both have to be what they are for the device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alerts.rules.history import History
from alerts.rules.production_without_abatement import RULE
from alerts.rules.rule import MAJOR, UNDECIDED
from history_builders import LEVELS, a_history, assert_same_in_parts, found, outcomes, scaled, shown

ABATEMENT = "power_abatement_kw"
USUAL_KW = LEVELS[ABATEMENT][0]


def off(history: History, hours: slice | list[int], *, share_of_hour: float = 1.0) -> History:
    """The abatement draws a hundredth of what it does for a share of each hour."""
    mean = USUAL_KW * (1 - 0.99 * share_of_hour)
    return shown(history, ABATEMENT, hours, low=0.01 * USUAL_KW, mean=mean)


def test_abatement_that_is_off_while_production_runs_is_found() -> None:
    history = off(a_history(), slice(400, 406))
    assert found(RULE, history) == list(range(400, 406))
    (said,) = outcomes(RULE, history).values()
    assert said.level[400] == MAJOR
    evidence = said.evidence(400)
    assert evidence["abatement_kw"] == pytest.approx(52.0)
    assert evidence["abatement_kw_usual"] == pytest.approx(USUAL_KW, rel=0.05)
    assert {each["channel"] for each in evidence["production"]} == {"power_production_kw", "load_pct"}


@pytest.mark.parametrize(
    ("share", "is_found"), [pytest.param(0.4, False, id="24_minutes"), pytest.param(0.65, True, id="39_minutes")]
)
def test_half_an_hour_is_grace(share: float, is_found: bool) -> None:
    assert bool(found(RULE, off(a_history(), [400], share_of_hour=share))) is is_found


def test_abatement_that_is_turned_down_is_not_off() -> None:
    assert found(RULE, scaled(a_history(), ABATEMENT, slice(400, 410), 0.3)) == []


def test_production_that_stops_too_is_clear() -> None:
    history = off(a_history(), slice(400, 410))
    for name in ("load_pct", "power_production_kw"):
        history = scaled(history, name, slice(400, 410), 0.05)
    assert found(RULE, history) == []


def test_the_hour_in_which_production_begins_is_not_found() -> None:
    history = off(a_history(), [400])
    for name in ("load_pct", "power_production_kw"):
        history = shown(history, name, [400], low=0.0)
    assert found(RULE, history) == []


def test_a_stack_without_abatement_is_never_found() -> None:
    history = shown(a_history(), ABATEMENT, slice(None), mean=0.0, low=0.0, high=0.0)
    assert found(RULE, history) == []


def test_nothing_is_said_where_no_power_is_sent() -> None:
    history = a_history(levels={name: LEVELS[name] for name in ("so2", "flow", "load_pct")})
    assert outcomes(RULE, history) == {}


def test_a_stop_of_more_than_the_memory_ends_nothing() -> None:
    """What is usual is forgotten while it is off; that is no sign that it is on."""
    history = off(a_history(40 * 24), slice(400, 40 * 24))
    (said,) = outcomes(RULE, history).values()
    assert (said.level[400 + 14 * 24 :] == UNDECIDED).all()
    assert said.level[400] == MAJOR


def test_the_signals_of_all_units_stand_for_the_channel() -> None:
    history = off(a_history(), slice(400, 406))
    of_channel = history.channels["main", ABATEMENT]
    without = {key: of for key, of in history.channels.items() if key[1] != ABATEMENT}
    signals = {("S1", ABATEMENT, figure): of_channel[figure] for figure in ("mean", "low", "high")}
    assert found(RULE, replace(history, channels=without, signals=signals)) == list(range(400, 406))
    other = {("S2", name, figure): values for (_, name, figure), values in signals.items()}
    assert found(RULE, replace(history, channels=without, signals=other)) == []


def test_it_is_the_same_in_parts() -> None:
    history = a_history(40 * 24)
    rng = np.random.default_rng(3)
    some = np.sort(rng.choice(np.arange(340, 40 * 24), 80, replace=False)).tolist()
    assert_same_in_parts(RULE, off(history, some))
