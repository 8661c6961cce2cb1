"""Ending the network thread of a paho client, for whoever has one. paho itself is not imported here."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol


class Threaded(Protocol):
    """What of a paho client is needed here."""

    def loop_stop(self) -> object: ...


def end_thread(client: Threaded) -> None:
    """Wait until the thread that *client* was given by `loop_start` has ended; it may have ended by itself.

    A thread that ends takes itself out of the client, between two looks that `loop_stop` takes at it
    (eclipse-paho/paho.mqtt.python#872): then there is nothing left to wait for.
    """
    with suppress(AttributeError):
        client.loop_stop()
