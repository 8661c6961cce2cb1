from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stackwatch.local import health
from stackwatch.local.ports import LOOPBACK

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, LOOPBACK, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}", (200, "{}"), id="healthy"),
        pytest.param(b"HTTP/1.1 503 No\r\n\r\n{1}", (503, "{1}"), id="degraded"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", (0, ""), id="something_else_listens"),
        pytest.param(b"", (0, ""), id="closed_without_a_word"),
    ],
)
async def test_what_the_api_says_is_heard(answer: bytes, heard: tuple[int, str]) -> None:
    async with server(answer) as port:
        assert await health.ask(LOOPBACK, port) == heard


async def test_nobody_there_is_an_answer_too() -> None:
    async with server(b"") as port:
        pass
    status, said = await health.ask(LOOPBACK, port)
    assert status == 0
    assert said


async def test_a_silent_server_is_given_up_at_the_deadline() -> None:
    silent = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    listening = await asyncio.start_server(hang, LOOPBACK, 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        assert await health.ask(LOOPBACK, port, deadline_s=0.1) == (0, "no answer within 0.1 s")
        silent.set()
