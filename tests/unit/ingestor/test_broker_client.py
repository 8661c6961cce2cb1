"""Packets of a broker as they come over a network: cut anywhere, many at once; and acknowledged in one write."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingestor.broker_client import READ_AHEAD, BrokerClient
from plant.network_thread import end_thread

WITHIN_S = 10
CONNACK = b"\x20\x02\x00\x00"


def a_publish(mid: int, payload: bytes) -> bytes:
    body = struct.pack(">H", 1) + b"t" + struct.pack(">H", mid) + payload
    length, head = len(body), bytearray(b"\x32")
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


@contextmanager
def a_broker() -> Iterator[socket.socket]:
    """Listens on the loopback interface; the test says what it sends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WITHIN_S)
        yield server


class Reader:
    """A client that holds what came; a context manager."""

    def __init__(self, server: socket.socket, expected: int) -> None:
        self.came: list[tuple[int, bytes]] = []
        self.all_came = threading.Event()
        self._expected = expected
        self.client = BrokerClient(
            CallbackAPIVersion.VERSION2, client_id="c", clean_session=False, protocol=mqtt.MQTTv311, manual_ack=True
        )
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.on_message = self._on_message
        self.client.connect_async("127.0.0.1", server.getsockname()[1])

    def __enter__(self) -> Reader:
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        end_thread(self.client)

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        self.came.append((message.mid, bytes(message.payload)))
        if len(self.came) == self._expected:
            self.all_came.set()


@contextmanager
def accepted(server: socket.socket) -> Iterator[socket.socket]:
    """The client's next connection, its CONNECT read and answered."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(WITHIN_S)
        assert connection.recv(1) == b"\x10"
        (length,) = connection.recv(1)
        assert len(connection.recv(length, socket.MSG_WAITALL)) == length
        connection.sendall(CONNACK)
        yield connection


@pytest.mark.parametrize("piece", [1, 3, 1_000, 1 << 20], ids=lambda piece: f"{piece}_bytes_at_a_time")
def test_packets_come_whole_and_in_order_however_the_network_cuts_them(piece: int) -> None:
    sizes = [0, 1, 120, 130, 5_000] if piece < 1_000 else [0, 1, 120, 17_000, READ_AHEAD, 3 * READ_AHEAD + 1, 5]
    sent = [(mid, bytes([mid]) * size) for mid, size in enumerate(sizes, 1)]
    stream = b"".join(a_publish(mid, payload) for mid, payload in sent)
    with a_broker() as server, Reader(server, len(sent)) as reader, accepted(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(stream), piece):
            connection.sendall(stream[start : start + piece])
        assert reader.all_came.wait(WITHIN_S)
    assert reader.came == sent


def test_half_a_packet_of_a_lost_connection_is_not_read_into_the_next() -> None:
    with a_broker() as server, Reader(server, 2) as reader:
        with accepted(server) as connection:
            connection.sendall(a_publish(1, b"whole") + a_publish(2, b"half of it")[:-4])
        with accepted(server) as connection:
            connection.sendall(a_publish(2, b"half of it"))
            assert reader.all_came.wait(WITHIN_S)
    assert reader.came == [(1, b"whole"), (2, b"half of it")]


def test_many_messages_are_acknowledged_by_one_packet_each() -> None:
    with a_broker() as server, Reader(server, 3) as reader, accepted(server) as connection:
        connection.sendall(b"".join(a_publish(mid, b"") for mid in (7, 300, 65_535)))
        assert reader.all_came.wait(WITHIN_S)
        reader.client.acknowledge([])
        reader.client.acknowledge(mid for mid, _ in reader.came)
        told = connection.recv(12, socket.MSG_WAITALL)
    assert told == b"\x40\x02\x00\x07" + b"\x40\x02\x01\x2c" + b"\x40\x02\xff\xff"
