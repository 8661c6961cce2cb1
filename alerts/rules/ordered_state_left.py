"""Ordered unit that does not reach its ordered state, or leaves it.

What it says    in hours in which an order is in force and its state had to be reached, the stack of an ordered unit
                shows another one: it runs though it must stop or stand hot, its load is above the ordered one, or it
                was not slowed at all where a longer coking time is ordered.
Why it matters  a suspension or restriction that is not kept is a breach of its own (sheet, 8.1 L3; Order 30 art 8), and
                a case goes on by it.
Not for         the time until `safe_state_by`, stays and trials (they end the order), a stack whose other units may run
                where the ordered one sends no signals of its own. A hold for safety is never a breach: who held it
                says so in the case.
Source          sheet, 8.1 L3; architecture: orders name units, a safe mode and a time. Tolerances are ours [D].
What else explains it
                emptying and purging that takes longer than was ordered, a wrong load signal, a hold for safety.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, Span
from alerts.rules.learned import REACH_H, learned
from alerts.rules.process_values import channel, has_rows, process_value
from alerts.rules.rule import MAJOR, WARNING, Life, Outcomes, Rule, levels
from alerts.rules.said import asked_of, covered_by, marks_of, safe_by, state_rests
from alerts.rules.signs import KINDS_NEEDED, LOAD_AT_LEAST_PCT, kinds_of, signs
from plant.periods import written
from plant.readings import Truths, Values
from plant.signals import LOAD_PCT, PRODUCTION_KW

NAME: Final = "ordered_state_left"

STANDS_BELOW: Final = 0.5  #: of the usual load or power: a unit that stands hot does not produce [D]
OVER_PCT: Final = 5.0  #: of rated load: control and meters [D]
SLOWED_BELOW: Final = 0.95  #: of the usual: at a longer coking time at least so much less is done [D]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """One quantity against what one unit was ordered; arrays of shape (n_hours,)."""

    order: Span
    asked: Mapping[str, Any]
    what: str
    observed: Values
    limit: Values
    bound: Truths

    @property
    def known(self) -> Truths:
        return self.bound & ~(np.isnan(self.observed) | np.isnan(self.limit))

    @property
    def left(self) -> Truths:
        with np.errstate(invalid="ignore"):
            found: Truths = self.known & (self.observed > self.limit)
        return found


@dataclass(frozen=True, slots=True)
class _Memory:
    teaches: Truths  #: hours in which nobody says that the source rests or is bound
    asked: Truths


def judge(history: History) -> Iterator[Outcomes]:
    n = history.n_hours
    bound = covered_by(history, [Span(start=safe_by(order), end=order.end, kind="") for order in _ours(history)])
    bound &= history.ended
    watched = list(_watched(history)) if bound.any() else []
    known = np.any([one.known for one in watched], axis=0) if watched else np.zeros(n, dtype=bool)
    left = np.array([one.left for one in watched]) if watched else np.zeros((1, n), dtype=bool)
    which = np.argmax(left, axis=0)
    decided = (bound & known) | (~bound & history.ended & has_rows(history))
    level = levels(np.any(left, axis=0), decided, WARNING)
    for one in watched:
        if one.order.kind == "suspend":
            level[one.left] = MAJOR
    hours = np.arange(n)
    nothing = np.full((1, n), np.nan)
    yield Outcomes(
        level=level,
        observed=(np.array([one.observed for one in watched]) if watched else nothing)[which, hours],
        limit=(np.array([one.limit for one in watched]) if watched else nothing)[which, hours],
        evidence=lambda i: {"left": [_quoted(one, i) for one in watched if one.left[i]]},
    )


def _ours(history: History) -> list[Span]:
    """Orders that name a unit of this stack."""
    return [order for order in history.orders if not set(history.stack.units).isdisjoint(asked_of(order))]


def _watched(history: History) -> Iterator[_Watched]:
    teaches = ~(state_rests(history) | covered_by(history, history.orders) | covered_by(history, _stops(history)))
    for order in _ours(history):
        bound = covered_by(history, [Span(start=safe_by(order), end=order.end, kind=order.kind)]) & history.ended
        asked = asked_of(order)
        # What the whole stack shows is the ordered unit's doing where all of its units were ordered.
        whole = set(history.stack.units) <= set(asked)
        for unit in history.stack.units:
            if unit not in asked:
                continue
            for what, observed, limit in _quantities(
                history, asked[unit], _Memory(teaches, bound), unit if not whole else None
            ):
                yield _Watched(order=order, asked=asked[unit], what=what, observed=observed, limit=limit, bound=bound)
            if whole:
                break  # the units share the stack, and what it shows


def _stops(history: History) -> list[Span]:
    return marks_of(history, "stopped")


def _quantities(
    history: History, asked: Mapping[str, Any], memory: _Memory, unit: str | None
) -> Iterator[tuple[str, Values, Values]]:
    """(name, observed, most) of what tells whether the asked state is kept."""
    mode = asked.get("mode", "stop")
    if mode == "stop" and unit is None:
        found = signs(history, ~memory.teaches, memory.asked)
        known, shown = kinds_of(found, shown=False), kinds_of(found, shown=True)
        if found:
            observed = np.where(known >= KINDS_NEEDED, shown, np.nan).astype(np.float64)
            yield "kinds of sign that it runs", observed, np.full(history.n_hours, KINDS_NEEDED - 1.0)
    elif mode in ("stop", "hot_idle"):
        yield from _drives(history, memory, unit, STANDS_BELOW)
    elif mode == "min_coking_time":
        yield from _drives(history, memory, unit, SLOWED_BELOW)
    elif mode == "max_load" and asked.get("value") is not None:
        yield from _loads(history, memory, unit, float(asked["value"]))


def _drives(history: History, memory: _Memory, unit: str | None, share: float) -> Iterator[tuple[str, Values, Values]]:
    """Load, power, or else flow, against a *share* of what is usual."""
    for name in (LOAD_PCT, PRODUCTION_KW):
        process = process_value(history, name, unit=unit)
        if process is not None:
            most = share * learned(history.start, process.mean, memory.teaches, memory.asked).working()
            if name == LOAD_PCT and share == STANDS_BELOW:
                most = np.where(np.isnan(most), LOAD_AT_LEAST_PCT, most)
            yield name, process.mean, most
            return
    flow = channel(history, "flow", "mean")
    if flow is not None and unit is None:
        yield (
            "flow",
            flow,
            max(share, SLOWED_BELOW) * learned(history.start, flow, memory.teaches, memory.asked).working(),
        )


def _loads(
    history: History, memory: _Memory, unit: str | None, most_pct: float
) -> Iterator[tuple[str, Values, Values]]:
    """Load against the ordered one; else power or flow, of which the most that is usual stands for full load."""
    load = process_value(history, LOAD_PCT, unit=unit)
    if load is not None:
        yield LOAD_PCT, load.mean, np.full(history.n_hours, most_pct + OVER_PCT)
        return
    power = process_value(history, PRODUCTION_KW, unit=unit)
    value = power.mean if power is not None else (channel(history, "flow", "mean") if unit is None else None)
    if value is not None:
        full = learned(history.start, value, memory.teaches, memory.asked).quantile(0.95)
        yield (PRODUCTION_KW if power is not None else "flow"), value, full * (most_pct + OVER_PCT) / 100


def _quoted(one: _Watched, i: int) -> dict[str, Any]:
    return {
        "order": one.order.detail.get("order_id"),
        "kind": one.order.kind,
        **{name: one.asked.get(name) for name in ("unit", "mode", "value")},
        "safe_state_by": written(safe_by(one.order)),
        "what": one.what,
        "observed": float(one.observed[i]),
        "at_most": float(one.limit[i]),
    }


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="",
    clause="the order; Order 30 art 8",
    reach_h=REACH_H,
    lead=True,
    life=Life(hold_h=2, keep_h=2, escalate_after_h=24),
)
