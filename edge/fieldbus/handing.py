"""Between a source that must keep its beat and a feed that waits for the disk.

    poll, notification ── give ──▶ bounded queue ── put ──▶ feed

A full queue makes the source wait: it then misses instants, which it counts. Nothing is dropped here, not even by a
cancellation: what was given is put before `run` ends.
"""

from __future__ import annotations

import asyncio
from typing import Final

from edge.fieldbus.rows import Rows
from edge.sources import MEASUREMENT, SIGNAL, Feed, Row

SIZE: Final = 256


class Handing:
    def __init__(self, feed: Feed, *, size: int = SIZE) -> None:
        self._feed = feed
        self._queue: asyncio.Queue[Rows] = asyncio.Queue(size)
        self._taken: dict[str, list[Row]] = {MEASUREMENT: [], SIGNAL: []}

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    async def give(self, rows: Rows) -> None:
        if rows.measurements or rows.signals:
            await self._queue.put(rows)

    async def run(self) -> None:
        """Put what is given, until cancelled."""
        try:
            while True:
                self._take(await self._queue.get())
                await self._put(at_once=False)
        finally:
            await self._put(at_once=True)

    def _take(self, rows: Rows) -> None:
        self._taken[MEASUREMENT] += rows.measurements
        self._taken[SIGNAL] += rows.signals

    async def _put(self, *, at_once: bool) -> None:
        while not self._queue.empty():
            self._take(self._queue.get_nowait())
        for kind, rows in self._taken.items():
            if rows:
                self._taken[kind] = []  # before it waits: the feed keeps them even where we are cancelled
                await self._feed.put(rows, kind=kind, at_once=at_once)
