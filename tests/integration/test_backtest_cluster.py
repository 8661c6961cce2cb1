"""History judged on a Ray cluster of two nodes: what one core gives, to the last bit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import pytest

from alerts.backtest.cluster import judge_on_cluster
from alerts.backtest.difference import difference
from alerts.backtest.folder import FolderSource
from alerts.backtest.recorded import open_folder
from alerts.backtest.running import Asked, hours_to_judge, judge_history
from alerts.backtest.stored import open_stored
from alerts.backtest.variants import variant_of
from builders import a_frame, a_pipe, minutes
from edge.simulator.parquet import write_works
from edge.simulator.scenario import load_scenario
from plant.errors import Unavailable
from plant.packs import outlets_by_pack, pack
from plant.periods import micros
from plant.register import parse_register

BEGIN_MS = 1_793_289_600_000  # 2026-10-30 00:00 at UTC+8: two months are touched
DAYS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes with one core each."""
    from ray.cluster_utils import Cluster

    nodes: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes(timeout=60)
        yield nodes.address
    finally:
        nodes.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FolderSource:
    """Four days of a works where faults are planted."""
    folder = tmp_path_factory.mktemp("rows")
    scenario = load_scenario("faults")
    works = scenario.works("faulty-works", BEGIN_MS, 3)
    write_works(works, BEGIN_MS + DAYS * 86_400_000, folder / "faulty-works.parquet")
    register = parse_register(scenario.register_toml(), "faults", packs=outlets_by_pack())
    return FolderSource(open_folder(folder, register), Asked())


def test_a_cluster_of_two_nodes_gives_what_one_core_gives(cluster: str, source: FolderSource) -> None:
    told_here: list[int] = []
    told: list[int] = []

    here = judge_history(source, told_here.append)
    there = judge_on_cluster(source, cluster, told.append)

    assert sum(told_here) == sum(told) == hours_to_judge(source)
    assert here.rows == there.rows > 0
    assert here.alerts
    assert there.alerts == here.alerts
    assert there.months == here.months
    assert difference(here, there, dict(source.sites)).is_none


def test_a_draft_pack_travels_to_the_cluster(cluster: str, source: FolderSource) -> None:
    draft = replace(pack("cn-steel-ule-2019"), name="draft")
    tried = replace(source, asked=source.asked.under(variant_of([draft], ["cn-steel-ule-2019"])))

    there = judge_on_cluster(tried, cluster)

    assert {key.pack for key in there.hours} == {"draft"}
    assert difference(judge_history(source), there, dict(source.sites), instead={"draft": "cn-steel-ule-2019"}).is_none


@pytest.mark.anyio
async def test_the_database_is_read_by_the_machines_of_the_cluster(
    cluster: str, postgres_url_factory: Callable[[], str]
) -> None:
    start, n_hours = datetime(2026, 11, 1, 16, tzinfo=UTC), 30
    database_url = postgres_url_factory()
    async with a_pipe(database_url) as pipe:
        for hour in range(n_hours):
            so2 = 60.0 if hour in (5, 6, 20) else 20.0
            rows = minutes((start + timedelta(hours=hour)).isoformat(), 60, so2=so2, nox=30.0, pm=5.0, o2=16.0)
            await pipe.publish(a_frame(rows, session="s", seq=hour + 1))
        await pipe.tick(start + timedelta(hours=n_hours, minutes=3))
        asked = Asked(first=micros(start), end=micros(start + timedelta(hours=n_hours)))
        source = await open_stored(pipe.pool, database_url, (), asked)
        stands = await asyncio.to_thread(source.standing)

    there = await asyncio.to_thread(judge_on_cluster, source, cluster)

    assert sum(alert.rule == "hour_above_limit" for alert in there.alerts.values()) >= 3
    assert difference(stands, there, dict(source.sites)).is_none


def test_a_task_that_fails_is_said_with_its_reason(cluster: str, source: FolderSource) -> None:
    end = (BEGIN_MS + DAYS * 86_400_000) * 1000
    fails: Any = itemgetter("packs")  # what is defined in this file would not be known there
    cannot_work = replace(source.asked, now=end, packs=fails)

    with pytest.raises(Unavailable, match="'Stack' object is not subscriptable"):
        judge_on_cluster(replace(source, asked=cannot_work), cluster)


def test_no_cluster_at_the_address_is_said(source: FolderSource) -> None:
    with pytest.raises(Unavailable, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        judge_on_cluster(source, "127.0.0.1:1")
