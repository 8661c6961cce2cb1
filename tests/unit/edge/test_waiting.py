from __future__ import annotations

import asyncio

import pytest

from edge.waiting import set_within

pytestmark = pytest.mark.anyio


async def test_the_answer_is_whether_the_event_is_set() -> None:
    event = asyncio.Event()
    assert not await set_within(event, 0.001)
    event.set()
    assert await set_within(event, 0.0)


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_in_the_turn_of_the_event_is_not_lost(turns: int) -> None:
    event = asyncio.Event()

    async def wait_again_and_again() -> None:
        while True:
            event.clear()
            await set_within(event, 5.0)

    task = asyncio.create_task(wait_again_and_again(), name="waiter")
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=2.0)
    assert task.cancelled()
