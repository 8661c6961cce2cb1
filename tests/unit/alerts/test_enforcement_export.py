"""An exported case is redone from what is in it; the chain alone would let a wrong lift pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alerts.enforcement.chain import head_hash, link
from alerts.enforcement.export import FORMAT, faults_of

WATCHED = {"stack": "DA001", "pollutant": "so2", "pack": "cn", "pack_version": "1", "limit": 35.0, "decimals": 6}
HEAD = {
    "id": "case-1",
    "site": "works",
    "units": ["S1"],
    "track": "deadline",
    "opened_at": "2026-11-20T08:00:00Z",
    "pinned": {"policy": {"lift_after_clean_hours": 2}, "watched": [WATCHED]},
}


def a_lifted_case(hours: list[dict[str, Any]], *, withdrawn: list[str] | None = None) -> dict[str, Any]:
    """A whole chain whose last record lifts on *hours*."""
    series = {"stack": "DA001", "pollutant": "so2", "pack": "cn", "hours": hours}
    numbers = {"series": [series] if hours else [], "withdrawn_stacks": withdrawn or []}
    steps: list[tuple[str, str | None, str, dict[str, Any]]] = [
        ("open", None, "detected", {}),
        ("permit_trial", "detected", "trial", {}),
        ("lift", "trial", "lifted", numbers),
    ]
    events, previous = [], head_hash(HEAD)
    for number, (action, before, after, found) in enumerate(steps, start=1):
        body = {"case": "case-1", "number": number, "action": action, "before": before, "after": after}
        item = link(previous, {**body, "numbers": found})
        events.append({"body": item.body, "previous_hash": previous.hex(), "hash": item.hash.hex()})
        previous = item.hash
    return {"format": FORMAT, "case": HEAD, "state": "lifted", "events": events, "alerts": [], "orders": []}


def an_hour(n: int, corrected: float | None = 20.0) -> dict[str, Any]:
    return {"start": f"2026-11-20T{n:02}:00:00Z", "corrected": corrected, "revision": 0}


def test_a_lift_on_enough_clean_hours_holds() -> None:
    assert faults_of(a_lifted_case([an_hour(1), an_hour(3, 35.0000000004)])) == []


@pytest.mark.parametrize(
    ("hours", "fault"),
    [
        pytest.param([an_hour(1)], "record 3: SO2 at DA001 was lifted on 1 clean hours", id="too_few_hours"),
        pytest.param([], "record 3: SO2 at DA001 was lifted on 0 clean hours", id="a_series_left_out"),
        pytest.param([an_hour(1), an_hour(1)], "was lifted on 2 clean hours", id="one_hour_twice"),
        pytest.param([an_hour(1), an_hour(2, 36.0)], "36.0 is above 35.0", id="an_hour_above_the_limit"),
        pytest.param([an_hour(1), an_hour(2, None)], "None is above 35.0", id="an_hour_without_a_value"),
    ],
)
def test_a_lift_that_its_hours_do_not_allow_is_found(hours: list[dict[str, Any]], fault: str) -> None:
    (found,) = faults_of(a_lifted_case(hours))
    assert fault in found


def test_a_stack_that_was_withdrawn_needs_no_hours() -> None:
    assert faults_of(a_lifted_case([], withdrawn=["DA001"])) == []


def test_a_record_of_another_case_is_a_stranger() -> None:
    document = a_lifted_case([an_hour(1), an_hour(2)])
    head = {**HEAD, "id": "case-2"}
    previous, events = head_hash(head), []
    for event in document["events"]:
        item = link(previous, json.loads(event["body"]))
        events.append({"body": item.body, "previous_hash": previous.hex(), "hash": item.hash.hex()})
        previous = item.hash
    found = faults_of({**document, "case": head, "events": events})
    assert found[0] == "record 1 belongs to case-1, not to case-2"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"format": FORMAT}, id="empty"),
        pytest.param({"format": FORMAT, "case": HEAD, "events": [{}]}, id="records_without_fields"),
        pytest.param({"format": FORMAT, "case": 3, "events": []}, id="a_head_that_is_none"),
        pytest.param(
            {"format": FORMAT, "case": HEAD, "events": [{"body": "x", "previous_hash": "zz", "hash": ""}]}, id="no_hex"
        ),
        pytest.param({}, id="nothing"),
    ],
)
def test_what_is_no_exported_case_is_said_to_be_none(document: dict[str, Any]) -> None:
    assert faults_of(document) != []
