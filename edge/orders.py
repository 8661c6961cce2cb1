"""The orders in force at a site: verified, remembered, shown, acknowledged.

An edge believes a list only for the Ed25519 signature over the bytes of its `body` (contract, section 3), not
for the topic or the broker. It keeps the newest list on disk, so that an older one is rejected after a
restart too. It shows orders and drives nothing; who reads `current` may be a person's screen or, at an
imaginary works, the simulator.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.keeping import write_whole
from edge.link import Link
from edge.waiting import set_within
from plant import topics, wire
from plant.errors import BadDocument, Fault, PlantError, Unavailable

logger = logging.getLogger(__name__)

_ACK_RETRY_S: Final = 5.0


class RejectedOrders(PlantError):
    """A list of orders that is not to be believed. Keep the one that was known before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOrder:
    """What one unit is told: the safe mode to reach, with a value where the mode has one."""

    unit: str
    mode: str
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    order_id: str
    case: str
    order: str
    units: tuple[UnitOrder, ...]
    effective_from: datetime | None
    safe_state_by: datetime | None
    until: datetime | None
    basis: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderList:
    """All orders in force at one site. Version 0 is the list nobody has sent yet."""

    site: str
    version: int
    issued_at: str = ""
    orders: tuple[Order, ...] = ()
    body: str = field(default="", repr=False)


