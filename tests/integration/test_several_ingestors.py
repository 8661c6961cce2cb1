"""Ingestors beside each other: whoever of them is killed, every row is stored once and every edge has its receipts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from builders import put_register
from fakes.polling import until
from fakes.several import (
    DEADLINE_S,
    IngestorProcess,
    a_load,
    a_register,
    assert_each_row_once,
    forget,
    retained_receipts,
    takers,
)
from plant.settings import Settings
from services.brokers import MOSQUITTO, NATS, OwnBroker, own_broker
from services.offers import find_program, root_of_debian
from stackwatch.local.ports import Ports
from store.pool import open_pool

pytestmark = pytest.mark.anyio

NORTH: Final = ("anshan", "benxi")
SOUTH: Final = ("pingxiang", "qujing")
REGIONS: Final = {"north": NORTH, "south": SOUTH}
SITES: Final = (*NORTH, *SOUTH)

needs_mosquitto = pytest.mark.skipif(
    find_program(MOSQUITTO) is None and not root_of_debian(),
    reason="no Mosquitto on this machine, and not root on a Debian",
)
Start = Callable[..., IngestorProcess]


async def register(database_url: str, regions: dict[str, tuple[str, ...]]) -> None:
    async with open_pool(database_url, name="test") as pool:
        await put_register(pool, a_register(regions))


def by(mqtt_url: str, root: str) -> Callable[[str], Settings]:
    """Every edge reaches the broker without credentials."""
    return lambda _: Settings(mqtt_url=mqtt_url, topic_root=root)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[psycopg.Connection[Any]]:
    await register(database_url, dict(REGIONS))
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        yield connection


@pytest.fixture
async def sharing_broker(tmp_path: Path) -> AsyncIterator[OwnBroker]:
    """A broker with shared subscriptions."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with Ports() as ports:
        broker = own_broker(MOSQUITTO, folder, ports)
        await broker.start()
        yield broker
        broker.kill()


@pytest.fixture
def start(database_url: str, topic_root: str, tmp_path: Path) -> Iterator[Start]:
    """Starts ingestors, which are ended with the test; the broker is told to forget them."""
    with ExitStack() as stack:

        def started(mqtt_url: str, name: str, **settings: str) -> IngestorProcess:
            name = f"{name}-{topic_root.partition('/')[0]}"
            common = {"database_url": database_url, "mqtt_url": mqtt_url, "topic_root": topic_root}
            stack.callback(forget, mqtt_url, name)
            process = IngestorProcess(tmp_path, name, **common, **settings)
            stack.callback(process.end)
            return process

        yield started


@needs_mosquitto
@pytest.mark.parametrize("session_s", ["0", "3"])
async def test_a_member_of_a_group_that_is_killed_leaves_its_work_to_the_others(
    sharing_broker: OwnBroker,
    start: Start,
    conn: psycopg.Connection[Any],
    topic_root: str,
    tmp_path: Path,
    session_s: str,
) -> None:
    url = sharing_broker.url
    share = {"ingestor_group": "g", "ingestor_session_s": session_s}
    first, second = start(url, "a", **share), start(url, "b", **share)
    await first.working(conn)
    await second.working(conn)
    async with a_load(by(url, topic_root), SITES, tmp_path) as load:
        await until(lambda: all(len(names) == 2 for names in takers(conn).values()) and len(takers(conn)) == 4)
        first.kill()
        await load.published(50)
        await load.stop()
        assert_each_row_once(conn, load)
        receipts = retained_receipts(Settings(mqtt_url=url, topic_root=topic_root), SITES)
        assert {site: receipts[site].through for site in SITES} == dict(load.frames)
    assert takers(conn) == {site: {first.name, second.name} for site in SITES}


@needs_mosquitto
@pytest.mark.parametrize("session_s", ["0", "60"])
async def test_a_group_that_is_away_for_a_moment_misses_nothing(
    sharing_broker: OwnBroker,
    start: Start,
    conn: psycopg.Connection[Any],
    topic_root: str,
    tmp_path: Path,
    session_s: str,
) -> None:
    """All of its members are killed and come back while edges go on."""
    url = sharing_broker.url
    share = {"ingestor_group": "g", "ingestor_session_s": session_s}
    both = [start(url, name, **share) for name in ("a", "b")]
    for member in both:
        await member.working(conn)
    async with a_load(by(url, topic_root), SITES, tmp_path) as load:
        await load.published(20)
        for member in both:
            member.kill()
        await load.published(20)
        conn.execute("DELETE FROM heartbeat")
        for name in ("a", "b"):
            await start(url, name, **share).working(conn)
        await load.stop()
        assert_each_row_once(conn, load)


