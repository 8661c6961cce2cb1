"""Analyser that was not compared with the reference method (校验) when it had to be.

What it says    since the last comparison that a record shows, or since the first row where none was ever recorded, more
                time has passed than this kind of CEMS may go without one.
Why it matters  only a comparison by hand shows a systematic error; data of an overdue one are not valid (sheet, 3.7,
                K-H).
Not for         stacks of whose channels the register does not say how they are measured (`cems`) and which never
                recorded a comparison: then nobody knows the interval, or whether anything is recorded here at all.
                Where comparisons are recorded and the kind is not known, the longest interval holds.
Source          sheet, 3.7: 6 months where it calibrates itself, else 3, by `plant.calibration` (K-H).
What else explains it
                a comparison that was done and not recorded, a planned stop of more than a quarter (sheet, 3.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.process_values import has_rows
from alerts.rules.rule import WARNING, Life, Outcomes, Rule, levels
from plant.calibration import Cems, Interval, Task, intervals
from plant.periods import HOUR, instant, micros, written
from plant.readings import Values

NAME: Final = "comparison_overdue"

_DAY_US: Final = 24 * HOUR


def judge(history: History) -> Iterator[Outcomes]:
    interval = interval_of(history)
    compared = sorted(history.records.get("comparison", ()))
    since = [at for at in history.records.get("began", ()) if not compared or at < compared[0]] + compared
    if interval is None or not since:
        return
    zone = history.site.zone
    due_at = np.array([micros(interval.after(instant(at), zone)) for at in since], dtype=np.int64)
    last = np.searchsorted(np.array(since, dtype=np.int64), history.start + HOUR) - 1
    known = last >= 0
    passed: Values = np.where(known, (history.start - np.array(since)[last]) / _DAY_US, np.nan)
    allowed: Values = np.where(known, (due_at[last] - np.array(since)[last]) / _DAY_US, np.nan)
    yield Outcomes(
        level=levels(known & (history.start >= due_at[last]), known & history.ended & has_rows(history), WARNING),
        observed=passed,
        limit=allowed,
        evidence=lambda i: _evidence(history, interval, since[last[i]], int(due_at[last[i]])),
    )


def interval_of(history: History) -> Interval | None:
    """How long the stack may go without a comparison: the shortest of its channels; None where nobody knows."""
    kinds = {Cems(channel.cems) for channel in history.stack.channels.values() if channel.cems}
    if not kinds and not history.records.get("comparison"):
        return None
    each = [intervals(cems)[Task.VERIFICATION] for cems in kinds or {Cems.EXTRACTIVE_AUTOMATIC}]
    return min(each, key=lambda interval: interval.months)


def _evidence(history: History, interval: Interval, last: int, due: int) -> Mapping[str, Any]:
    return {
        "last_comparison": written(last),
        "recorded": last in history.records.get("comparison", ()),
        "due": written(due),
        "months": interval.months,
        "mark": interval.mark,
    }


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="days",
    clause="HJ 75-2017, verification against the reference method (sheet 3.7, K-H)",
    reach_h=0,
    lead=True,
    life=Life(hold_h=1, keep_h=1),
)