def public_key_from(text: str) -> Ed25519PublicKey:
    """The key in base64 *text*; `BadDocument` where it is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        fault = Fault("", "must be the 32 bytes of an Ed25519 key in base64")
        raise BadDocument("order public key", [fault]) from error


def read_orders(payload: bytes, *, key: Ed25519PublicKey, site: str, known: OrderList) -> OrderList:
    """The list in *payload*, if it is signed, for *site* and not older than *known*; else `RejectedOrders`."""
    try:
        envelope = json.loads(payload)
        body, signature = envelope["body"], base64.b64decode(envelope["signature"], validate=True)
        key.verify(signature, body.encode())
    except InvalidSignature:
        raise RejectedOrders("the signature does not fit") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RejectedOrders(f"no signed list of orders: {error!r}") from error
    try:
        listed = _list_from(json.loads(body), body)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise RejectedOrders(f"the signed body is no list of orders: {error!r}") from error
    if listed.site != site:
        raise RejectedOrders(f"the list is for site {listed.site!r}")
    if listed.version < known.version:
        raise RejectedOrders(f"version {listed.version} is older than {known.version}")
    if listed.version == known.version and known.body and listed.body != known.body:
        raise RejectedOrders(f"another list of version {listed.version} is known")
    return listed


class Orders:
    """Follows the orders of one site while entered. Make it before its link is entered."""

    def __init__(
        self,
        link: Link,
        *,
        root: str,
        site: str,
        edge: str,
        public_key: str,
        memory: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.rejected = 0
        self.last_rejection: str | None = None  #: why the last of them was
        self.last_rejected_at: datetime | None = None
        self._link = link
        self._site = site
        self._edge = edge
        self._key = public_key_from(public_key)
        self._memory = memory
        self._ack_topic = topics.order_ack(root, site, edge)
        self._followers: list[Callable[[OrderList], None]] = []
        self._now = now
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._current, self._acked, self._seen_at = self._remembered()
        link.subscribe(topics.orders(root, site), self._list_came)
        link.on_change(self._wake.set)

    async def __aenter__(self) -> Orders:
        self._wake.set()
        self._task = asyncio.create_task(self._acknowledge(), name=f"order-acks {self._site}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def current(self) -> OrderList:
        """The orders in force as far as this edge knows."""
        return self._current

    @property
    def acknowledged(self) -> bool:
        """Whether the broker has our answer to the current list."""
        return self._acked

    def follow(self, follower: Callable[[OrderList], None]) -> Callable[[], None]:
        """Call *follower* with the list that is known, if any, and in the event loop with each that is news.

        Call what is returned to end that.
        """
        self._followers.append(follower)
        if self._current.version > 0:
            follower(self._current)
        return lambda: self._followers.remove(follower)

    async def version_reached(self, version: int, *, deadline_s: float) -> OrderList:
        """Wait until the list has at least *version*; `Unavailable` when it has not in time."""
        end = time.monotonic() + deadline_s
        while self._current.version < version:
            left = end - time.monotonic()
            if left <= 0:
                raise Unavailable(f"no list of orders of version {version} after {deadline_s:g} s")
            await set_within(self._changed, left)
        return self._current

    def _list_came(self, payload: bytes) -> None:
        try:
            listed = read_orders(payload, key=self._key, site=self._site, known=self._current)
        except RejectedOrders as error:
            self.rejected += 1
            self.last_rejection, self.last_rejected_at = str(error), self._now()
            logger.error("orders_rejected", extra={"site": self._site, "reason": str(error)})
            return
        if listed.body == self._current.body:
            return
        self._current, self._acked, self._seen_at = listed, False, self._now()
        self._remember()
        logger.info(
            "orders_changed",
            extra={"site": self._site, "version": listed.version, "orders": len(listed.orders)},
        )
        for follower in tuple(self._followers):
            follower(listed)
        self._wake.set()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _acknowledge(self) -> None:
        """Answer each new list once the broker has the answers; again after a crash, which is harmless."""
        while True:
            self._wake.clear()
            listed = self._current
            if not self._acked and self._link.connected:
                try:
                    for order in listed.orders:
                        await self._link.deliver(self._ack_topic, self._ack(order, listed.version))
                except Unavailable as error:
                    logger.warning("order_ack_delayed", extra={"reason": str(error)})
                else:
                    if listed is self._current:
                        self._acked = True
                        self._remember()
            await set_within(self._wake, _ACK_RETRY_S)

    def _ack(self, order: Order, version: int) -> bytes:
        seen_at = self._seen_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return wire.encode({"order_id": order.order_id, "version": version, "seen_at": seen_at, "by": self._edge})

    def _remembered(self) -> tuple[OrderList, bool, datetime]:
        nothing = OrderList(site=self._site, version=0)
        try:
            kept = json.loads(self._memory.read_text())
            listed = _list_from(json.loads(kept["body"]), kept["body"])
            seen_at = datetime.fromisoformat(kept["seen_at"])
            acked = bool(kept["acked"])
        except FileNotFoundError:
            return nothing, True, self._now()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            # Written whole or not at all: a person changed it. The broker holds the list; its age guard is lost.
            logger.error("order_memory_unreadable", extra={"path": str(self._memory), "reason": repr(error)})
            return nothing, True, self._now()
        return (listed, acked, seen_at) if listed.site == self._site else (nothing, True, self._now())

    def _remember(self) -> None:
        seen_at = self._seen_at.isoformat()
        text = json.dumps({"body": self._current.body, "acked": self._acked, "seen_at": seen_at})
        try:
            write_whole(self._memory, text)
        except OSError as error:
            logger.error("order_memory_not_written", extra={"path": str(self._memory), "reason": str(error)})


def _list_from(body: Mapping[str, Any], text: str) -> OrderList:
    version = body["version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"version must be a whole number from 1, got {version!r}")
    return OrderList(
        site=str(body["site"]),
        version=version,
        issued_at=str(body["issued_at"]),
        orders=tuple(_order_from(order) for order in body["orders"]),
        body=text,
    )


def _order_from(order: Mapping[str, Any]) -> Order:
    return Order(
        order_id=str(order["order_id"]),
        case=str(order["case"]),
        order=str(order["order"]),
        units=tuple(
            UnitOrder(unit=str(unit["unit"]), mode=str(unit["mode"]), value=_number(unit.get("value")))
            for unit in order["units"]
        ),
        effective_from=_time(order.get("effective_from")),
        safe_state_by=_time(order.get("safe_state_by")),
        until=_time(order.get("until")),
        basis=str(order.get("basis") or ""),
        text=str(order.get("text") or ""),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"time {value!r} has no offset")
    return moment
