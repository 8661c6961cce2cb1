"""A loop ends when it is cancelled, even if a library kept the cancellation to itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from alerts.pausing import pause

pytestmark = pytest.mark.anyio


async def test_a_cancellation_that_was_swallowed_ends_the_loop_at_its_next_pause() -> None:
    rounds = 0
    began = asyncio.Event()

    async def loop() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            began.set()
            with suppress(asyncio.CancelledError):  # as a library does that found what it waited for
                await asyncio.sleep(0)
            await pause(0.0)

    task = asyncio.create_task(loop(), name="loop")
    await began.wait()
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])
    assert task.cancelled()
    assert rounds >= 1
