"""What stands for the system where an edge alone is measured: takes frames, keeps nothing, and gives receipts.

As an ingestor does, it answers what came within a twentieth of a second by one receipt.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from plant import topics, wire
from plant.broker import broker_address

GATHER_S: Final = 0.05
_HEAD: Final = re.compile(rb'"session":"([^"]+)","seq":(\d+),"low":(\d+)')
_CONNECTED_WITHIN_S: Final = 10.0


class Receipter:
    """What is settled of the one session of one edge."""

    def __init__(self) -> None:
        self.frames = 0
        self._session = ""
        self._through = 0
        self._above: set[int] = set()
        self._lock = threading.Lock()

    def take(self, payload: bytes) -> None:
        found = _HEAD.search(payload, 0, 300)
        if found is None:
            raise ValueError("a frame without a head")
        with self._lock:
            self.frames += 1
            self._session = found[1].decode()
            self._through = max(self._through, int(found[3]) - 1)
            self._above.add(int(found[2]))
            while self._through + 1 in self._above:
                self._through += 1
                self._above.remove(self._through)

    def receipt(self) -> bytes:
        with self._lock:
            also = tuple(sorted(seq for seq in self._above if seq > self._through))
            return wire.receipt_bytes(wire.Receipt(session=self._session, through=self._through, also=also))


@contextmanager
def receipting(url: str, *, root: str, site: str, edge: str) -> Iterator[Receipter]:
    """Answers that edge while entered."""
    receipter, address = Receipter(), broker_address(url)
    subscribed, ended = threading.Event(), threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="receipter")
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: receipter.take(bytes(message.payload))
    client.connect(address.host, address.port)
    client.subscribe(topics.data(root, site, edge), qos=1)
    client.loop_start()

    def answer() -> None:
        answered = 0
        while not ended.wait(GATHER_S):
            if receipter.frames > answered:
                answered = receipter.frames
                client.publish(topics.receipt(root, site, edge), receipter.receipt(), qos=1, retain=True)

    thread = threading.Thread(target=answer, name="receipts")
    thread.start()
    try:
        if not subscribed.wait(_CONNECTED_WITHIN_S):
            raise TimeoutError("the broker does not answer")
        yield receipter
    finally:
        ended.set()
        thread.join()
        client.disconnect()
        client.loop_stop()
