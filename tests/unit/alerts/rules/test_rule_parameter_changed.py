"""A changed parameter is found unless work around it is on record or claimed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alerts.review import review
from alerts.rules.history import History, Span
from alerts.rules.parameter_changed import RULE, SHOWN_H
from history_builders import a_history, assert_same_in_parts, found, outcomes
from plant.periods import HOUR, MINUTE

AT = 300


def changed(history: History, place: int = AT, kind: str = "register", **detail: Any) -> History:
    at = int(history.start[place]) + 17 * MINUTE
    about = {"parameter": "slope", "channel": "so2", "from": 1.0, "to": 0.8} | detail
    return replace(history, changes=(*history.changes, Span(start=at, end=at, kind=kind, detail=about)))


def recorded(history: History, hours_after: float, kind: str = "parameter") -> History:
    at = int(history.start[AT] + hours_after * HOUR)
    return replace(history, records={**history.records, kind: (at,)})


def marked(history: History, first: int, end: int, *, kind: str = "maintenance", status: str = "pending") -> History:
    mark = Span(start=int(history.start[first]), end=int(history.start[end]), kind=kind, status=status)
    return replace(history, marks=(mark,))


def test_nothing_changed_is_clear() -> None:
    assert found(RULE, a_history()) == []


@pytest.mark.parametrize("kind", ["register", "reported"])
def test_a_change_is_an_alert_for_a_day(kind: str) -> None:
    history = changed(a_history(), kind=kind)
    assert found(RULE, history) == list(range(AT, AT + SHOWN_H))
    (episode,) = review(history, rules=(RULE,)).episodes
    (change,) = episode.evidence["changes"]
    assert (change["in"], change["parameter"], change["from"], change["to"]) == (kind, "slope", 1.0, 0.8)


def test_changes_of_a_day_are_one_alert_with_all_of_them() -> None:
    history = changed(changed(a_history()), AT + 5, channel="nox")
    (said,) = outcomes(RULE, history).values()
    assert said.observed[AT + 6] == 2
    assert [each["channel"] for each in said.evidence(AT + 6)["changes"]] == ["so2", "nox"]
    assert len(review(history, rules=(RULE,)).episodes) == 1


@pytest.mark.parametrize("kind", ["parameter", "calibration", "maintenance", "comparison"])
@pytest.mark.parametrize(
    ("hours_after", "is_found"),
    [
        pytest.param(-30, True, id="too_early"),
        pytest.param(-20, False, id="the_day_before"),
        pytest.param(0, False, id="at_once"),
        pytest.param(70, False, id="written_down_later"),
        pytest.param(80, True, id="too_late"),
    ],
)
def test_a_record_around_it_explains_it(kind: str, hours_after: float, is_found: bool) -> None:
    assert bool(found(RULE, recorded(changed(a_history()), hours_after, kind))) is is_found


def test_what_began_is_no_work() -> None:
    assert found(RULE, recorded(changed(a_history()), 0, "began"))


@pytest.mark.parametrize(
    ("mark", "is_found"),
    [
        pytest.param({"first": AT - 2, "end": AT + 2}, False, id="during_maintenance"),
        pytest.param({"first": AT - 12, "end": AT - 10}, False, id="after_it_the_same_day"),
        pytest.param({"first": AT + 2, "end": AT + 5}, True, id="maintenance_that_comes_later"),
        pytest.param({"first": AT - 60, "end": AT - 50}, True, id="long_before"),
        pytest.param({"first": AT - 2, "end": AT + 2, "kind": "stopped"}, True, id="only_stopped"),
        pytest.param({"first": AT - 2, "end": AT + 2, "status": "rejected"}, True, id="rejected"),
    ],
)
def test_a_mark_of_work_explains_it(mark: dict[str, Any], is_found: bool) -> None:
    assert bool(found(RULE, marked(changed(a_history()), **mark))) is is_found


def test_a_change_outside_the_history_is_not_shown() -> None:
    history = a_history()
    late = Span(start=int(history.start[-1]) + 2 * HOUR, end=None, kind="register")
    early = Span(start=int(history.start[0]) - 48 * HOUR, end=None, kind="register")
    assert found(RULE, replace(history, changes=(early, late))) == []


def test_it_is_the_same_in_parts() -> None:
    history = a_history()
    for place in (30, 100, 101, 250, 478):
        history = changed(history, place)
    assert_same_in_parts(RULE, history)
