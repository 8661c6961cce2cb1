"""A receiver of notifications that takes nothing any more.

What it says    attempts to reach a receiver have failed in a row, for long enough that it is no hiccup; or it answered
                that it is gone for good.
Why it matters  somebody believes to be told and is not. An alert that nobody hears of is as good as none.
Not for         single messages that a receiver refuses while it takes others: those are in its list of messages.
Source          a default of this project, [D]: 3 attempts and 5 minutes. The one who waits for messages should hear of
                it before the next hour ends. `410 Gone` is final by Standard Webhooks 1.0.0, "Delivery success and
                failure".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from alerts.rules.finding import Finding, Series
from plant.periods import MINUTE

NAME: Final = "receiver_dead"
FAILURES: Final = 3
AFTER: Final = 5 * MINUTE
CLAUSE: Final = "messages that are owed have not been taken (docs/notify.md)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A receiver that did not take what it was last sent. Instants are microseconds since the epoch."""

    receiver_id: int
    name: str
    kind: str
    failures: int  #: in a row
    since: int  #: the first of them
    gone: bool  #: it asked not to be written to any more
    reason: str


def judge(failing: Failing, *, now: int) -> Finding | None:
    """The finding; its id follows from the receiver and the first failure."""
    if not failing.gone and (failing.failures < FAILURES or now < failing.since + AFTER):
        return None
    return Finding(
        series=Series(rule=NAME, site="", edge=f"receiver/{failing.receiver_id}"),
        severity="major",
        period_start=failing.since,
        period_end=failing.since + AFTER,
        observed=float(failing.failures),
        limit=float(FAILURES),
        unit="failed attempts",
        clause=CLAUSE,
        evidence={
            "receiver_id": failing.receiver_id,
            "receiver": failing.name,
            "kind": failing.kind,
            "failures": failing.failures,
            "gone": failing.gone,
            "reason": failing.reason,
        },
        settled=True,
    )
