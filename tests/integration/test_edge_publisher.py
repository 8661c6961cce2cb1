"""The publisher against a real broker: what is on disk arrives, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from edge.agent import open_edge
from edge.link import Link
from edge.outbox import DEFAULT_MAX_AGE_S, Outbox
from edge.publisher import Publisher
from fakes.polling import until
from fakes.receipting import ReceiptingIngestor
from plant import topics, wire
from plant.broker import broker_address
from plant.errors import Unavailable
from plant.settings import Settings
from services.brokers import OwnBroker

pytestmark = pytest.mark.anyio

SITE, EDGE = "tangshan-1", "edge-1"


def columns(*times: int) -> dict[str, Any]:
    return {"stack": "DA001", "sampled_at": list(times), "so2": [float(t) for t in times]}


def fill(outbox: Outbox, frames: int, start: int = 0) -> None:
    outbox.append_many([(columns(2 * n, 2 * n + 1), 2) for n in range(start, start + frames)])


@asynccontextmanager
async def publishing(
    url: str,
    root: str,
    path: Path,
    *,
    window: int = 16,
    resend_after_s: float = 5.0,
    drain_rows_per_s: float = 20_000.0,
    max_age_s: float = DEFAULT_MAX_AGE_S,
) -> AsyncIterator[tuple[Outbox, Publisher]]:
    with Outbox(path, max_age_s=max_age_s) as outbox:
        link = Link(broker_address(url), client_id=f"edge-{root.replace('/', '-')}", rng=Random(1))
        publisher = Publisher(
            link,
            outbox,
            root=root,
            site=SITE,
            edge=EDGE,
            version="1",
            window=window,
            resend_after_s=resend_after_s,
            drain_rows_per_s=drain_rows_per_s,
        )
        async with link, publisher:
            yield outbox, publisher


async def test_every_frame_arrives_once_and_leaves_the_disk(mqtt_url: str, topic_root: str, tmp_path: Path) -> None:
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with publishing(mqtt_url, topic_root, tmp_path / "o") as (outbox, publisher):
            fill(outbox, 200)
            await publisher.drained(30)
            fill(outbox, 5, start=200)
            await publisher.drained(30)
            assert outbox.waiting == 0
            assert ingestor.frames == {outbox.session: list(range(1, 206))}
            assert len(ingestor.rows) == 410
            stats = publisher.stats
            assert (stats.settled_frames, stats.settled_rows, stats.resent) == (205, 410, 0)


async def test_what_is_new_arrives_while_a_backlog_leaves_at_its_rate(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    with Outbox(tmp_path / "o") as outbox:
        fill(outbox, 500)
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with publishing(mqtt_url, topic_root, tmp_path / "o", drain_rows_per_s=20.0) as (outbox, publisher):
            await until(lambda: publisher.stats.settled_frames >= 2)
            fill(outbox, 40, start=500)
            await until(lambda: set(range(501, 541)) <= set(ingestor.frames[outbox.session]))
            await until(lambda: outbox.waiting <= 500)
            assert outbox.low < 250, "the backlog waits for its rate, and new frames are settled above it"
            publisher.drain_at(1e9)
            await publisher.drained(60)
            assert sorted(ingestor.frames[outbox.session]) == list(range(1, 541)), "each left once"
            assert len(ingestor.rows) == 1080


async def test_what_waited_too_long_goes_without_a_broker_too(tmp_path: Path, topic_root: str) -> None:
    now_s = 0.0
    with Outbox(tmp_path / "o", monotonic_s=lambda: now_s) as outbox:
        fill(outbox, 2)
        now_s = 50.0
        assert outbox.let_go_of_old() == 0
    async with publishing("mqtt://127.0.0.1:1", topic_root, tmp_path / "o", max_age_s=40.0) as (outbox, _):
        await until(lambda: outbox.waiting == 0)
        assert outbox.stats().dropped == 4


async def test_lost_frames_are_seen_by_the_gap_they_leave(mqtt_url: str, topic_root: str, tmp_path: Path) -> None:
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        ingestor.lose = {2, 3, 7}
        async with publishing(mqtt_url, topic_root, tmp_path / "o", resend_after_s=60) as (outbox, publisher):
            fill(outbox, 10)
            await publisher.drained(30)
            assert len(ingestor.rows) == 20
            assert publisher.stats.resent == 3


async def test_the_last_frame_is_sent_again_when_no_receipt_comes(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        ingestor.lose = {3}
        async with publishing(mqtt_url, topic_root, tmp_path / "o", resend_after_s=0.3) as (outbox, publisher):
            fill(outbox, 3)
            await publisher.drained(30)
            assert len(ingestor.rows) == 6


async def test_an_ingestor_that_was_never_there_gets_everything_when_it_comes(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    async with publishing(mqtt_url, topic_root, tmp_path / "o", window=8, resend_after_s=0.3) as (outbox, publisher):
        fill(outbox, 50)
        await until(lambda: publisher.stats.resent >= 2)
        assert publisher.stats.in_flight == 8
        with pytest.raises(Unavailable, match="50 frames had no receipt"):
            await publisher.drained(0.1)
        with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
            await publisher.drained(30)
            assert len(ingestor.rows) == 100


async def test_a_long_absence_costs_few_copies(mqtt_url: str, topic_root: str, tmp_path: Path) -> None:
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with publishing(mqtt_url, topic_root, tmp_path / "o", resend_after_s=0.2) as (outbox, publisher):
            fill(outbox, 1)
            await publisher.drained(10)
            with ingestor.away():
                fill(outbox, 40, start=1)
                await until(lambda: publisher.stats.resent >= 3)
                assert publisher.stats.sent == 1 + 16 + publisher.stats.resent
            await publisher.drained(30)
            assert len(ingestor.rows) == 82


async def test_refusals_settle_and_are_counted(mqtt_url: str, topic_root: str, tmp_path: Path) -> None:
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        ingestor.refuse = {2: "unknown stack"}
        async with publishing(mqtt_url, topic_root, tmp_path / "o") as (outbox, publisher):
            fill(outbox, 3)
            await publisher.drained(20)
            assert publisher.stats.refused_rows == outbox.stats().refused == 2
            assert len(ingestor.rows) == 4


async def test_a_receipt_that_is_none_disturbs_nothing(mqtt_url: str, topic_root: str, tmp_path: Path) -> None:
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        receipts = topics.receipt(topic_root, SITE, EDGE)
        for payload in (b"", b"{", b"[]", b"null", b'{"session": 1}', b'{"session":"x","through":"all"}', b"\xff"):
            ingestor.publish(receipts, payload, retain=False)
        async with publishing(mqtt_url, topic_root, tmp_path / "o") as (outbox, publisher):
            await until(lambda: publisher.stats.connected)
            for payload in (b"\x00", b"7", b'{"session":"x","through":1,"also":[null]}', b'{"refused":3}'):
                await asyncio.to_thread(ingestor.publish, receipts, payload, retain=False)
            ours = wire.encode({"session": outbox.session, "through": 0, "refused": ["x", 3, {"seq": [1]}]})
            await asyncio.to_thread(ingestor.publish, receipts, ours, retain=False)
            fill(outbox, 3)
            await publisher.drained(20)
            assert len(ingestor.rows) == 6


async def test_a_retained_receipt_of_an_earlier_life_of_the_disk_loses_no_row(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    path, backup = tmp_path / "o", tmp_path / "backup"
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with publishing(mqtt_url, topic_root, path) as (outbox, publisher):
            fill(outbox, 2)
            await publisher.drained(20)
        shutil.copytree(tmp_path, backup)
        async with publishing(mqtt_url, topic_root, path) as (outbox, publisher):
            fill(outbox, 10, start=2)
            await publisher.drained(20)
            session = outbox.session
        async with publishing(mqtt_url, topic_root, backup / "o") as (outbox, publisher):
            assert outbox.session == session
            fill(outbox, 4, start=100)  # numbers 3..6 were settled before with other rows
            await publisher.drained(20)
            await until(lambda: len(ingestor.rows) == 32)
            assert outbox.session != session


async def test_numbers_of_an_older_copy_that_are_lost_on_the_way_are_not_taken_for_settled(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    path, backup = tmp_path / "o", tmp_path / "backup"
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with publishing(mqtt_url, topic_root, path) as (outbox, publisher):
            fill(outbox, 2)
            await publisher.drained(20)
        shutil.copytree(tmp_path, backup)
        async with publishing(mqtt_url, topic_root, path) as (outbox, publisher):
            fill(outbox, 4, start=2)
            await publisher.drained(20)
            session = outbox.session
        ingestor.lose = {5, 6}  # which the receipt that the broker kept says to be settled
        async with publishing(mqtt_url, topic_root, backup / "o", resend_after_s=0.5) as (outbox, publisher):
            fill(outbox, 10, start=100)
            await publisher.drained(20)
            assert outbox.session != session
            assert {("DA001", 2 * n) for n in range(100, 110)} <= set(ingestor.rows)


async def test_the_state_says_online_while_publishing_and_offline_after(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with open_edge(settings, site=SITE, edge=EDGE, folder=tmp_path) as edge:
            assert edge.orders is None
            await until(lambda: bool(ingestor.states))
            assert ingestor.states[-1]["online"] is True
            assert set(ingestor.states[-1]) == {"online", "version", "outbox", "oldest", "dropped"}
        await until(lambda: ingestor.states[-1]["online"] is False)


_KILLED = """
import asyncio, sys
from pathlib import Path
from edge.agent import open_edge
from plant.settings import Settings

