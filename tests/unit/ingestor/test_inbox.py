"""The bounded hand-over from the network's thread to the event loop."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from fakes.polling import until
from ingestor.intake import Incoming
from ingestor.subscriber import Delivery, Inbox

pytestmark = pytest.mark.anyio


def a_delivery(mid: int, connection: int = 1, payload: bytes = b"") -> Delivery:
    return Delivery(Incoming("t", payload, datetime(2026, 11, 10, tzinfo=UTC)), mid, connection)


async def mids(inbox: Inbox, most: int = 100) -> list[int]:
    async with asyncio.timeout(10):
        return [delivery.mid for delivery in await inbox.take(most)]


async def test_deliveries_come_out_in_the_order_they_went_in() -> None:
    inbox = Inbox(10, asyncio.get_running_loop())
    for mid in range(5):
        inbox.put(a_delivery(mid))
    assert await mids(inbox, 3) == [0, 1, 2]
    assert await mids(inbox) == [3, 4]
    assert len(inbox) == 0


async def test_taking_waits_for_the_first_delivery_and_no_longer() -> None:
    inbox = Inbox(10, asyncio.get_running_loop())
    taking = asyncio.create_task(mids(inbox), name="take")
    await asyncio.sleep(0)
    assert not taking.done()
    threading.Thread(target=inbox.put, args=(a_delivery(1),)).start()
    assert await taking == [1]


async def test_a_full_inbox_stops_the_reader_until_there_is_room() -> None:
    inbox = Inbox(2, asyncio.get_running_loop())

    def fill() -> None:
        for mid in range(5):
            inbox.put(a_delivery(mid))

    reader = threading.Thread(target=fill)
    reader.start()
    await until(lambda: len(inbox) == 2)
    assert reader.is_alive()
    found: list[int] = []
    while len(found) < 5:
        assert len(inbox) <= 2
        found += await mids(inbox)
    reader.join(10)
    assert found == [0, 1, 2, 3, 4]
    assert not reader.is_alive()


async def test_what_an_earlier_connection_brought_is_forgotten() -> None:
    inbox = Inbox(10, asyncio.get_running_loop())
    inbox.put(a_delivery(1, connection=1))
    inbox.put(a_delivery(1, connection=2))
    inbox.drop_connection(2)
    (kept,) = await inbox.take(10)
    assert kept.connection == 2


async def test_what_is_sent_again_while_it_is_held_is_held_once() -> None:
    """A database that was slow for longer than the broker waits got every message several times."""
    inbox = Inbox(10, asyncio.get_running_loop())
    for _ in range(50):
        for mid in range(3):
            inbox.put(a_delivery(mid))
    taken = await inbox.take(10)
    assert [delivery.mid for delivery in taken] == [0, 1, 2]
    inbox.put(a_delivery(1))
    assert len(inbox) == 0, "taken, but not acknowledged yet"
    inbox.let_go(taken)
    inbox.put(a_delivery(1))
    assert await mids(inbox) == [1]


async def test_an_identifier_that_is_used_for_another_message_is_no_copy() -> None:
    inbox = Inbox(10, asyncio.get_running_loop())
    inbox.put(a_delivery(1, payload=b"one"))
    inbox.put(a_delivery(1, payload=b"another"))
    assert len(inbox) == 2


async def test_what_an_earlier_connection_brought_is_taken_again_on_the_new_one() -> None:
    inbox = Inbox(10, asyncio.get_running_loop())
    inbox.put(a_delivery(1, connection=1))
    await inbox.take(10)
    inbox.drop_connection(2)
    inbox.put(a_delivery(1, connection=2))
    (taken,) = await inbox.take(10)
    assert taken.connection == 2


async def test_taking_after_everything_was_forgotten_waits_for_what_comes() -> None:
    inbox = Inbox(10, asyncio.get_running_loop())
    inbox.put(a_delivery(1, connection=1))
    inbox.drop_connection(2)
    taking = asyncio.create_task(mids(inbox), name="take")
    threading.Thread(target=inbox.put, args=(a_delivery(7, connection=2),)).start()
    assert await taking == [7]


async def test_a_closed_inbox_lets_its_reader_go() -> None:
    inbox = Inbox(1, asyncio.get_running_loop())
    inbox.put(a_delivery(1))
    reader = threading.Thread(target=inbox.put, args=(a_delivery(2),))
    reader.start()
    inbox.close()
    await until(lambda: not reader.is_alive())
    assert len(inbox) == 1
