"""A sign of life to somebody outside: a GET each minute while all is well, in the manner of healthchecks.io.

Whoever waits for it there notices what nobody in here can: that the whole machine is gone. It is sent only where
every part that must beat beats, so it also stops when the ingestor does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
from psycopg_pool import AsyncConnectionPool

from store.health import all_well, beats
from store.pool import Connection, transaction

logger = logging.getLogger(__name__)

EVERY_S: Final = 60.0
ANSWER_S: Final = 10.0
COMPONENTS: Final = ("broker", "ingestor", "stage", "outgoing")


def reporter(pool: AsyncConnectionPool[Connection], url: str) -> Callable[[], Awaitable[None]]:
    """Sends one sign of life to *url* if all is well."""

    async def report() -> None:
        async with transaction(pool) as conn:
            seen = await beats(conn)
        if not all_well(seen, COMPONENTS):
            logger.warning("heartbeat_withheld", extra={"reason": "a part does not beat; see /v1/health"})
            return
        try:
            async with httpx.AsyncClient(timeout=ANSWER_S) as client:
                answer = await client.get(url)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # without its text: the address is a secret
            logger.warning("heartbeat_not_sent", extra={"reason": type(error).__name__})

    return report
