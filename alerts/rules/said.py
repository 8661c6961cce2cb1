"""What is said of a stack's source hour by hour: that it rests, that it must.

States, marks and orders are claims and demands; whether they hold is for the rules that use this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, Span
from plant.periods import HOUR
from plant.readings import Truths

WHOLE_HOUR: Final = 0.95  #: of the rows: a minute or two of an hour may lie on the other side of the claim [D]
WORK_KINDS: Final = ("maintenance", "calibration", "fault")


def state_rests(history: History) -> Truths:
    """Hours whose rows say throughout that the source does not run."""
    covered = history.outlet["covered_s"]
    with np.errstate(invalid="ignore"):
        rests: Truths = (covered > 0) & (history.outlet["stopped_s"] >= WHOLE_HOUR * covered)
    return rests


def covered_by(history: History, spans: Iterable[Span]) -> Truths:
    """Hours that lie in one of *spans* throughout."""
    found = np.zeros(history.n_hours, dtype=bool)
    for span in spans:
        first = int(np.searchsorted(history.start, span.start, side="left"))
        found[first : _last(history, span, whole=True)] = True
    return found


def touched_by(history: History, spans: Iterable[Span]) -> Truths:
    """Hours that share an instant with one of *spans*."""
    found = np.zeros(history.n_hours, dtype=bool)
    for span in spans:
        first = int(np.searchsorted(history.start + HOUR, span.start, side="right"))
        found[first : _last(history, span, whole=False)] = True
    return found


def _last(history: History, span: Span, *, whole: bool) -> int:
    if span.end is None:
        return history.n_hours
    if whole:
        return int(np.searchsorted(history.start + HOUR, span.end, side="right"))
    return int(np.searchsorted(history.start, span.end, side="left"))


def marks_of(history: History, *kinds: str, rejected: bool = True) -> list[Span]:
    """Marks of these *kinds*; a rejected one was claimed all the same, unless it is not asked for."""
    return [mark for mark in history.marks if mark.kind in kinds and (rejected or mark.status != "rejected")]


def must_stop(history: History) -> list[Span]:
    """Orders by which every unit of the stack must stand still, from when it must."""
    return [
        Span(start=safe_by(order), end=order.end, kind=order.kind, detail=order.detail)
        for order in history.orders
        if history.stack.units and set(history.stack.units) <= set(_stopped_units(order))
    ]


def safe_by(order: Span) -> int:
    """When the ordered state must have been reached, in microseconds since the epoch."""
    return max(order.start, int(order.detail.get("safe_state_by", order.start)))


def asked_of(order: Span) -> dict[str, dict[str, Any]]:
    """By unit, what *order* asks of it: `unit`, `mode`, `value`."""
    return {str(unit["unit"]): dict(unit) for unit in order.detail.get("units", ())}


def _stopped_units(order: Span) -> list[str]:
    return [unit for unit, asked in asked_of(order).items() if asked.get("mode", "stop") == "stop"]
