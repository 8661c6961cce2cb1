"""An ingestor without a database: keeps rows by their key and gives receipts, as the contract says.

Its memory stands for the database: it survives `away`, in which nothing is received.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from plant import topics, wire


class ReceiptingIngestor:
    """Use as a context manager; `rows` maps (stack, sampled_at) to how often it came."""

    def __init__(self, mqtt_url: str, root: str) -> None:
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self.copies = 0
        self.payloads: list[bytes] = []
        self.states: list[dict[str, Any]] = []
        self.acks: list[dict[str, Any]] = []
        self.frames: dict[str, list[int]] = {}
        self.lose: set[int] = set()  # sequence numbers that vanish once, as from a broker without a disk
        self.refuse: dict[int, str] = {}
        self._settled: dict[tuple[str, str, str], set[int]] = {}
        self._root = root
        self._url = urlsplit(mqtt_url)
        self._client: mqtt.Client | None = None

    def __enter__(self) -> ReceiptingIngestor:
        subscribed = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"fake-{self._root.replace('/', '-')}")
        client.reconnect_delay_set(1, 1)

        def on_connect(session: mqtt.Client, _data: object, _flags: object, _code: object, _properties: object) -> None:
            session.subscribe([(topic, 1) for topic in topics.subscriptions(self._root)])

        client.on_connect = on_connect
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _client, _data, message: self._receive(message.topic, bytes(message.payload))
        client.connect(self._url.hostname or "", self._url.port or 1883)
        client.loop_start()
        self._client = client
        if not subscribed.wait(10):
            raise TimeoutError("the fake ingestor could not subscribe")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._client is not None
        self._client.disconnect()
        self._client.loop_stop()
        self._client = None

    @contextmanager
    def away(self) -> Iterator[None]:
        self.__exit__()
        yield
        self.__enter__()

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        assert self._client is not None
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def _receive(self, topic: str, payload: bytes) -> None:
        speaker = topics.parse(self._root, topic)
        document = json.loads(payload)
        if speaker.kind == topics.STATE:
            self.states.append(document)
        elif speaker.kind == topics.ORDER_ACK:
            self.acks.append(document)
        else:
            self._take(speaker, document, payload)

    def _take(self, speaker: topics.Speaker, frame: dict[str, Any], payload: bytes) -> None:
        session, seq = frame["session"], frame["seq"]
        if seq in self.lose:
            self.lose.discard(seq)
            return
        self.payloads.append(payload)
        self.frames.setdefault(session, []).append(seq)
        if seq not in self.refuse:
            self._store(frame)
        settled = self._settled.setdefault((speaker.site, speaker.edge, session), set())
        settled.add(seq)
        settled.update(range(1, frame["low"]))
        through = 0
        while through + 1 in settled:
            through += 1
        receipt = wire.Receipt(
            session=session,
            through=through,
            also=tuple(sorted(seq for seq in settled if seq > through)),
            refused=tuple({"seq": seq, "rows": [], "reason": why} for seq, why in self.refuse.items()),
        )
        assert self._client is not None
        self._client.publish(
            topics.receipt(self._root, speaker.site, speaker.edge), wire.receipt_bytes(receipt), qos=1, retain=True
        )

    def _store(self, frame: dict[str, Any]) -> None:
        times = frame["sampled_at"]
        lists = {name: value for name, value in frame.items() if isinstance(value, list)}
        assert {len(values) for values in lists.values()} == {len(times)}
        for index in range(len(times)):
            row = {name: values[index] for name, values in lists.items()}
            row |= {name: frame[name] for name in ("stack", "state", "flag") if isinstance(frame.get(name), str)}
            identity = (row["stack"], row["sampled_at"])
            earlier = self.rows.get(identity)
            assert earlier is None or earlier == row, f"another value for {identity}"
            self.copies += earlier is not None
            self.rows[identity] = row
