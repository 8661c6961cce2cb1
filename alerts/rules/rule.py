"""What a rule on a stack's hours is, and what it answers.

A rule is a value with a `judge`: history in, outcomes out; no clock, no state, no database. What it says of an hour
depends on that hour and on the `reach_h` hours before it, and on nothing else: judged in parts or at once, today or
in a backtest, an hour has the same outcome. How outcomes become alerts (how long they must hold, what ends them) is
`alerts.lives`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alerts.rules.history import History
from plant.readings import Truths, Values

Levels = npt.NDArray[np.int8]  #: shape (n_hours,)

UNDECIDED: Final = -1  #: no data, or not ended: it neither begins nor ends an alert
CLEAR: Final = 0
SEVERITIES: Final = ("info", "warning", "major", "critical")  #: of the levels 1 to 4
INFO, WARNING, MAJOR, CRITICAL = 1, 2, 3, 4
LONGEST_REACH_H: Final = 14 * 24  #: what a history brings of values before the hours that are judged
VERDICT_REACH_H: Final = 32 * 24  #: and of verdicts: a whole month


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What a rule says of each hour of one series; arrays of shape (n_hours,), places as in the history."""

    level: Levels  #: UNDECIDED, CLEAR, or how grave: 1 to 4
    observed: Values
    limit: Values
    evidence: Callable[[int], Mapping[str, Any]]  #: of the hour at a place that is found
    pollutant: str | None = None  #: or another channel
    pack: str | None = None
    instrument: str | None = None  #: where it is not the one that the stack is judged from first


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How outcomes become one alert, in hours that are decided; undecided ones stop the count and end nothing."""

    hold_h: int = 1  #: found hours in a row before it fires
    keep_h: int = 1  #: clear hours in a row before it ends
    escalate_after_h: int | None = None  #: found hours after which it is one level graver than its size says
    step_down_after_h: int = 6  #: hours of a lower level before the severity follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule on the hours of a stack, as it stands in the catalogue."""

    name: str
    judge: Callable[[History], Iterable[Outcomes]]
    unit: str  #: of observed and limit
    clause: str
    reach_h: int  #: how many hours before an hour its outcome depends on; at most LONGEST_REACH_H (verdicts: 32 days)
    lead: bool = False  #: an integrity rule: a lead for a person, not an exceedance
    early: bool = False  #: speaks of the running hour too; else that is undecided
    life: Life = field(default_factory=Life)


def levels(found: Truths, decided: Truths, level: int = WARNING) -> Levels:
    """*level* where *found*, clear where decided and not found, else undecided."""
    out: Levels = np.where(decided, np.where(found, level, CLEAR), UNDECIDED).astype(np.int8)
    return out
