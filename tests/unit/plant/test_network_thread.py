"""The network thread of a paho client is gone after it was ended, however it ended."""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from plant.network_thread import end_thread


class GoneOnTheSecondLook:
    """`_thread` of a client whose thread ends between two looks at it."""

    looks = 0

    def __get__(self, *_: object) -> threading.Thread | None:
        self.looks += 1
        return None if self.looks > 1 else threading.Thread()

    def __set__(self, *_: object) -> None:
        """Keep to it."""


def test_a_thread_that_ends_while_it_is_being_ended_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = GoneOnTheSecondLook()
    monkeypatch.setattr(mqtt.Client, "_thread", thread, raising=False)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    end_thread(client)
    assert thread.looks > 1


def test_a_thread_that_runs_is_waited_for() -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect_async("127.0.0.1", 1)
    before = set(threading.enumerate())
    client.loop_start()
    (thread,) = set(threading.enumerate()) - before
    end_thread(client)
    assert not thread.is_alive()
