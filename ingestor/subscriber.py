"""The broker's side of the ingestor: messages in with the right to acknowledge, receipts out.

paho-mqtt reads the network in a thread of its own and is told to acknowledge by hand (`manual_ack`); aiomqtt
acknowledges before a commit can happen. What is not acknowledged the broker sends again. The broker's in-flight
window is the back-pressure: `Inbox` is at least as large, and blocks the reader if a broker ignores its window.

MQTT 3.1.1 is enough for an ingestor by itself. A member of a group speaks MQTT 5, which has shared subscriptions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingestor.broker_client import BrokerClient
from ingestor.intake import Incoming, OwedReceipt
from ingestor.sharing import note_filters, share_of
from plant import topics
from plant.broker import BrokerAddress, broker_of
from plant.network_thread import end_thread
from plant.settings import Settings
from plant.wire import receipt_bytes

logger = logging.getLogger(__name__)

KEEPALIVE_S: Final = 30
BLOCKED_WAIT_S: Final = 0.5
FULL_WINDOW: Final = 2_000  #: unacknowledged messages we ask for; a broker may allow fewer
ASK_AGAIN_S: Final = 5.0
FILTERS_AT_ONCE: Final = 100  #: in one packet of a subscription
_NO_MQTT_5: Final = "Unsupported protocol version"
_TAKEN_OVER: Final = 0x8E


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, and what is needed to acknowledge it on the connection that brought it."""

    incoming: Incoming
    mid: int
    connection: int


class Inbox:
    """A bounded hand-over from the network's thread to the event loop.

    A broker that gets no acknowledgement in time sends the same message again under the same identifier. While we
    still hold it that is not taken a second time: else a slow database would fill the inbox with copies, which make it
    slower still.
    """

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self._items: deque[Delivery] = deque()
        self._held: dict[tuple[int, int], Incoming] = {}  # by connection and identifier, until acknowledged
        self._size = size
        self._loop = loop
        self._room = threading.Condition()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, delivery: Delivery) -> None:
        """Called by the network's thread; waits while the inbox is full, which stops the reading."""
        with self._room:
            if self._holds(delivery):
                return
            while len(self._items) >= self._size and not self._closed:
                self._room.wait(BLOCKED_WAIT_S)
            if self._closed:
                return
            self._held[delivery.connection, delivery.mid] = delivery.incoming
            self._items.append(delivery)
            wake = len(self._items) == 1
        if wake:
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def take(self, most: int) -> list[Delivery]:
        """At least one delivery and at most *most*, without waiting longer than for the first."""
        while True:
            await self._arrived.wait()
            if taken := self.take_what_is_there(most):
                return taken

    def take_what_is_there(self, most: int) -> list[Delivery]:
        """At most *most* deliveries, without waiting."""
        with self._room:
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            if not self._items:
                self._arrived.clear()
            self._room.notify()
        return taken

    def let_go(self, deliveries: Sequence[Delivery]) -> None:
        """*deliveries* are about to be acknowledged: their identifiers may come back with other messages."""
        with self._room:
            for delivery in deliveries:
                self._held.pop((delivery.connection, delivery.mid), None)

    def drop_connection(self, connection: int) -> None:
        """Forget what an earlier connection brought: its broker sends it again on the new one."""
        with self._room:
            self._items = deque(item for item in self._items if item.connection == connection)
            self._held = {key: held for key, held in self._held.items() if key[0] == connection}
            self._room.notify()

    def close(self) -> None:
        with self._room:
            self._closed = True
            self._room.notify_all()

    def __len__(self) -> int:
        return len(self._items)

    def _holds(self, delivery: Delivery) -> bool:
        held = self._held.get((delivery.connection, delivery.mid))
        # Compared, not believed: our acknowledgement may be on its way, and the identifier in use for another message.
        return held is not None and (held.topic, held.payload) == (delivery.incoming.topic, delivery.incoming.payload)


