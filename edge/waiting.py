"""Waiting for an event with a deadline, such that a cancellation is never lost.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes in the same turn as the result
(python/cpython#86296): a loop around it then never ends. `asyncio.timeout` does not.
"""

from __future__ import annotations

import asyncio
import contextlib


async def set_within(event: asyncio.Event, deadline_s: float) -> bool:
    """Wait until *event* is set, for *deadline_s* at most; whether it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline_s):
            await event.wait()
    return event.is_set()
