"""An order is held against what the stack and its units show, each mode by its measure, and from its time on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.review import review
from alerts.rules.history import History, Span
from alerts.rules.ordered_state_left import RULE
from alerts.rules.rule import CLEAR, MAJOR, UNDECIDED, WARNING
from history_builders import LEVELS, a_history, assert_same_in_parts, found, outcomes, scaled, shown
from plant.periods import HOUR, written

IN_FORCE = slice(400, 440)


def ordered(
    history: History,
    mode: str,
    value: float | None = None,
    *,
    kind: str = "suspend",
    unit: str = "S1",
    safe_by_h: int = 2,
    hours: slice = IN_FORCE,
) -> History:
    start = int(history.start[hours.start])
    end = int(history.start[hours.stop]) if hours.stop < history.n_hours else None
    units = [{"unit": unit, "mode": mode, "value": value}]
    detail = {"order_id": "or-1", "units": units, "safe_state_by": start + safe_by_h * HOUR}
    return replace(history, orders=(*history.orders, Span(start=start, end=end, kind=kind, detail=detail)))


def resting(history: History, hours: slice = IN_FORCE, share: float = 0.02) -> History:
    for name in ("flow", "velocity", "load_pct", "power_production_kw"):
        history = scaled(history, name, hours, share)
    return shown(shown(history, "temperature", hours, mean=30.0), "o2", hours, mean=20.8)


def test_without_an_order_all_is_clear() -> None:
    (said,) = outcomes(RULE, a_history()).values()
    assert (said.level == CLEAR).all()


def test_a_unit_that_stops_keeps_its_order() -> None:
    history = resting(ordered(a_history(), "stop"))
    assert found(RULE, history) == []
    (said,) = outcomes(RULE, history).values()
    assert (said.level == CLEAR).all()


def test_a_unit_that_runs_on_leaves_it_from_its_time_on() -> None:
    history = ordered(a_history(), "stop")
    assert found(RULE, history) == list(range(IN_FORCE.start + 2, IN_FORCE.stop))
    (said,) = outcomes(RULE, history).values()
    assert said.level[410] == MAJOR
    (left,) = said.evidence(410)["left"]
    assert (left["order"], left["unit"], left["mode"]) == ("or-1", "S1", "stop")
    assert left["observed"] > left["at_most"]
    assert left["safe_state_by"] == written(int(history.start[IN_FORCE.start + 2]))


def test_a_restriction_is_a_warning() -> None:
    (said,) = outcomes(RULE, ordered(a_history(), "max_load", 60.0, kind="restrict")).values()
    assert said.level[410] == WARNING


@pytest.mark.parametrize(
    ("load", "is_found"),
    [
        pytest.param(58.0, False, id="below"),
        pytest.param(64.0, False, id="within_the_tolerance"),
        pytest.param(66.0, True, id="above"),
    ],
)
def test_a_load_is_held_against_the_ordered_one(load: float, is_found: bool) -> None:
    history = shown(ordered(a_history(), "max_load", 60.0), "load_pct", IN_FORCE, mean=load)
    assert bool(found(RULE, history)) is is_found


@pytest.mark.parametrize("channel", ["power_production_kw", "flow"])
def test_without_a_load_the_most_that_is_usual_is_full_load(channel: str) -> None:
    levels = {channel: LEVELS[channel]}
    history = ordered(a_history(levels=levels), "max_load", 60.0)
    assert found(RULE, history)
    assert found(RULE, scaled(history, channel, IN_FORCE, 0.55)) == []


@pytest.mark.parametrize(("share", "is_found"), [(1.0, True), (0.7, False)])
def test_a_longer_coking_time_slows_what_is_done(share: float, is_found: bool) -> None:
    history = scaled(ordered(a_history(), "min_coking_time", 30.0), "load_pct", IN_FORCE, share)
    history = shown(history, "load_pct", slice(0, 400), mean=92.0)
    assert bool(found(RULE, history)) is is_found


def test_a_battery_that_stands_hot_keeps_its_order() -> None:
    history = ordered(a_history(), "hot_idle")
    assert found(RULE, history)
    hot = scaled(scaled(history, "load_pct", IN_FORCE, 0.1), "flow", IN_FORCE, 0.4)
    assert found(RULE, hot) == []


def test_the_stack_says_nothing_of_one_of_its_two_units() -> None:
    history = ordered(a_history(), "stop")
    two = replace(history, stack=replace(history.stack, units=("S1", "S2")))
    (said,) = outcomes(RULE, two).values()
    assert (said.level[IN_FORCE.start + 2 : IN_FORCE.stop] == UNDECIDED).all()
    load = history.channels["main", "load_pct"]
    of_unit = {("S1", "load_pct", figure): load[figure] for figure in ("mean", "low", "high")}
    assert found(RULE, replace(two, signals=of_unit)) == list(range(IN_FORCE.start + 2, IN_FORCE.stop))


def test_an_order_about_other_units_is_not_ours() -> None:
    assert found(RULE, ordered(a_history(), "stop", unit="H1")) == []


def test_an_order_that_was_ended_binds_no_longer() -> None:
    history = resting(ordered(a_history(), "stop"), slice(400, 440))
    assert found(RULE, history) == []
    (episode,) = review(ordered(a_history(), "stop"), rules=(RULE,)).episodes
    assert episode.period_end == int(a_history().start[IN_FORCE.stop])


def test_an_order_without_figure_decides_nothing() -> None:
    (said,) = outcomes(RULE, ordered(a_history(), "max_load")).values()
    assert (said.level[402:440] == UNDECIDED).all()


def test_it_is_the_same_in_parts() -> None:
    for mode, value in (("stop", None), ("max_load", 60.0), ("hot_idle", None)):
        assert_same_in_parts(RULE, ordered(a_history(40 * 24), mode, value, hours=slice(500, 700)))
