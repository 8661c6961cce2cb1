"""What an edge knows of itself, as one document: for the local page, and for programs beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from edge.agent import Edge, installed_version
from edge.agent_file import AgentPlan
from edge.clock import synchronised
from edge.orders import Order, Orders
from edge.outbox import OutboxStats
from edge.supervision import troubled
from plant.broker import BrokerAddress


def status_of(
    plan: AgentPlan,
    edge: Edge,
    broker: BrokerAddress,
    *,
    outbox: OutboxStats,
    now: datetime,
    sources: Mapping[str, Mapping[str, Any]],
    agent_file: Mapping[str, Any],
    hook: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything that a person at the plant may want to know; no password, no row."""
    publisher = edge.publisher.stats
    return {
        "site": plan.site,
        "edge": plan.edge,
        "version": installed_version(),
        "ok": publisher.connected and agent_file["ok"] and not troubled(sources) and (hook is None or hook["ok"]),
        "session": outbox.session,
        "clock": {"now": time_text(now), "zone": time.strftime("%z"), "synchronised": synchronised()},
        "link": {
            "broker": [f"{node.host}:{node.port}" for node in broker.nodes],
            "tls": broker.tls,
            "connected": publisher.connected,
            "connections": publisher.connections,
        },
        "outbox": _outbox(edge, outbox, now),
        "receipt": _receipt(edge),
        "sources": dict(sources),
        "orders": _orders(edge.orders),
        "hook": None if hook is None else dict(hook),
        "agent_file": dict(agent_file),
    }


def time_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _outbox(edge: Edge, stats: OutboxStats, now: datetime) -> dict[str, Any]:
    oldest = stats.oldest_ms
    return {
        "frames": stats.frames,
        "rows": stats.rows,
        "bytes": stats.bytes,
        "max_bytes": edge.outbox.max_bytes,
        "policy": edge.outbox.policy,
        "oldest": oldest,
        "oldest_age_s": None if oldest is None else round(now.timestamp() - oldest / 1000),
        "made": stats.made,
        "dropped": stats.dropped,
        "refused": stats.refused,
    }


def _receipt(edge: Edge) -> dict[str, Any]:
    publisher = edge.publisher.stats
    return {
        "settled_frames": publisher.settled_frames,
        "settled_rows": publisher.settled_rows,
        "in_flight": publisher.in_flight,
        "sent": publisher.sent,
        "sent_again": publisher.resent,
        "last_age_s": publisher.receipt_age_s,
    }


def _orders(orders: Orders | None) -> dict[str, Any]:
    if orders is None:
        return {"followed": False, "version": 0, "issued_at": "", "acknowledged": False, "rejected": 0, "in_force": []}
    listed = orders.current
    rejected_at = orders.last_rejected_at
    return {
        "followed": True,
        "version": listed.version,
        "issued_at": listed.issued_at,
        "acknowledged": orders.acknowledged,
        "rejected": orders.rejected,
        "last_rejection": orders.last_rejection,
        "last_rejected_at": None if rejected_at is None else time_text(rejected_at),
        "in_force": [_order(order) for order in listed.orders],
    }


def _order(order: Order) -> dict[str, Any]:
    times = {"effective_from": order.effective_from, "safe_state_by": order.safe_state_by, "until": order.until}
    return {
        "order_id": order.order_id,
        "case": order.case,
        "order": order.order,
        "units": [{"unit": unit.unit, "mode": unit.mode, "value": unit.value} for unit in order.units],
        **{name: None if moment is None else time_text(moment) for name, moment in times.items()},
        "basis": order.basis,
        "text": order.text,
    }
