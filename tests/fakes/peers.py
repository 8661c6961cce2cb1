"""Peers of a client that do not behave: one that talks nonsense, and a wire that can be pulled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def nonsense(rng: Random) -> AsyncIterator[int]:
    """A port that answers anything with up to two kilobytes of noise."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(rng.randbytes(rng.randrange(1, 2_000)))

    async with _listening(talk) as port:
        yield port


class Wire:
    """A way to `to` that carries everything until it is `pulled`: then it swallows everything, and closes nothing."""

    def __init__(self, to: int) -> None:
        self.pulled = False
        self.held = 0  # connections that the near end has not closed
        self._to = to

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self.held += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._there(reader, far_writer), name="there")
                tasks.create_task(self._one_way(far_reader, writer), name="back")
        finally:
            far_writer.close()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._one_way(reader, writer)
        finally:
            self.held -= 1

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.pulled:
                writer.write(data)
        writer.close()


@asynccontextmanager
async def a_wire(to: int) -> AsyncIterator[tuple[Wire, int]]:
    """A wire to the port *to*, and the port at its near end."""
    wire = Wire(to)
    async with _listening(wire.carry) as port:
        yield wire, port


@asynccontextmanager
async def _listening(talk: Talk) -> AsyncIterator[int]:
    talks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            with contextlib.suppress(OSError, ExceptionGroup):
                await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if talks:
            _, left = await asyncio.wait(talks, timeout=10)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