async def test_regions_and_sites_divide_the_work_and_another_takes_it_over(
    mqtt_url: str, start: Start, conn: psycopg.Connection[Any], topic_root: str, tmp_path: Path
) -> None:
    north = start(mqtt_url, "north", ingestor_regions="north")
    south = start(mqtt_url, "south", ingestor_sites=",".join(SOUTH))
    await north.working(conn)
    await south.working(conn)
    async with a_load(by(mqtt_url, topic_root), SITES, tmp_path) as load:
        await until(lambda: len(takers(conn)) == 4, DEADLINE_S)
        assert takers(conn) == {site: {north.name if site in NORTH else south.name} for site in SITES}
        south.kill()
        await load.published(20)
        north.end()
        conn.execute("DELETE FROM heartbeat")
        await start(mqtt_url, "north", ingestor_regions="north,south").working(conn)
        await load.published(20)
        await load.stop()
        assert_each_row_once(conn, load)
        receipts = retained_receipts(Settings(mqtt_url=mqtt_url, topic_root=topic_root), SITES)
        assert {site: receipts[site].through for site in SITES} == dict(load.frames)
    assert all(north.name in names for names in takers(conn).values())


async def test_a_site_that_is_registered_in_a_region_is_taken_without_a_restart(
    mqtt_url: str,
    start: Start,
    conn: psycopg.Connection[Any],
    database_url: str,
    topic_root: str,
    tmp_path: Path,
) -> None:
    north = start(mqtt_url, "north", ingestor_regions="north")
    await north.working(conn)
    async with a_load(by(mqtt_url, topic_root), ("chengde",), tmp_path, every_s=0.2) as load:
        await load.published(2)
        assert takers(conn) == {}
        await register(database_url, {"north": (*NORTH, "chengde"), "south": SOUTH})
        await until(lambda: takers(conn) == {"chengde": {north.name}}, DEADLINE_S)
        await load.stop()
        assert_each_row_once(conn, load)


async def test_an_ingestor_that_took_everything_leaves_the_others_their_part_when_it_is_given_one(
    mqtt_url: str, start: Start, conn: psycopg.Connection[Any], topic_root: str, tmp_path: Path
) -> None:
    """Its session at the broker remembers the subscriptions of earlier runs."""
    for earlier in ({}, {"ingestor_sites": ",".join(SITES)}):
        before = start(mqtt_url, "one", **earlier)
        await before.working(conn)
        before.end()
        conn.execute("DELETE FROM heartbeat")
    one, other = start(mqtt_url, "one", ingestor_regions="north"), start(mqtt_url, "other", ingestor_regions="south")
    await one.working(conn)
    await other.working(conn)
    async with a_load(by(mqtt_url, topic_root), SOUTH, tmp_path, every_s=0.05) as load:

        def taken_by_one() -> int:
            found = conn.execute("SELECT max(seq) FROM batch WHERE ingestor = %s", [one.name]).fetchone()
            return (found[0] if found else None) or 0

        await until(lambda: len(takers(conn)) == 2, DEADLINE_S)
        await load.published(5)
        ended_at = max(load.frames.values())
        await load.published(10)
        await load.stop()
        assert_each_row_once(conn, load)
        assert taken_by_one() <= ended_at, "one still takes what is not its part"


async def test_a_broker_without_shared_subscriptions_is_told_of_in_words(
    mqtt_url: str, start: Start, conn: psycopg.Connection[Any], request: pytest.FixtureRequest
) -> None:
    member = start(mqtt_url, "a", ingestor_group="g")
    if request.node.callspec.params["mqtt_url"] != NATS:
        await member.working(conn)
        return
    await until(lambda: member.reason(conn) is not None and "MQTT 5" in str(member.reason(conn)), DEADLINE_S)
    assert "STACKWATCH_INGESTOR_REGIONS" in str(member.reason(conn))
