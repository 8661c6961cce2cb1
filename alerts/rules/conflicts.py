"""Two values for one row.

What it says    rows of a channel arrived twice, with two values and the same revision.
Why it matters  one instant has one value. Two mean that somebody sent again what was different before, that a clock
                ran twice through the same hour, or that two senders call themselves the same instrument.
Not for         a higher revision, which replaces a row by right, and the same row again (a duplicate).
Source          the contract: both are kept and one counts; [D] as a lead.

What else explains it    a clock that was set back; a gateway that was restored from a copy; two loggers on one outlet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels


def judge(history: History) -> Iterator[Outcomes]:
    """One series for the stack: what writes a row twice writes all of its channels twice."""
    by_channel = history.conflicts
    rows = np.max([np.zeros(history.n_hours, dtype=np.int64), *by_channel.values()], axis=0)

    def evidence(at: int) -> Mapping[str, Any]:
        return {"rows": int(rows[at]), "by_channel": {name: int(n[at]) for name, n in by_channel.items() if n[at]}}

    yield Outcomes(
        # Every hour is decided: of an hour without rows no conflict is known.
        level=levels(rows > 0, np.ones(history.n_hours, dtype=bool)),
        observed=rows.astype(np.float64),
        limit=np.zeros(history.n_hours),
        evidence=evidence,
    )


RULE: Final = Rule(
    name="conflicts",
    judge=judge,
    unit="rows",
    clause="contract, section 3: another value for the same row and revision",
    reach_h=0,
    lead=True,
    life=Life(keep_h=6),
)
