"""The restore drill: a backup under load, the machine lost, a new folder, and the same edge goes on.

An edge deletes what it has a receipt for, so rows that came after the backup are gone. The drill shows that this is
seen to the row, and that the same rows imported again give the verdicts of the machine that was lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from alerts.enforcement.chain import Link, verify
from alerts.enforcement.commands import act
from alerts.enforcement.history import head_of
from builders import GAS_TURBINE, POWER, put_register
from case_builders import ALL_AGENCY
from edge.agent import open_edge
from edge.replay import replay
from edge.trace import ReplayPlan, plan_replay
from plant.settings import Settings
from stackwatch.commands.restore import VERSION_LEAP
from stackwatch.local import folder
from stackwatch.local.supervisor import LocalStack
from store import cases, orders
from store.books import book_totals
from store.pool import connect, open_pool
from store.scope import EVERYWHERE

pytestmark = pytest.mark.anyio

FIRST_HOUR: Final = "2025-01-01T00:00:00+08:00"
START: Final = datetime.fromisoformat(FIRST_HOUR).astimezone(UTC)
BEFORE, THROUGH, AFTER = 2_000, 4_000, 4_200
FAST: Final = {"STACKWATCH_TICK_S": "0.5", "STACKWATCH_LOG_LEVEL": "WARNING"}


@pytest.fixture
def new_folder() -> Iterator[Callable[[], Path]]:
    made: list[Path] = []

    def make() -> Path:
        made.append(folder.resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-"))))
        return made[-1]

    yield make
    for path in made:
        folder.remove(path)


def piece(tmp_path: Path, first: int, last: int) -> Path:
    """The rows *first* to *last* of the year as a file with their own times."""
    head, *rows = GAS_TURBINE.read_text().splitlines()
    times = [START + timedelta(hours=i) for i in range(first, last)]
    file = tmp_path / f"{first}-{last}.csv"
    lines = [f"{at.isoformat()},{row}" for at, row in zip(times, rows[first:last], strict=True)]
    file.write_text("\n".join([f"time,{head}", *lines]))
    return file


@asynccontextmanager
async def up(data: Path, mqtt_port: int | None = None) -> AsyncIterator[LocalStack]:
    async with LocalStack(data, mqtt_port=mqtt_port, settings_env=FAST) as stack:
        await stack.wait_healthy(60)
        yield stack


async def rows(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    async with await connect(url, name="test") as conn:
        return list(await (await conn.execute(query.encode(), values)).fetchall())


async def until(true: Callable[[], Awaitable[bool]], what: str, deadline_s: float = 90.0) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            while not await true():  # noqa: ASYNC110 - other processes set no event of ours
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {deadline_s:g} s: {what}")


async def judged(url: str) -> None:
    async def done() -> bool:
        return await rows(url, "SELECT count(*) FROM rejudge") == [(0,)]

    await until(done, "all hours are judged")


async def final_answers(url: str, hours: int) -> list[list[tuple[Any, ...]]]:
    """What is said about the first *hours* hours, and about months that lie wholly in them."""
    end = START + timedelta(hours=hours)
    month = (end + timedelta(hours=8)).date().replace(day=1)
    return [
        await rows(
            url,
            "SELECT start, pollutant, verdict, corrected, reason FROM hour_verdict"
            " WHERE superseded_at IS NULL AND start < %s ORDER BY 1, 2",
            end,
        ),
        await rows(
            url,
            "SELECT month, pollutant, verdict, share, hours_valid, hours_above FROM month_verdict"
            " WHERE superseded_at IS NULL AND month < %s ORDER BY 1, 2",
            month,
        ),
        await rows(
            url,
            "SELECT alert_id, state, observed FROM alert"
            " WHERE rule = 'hour_above_limit' AND period_start < %s ORDER BY 1",
            end,
        ),
    ]


async def chain(url: str, case_id: str) -> list[str]:
    """The records of a case, whose hashes are checked."""
    async with await connect(url, name="test") as conn:
        case = await cases.find(conn, case_id)
        assert case is not None
        events = (await cases.events(conn, [case_id]))[case_id]
        assert verify(head_of(case), [Link(e.body, e.previous_hash, e.hash) for e in events]) is None
        return [event.body for event in events]


async def command(*args: str) -> dict[str, Any]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("STACKWATCH_")}
    argv = [sys.executable, "-m", "stackwatch", *args, "--json"]
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, timeout=120, check=False, env=plain
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def take(url: str, case_id: str, *actions: str) -> None:
    async with await connect(url, name="test") as conn:
        for action in actions:
            now = datetime.now(UTC)
            await act(conn, case_id=case_id, actor="Li", roles=ALL_AGENCY, action=action, reason="x", now=now)


@pytest.mark.timeout(300)
async def test_a_backup_under_load_restored_into_an_empty_folder_goes_on_with_the_same_edge(
    new_folder: Callable[[], Path], tmp_path: Path
) -> None:
    lost, found = new_folder(), new_folder()
    backups = tmp_path / "backups"
    backups.mkdir()
    async with AsyncExitStack() as edges:
        async with up(lost) as stack:
            url, port = stack.database_url, urlsplit(stack.mqtt_url).port
            async with open_pool(url, name="test") as pool:
                await put_register(pool, POWER)
            settings = Settings(mqtt_url=stack.mqtt_url, order_public_key=stack.order_public_key)
            edge = await edges.enter_async_context(open_edge(settings, site="power", edge="gw", folder=tmp_path))
            plant = edge.orders
            assert plant is not None
            await replay(trace(piece(tmp_path, 0, BEFORE)), edge.outbox, edge.publisher)
            await judged(url)
            ((case_id,),) = await rows(url, 'SELECT case_id FROM "case"')
            await take(url, case_id, "verify", "decide", "serve")
            await until(_is(lambda: len(plant.current.orders) == 1), "the order is at the plant")
            history = await chain(url, case_id)

            # Under load: a hundred hours a second, and the backup in their middle.
            slow, fast = (trace(piece(tmp_path, BEFORE, THROUGH), speed=speed) for speed in (3600.0 * 100, None))
            load = asyncio.create_task(replay(slow, edge.outbox, edge.publisher), name="load")
            await until(lambda: _stored(url, BEFORE + 100), "the load has begun")
            made = await command("backup", str(backups), "--data", str(lost))
            assert not load.done(), "the backup was made under load"
            load.cancel()
            await asyncio.wait([load])
            await replay(fast, edge.outbox, edge.publisher)  # it goes on where the slow one was
            await judged(url)
            early, expected = await final_answers(url, BEFORE), await final_answers(url, THROUGH)
            await take(url, case_id, "permit_trial")
            await until(_is(lambda: plant.current.version == 2), "the plant knows a later list")

        # The machine is lost. What it had in the backup stands again.
        at_backup, missing = made["counts"]["measurement"], THROUGH - made["counts"]["measurement"]
        assert BEFORE < at_backup < THROUGH
        told = await command("restore", made["file"], "--data", str(found))
        assert told["reissued"] == {"power": 1 + VERSION_LEAP}
        async with up(found, port) as stack:
            url = stack.database_url
            assert stack.order_public_key == settings.order_public_key
            await judged(url)
            assert await final_answers(url, BEFORE) == early, "the same verdicts"
            assert (await chain(url, case_id))[: len(history)] == history, "the same chain"

            # The same edge, which has deleted what the lost machine gave receipts for, goes on.
            last = trace(piece(tmp_path, THROUGH, AFTER))
            await asyncio.wait_for(replay(last, edge.outbox, edge.publisher), 60)
            async with await connect(url, name="test") as conn:
                books = await book_totals(conn, EVERYWHERE)
                newest = await orders.newest_list(conn, "power")
            assert books["unexplained"] == missing, "every lost row is seen, and no other"
            assert (books["published"], books["stored"]) == (AFTER, at_backup + AFTER - THROUGH)
            assert newest is not None
            await until(_is(lambda: plant.current.version == newest.version), "the plant follows again")
            assert len(plant.current.orders) == 1

            # What the plant's logger still has is imported; then nothing differs from the machine that was lost.
            done = await command(
                *("import", str(piece(tmp_path, 0, THROUGH)), "--site", "power", "--stack", "GT"),
                *("--map", "NOX=nox", "--data", str(found)),
            )
            assert (done["stored"], done["duplicate"], done["conflict"]) == (missing, at_backup, 0)
            await judged(url)
            assert await final_answers(url, THROUGH) == expected
            assert (await chain(url, case_id))[: len(history)] == history


def trace(file: Path, speed: float | None = None) -> ReplayPlan:
    return plan_replay(file, site="power", stack="GT", mapping={"NOX": "nox"}, rows_per_frame=20, speed=speed)


def _is(true: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return true()

    return ask


async def _stored(url: str, least: int) -> bool:
    return bool((await rows(url, "SELECT count(*) >= %s FROM measurement", least))[0][0])
