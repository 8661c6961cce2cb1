"""Waiting in loops that must end when they are cancelled.

A library that waits with `asyncio.wait_for` on Python 3.11 (the connection pool does) can lose a cancellation that
comes just when it gets what it waited for. The task still knows that it was cancelled; who loops asks it each round.
"""

from __future__ import annotations

import asyncio


def end_if_cancelled() -> None:
    """Raise the `CancelledError` that this task was sent and did not see."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def pause(delay_s: float) -> None:
    """Sleep between two rounds of a loop."""
    end_if_cancelled()
    await asyncio.sleep(delay_s)
