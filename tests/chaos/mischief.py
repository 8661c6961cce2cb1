"""A client that means ill, or a bad broker: what was published comes again, later, twice, in disorder."""

from __future__ import annotations

import threading
from collections import deque
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from plant import topics

_HELD: Final = 3_000


class Mischief:
    """Listens to what edges publish while it is entered, and says it again when asked to."""

    def __init__(self, mqtt_url: str, root: str) -> None:
        url = urlsplit(mqtt_url)
        self.repeated = 0
        self.speakers: set[str] = set()  #: topics on which something was heard
        self._address = (url.hostname or "", url.port or 1883)
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=_HELD)
        self._known: set[int] = set()  # by hash: what we say ourselves is not heard again
        self._lock = threading.Lock()
        self._pattern = topics.data(root, "+", "+")
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"mischief-{root.replace('/', '-')}")
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._connected
        client.on_message = self._came
        self._client = client

    def __enter__(self) -> Mischief:
        self._client.connect_async(*self._address)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def repeat(self, frames: int, rng: Random, *, in_order: bool) -> int:
        """Publish some of what was heard again: the newest as it came, or any of it in disorder, some twice."""
        with self._lock:
            heard = list(self._heard)
        chosen = heard[-frames:] if in_order else rng.choices(heard, k=frames) if heard else []
        said = sum(
            self._client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS
            for topic, payload in chosen
        )
        self.repeated += said
        return said

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(self._pattern, qos=1)

    def _came(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        known = hash((message.topic, payload))
        with self._lock:
            self.speakers.add(message.topic)
            if known not in self._known:
                self._known.add(known)
                self._heard.append((message.topic, payload))
