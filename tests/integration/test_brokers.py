"""What we ask of a broker beyond MQTT: it keeps all for a session that is away, and its window is wide."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from plant.broker import broker_address
from services.waiting import wait_until

MISSED: Final = 3_000  #: more than Mosquitto keeps for one session if it is not told otherwise (1000)
WINDOW: Final = 1_500  #: more than it hands out unacknowledged (20); our inbox holds 2000
DEADLINE_S: Final = 60.0


class Subscriber:
    """A session that outlives its connection; it acknowledges only what it is told to."""

    def __init__(self, url: str, topic: str) -> None:
        self._url = url
        self._topic = topic
        self.held: dict[int, mqtt.MQTTMessage] = {}  #: by what they say, the unacknowledged ones
        self._client: mqtt.Client | None = None

    @contextmanager
    def connected(self) -> Iterator[None]:
        address, there = broker_address(self._url), threading.Event()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"away-{self._topic.replace('/', '-')}",
            clean_session=False,
            manual_ack=True,
        )
        client.on_subscribe = lambda *_: there.set()
        client.on_message = lambda _client, _data, message: self.held.update({int(message.payload): message})
        client.connect(address.host, address.port)
        client.loop_start()
        try:
            client.subscribe(self._topic, qos=1)
            assert there.wait(DEADLINE_S)
            self._client = client
            yield
        finally:
            client.disconnect()
            client.loop_stop()

    def acknowledge(self) -> set[int]:
        """Acknowledge what is held, and hold it no longer; what it was."""
        assert self._client is not None
        taken = {number: self.held.pop(number) for number in tuple(self.held)}
        for message in taken.values():
            self._client.ack(message.mid, message.qos)
        return set(taken)


def publish(url: str, topic: str, numbers: range) -> None:
    address = broker_address(url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(500)
    client.connect(address.host, address.port)
    client.loop_start()
    try:
        for sent in [client.publish(topic, str(number), qos=1) for number in numbers]:
            sent.wait_for_publish(DEADLINE_S)
            assert sent.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def subscriber(mqtt_url: str, topic_root: str) -> Subscriber:
    return Subscriber(mqtt_url, f"{topic_root}/works/e1/data")


def test_a_session_that_is_away_misses_nothing(mqtt_url: str, topic_root: str, subscriber: Subscriber) -> None:
    seen: set[int] = set()

    def everything() -> bool:
        seen.update(subscriber.acknowledge())
        return len(seen) == MISSED

    with subscriber.connected():
        pass
    publish(mqtt_url, f"{topic_root}/works/e1/data", range(MISSED))
    with subscriber.connected():
        assert wait_until(everything, DEADLINE_S), f"{len(seen)} of {MISSED} came"


def test_a_slow_ingestor_is_handed_a_whole_inbox_before_it_acknowledges(
    mqtt_url: str, topic_root: str, subscriber: Subscriber
) -> None:
    with subscriber.connected():
        publish(mqtt_url, f"{topic_root}/works/e1/data", range(WINDOW))
        assert wait_until(lambda: len(subscriber.held) == WINDOW, DEADLINE_S), f"{len(subscriber.held)} came"
        subscriber.acknowledge()
