"""TCP proxies on loopback that stand for a network, whose lines can be cut, fall silent, forget and be slow.

They live in a thread and an event loop of their own: filling a disk, waiting for the end of what was killed, and
whatever else the test does must not hold the network up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from threading import Thread
from typing import Final

from stackwatch.local.ports import LOOPBACK

_CHUNK: Final = 1 << 16
_DONE_S: Final = 60.0


@contextlib.contextmanager
def network(lines: Mapping[str, tuple[int, int]]) -> Iterator[dict[str, Proxy]]:
    """A proxy for each of *lines*: from a port that is free to one that somebody answers at."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="network")
    thread.start()
    proxies = {name: Proxy(name, *ports, loop) for name, ports in lines.items()}
    try:
        for proxy in proxies.values():
            asyncio.run_coroutine_threadsafe(proxy.open(), loop).result(_DONE_S)
        yield proxies
    finally:
        for proxy in proxies.values():
            asyncio.run_coroutine_threadsafe(proxy.close(), loop).result(_DONE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Proxy:
    """Carries connections to *port* on to *target_port*. `open` and `close` it in *loop*; the rest from any thread."""

    def __init__(self, name: str, port: int, target_port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.port = port
        self.delay_s = 0.0  #: each piece of data waits so long
        self._target_port = target_port
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._carried: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, LOOPBACK, self.port)

    async def close(self) -> None:
        if self._server is not None:
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
        self._loop.call_soon_threadsafe(self._abort)

    def silence(self) -> None:
        """Carry nothing from now on, with every connection open."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def heal(self) -> None:
        self._is_cut, self.delay_s = False, 0.0
        self._loop.call_soon_threadsafe(self._flows.set)

    def _abort(self) -> None:
        for writers in self._carried.values():
            for writer in writers:
                writer.transport.abort()

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
