"""The life of an episode, the alert of a rule whose findings last, as a table of states and events.

Rule 1: every transition is a row in TRANSITIONS; nothing else changes a state.
Rule 2: no clock, no database, no rule in here.
Rule 3: an undecided hour changes nothing. Silence neither confirms nor ends an alert.

            found             held                 clear
  INACTIVE ───────▶ PENDING ───────────▶ FIRING ◀────────▶ CLEARING
     ▲                 │     (hold_h)      │      found        │
     │      clear      │                   │  kept (keep_h)    │
     ╰─────────────────╯                   ╰─▶ RESOLVED ◀──────╯

What counts hours, and what an alert then says, is `alerts.lives`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    CLEARING = "clearing"
    RESOLVED = "resolved"


class Event(StrEnum):
    FOUND = "found"
    HELD = "held"  #: found, and the hold is reached
    CLEAR = "clear"
    KEPT = "kept"  #: clear, for as long as it is kept firing
    UNDECIDED = "undecided"
    UNWATCHED = "unwatched"  #: its rule, or its stack's pack, is there no longer


_S, _E = State, Event
TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (_S.INACTIVE, _E.FOUND): _S.PENDING,
    (_S.INACTIVE, _E.HELD): _S.FIRING,
    (_S.INACTIVE, _E.CLEAR): _S.INACTIVE,
    (_S.INACTIVE, _E.KEPT): _S.INACTIVE,
    (_S.INACTIVE, _E.UNDECIDED): _S.INACTIVE,
    (_S.INACTIVE, _E.UNWATCHED): _S.INACTIVE,
    (_S.PENDING, _E.FOUND): _S.PENDING,
    (_S.PENDING, _E.HELD): _S.FIRING,
    (_S.PENDING, _E.CLEAR): _S.INACTIVE,
    (_S.PENDING, _E.KEPT): _S.INACTIVE,
    (_S.PENDING, _E.UNDECIDED): _S.PENDING,
    (_S.PENDING, _E.UNWATCHED): _S.INACTIVE,
    (_S.FIRING, _E.FOUND): _S.FIRING,
    (_S.FIRING, _E.HELD): _S.FIRING,
    (_S.FIRING, _E.CLEAR): _S.CLEARING,
    (_S.FIRING, _E.KEPT): _S.RESOLVED,
    (_S.FIRING, _E.UNDECIDED): _S.FIRING,
    (_S.FIRING, _E.UNWATCHED): _S.RESOLVED,
    (_S.CLEARING, _E.FOUND): _S.FIRING,
    (_S.CLEARING, _E.HELD): _S.FIRING,
    (_S.CLEARING, _E.CLEAR): _S.CLEARING,
    (_S.CLEARING, _E.KEPT): _S.RESOLVED,
    (_S.CLEARING, _E.UNDECIDED): _S.CLEARING,
    (_S.CLEARING, _E.UNWATCHED): _S.RESOLVED,
    (_S.RESOLVED, _E.FOUND): _S.PENDING,
    (_S.RESOLVED, _E.HELD): _S.FIRING,
    (_S.RESOLVED, _E.CLEAR): _S.INACTIVE,
    (_S.RESOLVED, _E.KEPT): _S.INACTIVE,
    (_S.RESOLVED, _E.UNDECIDED): _S.INACTIVE,
    (_S.RESOLVED, _E.UNWATCHED): _S.INACTIVE,
}
OPEN: Final = frozenset({State.FIRING, State.CLEARING})
GOING_ON: Final = OPEN | {State.PENDING}
