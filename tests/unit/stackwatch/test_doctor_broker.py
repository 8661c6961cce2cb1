"""What `doctor` says of a broker: one that only takes connections is not well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from plant.settings import Settings
from stackwatch.commands import doctor
from stackwatch.local import mqtt_probe
from stackwatch.local.ports import LOOPBACK

pytestmark = pytest.mark.anyio

ACCEPTED: Final = b"\x20\x02\x00\x00"
NOT_AUTHORIZED: Final = b"\x20\x02\x00\x05"


@asynccontextmanager
async def a_broker(reply: bytes | None) -> AsyncIterator[int]:
    """The port of a server that answers whatever comes with *reply*; with None it takes the connection and hangs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            if reply is not None:
                writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def said_of(port: int, who: str = "") -> doctor.Said:
    settings = Settings(mqtt_url=f"mqtt://{who}{LOOPBACK}:{port}")
    (said,) = [said async for said in doctor.look(settings) if said.sentence.startswith("the broker at ")]
    return said


async def test_a_broker_that_lets_us_in_answers() -> None:
    async with a_broker(ACCEPTED) as port:
        assert await said_of(port) == doctor.Said(True, f"the broker at {LOOPBACK}:{port} answers")


async def test_a_broker_that_hangs_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_probe, "_DEADLINE_S", 0.2)
    async with a_broker(None) as port:
        said = await said_of(port)
    assert not said.ok
    assert said.sentence.endswith("does not answer: it takes the connection and says nothing")


async def test_what_is_no_broker_is_wrong() -> None:
    async with a_broker(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        said = await said_of(port)
    assert not said.ok
    assert said.sentence.endswith("does not answer: what answers there speaks no MQTT")


async def test_a_refusal_is_wrong_only_for_one_who_says_who_he_is() -> None:
    async with a_broker(NOT_AUTHORIZED) as port:
        named, nobody = await said_of(port, "me:guess@"), await said_of(port)
    assert not named.ok
    assert named.sentence.endswith("does not let us in: not authorized")
    assert nobody.ok
    assert "guess" not in named.sentence


async def test_a_file_of_tls_that_is_missing_is_named_as_the_cause() -> None:
    settings = Settings(mqtt_url=f"mqtts://{LOOPBACK}:1", mqtt_ca_file="nowhere.crt")
    (said,) = [said async for said in doctor.look(settings) if said.sentence.startswith("the broker at ")]
    assert not said.ok
    assert "the files of TLS cannot be read: " in said.sentence
