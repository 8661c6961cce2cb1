"""Live rows into a real outbox, without a broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge.feeding import OutboxFeed
from edge.link import Link
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.sources import Row
from plant.broker import broker_address
from plant.errors import Unavailable

pytestmark = pytest.mark.anyio

AT_MS = 1_795_161_600_000


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "o.sqlite", policy="refuse") as opened:
        yield opened


def a_publisher(outbox: Outbox) -> Publisher:
    link = Link(broker_address("mqtt://127.0.0.1:1"), client_id="c", rng=Random(1))
    return Publisher(link, outbox, root="r", site="s", edge="e", version="0")


def a_row(n: int, **more: Any) -> dict[str, Any]:
    return {"stack": "DA001", "sampled_at": AT_MS + n * 1000, "so2": float(n)} | more


def frames_in(outbox: Outbox) -> list[dict[str, Any]]:
    return [json.loads(frame.payload) for frame in outbox.pending(0, 1000)]


async def test_rows_of_all_sources_leave_together_by_kind_and_in_order(outbox: Outbox) -> None:
    async with OutboxFeed(a_publisher(outbox), gather_s=0.05) as feed:
        signal = {"sampled_at": AT_MS, "signal": "g01", "value": 1.0}
        puts = [feed.put([a_row(1)]), feed.put([signal], kind="signal"), feed.put([a_row(2), a_row(3)])]
        assert await asyncio.gather(*puts) == [True, True, True]
        first, second = frames_in(outbox)
        assert first["so2"] == [1.0, 2.0, 3.0]
        assert (second["kind"], second["value"]) == ("signal", [1.0])


async def test_a_source_whose_peer_waits_does_not_wait_for_others(outbox: Outbox) -> None:
    async with OutboxFeed(a_publisher(outbox), gather_s=3600) as feed:
        async with asyncio.timeout(10):
            assert await feed.put([a_row(1)], at_once=True)
        assert outbox.stats().rows == 1


async def test_rows_given_before_the_end_are_kept_at_the_end(outbox: Outbox) -> None:
    async with OutboxFeed(a_publisher(outbox), gather_s=3600) as feed:
        put = asyncio.create_task(feed.put([a_row(1)]), name="put")
        await asyncio.sleep(0)
    assert await put
    assert outbox.stats().rows == 1
    with pytest.raises(RuntimeError, match="ended"):
        await feed.put([a_row(2)])


async def test_what_the_outbox_refuses_is_counted_and_said(outbox: Outbox) -> None:
    outbox.max_bytes = 400
    async with OutboxFeed(a_publisher(outbox), gather_s=0.0) as feed:
        assert await feed.put([a_row(1)], position=("p", "1"))
        assert not await feed.put([a_row(n) for n in range(20)], position=("p", "20"))
        stats = outbox.stats()
        assert (stats.rows, stats.dropped, stats.made) == (1, 20, 21)
        assert outbox.position("p") == "1"


class FailingOutbox(Outbox):
    failing = False

    def append_many(self, *arguments: Any, **more: Any) -> list[int]:
        if self.failing:
            raise Unavailable("the disk fails")
        return super().append_many(*arguments, **more)

    def count_dropped(self, rows: int) -> None:
        if self.failing:
            raise Unavailable("the disk fails")
        super().count_dropped(rows)


async def test_rows_lost_while_the_disk_cannot_count_are_counted_when_it_can(tmp_path: Path) -> None:
    outbox = FailingOutbox(tmp_path / "o.sqlite")
    with outbox:
        async with OutboxFeed(a_publisher(outbox), gather_s=0.0) as feed:
            outbox.failing = True
            assert not await feed.put([a_row(1), a_row(2)])
            assert not await feed.put([a_row(3)])
            outbox.failing = False
            assert await feed.put([a_row(4)])
        assert (outbox.stats().dropped, outbox.stats().rows) == (3, 1)


async def test_a_position_survives_with_its_rows_and_may_stand_alone(tmp_path: Path) -> None:
    with Outbox(tmp_path / "o.sqlite") as outbox:
        async with OutboxFeed(a_publisher(outbox), gather_s=0.0) as feed:
            await asyncio.gather(
                feed.put([a_row(1)], position=("poll:a", "08:00")), feed.put([a_row(2)], position=("poll:b", "09:00"))
            )
            await feed.put([], position=("poll:b", "10:00"))
    with Outbox(tmp_path / "o.sqlite") as outbox:
        assert (outbox.position("poll:a"), outbox.position("poll:b")) == ("08:00", "10:00")


async def test_a_listener_hears_every_row_until_it_leaves(outbox: Outbox) -> None:
    heard: list[tuple[str, Sequence[Row]]] = []
    async with OutboxFeed(a_publisher(outbox), gather_s=0.0) as feed:
        leave = feed.listen(lambda kind, rows: heard.append((kind, rows)))
        await feed.put([a_row(1)])
        leave()
        await feed.put([a_row(2)])
    assert heard == [("measurement", [a_row(1)])]


async def test_a_row_that_cannot_travel_takes_no_other_with_it(outbox: Outbox) -> None:
    async with OutboxFeed(a_publisher(outbox), gather_s=0.0) as feed:
        with pytest.raises(ValueError, match="finite"):
            await feed.put([a_row(1), a_row(2, nox=float("inf"))])
        assert await feed.put([a_row(3)])
        feed.check()
    assert outbox.stats().rows == 1
