"""The broker's side of the ingestor: messages in with the right to acknowledge, receipts out.

paho-mqtt reads the network in a thread of its own and is told to acknowledge by hand (`manual_ack`); aiomqtt
acknowledges before a commit can happen. What is not acknowledged the broker sends again. The broker's in-flight
window is the back-pressure: `Inbox` is at least as large, and blocks the reader if a broker ignores its window.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from ingestor.intake import Incoming, OwedReceipt
from plant import topics
from plant.broker import broker_of
from plant.settings import Settings
from plant.wire import receipt_bytes

logger = logging.getLogger(__name__)

KEEPALIVE_S: Final = 30
BLOCKED_WAIT_S: Final = 0.5
FULL_WINDOW: Final = 2_000  #: unacknowledged messages we ask for; a broker may allow fewer


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, and what is needed to acknowledge it on the connection that brought it."""

    incoming: Incoming
    mid: int
    connection: int


class Inbox:
    """A bounded hand-over from the network's thread to the event loop."""

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self._items: deque[Delivery] = deque()
        self._size = size
        self._loop = loop
        self._room = threading.Condition()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, delivery: Delivery) -> None:
        """Called by the network's thread; waits while the inbox is full, which stops the reading."""
        with self._room:
            while len(self._items) >= self._size and not self._closed:
                self._room.wait(BLOCKED_WAIT_S)
            if self._closed:
                return
            self._items.append(delivery)
            wake = len(self._items) == 1
        if wake:
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def take(self, most: int) -> list[Delivery]:
        """At least one delivery and at most *most*, without waiting longer than for the first."""
        while True:
            await self._arrived.wait()
            with self._room:
                taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
                if not self._items:
                    self._arrived.clear()
                self._room.notify()
            if taken:
                return taken

    def drop_connection(self, connection: int) -> None:
        """Forget what an earlier connection brought: its broker sends it again on the new one."""
        with self._room:
            self._items = deque(item for item in self._items if item.connection == connection)
            self._room.notify()

    def close(self) -> None:
        with self._room:
            self._closed = True
            self._room.notify_all()

    def __len__(self) -> int:
        return len(self._items)


class Subscriber:
    """A context manager: connected, subscribed, reading; and everything again after a loss."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings = settings
        self._inbox = inbox
        self._connection = 0
        self._subscriptions: set[int] = set()
        self.subscribed = threading.Event()
        self.refusal: str | None = None
        address = broker_of(settings)
        self._address = address
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"stackwatch-{settings.ingestor_id}",
            clean_session=False,  # the broker keeps what comes while we are away
            manual_ack=True,
        )
        client.max_inflight_messages_set(FULL_WINDOW)
        client.max_queued_messages_set(FULL_WINDOW)
        client.reconnect_delay_set(min_delay=1, max_delay=15)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set(address.ca_file, address.cert_file, address.key_file)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        self._client = client

    def __enter__(self) -> Subscriber:
        # connect_async: a broker that is not there yet is waited for by the loop, like one that went away.
        self._client.connect_async(self._address.host, self._address.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._inbox.close()
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that *deliveries* are committed.

        A message identifier means something only on the connection that brought it: what came on an earlier one is not
        acknowledged, comes again, and is found to be committed.
        """
        for delivery in deliveries:
            if delivery.connection == self._connection:
                self._client.ack(delivery.mid, 1)

    def publish_receipts(self, owed: Sequence[OwedReceipt]) -> None:
        """Publish retained receipts; one that is lost is overtaken by the next, or asked for by sending again."""
        for receipt in owed:
            topic = topics.receipt(self._settings.topic_root, receipt.site, receipt.edge)
            self._client.publish(topic, receipt_bytes(receipt.receipt), qos=1, retain=True)

    def _on_connect(
        self, client: mqtt.Client, _user: Any, _flags: mqtt.ConnectFlags, code: ReasonCode, _props: Any
    ) -> None:
        if code.is_failure:
            self.refusal = str(code)
            logger.error("broker_refused", extra={"reason": str(code)})
            return
        self.refusal = None
        self._connection += 1
        self._inbox.drop_connection(self._connection)
        result, mid = client.subscribe([(pattern, 1) for pattern in topics.subscriptions(self._settings.topic_root)])
        if result is MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
            self._subscriptions = {mid}

    def _on_subscribe(self, _client: mqtt.Client, _user: Any, mid: int, codes: list[ReasonCode], _props: Any) -> None:
        if mid not in self._subscriptions:
            return
        refused = [str(code) for code in codes if code.is_failure]
        if refused:
            self.refusal = f"subscription refused: {refused[0]}"
            logger.error("subscription_refused", extra={"reason": refused[0]})
        else:
            self.subscribed.set()
            logger.info("subscribed", extra={"root": self._settings.topic_root})

    def _on_disconnect(
        self, _client: mqtt.Client, _user: Any, _flags: mqtt.DisconnectFlags, code: ReasonCode, _props: Any
    ) -> None:
        self.subscribed.clear()
        if code.value != 0:
            logger.warning("broker_lost", extra={"reason": str(code)})

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        incoming = Incoming(message.topic, bytes(message.payload), datetime.now(UTC))
        self._inbox.put(Delivery(incoming, message.mid, self._connection))
