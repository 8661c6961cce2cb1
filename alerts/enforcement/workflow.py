"""What may be done to a case, by whom, and where it leads.

Rule 1: every transition is a row in TRANSITIONS; nothing else moves a case.
Rule 2: a row names the roles that may take it; people of the agency decide, an administrator decides nothing.
Rule 3: a record carries the state before and after it. So the state of an old case is read from its own
history and never from the table of a newer version: an upgrade cannot strand it.
Rule 4: no clock, no database, no condition in here. What must hold beyond state and role is `conditions`.

    detected -verify-> verified -decide-> decided -serve-> suspended -permit_trial-> trial -lift-> lifted
        `------------------`-dismiss-> dismissed

Every state and action of the contract has its name here; those without a row are refused, not ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from plant.errors import BadDocument, Fault, IllegalTransition, RoleMissing


class State(StrEnum):
    DETECTED = "detected"
    VERIFIED = "verified"
    NOTIFIED = "notified"
    DECIDED = "decided"
    SUSPENDED = "suspended"
    RESTRICTED = "restricted"
    RECTIFYING = "rectifying"
    TRIAL = "trial"
    COMPLETION_FILED = "completion_filed"
    LIFTED = "lifted"
    FOLLOW_UP = "follow_up"
    CLOSED = "closed"
    DISMISSED = "dismissed"
    STAYED = "stayed"
    ANNULLED = "annulled"
    RELAPSED = "relapsed"


class Action(StrEnum):
    VERIFY = "verify"
    DISMISS = "dismiss"
    NOTIFY = "notify"
    HEAR = "hear"
    DECIDE = "decide"
    SERVE = "serve"
    PLAN = "plan"
    PERMIT_TRIAL = "permit_trial"
    FILE_COMPLETION = "file_completion"
    LIFT = "lift"
    CHECK = "check"
    CLOSE = "close"
    STAY = "stay"
    ANNUL = "annul"
    AMEND = "amend"
    HOLD_FOR_SAFETY = "hold_for_safety"
    EXCUSE = "excuse"
    PROPOSE = "propose"


class Track(StrEnum):
    """What a case is about, and so what its decision may rest on (regulation 6.7)."""

    STATUTORY = "statutory"
    EVASION = "evasion"
    ULE = "ule"
    DEADLINE = "deadline"


OPEN: Final = "open"
"""The record that begins a history. Not an action: a case is opened, and nobody can open it again."""
ATTACH: Final = "attach"
"""A further alert or tip that joins an open case. Moves nothing."""

SYSTEM: Final = "system"
"""The role of what the rule stage writes. No principal has it."""
INVESTIGATOR: Final = "investigator"
REVIEWER: Final = "reviewer"
DECIDER: Final = "decider"

OPENERS: Final = (INVESTIGATOR, REVIEWER, DECIDER)
"""Who may open a case by hand."""


@dataclass(frozen=True, slots=True)
class Transition:
    to: State
    roles: tuple[str, ...]  #: in the order in which a person of several roles is taken to act


TRANSITIONS: Final[Mapping[tuple[State, Action], Transition]] = {
    (State.DETECTED, Action.VERIFY): Transition(State.VERIFIED, (INVESTIGATOR, REVIEWER)),
    (State.DETECTED, Action.DISMISS): Transition(State.DISMISSED, (REVIEWER, DECIDER)),
    (State.VERIFIED, Action.DISMISS): Transition(State.DISMISSED, (REVIEWER, DECIDER)),
    (State.VERIFIED, Action.DECIDE): Transition(State.DECIDED, (DECIDER,)),
    (State.DECIDED, Action.SERVE): Transition(State.SUSPENDED, (INVESTIGATOR, DECIDER)),
    (State.SUSPENDED, Action.PERMIT_TRIAL): Transition(State.TRIAL, (DECIDER,)),
    (State.TRIAL, Action.LIFT): Transition(State.LIFTED, (DECIDER,)),
}

ENDED: Final = frozenset({State.DISMISSED, State.LIFTED, State.CLOSED, State.ANNULLED})
"""States of a case that is no longer open: the next breach of the same units opens a new one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a history, as far as it moves the case."""

    action: str
    before: State | None  #: None where the case began
    after: State


@dataclass(frozen=True, slots=True)
class Step:
    """A transition that someone may take: where it leads and in which of their roles."""

    action: Action
    before: State
    after: State
    role: str


def state_of(history: Iterable[Record]) -> State:
    """The state that *history* leads to.

    Raises
    ------
    ValueError
        Where the history has no beginning, or a record does not continue the one before it.
    """
    state: State | None = None
    for number, record in enumerate(history, start=1):
        if record.before is not state:
            raise ValueError(f"record {number} ({record.action}) goes on from {record.before}, the case was {state}")
        state = record.after
    if state is None:
        raise ValueError("a history begins with the record that opened the case")
    return state


def action_named(name: str) -> Action:
    """The action called *name*; `BadDocument` naming those there are."""
    try:
        return Action(name)
    except ValueError:
        known = ", ".join(Action)
        raise BadDocument("case", [Fault("action", f"must be one of {known}, got {name!r}")]) from None


def allowed_actions(state: State, roles: Collection[str]) -> list[Action]:
    """What someone with *roles* may do in *state*, in the order of the table."""
    return [
        action
        for (before, action), row in TRANSITIONS.items()
        if before is state and not set(roles).isdisjoint(row.roles)
    ]


def apply(state: State, action: Action, roles: Collection[str]) -> Step:
    """The step that *action* is in *state* for someone with *roles*. Nothing is changed.

    Raises
    ------
    RoleMissing
        If none of *roles* may take this action, in this state or in any.
    IllegalTransition
        If this state does not allow it.
    """
    rows = {before: row for (before, name), row in TRANSITIONS.items() if name is action}
    if not rows:
        raise IllegalTransition("case", state, action, "this version of stackwatch does not carry it out")
    may_ever = dict.fromkeys(role for row in rows.values() for role in row.roles)
    if set(roles).isdisjoint(may_ever):
        raise RoleMissing(f"{action.value!r} needs the role {' or '.join(may_ever)}")
    row = rows.get(state)
    if row is None:
        raise IllegalTransition("case", state, action, f"it is possible when {' or '.join(rows)}")
    role = next((role for role in row.roles if role in roles), None)
    if role is None:
        raise RoleMissing(f"{action.value!r} of a case that is {state} needs the role {' or '.join(row.roles)}")
    return Step(action, state, row.to, role)


def opener(roles: Collection[str]) -> str:
    """The role in which someone with *roles* opens a case by hand; `RoleMissing` where they may not."""
    role = next((role for role in OPENERS if role in roles), None)
    if role is None:
        raise RoleMissing(f"opening a case needs the role {' or '.join(OPENERS)}")
    return role
