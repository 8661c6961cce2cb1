"""Source that is said to be stopped and is not (标停未停).

What it says    for hours on end the state of the rows, a mark of whatever status or an order in force says that the
                source stands still, while two kinds of sign at least say that it runs: gas is drawn (flow, velocity),
                heat (temperature), fire (oxygen), drive (production power, load).
Why it matters  hours that are claimed as stopped are taken out of the judgement, and a suspension that is not kept is
                a breach of its own (sheet, 8.1 L3, Order 30 art 8).
Not for         one kind of sign alone; the first hours of a stop, in which ducts are warm and fans run on; start-up and
                shut-down where a mark says so; the fire of a unit that may stand hot (`hot_idle` among its modes: coke
                batteries), of which a drive has to be among the signs. Where the source rested for longer than two
                weeks, its running hours are forgotten and other signs stand in (`alerts.rules.signs`).
Source          sheet, 8.1 L4 and L3, 8.3 "marked stop but running" (V-S S38); thresholds are ours [D].
What else explains it
                a wrong state of the control system, a neighbour's gas on a common chimney, a test run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.learned import REACH_H
from alerts.rules.process_values import has_rows
from alerts.rules.rule import MAJOR, WARNING, Life, Outcomes, Rule, levels
from alerts.rules.said import covered_by, marks_of, must_stop, state_rests, touched_by
from alerts.rules.signs import KINDS_NEEDED, Sign, kinds_of, quoted, signs
from alerts.rules.stretches import in_a_row
from plant.readings import Truths

NAME: Final = "stopped_but_breathing"

SETTLE_H: Final = 3
"""Hours that a claim must have lasted: after a planned stop the fire is out and the ducts are cool by then; heavier
brickwork cools slowly, but draws no gas [D]."""


def judge(history: History) -> Iterator[Outcomes]:
    claims = _claims(history)
    said = np.any(list(claims.values()), axis=0)
    if not said.any():
        if history.n_hours:
            yield _nothing(history)
        return
    rests = said | (history.outlet["stopped_s"] > 0) | covered_by(history, history.orders)
    excused = touched_by(history, marks_of(history, "start_up", "shut_down", rejected=False)) & ~claims["order"]
    asked = in_a_row(said, SETTLE_H + 1) & ~excused
    found = signs(history, rests, asked)
    if not found:
        return
    shown, known = kinds_of(found, shown=True), kinds_of(found, shown=False)
    runs, unknown = asked & (shown >= KINDS_NEEDED), asked & (known < KINDS_NEEDED)
    if _stands_hot(history):
        drive = [sign for sign in found if sign.kind == "drive"]
        runs &= kinds_of(drive, shown=True) > 0 if drive else False
        unknown |= asked & (kinds_of(drive, shown=False) == 0 if drive else True)
    decided = history.ended & has_rows(history) & ~unknown
    level = levels(runs, decided, WARNING)
    level[runs & decided & claims["order"]] = MAJOR
    yield Outcomes(
        level=level,
        observed=shown.astype(np.float64),
        limit=np.full(history.n_hours, float(KINDS_NEEDED)),
        evidence=lambda i: _evidence(history, claims, found, i),
    )


def _claims(history: History) -> dict[str, Truths]:
    """By who says so, hours of which it is said throughout that the source stands still."""
    return {
        "state": state_rests(history),
        "mark": covered_by(history, marks_of(history, "stopped")),
        "order": covered_by(history, must_stop(history)),
    }


def _stands_hot(history: History) -> bool:
    """Whether a unit of the stack burns and draws while it makes nothing: then only drives tell that it works."""
    return any("hot_idle" in unit.modes for unit in history.site.units if unit.code in history.stack.units)


def _nothing(history: History) -> Outcomes:
    return Outcomes(
        level=levels(np.zeros(history.n_hours, dtype=bool), history.ended & has_rows(history)),
        observed=np.zeros(history.n_hours),
        limit=np.full(history.n_hours, float(KINDS_NEEDED)),
        evidence=lambda i: {},
    )


def _evidence(history: History, claims: Mapping[str, Truths], found: tuple[Sign, ...], i: int) -> Mapping[str, Any]:
    at = int(history.start[i])
    return {
        "said_by": [who for who, said in claims.items() if said[i]],
        "marks": [
            dict(mark.detail) | {"status": mark.status}
            for mark in marks_of(history, "stopped")
            if mark.start <= at and (mark.end is None or at < mark.end)
        ],
        "orders": [
            order.detail.get("order_id")
            for order in must_stop(history)
            if order.start <= at and (order.end is None or at < order.end)
        ],
        "signs": quoted(found, i),
    }


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="kinds of sign",
    clause="project rule; evasion: Code arts 164, 1104, 1108; suspension: Order 30 art 8",
    reach_h=REACH_H,
    lead=True,
    life=Life(hold_h=4, keep_h=2),
)
