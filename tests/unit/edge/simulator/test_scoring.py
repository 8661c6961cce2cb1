"""Alerts against a truth that was written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from edge.simulator.scoring import Score, false_alerts, missed_faults, score, stack_months

ULE = "cn-steel-ule-2019"


def a_truth(*faults: dict[str, Any], breached: tuple[str, ...] = (), undecided: tuple[str, ...] = ()) -> dict[str, Any]:
    """Thirty days of two stacks."""
    shown = {"breached": list(breached), "undecided": list(undecided), "excluded": []}
    hours = [{"pack": ULE, "pollutant": "so2", "shown": shown}]
    stacks = [{"stack": "A", "hours": hours}, {"stack": "B", "hours": []}]
    site = {"site": "works", "from": "2026-10-01T00:00:00Z", "to": "2026-10-31T00:00:00Z", "stacks": stacks}
    return {"sites": [site], "faults": list(faults)}


def a_fault(*must: str, may: tuple[str, ...] = (), stack: str | None = "A", **more: Any) -> dict[str, Any]:
    start, end = "2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z"
    place = {"id": "planned-1", "kind": "frozen", "site": "works", "stack": stack, "source": None, "channel": "so2"}
    rules = {"rules": list(must), "rules_by_clock": [], "may": list(may)}
    return {**place, "start": start, "end": end, **rules, **more}


def an_alert(rule: str, start: str = "2026-10-05T04", end: str = "2026-10-05T08", **more: Any) -> dict[str, Any]:
    period = {"period_start": f"{start}:00:00Z", "period_end": f"{end}:00:00Z"}
    place = {"site": "works", "stack": "A", "pollutant": "so2", "pack": ULE}
    return {"rule": rule, **place, **period, "evidence": {}, **more}


def test_what_was_planted_and_found_counts_once_however_many_alerts_say_so() -> None:
    alerts = [an_alert("constant"), an_alert("constant", "2026-10-05T12", "2026-10-05T20")]
    found = score(a_truth(a_fault("constant")), alerts)["constant"]
    assert found == Score(planted=1, found=1, alerts=2, false=0)
    assert (found.precision, found.recall) == (1.0, 1.0)


def test_what_nobody_found_is_missed() -> None:
    truth = a_truth(a_fault("constant", "step"))
    scores = score(truth, [an_alert("step")])
    assert (scores["constant"].recall, scores["constant"].precision) == (0.0, None)
    assert [(missed["rule"], missed["id"]) for missed in missed_faults(truth, [an_alert("step")])] == [
        ("constant", "planned-1")
    ]


@pytest.mark.parametrize(
    "alert",
    [
        pytest.param(an_alert("constant", stack="B"), id="another stack"),
        pytest.param(an_alert("constant", site="elsewhere"), id="another works"),
        pytest.param(an_alert("constant", "2026-10-04T08", "2026-10-04T20"), id="before it began"),
        pytest.param(an_alert("constant", "2026-10-07T02", "2026-10-07T05"), id="more than a day after its end"),
        pytest.param(an_alert("negative"), id="another rule"),
    ],
)
def test_an_alert_that_no_fault_explains_is_false(alert: dict[str, Any]) -> None:
    truth = a_truth(a_fault("constant"))
    found = score(truth, [alert])[alert["rule"]]
    assert (found.alerts, found.false, found.found) == (1, 1, 0)
    assert false_alerts(truth, [alert]) == [alert]


def test_what_a_fault_may_cause_is_neither_planted_nor_false() -> None:
    truth = a_truth(a_fault("constant", may=("oxygen_high",)))
    assert score(truth, [an_alert("oxygen_high")])["oxygen_high"] == Score(alerts=1)
    assert false_alerts(truth, [an_alert("oxygen_high")]) == []


def test_a_fault_of_the_whole_works_explains_alerts_at_every_stack() -> None:
    truth = a_truth(a_fault("data_missing", stack=None))
    assert score(truth, [an_alert("data_missing", stack="B")])["data_missing"].false == 0


def test_a_stack_whose_values_are_copied_is_alerted_rightly_too() -> None:
    truth = a_truth(a_fault("sibling_identity", source="B"))
    alerts = [an_alert("sibling_identity"), an_alert("sibling_identity", stack="B")]
    assert score(truth, alerts)["sibling_identity"] == Score(planted=1, found=1, alerts=2)
    assert score(truth, [an_alert("sibling_identity", stack="C")])["sibling_identity"].false == 1


def test_hours_above_are_asked_of_the_figures_and_not_of_the_faults() -> None:
    truth = a_truth(a_fault("hour_above_limit"), breached=("2026-10-05T04:00:00Z", "2026-10-09T01:00:00Z"))
    alerts = [an_alert("hour_above_limit"), an_alert("hour_above_limit", "2026-10-05T05", "2026-10-05T06")]
    assert score(truth, alerts)["hour_above_limit"] == Score(planted=2, found=1, alerts=2, false=1)
    assert false_alerts(truth, alerts) == [alerts[1]]
    (missed,) = missed_faults(truth, alerts)
    assert missed["hour"][:4] == ("works", "A", ULE, "so2")


@pytest.mark.parametrize(
    ("start", "ended", "false"),
    [
        pytest.param("2026-10-05T04", {"verdict": "breached"}, 0, id="it ended above"),
        pytest.param("2026-10-05T05", {"verdict": "undecided"}, 0, id="it lost its data"),
        pytest.param("2026-10-05T04", None, 0, id="it has not ended"),
        pytest.param("2026-10-05T04", {"verdict": "clear"}, 1, id="it says itself that it was saved"),
        pytest.param("2026-10-05T06", {"verdict": "breached"}, 1, id="the figures say that it is clear"),
    ],
)
def test_an_hour_that_was_called_lost_and_ended_clear_is_a_false_one(start: str, ended: Any, false: int) -> None:
    truth = a_truth(breached=("2026-10-05T04:00:00Z",), undecided=("2026-10-05T05:00:00Z",))
    alert = an_alert("irrecoverable_hour", start, evidence={"ended": ended})
    assert score(truth, [alert])["irrecoverable_hour"] == Score(alerts=1, false=false)
    assert len(false_alerts(truth, [alert])) == false


@pytest.mark.parametrize("rule", ["budget", "month_below_share"])
def test_a_month_without_an_hour_above_explains_nothing_of_a_budget(rule: str) -> None:
    assert score(a_truth(), [an_alert(rule)])[rule] == Score(alerts=1, false=1)
    with_one = a_truth(breached=("2026-10-20T00:00:00Z",))
    assert score(with_one, [an_alert(rule)])[rule] == Score(alerts=1)
    assert false_alerts(with_one, [an_alert(rule)]) == []


def test_scores_add_up_over_scenarios() -> None:
    total = Score(planted=1, found=1, alerts=2) + Score(planted=1, alerts=2, false=1)
    assert total == Score(planted=2, found=1, alerts=4, false=1)
    assert (total.precision, total.recall) == (0.75, 0.5)


def test_a_stack_month_is_thirty_days_of_one_stack() -> None:
    assert stack_months(a_truth()) == 2.0
