"""A rule stage that died cannot say so: the API, another process, looks at its ticks and opens the alert."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from psycopg_pool import AsyncConnectionPool

from alerts import deadman
from plant.errors import Unavailable
from plant.settings import Settings
from store import findings
from store.migrate import pending
from store.pool import Connection, transaction

logger = logging.getLogger(__name__)

LOOK_S: Final = 5.0
DEADLINE_S: Final = 30.0


async def watch(pool: AsyncConnectionPool[Connection], settings: Settings) -> None:
    """Until cancelled."""
    while True:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await look(pool, silent_s=settings.stage_silent_s)
        except (Unavailable, TimeoutError) as error:
            logger.warning("stage_not_seen", extra={"reason": str(error)})
        await asyncio.sleep(LOOK_S)


async def look(pool: AsyncConnectionPool[Connection], *, silent_s: float) -> bool:
    """Open the alert that the stage is silent where it is; whether this did."""
    async with transaction(pool) as conn:
        if await pending(conn):
            return False
        opened = await deadman.note(conn, silent_s=silent_s)
    if opened:  # who numbers events for the feed is the one that is silent
        async with transaction(pool) as conn:
            await findings.number_events(conn, 100)
    return opened
