"""The list of orders in force at a site (contract, section 3), and what an order may ask of a unit.

An order names units, a mode that is safe for each and a time by which it must be reached. It drives nothing:
people at the plant read it and act. A list always holds *all* orders in force, so an edge that missed
one is right again with the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.enforcement.chain import canonical, utc_text
from plant.register import Unit

SAFE_STATE_WITHIN: Final = timedelta(hours=24)
"""From the start of an order to the latest safe state. Ours, not law [D]: a works needs time to run down."""

STOP: Final = "stop"
HOT_IDLE: Final = "hot_idle"
_MAX_LOAD: Final = "max_load"
_NEVER_COLD: Final = ("coke_battery", "coke_oven")
"""Refractory that was heated once breaks when it cools: these idle hot, whatever the register left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMode:
    unit: str
    mode: str
    value: float | None = None

    def document(self) -> dict[str, Any]:
        return {"unit": self.unit, "mode": self.mode, "value": self.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    order_id: str
    case: str
    order: str
    units: tuple[UnitMode, ...]
    effective_from: datetime
    safe_state_by: datetime
    until: datetime | None
    basis: str
    text: str

    def document(self) -> dict[str, Any]:
        return {
            "order_id": self.order_id,
            "case": self.case,
            "order": self.order,
            "units": [unit.document() for unit in self.units],
            "effective_from": utc_text(self.effective_from),
            "safe_state_by": utc_text(self.safe_state_by),
            "until": utc_text(self.until) if self.until else None,
            "basis": self.basis,
            "text": self.text,
        }


def safe_mode(unit: Unit) -> UnitMode:
    """The mode in which *unit* stands still and stays whole.

    >>> safe_mode(Unit(code="K1", kind="coke_battery", modes=("stop", "hot_idle"))).mode
    'hot_idle'
    >>> safe_mode(Unit(code="S1", kind="sinter_strand", modes=("max_load", "stop"))).mode
    'stop'
    """
    if HOT_IDLE in unit.modes or unit.kind in _NEVER_COLD:
        return UnitMode(unit=unit.code, mode=HOT_IDLE)
    mode = STOP if STOP in unit.modes or not unit.modes else unit.modes[0]
    return UnitMode(unit=unit.code, mode=mode, value=0.0 if mode == _MAX_LOAD else None)


def suspension(
    *,
    case: str,
    number: int,
    codes: Sequence[str],
    registered: Mapping[str, Unit],
    basis: str,
    effective_from: datetime,
    safe_state_within: timedelta = SAFE_STATE_WITHIN,
) -> Order:
    """The order to suspend the units *codes* until it is lifted, given by record *number* of *case*.

    A code that is no registered unit is the stack that stands for one: it is asked to stop.
    """
    units = tuple(safe_mode(registered.get(code) or Unit(code=code)) for code in codes)
    safe_state_by = effective_from + safe_state_within
    modes = ", ".join(f"{unit.unit} ({unit.mode})" for unit in units)
    return Order(
        order_id="order-" + hashlib.sha256(f"{case}|{number}".encode()).hexdigest()[:12],
        case=case,
        order="suspend",
        units=units,
        effective_from=effective_from,
        safe_state_by=safe_state_by,
        until=None,
        basis=basis,
        text=(
            f"Suspended for rectification until compliant: {modes}. Safe state by {utc_text(safe_state_by)}. "
            f"Basis: {basis}. Case {case}. Safety of people and plant comes first. / "
            f"停产整治，直至达标：{modes}。最迟于 {utc_text(safe_state_by)} 进入安全状态。"
            f"依据：{basis}。案件 {case}。人员和设备安全优先。"
        ),
    )


def body(*, site: str, version: int, issued_at: datetime, orders: Iterable[Order]) -> str:
    """The JSON text that is signed: every order in force at *site*, oldest first."""
    in_force = sorted(orders, key=lambda order: (order.effective_from, order.order_id))
    return canonical(
        {
            "site": site,
            "version": version,
            "issued_at": utc_text(issued_at),
            "orders": [order.document() for order in in_force],
        }
    )
