"""Several rule stages on one database: fair shares, a dead one's stacks taken over, and no second alert."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest

from alerts.shards import share_of
from alerts.stage import Stage
from builders import WORKS, Pipe, a_frame, a_pipe, settings
from fakes.polling import until_so
from store import clock, shards
from store.pool import connect, open_pool, transaction
from store.queue import SHARDS

pytestmark = pytest.mark.anyio

NOON: Final = datetime(2026, 11, 10, 4, tzinfo=UTC)
DEADLINE_S: Final = 60.0
STACKS: Final = [f"DA{number:03}" for number in range(1, 9)]


def many_stacks() -> str:
    """A works with eight stacks alike."""
    head, stack = WORKS.split("  [[site.stack]]")
    return head + "".join("  [[site.stack]]" + stack.replace("DA001", code) for code in STACKS)


def rows_of(code: str, hours: int) -> list[dict[str, Any]]:
    """Minutes of a stack, every third hour above the limit."""
    rng = random.Random(code)
    return [
        {
            "stack": code,
            "sampled_at": (NOON + timedelta(minutes=minute)).isoformat(),
            "so2": rng.gauss(60.0 if (minute // 60) % 3 == 0 else 20.0, 2.0),
            "nox": 30.0,
            "pm": 4.0,
            "o2": 16.0,
        }
        for minute in range(hours * 60)
    ]


async def publish(pipe: Pipe, hours: int) -> None:
    for code in STACKS:
        await pipe.publish(a_frame(rows_of(code, hours), session=code, seq=1))


async def put_tick(pipe: Pipe, at: datetime) -> None:
    async with transaction(pipe.pool) as conn:
        await clock.put_tick(conn, at, "test")


@asynccontextmanager
async def a_stage(database_url: str, **others: Any) -> AsyncIterator[Stage]:
    """A stage that runs, with a clock that stands still long ago."""
    async with open_pool(database_url, name="stage", size=8) as pool:
        config = settings(database_url, tick_s=0.2, stage_lease_s=1.5, **others)
        stage = Stage(config, pool, wall_clock=lambda: NOON)
        task = asyncio.create_task(stage.run(), name="stage")
        try:
            yield stage
        finally:
            task.cancel()
            await asyncio.wait([task])


async def holders(database_url: str) -> list[int]:
    async with await connect(database_url, name="test") as conn:
        return sorted((await shards.workers(conn)).values())


async def until_shares_are(database_url: str, wanted: list[int]) -> None:
    async def so() -> bool:
        return await holders(database_url) == wanted

    await until_so(so, DEADLINE_S)


async def until_all_is_judged(pipe: Pipe) -> None:
    """For good: hours that were judged before the tick are asked about again behind it."""

    async def so() -> bool:
        return not await pipe.rows("SELECT FROM rejudge UNION ALL SELECT FROM hour_mean WHERE NOT final LIMIT 1")

    await until_so(so, DEADLINE_S)


async def test_a_new_stage_gets_its_share_and_gives_it_back_when_it_leaves(database_url: str) -> None:
    async with a_stage(database_url):
        await until_shares_are(database_url, [SHARDS])
        async with a_stage(database_url):
            await until_shares_are(database_url, [SHARDS // 2, SHARDS // 2])
        await until_shares_are(database_url, [SHARDS])
    assert await holders(database_url) == []


async def test_the_stacks_of_a_stage_that_died_are_taken_over_when_its_lease_ends(database_url: str) -> None:
    async with a_pipe(database_url, many_stacks()) as pipe:
        async with transaction(pipe.pool) as conn:  # it takes everything, and is never heard of again
            held = await shards.renew(conn, "dead", 2.0, partial(share_of, "dead"))
        assert len(held) == SHARDS
        await publish(pipe, hours=1)
        await put_tick(pipe, NOON + timedelta(hours=2))
        async with a_stage(database_url):
            await until_all_is_judged(pipe)
        verdicts = await pipe.rows("SELECT count(DISTINCT stack_id) FROM hour_verdict WHERE final")
        assert verdicts == [(len(STACKS),)]


async def test_two_stages_share_the_work_and_open_each_alert_once(database_url: str) -> None:
    async with a_pipe(database_url, many_stacks()) as pipe:
        async with a_stage(database_url) as one, a_stage(database_url) as other:
            await until_shares_are(database_url, [SHARDS // 2, SHARDS // 2])
            await publish(pipe, hours=7)
            await put_tick(pipe, NOON + timedelta(hours=8))
            await until_all_is_judged(pipe)
            assert one.work.stacks_judged > 0
            assert other.work.stacks_judged > 0
        alerts = await pipe.rows("SELECT count(*) FROM alert WHERE rule = 'hour_above_limit'")
        opened = await pipe.rows(
            "SELECT count(*), count(DISTINCT e.alert_id) FROM alert_event e JOIN alert USING (alert_id)"
            " WHERE rule = 'hour_above_limit' AND event = 'opened'"
        )
        assert alerts == [(3 * len(STACKS),)]
        assert opened == [(3 * len(STACKS), 3 * len(STACKS))]


@contextmanager
def a_stage_process(database_url: str) -> Iterator[subprocess.Popen[bytes]]:
    program = "from stage_process import main; main()"
    environ = {**os.environ, "STAGE_DATABASE_URL": database_url}
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environ, cwd=os.path.dirname(__file__) + "/../fakes"
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


ALERTS: Final = """
SELECT alert_id, rule, severity, state, pollutant, period_start, ended_at, observed, limit_value FROM alert
ORDER BY alert_id
"""
VERDICTS: Final = """
SELECT stack_id, pollutant, start, pack, verdict, reason, corrected, final FROM hour_verdict
WHERE superseded_at IS NULL ORDER BY 1, 2, 3, 4
"""


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_stage_killed_at_any_moment_loses_nothing_and_opens_nothing_twice(
    postgres_url_factory: Any, seed: int
) -> None:
    rng = random.Random(seed)
    calm, wild = postgres_url_factory(), postgres_url_factory()
    async with a_pipe(calm, many_stacks()) as pipe:
        await publish(pipe, hours=9)
        await pipe.tick(NOON + timedelta(hours=10))
        wanted = [await pipe.rows(ALERTS), await pipe.rows(VERDICTS)]
    async with a_pipe(wild, many_stacks()) as pipe:
        await publish(pipe, hours=9)
        await put_tick(pipe, NOON + timedelta(hours=10))
        for _ in range(4):
            with a_stage_process(wild) as process:
                await until_it_judges(pipe)
                await asyncio.sleep(rng.uniform(0.0, 0.3))  # anywhere in what it does next
                process.send_signal(signal.SIGKILL)
        with a_stage_process(wild):
            await until_all_is_judged(pipe)
        assert [await pipe.rows(ALERTS), await pipe.rows(VERDICTS)] == wanted
        twice = "SELECT alert_id FROM alert_event WHERE event = 'opened' GROUP BY 1 HAVING count(*) > 1"
        assert await pipe.rows(twice) == []


async def until_it_judges(pipe: Pipe) -> None:
    """Until a stack more is judged, or none is left."""
    stacks, left = "SELECT count(DISTINCT stack_id) FROM hour_verdict", "SELECT FROM rejudge LIMIT 1"
    before = await pipe.rows(stacks)

    async def so() -> bool:
        return await pipe.rows(stacks) != before or not await pipe.rows(left)

    await until_so(so, DEADLINE_S)
