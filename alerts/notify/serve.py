"""The part of the alerts process that tells people: route the feed, write messages, deliver them.

Several processes may run it: receivers are shared by locks and leases of the database.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from psycopg_pool import AsyncConnectionPool

from alerts.notify.delivery import Deliverer
from alerts.notify.router import route_some, settle_some
from alerts.notify.sealing import load_seal
from alerts.notify.sending.sender import open_sender
from plant.errors import Unavailable
from plant.retry import delay_s
from plant.settings import Settings
from store import outgoing
from store.notify import wake_ups
from store.pool import Connection, open_pool, transaction

logger = logging.getLogger(__name__)

POLL_S: Final = 1.0  #: groups become due by the clock, which notifies nobody
POOL_SIZE: Final = 3


async def tell(settings: Settings) -> None:
    """Tell people until cancelled.

    Raises
    ------
    BadDocument
        If the key file, the mail relay or the list of networks cannot be read.
    """
    seal = load_seal(settings.secrets_key_file) if settings.secrets_key_file else None
    name = f"{settings.stage_id}-{secrets.token_hex(4)}"
    async with (
        open_sender(settings) as sender,
        open_pool(settings.database_url, name=f"{settings.stage_id} notify", size=POOL_SIZE) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        deliverer = Deliverer(
            pool=pool,
            send=lambda target, message_id, payload, now: sender.send(target, message_id, payload, now=now),
            seal=seal,
            name=name,
        )
        tasks.create_task(_keep_routing(pool, settings), name="notify: route")
        tasks.create_task(
            _loop(settings, (outgoing.CHANNEL,), lambda: deliverer.start_some(tasks)), name="notify: deliver"
        )


async def _keep_routing(pool: AsyncConnectionPool[Connection], settings: Settings) -> None:
    async def step() -> int:
        async with transaction(pool) as conn:
            routed = await route_some(conn)
        async with transaction(pool) as conn:
            return routed + await settle_some(conn, settings.public_url)

    await _loop(settings, ("feed",), step)


async def _loop(settings: Settings, channels: tuple[str, ...], work: Callable[[], Awaitable[int]]) -> None:
    """Call *work* until it has nothing to do, whenever there may be something."""
    rng, attempt = random.Random(), 0
    async with wake_ups(settings.database_url, *channels, poll_s=POLL_S) as woken:
        async for _ in woken:
            try:
                while await work():
                    pass
                attempt = 0
            except Unavailable as error:
                logger.warning("database_away", extra={"component": "notify", "reason": str(error)})
                await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
                attempt += 1
