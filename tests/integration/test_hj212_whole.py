"""A logger, the agent, broker, ingestor, database, and a platform beside it: every hour arrives once at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg
import pytest

from builders import WORKS, put_register
from edge.serve import serve as serve_edge
from fakes.hj212_logger import MN, PASSWORD, BadLine, an_hour, days_of, parts_of, push, value_of
from fakes.hj212_platform import Platform
from fakes.polling import until
from ingestor.serve import serve as serve_ingestor
from plant.settings import Settings
from stackwatch.local.ports import Ports
from store.pool import open_pool

pytestmark = pytest.mark.anyio

FIRST: Final = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp() * 1000)
MEANS: Final = "SELECT source, channel, interval_s, sampled_at, avg FROM reported_mean ORDER BY 1, 2, 4"
AGENT: Final = """
site = "works"
edge = "e1"
[[hj212.listen]]
name = "loggers"
host = "127.0.0.1"
port = {port}
  [[hj212.listen.logger]]
  mn = "{mn}"
  password = "{password}"
  stack = "DA001"
[[hj212.uplink]]
name = "bureau"
host = "127.0.0.1"
port = {platform}
mn = "{mn}"
password = "{password}"
stack = "DA001"
means = "passed"
"""


@asynccontextmanager
async def process(coroutine: Any, name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine, name=name)
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=30)
        assert task.cancelled()


async def listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_every_hour_of_a_logger_is_in_the_database_once_and_with_what_a_platform_confirmed(
    database_url: str, mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    rng = Random(11)
    hours = days_of(20, FIRST)
    messages = [parts_of(hour) if rng.random() < 0.3 else [an_hour(hour)] for hour in hours]
    line = BadLine(rng, noise=0.3, double=0.2, end=0.3, pieces=True)
    settings = Settings(
        database_url=database_url, mqtt_url=mqtt_url, topic_root=topic_root, ingestor_id=topic_root.replace("/", "-")
    )
    async with open_pool(settings.database_url, name="test") as pool:
        await put_register(pool, WORKS)
    with Ports() as ports, psycopg.connect(database_url, autocommit=True) as conn:
        port = ports.take(29_212)
        async with Platform().serving() as platform:
            file = tmp_path / "edge.toml"
            file.write_text(AGENT.format(port=port, mn=MN, password=PASSWORD, platform=platform.port))
            async with process(serve_ingestor(settings), "ingestor"), process(serve_edge(settings, file), "edge"):
                async with asyncio.timeout(30):
                    while not await listening(port):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                await push(port, messages, line)
                async with asyncio.timeout(120):
                    while await rows_of(database_url) < 4 * len(hours):  # noqa: ASYNC110
                        await asyncio.sleep(0.5)
                await until(lambda: kinds(conn) == {"hj212.listen", "hj212.uplink"})
        found = conn.execute(MEANS).fetchall()
        for source in ("logger", "platform"):
            values = [(at, avg) for of, channel, _, at, avg in found if (of, channel) == (source, "so2")]
            wanted = [(datetime.fromtimestamp(hour / 1000, UTC), value_of(hour)) for hour in hours]
            assert values == wanted
        assert conn.execute("SELECT sum(stored), sum(conflict), sum(quarantined) FROM batch_hour").fetchone() == (
            4 * len(hours),
            0,
            0,
        )


async def rows_of(database_url: str) -> int:
    def count() -> int:
        with psycopg.connect(database_url) as conn:
            (found,) = conn.execute("SELECT count(*) FROM reported_mean").fetchall()
            return int(found[0])

    return await asyncio.to_thread(count)


def kinds(conn: psycopg.Connection[Any]) -> set[str]:
    """What sources the edge says it has, as the system knows it."""
    rows = conn.execute("SELECT document -> 'sources' FROM edge_state").fetchall()
    return {str(state["kind"]) for (sources,) in rows for state in (sources or {}).values()}
