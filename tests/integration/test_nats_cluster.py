"""Three nodes of NATS as one broker: whichever of them is killed under load, every row is stored once.

The end of a load waits until each edge was told so. What NATS retains is not looked at: it acknowledges a receipt that
it could not retain while it elected a leader, and an edge that finds an older one sends again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from builders import put_register
from fakes.nats_cluster import DEADLINE_S, MESSAGES, NAMES, NatsCluster, nats_cluster
from fakes.polling import until
from fakes.several import IngestorProcess, a_load, a_register, assert_each_row_once, takers
from stackwatch.brokers.identities import INGESTOR
from store.pool import open_pool

pytestmark = pytest.mark.anyio

REGIONS: Final = {"north": ("anshan", "benxi"), "south": ("pingxiang", "qujing")}
SITES: Final = tuple(site for sites in REGIONS.values() for site in sites)
Start = Callable[..., IngestorProcess]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    async with nats_cluster(tmp_path / "cluster", SITES) as started:
        yield started


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[psycopg.Connection[Any]]:
    async with open_pool(database_url, name="test") as pool:
        await put_register(pool, a_register(REGIONS))
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        yield connection


@pytest.fixture
def start(cluster: NatsCluster, database_url: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(name: str, *, first: str, **settings: str) -> IngestorProcess:
            reached = cluster.settings(INGESTOR, first)
            process = IngestorProcess(tmp_path, name, database_url=database_url, **reached, **settings)
            stack.callback(process.end)
            return process

        yield started


@pytest.mark.parametrize("killed", ["the node of the ingestor", "the leader of the messages", "any other"])
async def test_one_of_three_nodes_is_killed_under_load(
    cluster: NatsCluster, start: Start, conn: psycopg.Connection[Any], tmp_path: Path, killed: str
) -> None:
    # The ingestor makes the streams; then it is placed where the case wants it.
    ingestor = start("one", first=NAMES[0])
    await ingestor.working(conn)
    leader = await cluster.led(MESSAGES)
    home = leader if killed == "any other" else next(name for name in NAMES if name != leader)
    if home != NAMES[0]:
        ingestor.end()
        conn.execute("DELETE FROM heartbeat")
        ingestor = start("one", first=home)
        await ingestor.working(conn)
    others = [name for name in NAMES if name not in (home, leader)]
    node = cluster[{"the node of the ingestor": home, "the leader of the messages": leader}.get(killed, others[0])]

    async with a_load(cluster.edge, SITES, tmp_path) as load:
        await until(lambda: len(takers(conn)) == len(SITES), DEADLINE_S)
        await cluster.whole()
        assert await cluster.led(MESSAGES) == leader
        node.kill()
        await load.published(100)
        await until(lambda: ingestor.reason(conn) == "", DEADLINE_S)
        await until(lambda: cluster.leader(MESSAGES) not in (None, node.name), DEADLINE_S)
        await load.stop()
        assert_each_row_once(conn, load)


async def test_every_node_is_killed_once_and_comes_back_while_two_ingestors_divide_the_work(
    cluster: NatsCluster, start: Start, conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    north = start("north", first=NAMES[0], ingestor_regions="north")
    await north.working(conn)
    south = start("south", first=NAMES[1], ingestor_regions="south")
    await south.working(conn)
    async with a_load(cluster.edge, SITES, tmp_path, every_s=0.05) as load:
        await until(lambda: len(takers(conn)) == len(SITES), DEADLINE_S)
        for name in NAMES:
            await cluster.whole()
            cluster[name].kill()
            await load.published(20)
            cluster[name].start()
        await cluster.whole()
        await load.stop()
        assert_each_row_once(conn, load)
    assert takers(conn) == {site: {north.name if site in REGIONS["north"] else south.name} for site in SITES}


async def test_a_node_that_lost_its_disk_gets_everything_from_the_others(
    cluster: NatsCluster, start: Start, conn: psycopg.Connection[Any], tmp_path: Path
) -> None:
    ingestor = start("one", first=NAMES[0])
    await ingestor.working(conn)
    async with a_load(cluster.edge, SITES, tmp_path, every_s=0.05) as load:
        await until(lambda: len(takers(conn)) == len(SITES), DEADLINE_S)
        await cluster.whole()
        node = cluster[NAMES[2]]
        node.kill()
        node.lose_disk()
        await load.published(20)
        node.start()
        await cluster.whole()
        cluster[NAMES[1]].kill()
        await load.published(20)
        await load.stop()
        assert_each_row_once(conn, load)
