"""What a person of the agency does to a case: checked, recorded and, where it concerns the plant, sent.

Everything happens in the caller's transaction: the record, the case's state, the order, the new list of
orders and the message that is owed to the plant are committed together or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.enforcement.conditions import (
    SUSPEND,
    CleanRun,
    Hour,
    clean_runs,
    instrument,
    instrument_numbers,
    may_lift,
    standing,
)
from alerts.enforcement.history import Entry, History, append, checked_evidence, checked_text, load, move
from alerts.enforcement.opening import alert_numbers
from alerts.enforcement.orders import Order, UnitMode, body, suspension
from alerts.enforcement.pins import watched_from
from alerts.enforcement.workflow import Action, Step, action_named, apply
from plant.errors import NotFound
from store import cases, orders, outgoing
from store.pool import Connection
from store.register import RegisteredSite, site_by_code

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """One act while it is carried out."""

    case: cases.Case
    history: History
    step: Step
    registered: RegisteredSite
    at: datetime  #: by the site's clock
    now: datetime

    @property
    def number(self) -> int:
        """The number that the record of this act will have."""
        return len(self.history.bodies) + 1


async def act(
    conn: Connection,
    *,
    case_id: str,
    actor: str,
    roles: Collection[str],
    action: str,
    reason: str,
    evidence: Sequence[Any] = (),
    now: datetime,
) -> None:
    """Carry out *action* on a case. At a simulated site the act is dated by the site's own clock.

    Raises
    ------
    NotFound
        If there is no such case. Whether it is in somebody's scope is the caller's question.
    RoleMissing, IllegalTransition, Refused
        If it may not be done by these roles, in this state, or under these conditions. Nothing was changed.
    BadDocument
        If there is no such action, no reason, or evidence that cannot be kept.
    """
    wanted = action_named(action)
    reason = checked_text("reason", reason)
    kept = checked_evidence(evidence)
    case = await cases.lock(conn, case_id)
    if case is None:
        raise NotFound(f"there is no case {case_id!r}")
    history = await load(conn, case)
    step = apply(history.state, wanted, roles)
    registered = await site_by_code(conn, case.site)
    assert registered is not None, "a case's site cannot be deleted"
    at = await cases.simulated_clock(conn, case.site_id) or now
    doing = _Act(case=case, history=history, step=step, registered=registered, at=at, now=now)
    entry = Entry(
        action=step.action,
        before=step.before,
        after=step.after,
        role=step.role,
        actor=checked_text("actor", actor),
        at=at,
        recorded_at=now,
        reason=reason,
        evidence=kept,
        numbers=await _carry_out(conn, doing),
    )
    await append(conn, case, history, entry)
    await move(conn, case, entry, registered.site.zone)
    logger.info("case_moved", extra={"case_id": case_id, "site": case.site, "action": action, "state": step.after})


async def _carry_out(conn: Connection, act: _Act) -> dict[str, Any]:
    """Check what must hold, write what follows for the plant; the numbers it was decided on."""
    match act.step.action:
        case Action.DECIDE:
            return {**await _findings(conn, act), "instrument": _basis(act)[1]}
        case Action.SERVE:
            return await _serve(conn, act)
        case Action.PERMIT_TRIAL:
            return await _permit_trial(conn, act)
        case Action.LIFT:
            return await _lift(conn, act)
        case Action.DISMISS:
            return await _findings(conn, act, must_stand=False)
        case _:
            return await _findings(conn, act)


async def _findings(conn: Connection, act: _Act, *, must_stand: bool = True) -> dict[str, Any]:
    documents = (await cases.alerts(conn, [act.case.case_id]))[act.case.case_id]
    if must_stand:
        standing(documents)
    return {"alerts": [alert_numbers(document) for document in documents]}


def _basis(act: _Act) -> tuple[str, dict[str, Any]]:
    """The citation of what a suspension rests on today, and its numbers."""
    on = act.at.astimezone(act.registered.site.zone).date()
    text = instrument(act.registered.region, SUSPEND, on)
    return text.citation(), instrument_numbers(text, on)


async def _serve(conn: Connection, act: _Act) -> dict[str, Any]:
    findings = await _findings(conn, act)
    citation, numbers = _basis(act)
    order = suspension(
        case=act.case.case_id,
        number=act.number,
        codes=act.case.units,
        registered={unit.code: unit for unit in act.registered.site.units},
        basis=citation,
        effective_from=act.at,
    )
    await orders.lock_site(conn, act.case.site_id)
    await orders.insert(
        conn,
        order_id=order.order_id,
        case_id=order.case,
        site_id=act.case.site_id,
        kind=order.order,
        units=[unit.document() for unit in order.units],
        effective_from=order.effective_from,
        safe_state_by=order.safe_state_by,
        until=order.until,
        basis=order.basis,
        text=order.text,
    )
    version = await _issue(conn, act)
    return {**findings, "instrument": numbers, "order": order.document(), "list_version": version}


async def _permit_trial(conn: Connection, act: _Act) -> dict[str, Any]:
    """End the order, so that the unit may run and show clean hours."""
    pinned = act.case.pinned
    return {
        **await _end_orders(conn, act),
        "required": pinned["policy"]["lift_after_clean_hours"],
        "watched": pinned["watched"],
    }


async def _lift(conn: Connection, act: _Act) -> dict[str, Any]:
    runs = await trial_runs(conn, act.case, act.history, act.registered)
    may_lift(runs)
    left_out = sorted({item["stack"] for item in act.case.pinned["watched"]} - {run.watched.stack for run in runs})
    return {
        **await _end_orders(conn, act),
        "required": act.case.pinned["policy"]["lift_after_clean_hours"],
        "series": [run.numbers() for run in runs],
        "withdrawn_stacks": left_out,
    }


async def trial_runs(
    conn: Connection, case: cases.Case, history: History, registered: RegisteredSite
) -> list[CleanRun]:
    """How clean the hours of the running trial are, per stack and pollutant that the case watches.

    A stack that was withdrawn from the register since can show no hour and is left out.
    """
    began = history.newest(Action.PERMIT_TRIAL)
    assert began is not None, "only a trial has clean hours"
    since = datetime.fromisoformat(began["at"])
    series = [item for item in watched_from(case.pinned) if item.stack in registered.stack_ids]
    rows = await cases.final_hours(conn, case.site_id, sorted({item.stack for item in series}), since)
    hours = [
        Hour(
            stack=row.stack,
            pollutant=row.pollutant,
            pack=row.pack,
            pack_version=row.pack_version,
            start=row.start,
            verdict=row.verdict,
            reason=row.reason,
            corrected=row.corrected,
            limit=row.limit_value,
            revision=row.revision,
        )
        for row in rows
    ]
    return clean_runs(series, hours, case.pinned["policy"]["lift_after_clean_hours"])


async def _end_orders(conn: Connection, act: _Act) -> dict[str, Any]:
    """End the case's orders and issue the list without them; which, and in which version."""
    await orders.lock_site(conn, act.case.site_id)
    ended = await orders.end_of_case(conn, act.case.case_id, act.at)
    return {"orders_ended": ended, "list_version": await _issue(conn, act) if ended else None}


async def _issue(conn: Connection, act: _Act) -> int:
    """Issue the list of all orders now in force at the site, and owe it to the plant."""
    site, site_id = act.case.site, act.case.site_id
    version = await orders.next_version(conn, site_id)
    in_force = [_order(row) for row in await orders.in_force(conn, site_id)]
    text = body(site=site, version=version, issued_at=act.now, orders=in_force)
    await orders.issue(conn, site_id, version=version, body=text, issued_at=act.now)
    await outgoing.insert(
        conn, outgoing_id=f"orders-{site}-{version}", kind="orders", address=f"{site}/orders", payload=text
    )
    return version


def _order(row: orders.OrderRow) -> Order:
    return Order(
        order_id=row.order_id,
        case=row.case_id,
        order=row.kind,
        units=tuple(UnitMode(**unit) for unit in row.units),
        effective_from=row.effective_from,
        safe_state_by=row.safe_state_by,
        until=row.until,
        basis=row.basis,
        text=row.text,
    )
