"""paho's client, made for many small messages: it reads ahead, and acknowledges what was committed in one go.

paho asks the network for the head of each packet byte by byte, waits for the network again behind each, and writes
each acknowledgement by itself. Two methods here take the place of private ones of paho; how the protocol is spoken
stays paho's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

READ_AHEAD: Final = 1 << 16  #: bytes
_PUBACK: Final = struct.Struct("!BBH")  #: MQTT 3.1.1, 3.4; in MQTT 5 too where all is well


class BrokerClient(mqtt.Client):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ahead = memoryview(b"")

    def reconnect(self) -> MQTTErrorCode:
        self._ahead = memoryview(b"")  # of the connection before
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take every packet that was read, before the network is waited for."""
        while True:
            code = super().loop_read(max_packets)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or not self._ahead:
                return code

    def acknowledge(self, mids: Iterable[int]) -> None:
        """`ack` of many messages of quality 1: one write, and the network's thread is woken once."""
        packets = b"".join(_PUBACK.pack(mqtt.PUBACK, 2, mid) for mid in mids)
        if packets:
            self._packet_queue(mqtt.PUBACK, packets, 0, 1)

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._ahead:
            self._ahead = memoryview(super()._sock_recv(max(bufsize, READ_AHEAD)))
        taken, self._ahead = self._ahead[:bufsize], self._ahead[bufsize:]
        return bytes(taken)
