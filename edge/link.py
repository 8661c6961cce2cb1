"""One MQTT connection of an edge that always comes back: paho's client under asyncio.

paho runs its own network thread; everything it says is handed to the event loop, where the handlers
run. Each connection is a fresh client with a clean session: the outbox is the memory, never the broker
or this module. What is published while there is no connection is the caller's to send again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from plant.broker import BrokerAddress
from plant.errors import Unavailable
from plant.network_thread import end_thread
from plant.retry import delay_s

logger = logging.getLogger(__name__)

Handler = Callable[[bytes], None]

_CONNECT_TIMEOUT_S: Final = 5.0
_KEEPALIVE_S: Final = 15  # a half-open connection is noticed within 1.5 of it
_ASK_AGAIN_S: Final = 5.0  # for a subscription that was refused
_RETAINED_EVERY_S: Final = 300.0  # what is retained, the orders above all, is asked for again
_STABLE_S: Final = 10.0  # a connection that lasted so long ends the growing of delays


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says in our name, retained, when the connection is lost."""

    topic: str
    payload: bytes


class Link:
    """Holds a connection while it is entered. Use from one event loop only."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        rng: Random,
        will: Will | None = None,
        max_unacknowledged: int = 512,
    ) -> None:
        self.connections = 0  #: how many there have been: after a new one everything unsettled is sent again
        self._address = address
        self._client_id = client_id
        self._rng = rng
        # The edges of a country must not all begin at the node that is written first.
        self._node = rng.randrange(len(address.nodes))
        self._will = will
        self._refused = False  # whether a subscription of this connection was
        self._max_unacknowledged = max_unacknowledged
        self._handlers: dict[str, Handler] = {}
        self._listeners: list[Callable[[], None]] = []
        self._client: mqtt.Client | None = None
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Link:
        self._task = asyncio.create_task(self._run(), name=f"link {self._client_id}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def connected(self) -> bool:
        return self._client is not None

    def check(self) -> None:
        """Raise what ended the link, if anything did."""
        if self._task is not None and self._task.done():
            self._task.result()

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Call *handler* in the event loop with each payload on *topic* (no wildcards), after reconnecting too."""
        self._handlers[topic] = handler
        if self._client is not None:
            self._client.subscribe(topic, qos=1)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call *listener* in the event loop when the connection has come or gone."""
        self._listeners.append(listener)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand *payload* over at QoS 1; False when there is no connection or the broker does not keep up."""
        return self._publish(topic, payload, retain) is not None

    async def deliver(self, topic: str, payload: bytes, *, retain: bool = False, deadline_s: float = 10.0) -> None:
        """Publish and wait until the broker has it; `Unavailable` when it has not in time."""
        mid = self._publish(topic, payload, retain)
        if mid is None:
            raise Unavailable("no connection to the broker")
        answer = self._awaited[mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(deadline_s):
                await answer
        except TimeoutError as error:
            raise Unavailable(f"the broker did not acknowledge within {deadline_s:g} s") from error
        finally:
            self._awaited.pop(mid, None)

    def _publish(self, topic: str, payload: bytes, retain: bool) -> int | None:
        if self._client is None:
            return None
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    async def _run(self) -> None:
        attempt = 0
        while True:
            began = time.monotonic()
            try:
                await self._hold_connection()
            except Unavailable as error:
                logger.warning("broker_unavailable", extra={"reason": str(error), "attempt": attempt})
            attempt = 0 if time.monotonic() - began > _STABLE_S else attempt + 1
            await asyncio.sleep(delay_s(attempt, self._rng))

    async def _hold_connection(self) -> None:
        """Connect, subscribe and stay; always ends by `Unavailable` or cancellation."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        lost: asyncio.Future[None] = loop.create_future()
        client = self._new_client(loop, ready, lost)
        address, self._node = self._address.node(self._node), self._node + 1
        try:
            await self._connect(client, address)
            client.loop_start()
            async with asyncio.timeout(2 * _CONNECT_TIMEOUT_S):
                await ready
            self._client = client
            self.connections += 1
            logger.info("broker_connected", extra={"host": address.host, "port": address.port})
            self._changed()
            await self._stay(client, lost)
        except TimeoutError as error:
            raise Unavailable("the broker did not answer") from error
        finally:
            for future in (ready, lost):
                future.cancel()
            self._client = None
            for answer in self._awaited.values():
                if not answer.done():
                    answer.set_exception(Unavailable("the connection to the broker was lost"))
            self._changed()
            client.disconnect()
            await asyncio.to_thread(end_thread, client)

    async def _stay(self, client: mqtt.Client, lost: asyncio.Future[None]) -> None:
        """Subscribe until the connection is lost: soon again where it was refused, and now and then in any case.

        A cluster that elects a leader refuses for a moment, or grants and then says nothing of what it retains.
        """
        asked_at, self._refused = float("-inf"), False
        while not lost.done():
            if self._refused or time.monotonic() - asked_at >= _RETAINED_EVERY_S:
                asked_at, self._refused = time.monotonic(), False
                for topic in self._handlers:
                    client.subscribe(topic, qos=1)
            await asyncio.wait([lost], timeout=_ASK_AGAIN_S)
        lost.result()

    def _subscription_refused(self, reason: str) -> None:
        self._refused = True
        logger.error("subscription_refused", extra={"reason": reason})

    def _new_client(
        self, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None], lost: asyncio.Future[None]
    ) -> mqtt.Client:
        address = self._address
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(self._max_unacknowledged)
        client.max_queued_messages_set(self._max_unacknowledged)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)

        def hand_over(call: Callable[..., None], *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended: nobody is left to tell
                loop.call_soon_threadsafe(call, *arguments)

        def connected(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
            hand_over(_answer, ready, f"the broker refused: {code}" if code.is_failure else None)

        def disconnected(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
            reason = f"the connection was lost: {code}"
            hand_over(_answer, ready, reason)
            hand_over(_answer, lost, reason)

        def subscribed(_client: Any, _data: Any, _mid: Any, codes: Any, _properties: Any) -> None:
            for code in codes:
                if code.is_failure:
                    hand_over(self._subscription_refused, str(code))

        client.on_connect = connected
        client.on_disconnect = disconnected
        client.on_subscribe = subscribed
        client.on_publish = lambda _client, _data, mid, _code, _properties: hand_over(self._acknowledged, mid)
        client.on_message = lambda _client, _data, message: hand_over(self._received, message.topic, message.payload)
        return client

    async def _connect(self, client: mqtt.Client, address: BrokerAddress) -> None:
        def connect() -> None:
            if address.tls:
                client.tls_set(address.ca_file, address.cert_file, address.key_file)
            client.connect(address.host, address.port, _KEEPALIVE_S)

        connecting = asyncio.ensure_future(asyncio.to_thread(connect))
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # The thread cannot be interrupted; its own time limit ends it, and then the socket can be closed.
            await asyncio.wait([connecting], timeout=2 * _CONNECT_TIMEOUT_S)
            if connecting.done() and not connecting.cancelled():
                connecting.exception()
            raise
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"{address.host}:{address.port}: {error}") from error

    def _acknowledged(self, mid: int) -> None:
        answer = self._awaited.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(None)

    def _received(self, topic: str, payload: bytes) -> None:
        handler = self._handlers.get(topic)
        if handler is not None:
            handler(payload)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()


def _answer(future: asyncio.Future[None], failure: str | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(Unavailable(failure))
