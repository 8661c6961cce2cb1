"""Parameter of an instrument that was changed, and no work explains it.

What it says    range, slope, intercept or another figure that a value is computed with was changed, in the register or
                as the logger reports it, and within a day before or three days after there is neither a record of it
                nor a mark of maintenance, calibration or fault.
Why it matters  a slope or a range is the simplest place to lower what is shown (sheet, 8.1 L6, 8.2: cases of changed
                parameters, V-S S37).
Not for         changes with a work order. A record that is filed later withdraws the alert.
Source          sheet, 8.1 L6 and 4.9: log every change of i13001, i13007, i13008 [D]; the windows are ours [D].
What else explains it
                a correction of the register after a survey, a new analyser, a calibration that nobody recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, Span
from alerts.rules.process_values import has_rows
from alerts.rules.rule import WARNING, Life, Outcomes, Rule, levels
from alerts.rules.said import WORK_KINDS, marks_of
from alerts.rules.stretches import of_last
from plant.periods import HOUR, written

NAME: Final = "parameter_changed"

SHOWN_H: Final = 24  #: how long a change stays an alert: a day, in which somebody looks [D]
BEFORE: Final = 24 * HOUR  #: work may begin so long before the change [D]
AFTER: Final = 72 * HOUR  #: and be written down so long after it; as late as a mark with a week's end between [D]
EXPLAINED_BY: Final = ("parameter", "calibration", "maintenance", "comparison")  #: kinds of instrument record


def judge(history: History) -> Iterator[Outcomes]:
    open_ = [change for change in history.changes if not _explained(history, change)]
    in_hour = np.zeros(history.n_hours, dtype=np.int64)
    place = np.searchsorted(history.start, [change.start for change in open_], side="right") - 1
    end = int(history.start[-1]) + HOUR if history.n_hours else 0
    for at, change in zip(place.tolist(), open_, strict=True):
        if at >= 0 and change.start < end:
            in_hour[at] += 1
    recent = of_last(in_hour, SHOWN_H)
    yield Outcomes(
        level=levels(recent > 0, history.ended & (has_rows(history) | (recent > 0)), WARNING),
        observed=recent.astype(np.float64),
        limit=np.zeros(history.n_hours),
        evidence=lambda i: {"changes": [_quoted(change) for change in _shown(history, open_, i)]},
    )


def _explained(history: History, change: Span) -> bool:
    """Whether work is on record, or claimed, around the change."""
    first, last = change.start - BEFORE, change.start + AFTER
    if any(first <= at <= last for kind in EXPLAINED_BY for at in history.records.get(kind, ())):
        return True
    # A mark is about a time, not written down afterwards: it has to touch the day before or the change itself.
    marks = marks_of(history, *WORK_KINDS, rejected=False)
    return any(mark.start <= change.start and (mark.end is None or mark.end >= first) for mark in marks)


def _shown(history: History, changes: list[Span], i: int) -> list[Span]:
    end = int(history.start[i]) + HOUR
    return [change for change in changes if end - SHOWN_H * HOUR <= change.start < end]


def _quoted(change: Span) -> Mapping[str, Any]:
    return {"at": written(change.start), "in": change.kind, **change.detail}


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="changes in a day",
    clause="project rule; Code arts 80, 1088; Monitoring Regulation arts 25, 44",
    reach_h=SHOWN_H,
    lead=True,
    life=Life(hold_h=1, keep_h=1),
)
