"""Replaying a trace through a real broker: all rows once, whatever is killed."""

from __future__ import annotations

import asyncio
import csv
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from edge.agent import open_edge
from edge.replay import ReplayProgress, replay
from edge.serve import serve
from edge.trace import ReplayPlan, plan_replay
from fakes.polling import until
from fakes.receipting import ReceiptingIngestor
from plant.settings import Settings

pytestmark = pytest.mark.anyio

TRACE = Path(__file__).parents[1] / "data" / "gas_turbine_gt_2011.csv"
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
HOUR_MS = 3_600_000


def gas_turbine(file: Path = TRACE, **changes: object) -> ReplayPlan:
    arguments: dict[str, object] = {"mapping": {"NOX": "nox"}, "start": NEW_YEAR, "step_ms": HOUR_MS} | changes
    return plan_replay(file, site="power-1", stack="GT1", **arguments)  # type: ignore[arg-type]


def expected_nox() -> dict[int, float]:
    """The year, from the file, without any of our code."""
    with TRACE.open() as file:
        start_ms = round(NEW_YEAR.timestamp() * 1000)
        return {start_ms + n * HOUR_MS: float(row["NOX"]) for n, row in enumerate(csv.DictReader(file))}


def stored_nox(ingestor: ReceiptingIngestor) -> dict[int, float]:
    return {sampled_at: row["nox"] for (_, sampled_at), row in ingestor.rows.items()}


async def test_the_gas_turbine_year_arrives_as_it_stands_in_the_file(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    seen: list[ReplayProgress] = []
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with open_edge(settings, site="power-1", edge="replay", folder=tmp_path) as edge:
            done = await replay(gas_turbine(), edge.outbox, edge.publisher, seen.append)
            assert (done.rows, done.total, done.resumed_at, done.waiting) == (7411, 7411, 0, 0)
            assert [p.rows for p in seen] == sorted(p.rows for p in seen)
            assert stored_nox(ingestor) == expected_nox()
            assert ingestor.copies == 0
            again = await replay(gas_turbine(), edge.outbox, edge.publisher)
            assert (again.rows, again.resumed_at) == (7411, 7411)
            assert ingestor.copies == 0


_REPLAY = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from edge.agent import open_edge
from edge.replay import replay
from edge.trace import plan_replay
from plant.settings import Settings

async def main(file, url, root, folder):
    plan = plan_replay(Path(file), site="power-1", stack="GT1", mapping={"NOX": "nox"},
                       start=datetime(2025, 1, 1, tzinfo=UTC), step_ms=3_600_000, rows_per_frame=25)
    settings = Settings(mqtt_url=url, topic_root=root)
    async with open_edge(settings, site="power-1", edge="replay", folder=Path(folder), window=8) as edge:
        print("started", flush=True)
        await replay(plan, edge.outbox, edge.publisher)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_replay_killed_at_any_instant_goes_on_and_ends_the_same(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    rng, kills = Random(20_261_121), 0
    arguments = ("-c", _REPLAY, str(TRACE), mqtt_url, topic_root, str(tmp_path))
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        finished = False
        while not finished:
            child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
            try:
                assert child.stdout is not None
                assert await child.stdout.readline() == b"started\n"
                async with asyncio.timeout(rng.uniform(0.0, 0.4) if kills < 8 else 60):
                    finished = await child.wait() == 0
                    assert finished
            except TimeoutError:
                kills += 1
            finally:
                if child.returncode is None:
                    child.kill()
                await child.communicate()
        assert kills >= 3
        assert stored_nox(ingestor) == expected_nox()


async def test_a_replay_waits_for_an_ingestor_that_is_away_and_holds_little(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    async with open_edge(settings, site="power-1", edge="replay", folder=tmp_path) as edge:
        task = asyncio.create_task(replay(gas_turbine(rows_per_frame=10), edge.outbox, edge.publisher), name="replay")
        await until(lambda: edge.outbox.waiting >= 128 and edge.publisher.stats.in_flight == 64)
        assert edge.outbox.waiting < 128 + 16
        with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
            await asyncio.wait_for(task, 60)
            assert stored_nox(ingestor) == expected_nox()


async def test_a_replay_at_a_given_speed_keeps_the_pace_of_the_trace(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    file = tmp_path / "short.csv"
    file.write_text("nox\n" + "1\n" * 11)
    plan = gas_turbine(file, mapping={}, step_ms=1_000, speed=10.0)
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        async with open_edge(settings, site="power-1", edge="replay", folder=tmp_path) as edge:
            began = time.monotonic()
            await replay(plan, edge.outbox, edge.publisher)
            assert 0.98 <= time.monotonic() - began < 5.0
            assert len(ingestor.rows) == 11
            assert sum(len(seqs) for seqs in ingestor.frames.values()) >= 3


async def test_an_agent_with_a_trace_ends_when_it_has_all_receipts(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    (tmp_path / "edge.toml").write_text(
        f'site = "power-1"\nedge = "e"\n[[trace]]\nfile = "{TRACE}"\nstack = "GT1"\n'
        'from = "2025-01-01T00:00:00Z"\nstep = "1h"\n'
    )
    with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
        settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
        await asyncio.wait_for(serve(settings, tmp_path / "edge.toml"), 60)
        assert stored_nox(ingestor) == expected_nox()
        assert (tmp_path / "outbox" / "power-1.e.sqlite").exists()
