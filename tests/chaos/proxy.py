"""A TCP proxy on loopback that stands for a network: it can be cut, fall silent, forget and be slow."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from stackwatch.local.ports import LOOPBACK

_CHUNK: Final = 1 << 16


class Proxy:
    """Carries connections to *port* on to *target_port* until it is closed. Use from one event loop."""

    def __init__(self, name: str, port: int, target_port: int) -> None:
        self.name = name
        self.port = port
        self.delay_s = 0.0  #: each piece of data waits so long
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._carried: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, LOOPBACK, self.port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._carried)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """End every connection, and every new one at once."""
        self._is_cut = True
        self.reset()

    def reset(self) -> None:
        """End every connection this instant; what was under way in it is lost."""
        for writers in self._carried.values():
            for writer in writers:
                writer.transport.abort()

    def silence(self) -> None:
        """Carry nothing from now on, with every connection open."""
        self._flows.clear()

    def heal(self) -> None:
        self._is_cut, self.delay_s = False, 0.0
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._is_cut:
            writer.transport.abort()
            return
        self._carried[task] = (writer,)
        try:
            await self._carry(task, reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a proxy that is closed, or a server that is away: the client sees its end
        finally:
            del self._carried[task]
            writer.transport.abort()

    async def _carry(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, self._target_port)
        self._carried[task] = (writer, back)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, back), name=f"{self.name} there")
                pumps.create_task(self._pump(there, writer), name=f"{self.name} back")
        finally:
            back.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._flows.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(chunk)
                await writer.drain()
        writer.close()
