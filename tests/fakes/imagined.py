"""Imaginary works for the simulator's tests: one stack of each kind, and what their rows say."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from edge.simulator.catalogue import CATALOGUE
from edge.simulator.faults import HOUR_MS, Fault
from edge.simulator.kinds import KINDS
from edge.simulator.loggers import each_row
from edge.simulator.works import StackPlan, Works
from plant.register import Channel, Stack

BEGIN_MS: Final = 1_793_462_400_000  # 2026-11-01 00:00 at UTC+8
DAY_MS: Final = 24 * HOUR_MS

Rows = dict[str, list[dict[str, Any]]]


def a_stack(
    kind: str, code: str | None = None, *, channels: dict[str, Channel] | None = None, **more: Any
) -> StackPlan:
    code = code or kind
    stack = Stack(
        code=code,
        name=code,
        process=KINDS[kind].outlet,
        packs=("cn-steel-ule-2019",),
        interval_s=60,
        units=(f"U-{code}",),
        channels=channels or {},
        **more,
    )
    return StackPlan(stack=stack, kind=kind)


def a_works(*plans: StackPlan, faults: tuple[Fault, ...] = (), seed: int = 7, step_s: int = 60) -> Works:
    """One stack of each kind unless said otherwise."""
    stacks = plans or tuple(a_stack(kind) for kind in KINDS)
    return Works(
        code="w", seed=seed, stacks=stacks, begin_ms=BEGIN_MS, timezone="Asia/Shanghai", faults=faults, step_s=step_s
    )


def a_fault(kind: str, stack: str, *, after_h: float = 24, hours: float = 24, **more: Any) -> Fault:
    since_ms = BEGIN_MS + round(after_h * HOUR_MS)
    more.setdefault("amount", CATALOGUE[kind].default)
    return Fault(id=kind, kind=kind, stack=stack, since_ms=since_ms, until_ms=since_ms + round(hours * HOUR_MS), **more)


def by_stack(frame: dict[str, Any], number: int) -> Rows:
    rows: Rows = defaultdict(list)
    for row in each_row(frame, number):
        rows[row["stack"]].append(row)
    return rows