async def main(url, root, folder):
    settings = Settings(mqtt_url=url, topic_root=root)
    async with open_edge(settings, site="tangshan-1", edge="edge-1", folder=Path(folder)) as edge:
        await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_edge_is_reported_offline_by_its_last_will(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        arguments = ("-c", _KILLED, mqtt_url, topic_root, str(tmp_path))
        child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        try:
            await until(lambda: bool(ingestor.states) and ingestor.states[-1]["online"] is True)
        finally:
            child.kill()
            await child.communicate()
        await until(lambda: ingestor.states[-1]["online"] is False)


@pytest.mark.parametrize("disk_lost", [pytest.param(False, id="disk_kept"), pytest.param(True, id="disk_lost")])
async def test_a_broker_that_is_killed_costs_no_row(
    own_broker: OwnBroker, topic_root: str, tmp_path: Path, disk_lost: bool
) -> None:
    await own_broker.start()
    with ReceiptingIngestor(own_broker.url, topic_root) as ingestor:
        async with publishing(own_broker.url, topic_root, tmp_path / "o", resend_after_s=1.0) as (outbox, publisher):
            fill(outbox, 100)
            await until(lambda: publisher.stats.settled_frames > 20)
            await asyncio.to_thread(own_broker.kill, lose_disk=disk_lost)
            await until(lambda: not publisher.stats.connected)
            fill(outbox, 100, start=100)
            await own_broker.start()
            await publisher.drained(60)
            assert len(ingestor.rows) == 400
            assert publisher.stats.connections == 2
            assert outbox.stats().dropped == 0


async def test_no_broker_at_all_stops_no_source_and_loses_nothing(tmp_path: Path, topic_root: str) -> None:
    async with publishing("mqtt://127.0.0.1:1", topic_root, tmp_path / "o") as (outbox, publisher):
        fill(outbox, 3)
        assert await publisher.room(4, deadline_s=1)
        assert not await publisher.room(3, deadline_s=0.05)
        assert not publisher.stats.connected
    with Outbox(tmp_path / "o") as outbox:
        assert json.loads(outbox.pending(0, 1)[0].payload)["seq"] == 1
        assert outbox.waiting == 3
