"""The workflow of a case, walked by hand: nothing expected here is read from the table under test."""

from __future__ import annotations

import ast
import inspect
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.enforcement import workflow
from alerts.enforcement.workflow import Action, Record, State, allowed_actions, apply, opener, state_of
from plant.errors import BadDocument, IllegalTransition, RoleMissing

ALL_ROLES = [
    "admin",
    "watch",
    "investigator",
    "reviewer",
    "decider",
    "operator",
    "maintainer",
    "safety",
    "auditor",
]

#: Every (state, action, role) that is allowed, written by hand from the issue.
ALLOWED = {
    ("detected", "verify", "investigator"): "verified",
    ("detected", "verify", "reviewer"): "verified",
    ("detected", "dismiss", "reviewer"): "dismissed",
    ("detected", "dismiss", "decider"): "dismissed",
    ("verified", "dismiss", "reviewer"): "dismissed",
    ("verified", "dismiss", "decider"): "dismissed",
    ("verified", "decide", "decider"): "decided",
    ("decided", "serve", "investigator"): "suspended",
    ("decided", "serve", "decider"): "suspended",
    ("suspended", "permit_trial", "decider"): "trial",
    ("trial", "lift", "decider"): "lifted",
}


def history_to(*steps: tuple[str, State]) -> list[Record]:
    records = [Record("open", None, State.DETECTED)]
    for action, after in steps:
        records.append(Record(action, records[-1].after, after))
    return records


def test_the_states_are_those_of_the_contract() -> None:
    assert " ".join(State) == (
        "detected verified notified decided suspended restricted rectifying trial completion_filed lifted "
        "follow_up closed dismissed stayed annulled relapsed"
    )


def test_the_actions_are_those_of_the_contract() -> None:
    assert " ".join(Action) == (
        "verify dismiss notify hear decide serve plan permit_trial file_completion lift check close stay annul "
        "amend hold_for_safety excuse propose"
    )


def test_every_triple_of_state_action_and_role_leads_where_the_issue_says_or_is_refused() -> None:
    for state, action, role in product(State, Action, ALL_ROLES):
        expected = ALLOWED.get((state.value, action.value, role))
        if expected is None:
            with pytest.raises((IllegalTransition, RoleMissing)):
                apply(state, action, [role])
        else:
            step = apply(state, action, [role])
            assert (step.before, step.after, step.role) == (state, expected, role)


@pytest.mark.parametrize("role", ["admin", "watch", "operator", "maintainer", "safety", "auditor"])
def test_who_is_no_case_worker_of_the_agency_may_do_nothing(role: str) -> None:
    assert [allowed_actions(state, [role]) for state in State] == [[] for _ in State]
    with pytest.raises(RoleMissing, match="needs the role decider"):
        apply(State.VERIFIED, Action.DECIDE, [role])
    with pytest.raises(RoleMissing, match="opening a case"):
        opener([role])


def test_what_may_be_done_now_depends_on_state_and_role() -> None:
    assert allowed_actions(State.DETECTED, ["reviewer"]) == ["verify", "dismiss"]
    assert allowed_actions(State.DETECTED, ["investigator"]) == ["verify"]
    assert allowed_actions(State.VERIFIED, ["decider"]) == ["dismiss", "decide"]
    assert allowed_actions(State.DECIDED, ["investigator", "auditor"]) == ["serve"]
    assert allowed_actions(State.SUSPENDED, ["investigator"]) == []
    assert allowed_actions(State.TRIAL, ["decider"]) == ["lift"]
    assert allowed_actions(State.LIFTED, ALL_ROLES) == []


def test_the_only_ends_of_a_case_are_dismissed_and_lifted() -> None:
    reached, frontier = {State.DETECTED}, [State.DETECTED]
    ends = set()
    while frontier:
        state = frontier.pop()
        actions = allowed_actions(state, ALL_ROLES)
        if not actions:
            ends.add(state)
        for action in actions:
            after = apply(state, action, ALL_ROLES).after
            if after not in reached:
                reached.add(after)
                frontier.append(after)
    assert ends == {State.DISMISSED, State.LIFTED}
    assert reached == {
        State.DETECTED,
        State.VERIFIED,
        State.DECIDED,
        State.SUSPENDED,
        State.TRIAL,
        State.LIFTED,
        State.DISMISSED,
    }


def test_an_ended_case_makes_room_for_the_next_and_no_other_does() -> None:
    assert frozenset({State.DISMISSED, State.LIFTED, State.CLOSED, State.ANNULLED}) == workflow.ENDED


def test_a_suspension_can_be_neither_dismissed_nor_lifted_without_a_trial() -> None:
    for action in (Action.DISMISS, Action.LIFT, Action.DECIDE, Action.VERIFY):
        with pytest.raises(IllegalTransition):
            apply(State.SUSPENDED, action, ALL_ROLES)


def test_an_action_without_a_row_is_refused_by_name_for_everybody() -> None:
    with pytest.raises(IllegalTransition, match="this version of stackwatch does not carry it out") as refused:
        apply(State.DETECTED, Action.NOTIFY, ALL_ROLES)
    assert (refused.value.machine, refused.value.state, refused.value.action) == ("case", "detected", "notify")


def test_a_refusal_says_in_which_states_the_action_is_possible() -> None:
    with pytest.raises(IllegalTransition, match="possible when detected or verified"):
        apply(State.TRIAL, Action.DISMISS, ["reviewer"])


def test_an_action_that_does_not_exist_is_bad_input_and_names_those_that_do() -> None:
    with pytest.raises(BadDocument, match=r"must be one of verify, dismiss.*got 'erase'"):
        workflow.action_named("erase")


def test_the_state_is_where_the_records_lead() -> None:
    walk = history_to(("verify", State.VERIFIED), ("attach", State.VERIFIED), ("decide", State.DECIDED))
    assert state_of(walk[:1]) is State.DETECTED
    assert state_of(walk[:3]) is State.VERIFIED
    assert state_of(walk) is State.DECIDED


def test_a_history_that_an_older_table_allowed_still_has_its_state() -> None:
    walk = history_to(("notify", State.NOTIFIED), ("hear", State.NOTIFIED), ("close", State.CLOSED))
    assert state_of(walk) is State.CLOSED


def test_a_history_with_a_missing_or_foreign_record_has_no_state() -> None:
    walk = history_to(("verify", State.VERIFIED), ("decide", State.DECIDED), ("serve", State.SUSPENDED))
    with pytest.raises(ValueError, match=r"record 3 \(serve\) goes on from decided, the case was verified"):
        state_of([walk[0], walk[1], walk[3]])
    with pytest.raises(ValueError, match="record 1"):
        state_of(walk[1:])
    with pytest.raises(ValueError, match="begins with the record that opened"):
        state_of([])


@given(st.lists(st.tuples(st.sampled_from(list(Action)), st.sampled_from(ALL_ROLES)), max_size=30))
def test_no_sequence_of_attempts_lifts_without_a_decision_a_service_and_a_trial(
    attempts: list[tuple[Action, str]],
) -> None:
    records = history_to()
    for action, role in attempts:
        try:
            step = apply(state_of(records), action, [role])
        except (IllegalTransition, RoleMissing):
            continue
        records.append(Record(step.action, step.before, step.after))
    if state_of(records) is State.LIFTED:
        taken = [record.action for record in records]
        assert taken == ["open", "verify", "decide", "serve", "permit_trial", "lift"]


def test_the_workflow_reads_no_clock_and_reaches_no_machine() -> None:
    tree = ast.parse(inspect.getsource(workflow))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"__future__", "collections.abc", "dataclasses", "enum", "typing", "plant.errors"}
