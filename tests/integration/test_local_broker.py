from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from plant import topics
from stackwatch.local import access, mqtt_probe
from stackwatch.local.broker import Broker
from stackwatch.local.folder import DataFolder
from stackwatch.local.ports import LOOPBACK, Ports

pytestmark = pytest.mark.anyio

ROOT = topics.DEFAULT_ROOT
DEADLINE_S = 20.0


class Client:
    """A real MQTT client whose waits end."""

    def __init__(self, port: int, user: str | None, password: str | None) -> None:
        self.received: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()
        self._connected = False
        self._granted: dict[int, bool] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.username_pw_set(user, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.connect(LOOPBACK, port)
        self._client.loop_start()
        self._until(lambda: self._connected)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def subscribe(self, topic: str) -> bool:
        """Whether the broker granted it."""
        _, number = self._client.subscribe(topic, qos=1)
        assert number is not None
        self._until(lambda: number in self._granted)
        return self._granted[number]

    def until_received(self, topic: str, payload: bytes) -> None:
        self._until(lambda: (topic, payload) in self.received)

    def _until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S)

    def _on_connect(self, *said: object) -> None:
        with self._changed:
            self._connected = True
            self._changed.notify_all()

    def _on_message(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.received.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()

    def _on_subscribe(self, _: paho.Client, __: object, number: int, codes: list[ReasonCode], ___: object) -> None:
        with self._changed:
            self._granted[number] = not any(code.is_failure for code in codes)
            self._changed.notify_all()


@pytest.fixture
def ports() -> Iterator[Ports]:
    with Ports() as held:
        yield held


@pytest.fixture
async def broker(tmp_path: Path, ports: Ports) -> AsyncIterator[Broker]:
    """A broker with access control and two sites."""
    folder = DataFolder(tmp_path / "data")
    mqtt, nats = ports.take(31_883), ports.take(34_222)
    with folder.locked():
        broker = Broker(folder, mqtt_port=mqtt, nats_port=nats, auth=True, sites=["alpha", "beta"])
        child = await broker.start(lambda: None)
        yield broker
        await child.stop()


def port_of(broker: Broker) -> int:
    return int(broker.url.rsplit(":", 1)[1])


@contextmanager
def clients(broker: Broker, *users: str) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        made = []
        for user in users:
            password = (
                broker.url.split("@")[0].rsplit(":", 1)[1] if user == access.SYSTEM else broker.site_password(user)
            )
            made.append(Client(port_of(broker), user, password))
            stack.callback(made[-1].close)
        yield made


async def test_a_site_can_publish_only_under_its_own_topics(broker: Broker) -> None:
    def story() -> list[tuple[str, bytes]]:
        with clients(broker, access.SYSTEM, "alpha") as (system, alpha):
            assert all(system.subscribe(topic) for topic in topics.subscriptions(ROOT))
            alpha.publish(topics.data(ROOT, "beta", "e1"), b"forged")
            alpha.publish(topics.state(ROOT, "beta", "e1"), b"forged")
            alpha.publish(topics.orders(ROOT, "alpha"), b"forged")
            alpha.publish(topics.receipt(ROOT, "alpha", "e1"), b"forged")
            alpha.publish(f"$MQTT/msgs/{topics.data(ROOT, 'beta', 'e1')}", b"forged")
            for topic in (topics.data, topics.state, topics.order_ack):
                alpha.publish(topic(ROOT, "alpha", "e1"), b"own")
            for topic in (topics.data, topics.state, topics.order_ack):
                system.until_received(topic(ROOT, "alpha", "e1"), b"own")
            return system.received

    received = await asyncio.to_thread(story)
    assert {payload for _, payload in received} == {b"own"}


async def test_a_site_hears_its_own_receipts_and_orders_and_nothing_else(broker: Broker) -> None:
    def story() -> None:
        with clients(broker, access.SYSTEM, "alpha") as (system, alpha):
            assert alpha.subscribe(f"{ROOT}/alpha/+/receipt")
            assert alpha.subscribe(f"{ROOT}/alpha/orders")
            for others in (
                f"{ROOT}/beta/+/receipt",
                f"{ROOT}/beta/orders",
                f"{ROOT}/#",
                f"{ROOT}/+/orders",
                "#",
                "$MQTT/#",
            ):
                assert not alpha.subscribe(others), others
            system.publish(topics.receipt(ROOT, "beta", "e1"), b"for beta")
            system.publish(topics.receipt(ROOT, "alpha", "e1"), b"for alpha")
            system.publish(topics.orders(ROOT, "alpha"), b"orders")
            alpha.until_received(topics.receipt(ROOT, "alpha", "e1"), b"for alpha")
            alpha.until_received(topics.orders(ROOT, "alpha"), b"orders")
            assert {payload for _, payload in alpha.received} == {b"for alpha", b"orders"}

    await asyncio.to_thread(story)


async def test_a_new_site_is_let_in_and_a_removed_one_is_not_without_a_restart(broker: Broker) -> None:
    beta = broker.site_password("beta")
    pid = broker.child and broker.child.identity.pid
    await broker.set_sites(["alpha", "gamma"])
    assert await mqtt_probe.answers(LOOPBACK, port_of(broker), user="gamma", password=broker.site_password("gamma"))
    assert await mqtt_probe.answers(LOOPBACK, port_of(broker), user="alpha", password=broker.site_password("alpha"))
    assert not await mqtt_probe.answers(LOOPBACK, port_of(broker), user="beta", password=beta)
    assert (broker.child and broker.child.identity.pid) == pid


async def test_nobody_gets_in_without_a_password(broker: Broker) -> None:
    port = port_of(broker)
    assert not await mqtt_probe.answers(LOOPBACK, port)
    assert not await mqtt_probe.answers(LOOPBACK, port, user="alpha", password="guess")
    assert not await mqtt_probe.answers(LOOPBACK, port, user=access.SYSTEM, password="")
    assert not await mqtt_probe.answers(LOOPBACK, port, user=access.ANYBODY, password="")


async def test_what_was_retained_is_there_after_the_broker_was_killed(tmp_path: Path, ports: Ports) -> None:
    folder = DataFolder(tmp_path / "data")
    topic = topics.orders(ROOT, "alpha")
    with folder.locked():
        broker = Broker(folder, mqtt_port=ports.take(31_883), nats_port=ports.take(34_222), auth=False)
        child = await broker.start(lambda: None)

        def publish() -> None:
            client = Client(port_of(broker), None, None)
            client._client.publish(topic, b"orders", qos=1, retain=True).wait_for_publish(DEADLINE_S)
            client.close()

        def read() -> None:
            client = Client(port_of(broker), None, None)
            assert client.subscribe(topic)
            client.until_received(topic, b"orders")
            client.close()

        await asyncio.to_thread(publish)
        child.kill()
        await child.exited()
        again = await broker.start(lambda: None)
        await asyncio.to_thread(read)
        await again.stop()
