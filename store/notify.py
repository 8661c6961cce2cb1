"""LISTEN as a hint: a stream of wake-ups that also comes by itself, so that a lost notification loses nothing."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import psycopg
from psycopg import sql

from plant.errors import Unavailable
from plant.retry import delay_s
from store.pool import connect

logger = logging.getLogger(__name__)

_PROBE_S: Final = 30.0


@asynccontextmanager
async def wake_ups(database_url: str, *channels: str, poll_s: float) -> AsyncIterator[AsyncIterator[None]]:
    """A stream that yields at once, then after each notification on *channels* and at least every *poll_s* seconds.

    Notifications that come while the reader is busy are one wake-up. The connection is made again when it is lost.
    """
    woken = asyncio.Event()
    listener = asyncio.create_task(_listen(database_url, channels, woken), name=f"listen {' '.join(channels)}")
    try:
        yield _stream(woken, poll_s)
    finally:
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


async def _stream(woken: asyncio.Event, poll_s: float) -> AsyncIterator[None]:
    while True:
        woken.clear()
        yield
        with suppress(TimeoutError):
            async with asyncio.timeout(poll_s):
                await woken.wait()


async def _listen(database_url: str, channels: tuple[str, ...], woken: asyncio.Event) -> None:
    rng, attempt = random.Random(), 0
    while True:
        try:
            async with await connect(database_url, name="listener", autocommit=True) as conn:
                for channel in channels:
                    await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                attempt = 0
                woken.set()
                while True:
                    async for _ in conn.notifies(timeout=_PROBE_S):
                        woken.set()
                    await conn.execute("SELECT 1")  # a connection that died silently is found out here
        except (Unavailable, psycopg.OperationalError) as error:
            logger.info("listener_lost", extra={"reason": str(error)})
            await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
            attempt += 1
