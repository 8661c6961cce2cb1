"""A source that is said to stand still is held against two kinds of sign; one kind, or warm ducts, are not enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alerts.review import review
from alerts.rules.history import History, Span
from alerts.rules.rule import MAJOR, UNDECIDED, WARNING
from alerts.rules.stopped_but_breathing import RULE, SETTLE_H
from history_builders import LEVELS, a_history, assert_same_in_parts, found, outcomes, outlet, scaled, shown
from plant.periods import HOUR
from plant.register import Unit

STOP = slice(400, 424)


def stopped(history: History, hours: slice = STOP) -> History:
    """The rows say that the source stands still."""
    return outlet(history, hours, stopped_s=3600.0)


def at_rest(history: History, hours: slice = STOP) -> History:
    """And it does: no draught, no drive, cold, air."""
    for name in ("flow", "velocity", "load_pct", "power_production_kw", "power_abatement_kw"):
        history = scaled(history, name, hours, 0.02)
    history = shown(history, "temperature", hours, mean=30.0)
    return shown(history, "o2", hours, mean=20.8)


def a_mark(history: History, status: str, *, kind: str = "stopped", hours: slice = STOP) -> History:
    mark = Span(
        start=int(history.start[hours.start]),
        end=int(history.start[hours.stop]),
        kind=kind,
        status=status,
        detail={"id": 7},
    )
    return replace(history, marks=(*history.marks, mark))


def an_order(history: History, mode: str = "stop", *, hours: slice = STOP, safe_by_h: int = 0) -> History:
    start = int(history.start[hours.start])
    detail = {
        "order_id": "or-1",
        "units": [{"unit": "S1", "mode": mode, "value": None}],
        "safe_state_by": start + safe_by_h * HOUR,
    }
    order = Span(start=start, end=int(history.start[hours.stop]), kind="suspend", detail=detail)
    return replace(history, orders=(*history.orders, order))


def test_a_quiet_works_is_clear() -> None:
    history = a_history()
    assert found(RULE, history) == []
    (said,) = outcomes(RULE, history).values()
    assert (said.level == 0).all()


def test_a_stopped_source_that_rests_is_clear() -> None:
    history = at_rest(stopped(a_history()))
    assert found(RULE, history) == []


def test_a_state_that_lies_is_found_once_it_has_lasted() -> None:
    history = stopped(a_history())
    assert found(RULE, history) == list(range(STOP.start + SETTLE_H, STOP.stop))
    (said,) = outcomes(RULE, history).values()
    place = STOP.start + SETTLE_H
    assert said.level[place] == WARNING
    evidence = said.evidence(place)
    assert evidence["said_by"] == ["state"]
    assert {sign["kind"] for sign in evidence["signs"] if sign["runs"]} == {"draught", "drive", "heat", "fire"}


@pytest.mark.parametrize("status", ["pending", "accepted", "rejected"])
def test_a_mark_of_any_status_is_a_claim(status: str) -> None:
    history = a_mark(a_history(), status)
    assert found(RULE, history)
    (said,) = outcomes(RULE, history).values()
    assert said.evidence(410)["marks"] == [{"id": 7, "status": status}]


def test_a_suspension_that_is_not_kept_is_graver() -> None:
    history = an_order(a_history())
    (said,) = outcomes(RULE, history).values()
    assert said.level[410] == MAJOR
    assert said.evidence(410)["orders"] == ["or-1"]


def test_an_order_claims_nothing_before_its_state_must_be_reached() -> None:
    history = an_order(a_history(), safe_by_h=10)
    assert min(found(RULE, history)) == STOP.start + 10 + SETTLE_H


@pytest.mark.parametrize("mode", ["hot_idle", "max_load", "min_coking_time"])
def test_an_order_of_another_state_does_not_say_that_it_stands(mode: str) -> None:
    assert found(RULE, an_order(a_history(), mode)) == []


@pytest.mark.parametrize(
    "still_runs",
    [
        pytest.param(["flow", "velocity"], id="a_fan_runs_on"),
        pytest.param(["temperature"], id="the_duct_stays_warm"),
        pytest.param(["o2"], id="a_burner_keeps_it_hot"),
        pytest.param(["load_pct", "power_production_kw"], id="drives_are_tested"),
    ],
)
def test_one_kind_of_sign_is_not_enough(still_runs: list[str]) -> None:
    runs = a_history()
    rests = at_rest(runs)
    channels = {key: (runs if key[1] in still_runs else rests).channels[key] for key in runs.channels}
    assert found(RULE, stopped(replace(rests, channels=channels))) == []


def test_two_kinds_of_sign_are() -> None:
    runs = a_history()
    rests = at_rest(runs)
    channels = {key: (runs if key[1] in ("flow", "o2") else rests).channels[key] for key in runs.channels}
    assert found(RULE, stopped(replace(rests, channels=channels)))


def a_battery(history: History) -> History:
    return replace(history, site=replace(history.site, units=(Unit(code="S1", modes=("hot_idle",)),)))


def test_a_battery_that_stands_hot_burns_and_draws() -> None:
    runs = a_history()
    rests = at_rest(runs)
    channels = {
        key: (runs if key[1] in ("flow", "o2", "temperature") else rests).channels[key] for key in runs.channels
    }
    assert found(RULE, a_battery(stopped(replace(rests, channels=channels)))) == []
    assert found(RULE, a_battery(stopped(runs)))


def test_a_battery_of_which_no_drive_is_known_is_not_decided() -> None:
    history = a_battery(stopped(a_history(levels={name: LEVELS[name] for name in ("flow", "o2", "temperature")})))
    (said,) = outcomes(RULE, history).values()
    assert (said.level[STOP.start + SETTLE_H : STOP.stop] == UNDECIDED).all()


def test_the_first_hours_of_a_stop_are_left_to_cool() -> None:
    assert found(RULE, stopped(a_history(), slice(400, 400 + SETTLE_H))) == []


def test_an_hour_that_is_stopped_in_part_is_no_claim() -> None:
    assert found(RULE, outlet(a_history(), STOP, stopped_s=1800.0)) == []


def test_a_start_up_that_is_marked_is_not_looked_at() -> None:
    assert found(RULE, a_mark(stopped(a_history()), "pending", kind="start_up")) == []
    assert found(RULE, a_mark(stopped(a_history()), "rejected", kind="start_up"))


def test_a_start_up_mark_does_not_excuse_from_an_order() -> None:
    assert found(RULE, a_mark(an_order(a_history()), "pending", kind="start_up"))


def test_without_two_kinds_of_sign_nothing_is_decided() -> None:
    levels = {name: LEVELS[name] for name in ("so2", "flow", "velocity")}
    history = stopped(a_history(levels=levels))
    (said,) = outcomes(RULE, history).values()
    assert (said.level[STOP.start + SETTLE_H : STOP.stop] == UNDECIDED).all()


def test_a_source_that_rested_for_weeks_is_found_by_what_it_was_at_rest() -> None:
    """Its running hours are forgotten: more than 13 days lie between."""
    long = slice(24, 40 * 24)
    back = slice(30 * 24, 31 * 24)
    history = stopped(a_history(40 * 24), long)
    rests = at_rest(history, long)
    channels = {
        key: {
            name: np.where(_in(back, values.size), history.channels[key][name], values) for name, values in of.items()
        }
        for key, of in rests.channels.items()
    }
    assert found(RULE, replace(rests, channels=channels)) == list(range(back.start, back.stop))
    assert found(RULE, rests) == []


def test_a_stop_that_is_never_kept_is_not_forgotten_with_the_memory() -> None:
    """What it was meanwhile is not what it is at rest; the alert ends when it does rest."""
    history = at_rest(stopped(a_history(40 * 24), slice(400, 40 * 24)), slice(38 * 24, 40 * 24))
    (said,) = outcomes(RULE, history).values()
    assert (said.level[400 + SETTLE_H : 38 * 24] != 0).all()
    (episode,) = review(history, rules=(RULE,)).episodes
    assert episode.ended_at == int(history.start[38 * 24])


def test_without_load_and_oxygen_it_is_not_forgotten_either() -> None:
    levels = {name: LEVELS[name] for name in ("flow", "temperature", "power_production_kw")}
    history = stopped(a_history(40 * 24, levels=levels), slice(400, 40 * 24))
    (episode,) = review(history, rules=(RULE,)).episodes
    assert episode.ended_at is None
    rested = scaled(
        scaled(history, "flow", slice(38 * 24, 960), 0.02), "power_production_kw", slice(38 * 24, 960), 0.02
    )
    (episode,) = review(rested, rules=(RULE,)).episodes
    assert episode.ended_at == int(history.start[38 * 24])


def _in(hours: slice, n: int) -> Any:
    return (np.arange(n) >= hours.start) & (np.arange(n) < hours.stop)


def test_it_takes_four_found_hours_to_speak_of_it() -> None:
    def opened(n: int) -> int:
        history = stopped(a_history(), slice(400, 400 + SETTLE_H + n))
        return len(review(history, rules=(RULE,)).episodes)

    assert [opened(3), opened(4)] == [0, 1]


def test_it_is_the_same_in_parts() -> None:
    assert_same_in_parts(RULE, stopped(a_history(40 * 24), slice(800, 850)))
    assert_same_in_parts(RULE, an_order(stopped(a_history(40 * 24), slice(400, 430))))
