"""Waiting in tests: poll a condition until a deadline, never sleep and hope."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    """Return when *condition* is true; `TimeoutError` when it does not come true in time."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.02)


async def until_so(condition: Callable[[], Awaitable[bool]], deadline_s: float = 20.0) -> None:
    """The same for a condition that has to be asked for."""
    async with asyncio.timeout(deadline_s):
        while not await condition():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.05)
