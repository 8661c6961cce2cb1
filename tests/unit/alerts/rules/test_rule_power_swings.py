"""Batches at night are found where the day shows nothing like them; steady nights and night shifts are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alerts.review import review
from alerts.rules.history import History
from alerts.rules.power_swings import RULE, is_night
from alerts.rules.rule import UNDECIDED
from history_builders import LEVELS, a_history, a_site, assert_same_in_parts, found, outcomes, shown
from plant.periods import HOUR, instant
from plant.register import Unit

POWER = "power_production_kw"
USUAL_KW = LEVELS[POWER][0]


def at_night(history: History, last_days: int = 3) -> list[int]:
    night = np.flatnonzero(is_night(history))
    return [int(at) for at in night[night >= history.n_hours - 24 * last_days]]


def melting(history: History, hours: list[int] | slice, *, high: float = 1.6, low: float = 0.2) -> History:
    """Batches: full power for some of each hour and little between."""
    return shown(history, POWER, hours, high=high * USUAL_KW, low=low * USUAL_KW, mean=0.8 * USUAL_KW)


def as_furnace(history: History) -> History:
    site = replace(a_site(history.stack), units=(Unit(code="S1", kind="induction_furnace"),))
    return replace(history, site=site)


def test_night_is_from_eight_to_six_by_the_works_clock() -> None:
    history = a_history(48)
    local = [instant(at).astimezone(history.site.zone).hour for at in history.start.tolist()]
    assert [hour for hour, night in zip(local, is_night(history), strict=True) if night] == 2 * [
        *range(6),
        *range(20, 24),
    ]


def test_batches_at_night_are_found() -> None:
    history = a_history()
    hours = at_night(history)
    assert found(RULE, melting(history, hours)) == hours
    (said,) = outcomes(RULE, melting(history, hours)).values()
    evidence = said.evidence(hours[0])
    assert evidence["p95_of_highs_by_day_kw"] < evidence["high_kw"] == pytest.approx(1.6 * USUAL_KW)
    assert evidence["induction_furnace"] is False


def test_a_small_furnace_beside_a_plant_that_goes_on_is_found() -> None:
    history = a_history()
    hours = at_night(history)
    assert found(RULE, melting(history, hours, high=1.5, low=1.0)) == hours


def test_by_day_nothing_is_decided() -> None:
    history = a_history()
    (said,) = outcomes(RULE, history).values()
    assert (said.level[~is_night(history)] == UNDECIDED).all()


@pytest.mark.parametrize(
    "swing",
    [
        pytest.param({"high": 1.6, "low": 1.4}, id="a_steady_night_shift"),
        pytest.param({"high": 1.1, "low": 0.1}, id="a_mill_that_waits"),
    ],
)
def test_what_only_surges_or_only_swings_is_clear(swing: dict[str, float]) -> None:
    history = a_history()
    assert found(RULE, melting(history, at_night(history), **swing)) == []


def test_batches_by_day_and_by_night_are_an_ordinary_furnace() -> None:
    assert found(RULE, melting(a_history(), slice(None))) == []


def night_worker() -> History:
    """It works at night alone, in batches, as cheap current makes worthwhile."""
    history = shown(a_history(), POWER, slice(None), high=0.02 * USUAL_KW, low=0.0, mean=0.01 * USUAL_KW)
    return melting(history, np.flatnonzero(is_night(history)).tolist())


def test_who_works_at_night_alone_is_found_only_as_an_induction_furnace() -> None:
    assert found(RULE, night_worker()) == []
    assert found(RULE, as_furnace(night_worker()))


@pytest.mark.parametrize("by", ["outlet", "unit"])
def test_an_arc_furnace_melts_when_current_is_cheap(by: str) -> None:
    history = a_history()
    history = melting(history, at_night(history))
    if by == "outlet":
        history = replace(history, stack=replace(history.stack, process="eaf"))
    else:
        site = replace(a_site(history.stack), units=(Unit(code="S1", kind="electric_arc_furnace"),))
        history = replace(history, site=site)
    assert found(RULE, history) == []


def test_nights_in_a_row_are_one_episode() -> None:
    history = a_history()
    (episode,) = review(melting(history, at_night(history)), rules=(RULE,)).episodes
    assert (episode.period_end - episode.period_start) / HOUR > 48


def test_the_own_signals_of_a_unit_are_looked_at_too() -> None:
    history = a_history()
    stack = replace(history.stack, units=("S1", "EAF"))
    power: dict[str, Any] = dict(history.channels["main", POWER])
    hours = at_night(history)
    melted = melting(history, hours).channels["main", POWER]
    signals = {("EAF", POWER, figure): melted[figure] for figure in ("mean", "low", "high")}
    history = replace(history, stack=stack, signals=signals, channels={("main", POWER): power})
    assert found(RULE, history) == hours
    (said,) = outcomes(RULE, history).values()
    assert said.evidence(hours[0])["unit"] == "EAF"


def test_nothing_is_said_where_no_power_is_sent() -> None:
    assert outcomes(RULE, a_history(levels={"flow": LEVELS["flow"]})) == {}


def test_it_is_the_same_in_parts() -> None:
    history = a_history(40 * 24)
    assert_same_in_parts(RULE, melting(history, at_night(history, 20)))