class Subscriber:
    """A context manager: connected, subscribed, reading; and everything again after a loss."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings = settings
        self._inbox = inbox
        self.share = share_of(settings)
        self._root = settings.topic_root
        self._connection = 0
        self._lock = threading.Lock()  # of the five below: the event loop and the network's thread change them
        self._data_filters = None if self.share.regions else self.share.data_filters(self._root, {})
        self._asked: frozenset[str] = frozenset()
        self._unanswered: dict[int, list[str]] = {}
        self._refused: set[str] = set()
        self._ended: set[str] = set()
        self.subscribed = threading.Event()
        self.refusal: str | None = None
        self._closing = False
        self._address = broker_of(settings)
        self._node = 0
        self._client = self._new_client(self._address)

    def _new_client(self, address: BrokerAddress) -> BrokerClient:
        client = BrokerClient(
            CallbackAPIVersion.VERSION2,
            client_id=f"stackwatch-{self._settings.ingestor_id}",
            # The broker keeps what comes while we are away. MQTT 5 says how long when it connects.
            clean_session=None if self.share.group else False,
            protocol=mqtt.MQTTv5 if self.share.group else mqtt.MQTTv311,
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
        client.on_connect_fail = lambda *_: self._try_next_node()
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def __enter__(self) -> Subscriber:
        self._aim()
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._inbox.close()
        self._client.disconnect()
        end_thread(self._client)

    def _aim(self) -> None:
        """Say where to connect to next."""
        clean_start: bool | Literal[3] = mqtt.MQTT_CLEAN_START_FIRST_ONLY  # a word of MQTT 5, without effect before
        properties = None
        if self.share.group:
            clean_start = False
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._settings.ingestor_session_s
            properties.ReceiveMaximum = FULL_WINDOW
        node = self._address.node(self._node)
        # connect_async: a broker that is not there yet is waited for by the loop, like one that went away.
        self._client.connect_async(
            node.host, node.port, keepalive=KEEPALIVE_S, clean_start=clean_start, properties=properties
        )

    def _try_next_node(self) -> None:
        """Between two attempts of the network's thread; of a broker that is one, the same again."""
        if self._address.others and not self._closing:
            self._node += 1
            self._aim()

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that *deliveries* are committed.

        A message identifier means something only on the connection that brought it: what came on an earlier one is not
        acknowledged, comes again, and is found to be committed.
        """
        self._inbox.let_go(deliveries)
        self._client.acknowledge(d.mid for d in deliveries if d.connection == self._connection)

    def publish_receipts(self, owed: Sequence[OwedReceipt]) -> None:
        """Publish retained receipts; one that is lost is overtaken by the next, or asked for by sending again."""
        for receipt in owed:
            topic = topics.receipt(self._root, receipt.site, receipt.edge)
            self._client.publish(topic, receipt_bytes(receipt.receipt), qos=1, retain=True)

    def cover(self, data_filters: frozenset[str]) -> None:
        """Take the data of *data_filters* from now on, and of no others."""
        with self._lock:
            self._data_filters = data_filters
            if self._client.is_connected():
                self._ask()

    async def keep_asking(self) -> None:
        """Ask again for what was refused: a cluster that elects a leader refuses for a moment. Until cancelled."""
        while True:
            await asyncio.sleep(ASK_AGAIN_S)
            with self._lock:
                if self._refused and self._client.is_connected():
                    self._asked -= self._refused
                    self._refused, self.refusal = set(), None
                    self._ask()

    def _ask(self) -> None:
        """Make the subscriptions of this connection what is wanted."""
        wanted = note_filters(self._root) | (self._data_filters or frozenset())
        if gone := sorted(self._asked - wanted):
            self._client.unsubscribe(gone)
        new = sorted(wanted - self._asked)
        for start in range(0, len(new), FILTERS_AT_ONCE):
            some = new[start : start + FILTERS_AT_ONCE]
            result, mid = self._client.subscribe([(one, 1) for one in some])
            if result is not MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
                return  # the connection is lost: the next one asks again
            self.subscribed.clear()
            self._unanswered[mid] = some
        if (new or gone) and self._data_filters is not None:
            logger.info("subscribing", extra={"new": len(new), "ended": len(gone), "filters": len(wanted)})
        self._asked = wanted
        self._tell()

    def _tell(self) -> None:
        if not self._unanswered and self._data_filters is not None and self.refusal is None:
            self.subscribed.set()

    def _on_connect(
        self, client: mqtt.Client, _user: Any, _flags: mqtt.ConnectFlags, code: ReasonCode, properties: Any
    ) -> None:
        self.refusal = self._why_refused(code, properties)
        if self.refusal is not None:
            logger.error("broker_refused", extra={"reason": self.refusal})
            return
        self._connection += 1
        self._inbox.drop_connection(self._connection)
        with self._lock:
            self._asked, self._unanswered, self._refused, self._ended = frozenset(), {}, set(), set()
            everything = topics.data(self._root, "+", "+")
            if self._data_filters is not None and everything not in self._data_filters:
                client.unsubscribe(everything)  # of an earlier run that took everything; the session remembers
            self._ask()

    def _why_refused(self, code: ReasonCode, properties: Any) -> str | None:
        if self.share.group and str(code) == _NO_MQTT_5:
            return (
                "the broker speaks no MQTT 5, which STACKWATCH_INGESTOR_GROUP needs: divide the work by"
                " STACKWATCH_INGESTOR_REGIONS or STACKWATCH_INGESTOR_SITES instead"
            )
        if not code.is_failure and self.share.group and getattr(properties, "SharedSubscriptionAvailable", 1) == 0:
            return "the broker has no shared subscriptions, which STACKWATCH_INGESTOR_GROUP needs"
        return str(code) if code.is_failure else None

    def _on_subscribe(self, _client: mqtt.Client, _user: Any, mid: int, codes: list[ReasonCode], _props: Any) -> None:
        with self._lock:
            asked = self._unanswered.pop(mid, None)
            if asked is None:
                return
            reasons = {one: str(code) for one, code in zip(asked, codes, strict=True) if code.is_failure}
            if reasons:
                self._refused |= reasons.keys()
                self.refusal = (
                    f"the broker refused {len(self._refused)} subscriptions ({next(iter(reasons.values()))}):"
                    " its access list, or its limit (of NATS: 65535 divided by max_ack_pending)"
                )
                logger.error("subscription_refused", extra={"reason": self.refusal})
            self._tell()
        if self.subscribed.is_set():
            logger.info("subscribed", extra={"root": self._root, "filters": len(self._asked)})

    def _on_disconnect(
        self, _client: mqtt.Client, _user: Any, _flags: mqtt.DisconnectFlags, code: ReasonCode, _props: Any
    ) -> None:
        self.subscribed.clear()
        if code.value == _TAKEN_OVER:
            self.refusal = "another client took our name: give each ingestor its own STACKWATCH_INGESTOR_ID"
        if code.value != 0:
            logger.warning("broker_lost", extra={"reason": self.refusal or str(code)})
        self._try_next_node()

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        self._end_leftover(message.topic)
        incoming = Incoming(message.topic, bytes(message.payload), datetime.now(UTC))
        self._inbox.put(Delivery(incoming, message.mid, self._connection))

    def _end_leftover(self, topic: str) -> None:
        """Unsubscribe from a site that an earlier run took: its session lives on. What came is stored all the same."""
        if self.share.takes_all_sites or self.share.group or not topic.endswith(f"/{topics.DATA}"):
            return
        with self._lock:
            if self._data_filters is None:
                return
            leftover = topics.data(self._root, topic.removeprefix(f"{self._root}/").partition("/")[0], "+")
            if leftover not in self._data_filters and leftover not in self._ended:
                self._ended.add(leftover)
                self._client.unsubscribe(leftover)
