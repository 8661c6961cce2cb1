"""What edges say of themselves and of orders: their retained state, and that an order was seen."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ingestor.intake import Incoming
from ingestor.known import KnownRegister
from plant import topics
from plant.errors import Undecodable
from plant.figures import counts_of, figures_of, is_count, one_line
from plant.identifiers import is_identifier
from store import intake
from store.pool import Connection

logger = logging.getLogger(__name__)

_PARTS: Final = ("agent_file", "hook")
_MOST_SOURCES: Final = 64
_LONGEST_DETAIL: Final = 1_000


async def take_note(conn: Connection, known: KnownRegister, root: str, incoming: Incoming) -> None:
    """An edge's state or its acknowledgement of an order. What cannot be read is said and dropped: it is no data."""
    try:
        speaker = topics.parse(root, incoming.topic)
        site = known.sites.get(speaker.site)
        if site is None:
            raise Undecodable(f"unknown site {speaker.site!r}")
        document = _object(incoming.payload)
        if speaker.kind == topics.STATE:
            state = _state(document)
            await intake.put_edge_state(conn, site.site_id, speaker.edge, state, incoming.received_at)
        elif speaker.kind == topics.ORDER_ACK:
            await intake.put_order_ack(conn, site.site_id, speaker.edge, **_order_ack(document))
    except Undecodable as error:
        logger.warning("message_refused", extra={"topic": incoming.topic, "reason": str(error)})


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Undecodable("no JSON object")
    return document


def _state(document: Mapping[str, Any]) -> dict[str, Any]:
    """The documented fields of an edge's state, and nothing else of what it sent."""
    if not isinstance(document.get("online"), bool):
        raise Undecodable("online must be true or false")
    state: dict[str, Any] = {"online": document["online"], "version": _text(str(document.get("version", "")), 64)}
    for name in ("outbox", "oldest", "dropped"):
        value = document.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 62):
            raise Undecodable(f"{name} must be a whole number or null")
        state[name] = value
    return state | _said(document)


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    """What an edge says of its parts: bounded, printable, and never a reason to refuse the rest of its state."""
    said: dict[str, Any] = {}
    sources = document.get("sources")
    if isinstance(sources, dict):
        well_formed = [(name, part) for name, part in sources.items() if is_identifier(name) and isinstance(part, dict)]
        said["sources"] = {name: _source(part) for name, part in well_formed[:_MOST_SOURCES]}
    for name in _PARTS:
        if isinstance(document.get(name), dict):
            said[name] = _part(document[name])
    return said


def _source(part: Mapping[str, Any]) -> dict[str, Any]:
    restarts, figures = part.get("restarts"), figures_of(part.get("figures"))
    return {
        "kind": _text(part.get("kind", ""), 64),
        **_part(part),
        "tolerated": counts_of(part.get("tolerated")),
        "restarts": restarts if is_count(restarts) else 0,
        **({"figures": figures} if figures else {}),
    }


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"ok": part.get("ok") is True, "detail": _text(part.get("detail", ""), _LONGEST_DETAIL)}


def _text(value: Any, longest: int) -> str:
    return one_line(value, longest) if isinstance(value, str) else ""


def _order_ack(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        ack: dict[str, Any] = {
            "order_id": str(document["order_id"])[:128],
            "version": int(document["version"]),
            "seen_at": datetime.fromisoformat(str(document["seen_at"])),
            "seen_by": str(document["by"])[:128],
        }
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise Undecodable(f"order acknowledgement: {error!r}") from error
    if ack["seen_at"].tzinfo is None or not 1 <= ack["version"] < 1 << 31:
        raise Undecodable("order acknowledgement: seen_at needs an offset, version a whole number")
    if not 1970 < ack["seen_at"].year < 2200:  # the database holds earlier times than Python can read back
        raise Undecodable("order acknowledgement: seen_at is outside of the years 1971 to 2199")
    if not (ack["order_id"].isprintable() and ack["seen_by"].isprintable()):
        raise Undecodable("order acknowledgement: control characters")
    return ack
