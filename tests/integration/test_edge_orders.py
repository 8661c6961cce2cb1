"""Orders over a real broker: retained, verified, remembered, acknowledged, and obeyed by the simulated works."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.agent import open_edge
from edge.orders import OrderList
from edge.simulator.loggers import columns
from edge.simulator.run import Simulation, SimulationPlan
from edge.simulator.scenario import load_scenario
from fakes.polling import until
from fakes.receipting import ReceiptingIngestor
from plant import topics
from plant.settings import Settings

pytestmark = pytest.mark.anyio

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SITE, EDGE = "tangshan-1", "works"
MINUTE_MS = 60_000
#: A few hours into a month: there is little past to tell.
NOW = datetime(2026, 11, 30, 16, 0, tzinfo=UTC) + timedelta(days=31)


def a_list(version: int, *units: str, key: Ed25519PrivateKey = KEY) -> bytes:
    orders = [
        {
            "order_id": f"o-{unit}",
            "case": "c-1",
            "order": "suspend",
            "units": [{"unit": unit, "mode": "stop", "value": None}],
            "effective_from": "2026-11-21T00:00:00Z",
            "safe_state_by": "2026-11-21T06:00:00Z",
            "until": None,
            "basis": "fictional",
            "text": "stop",
        }
        for unit in units
    ]
    body = json.dumps({"site": SITE, "version": version, "issued_at": "2026-11-21T00:00:00Z", "orders": orders})
    signature = base64.b64encode(key.sign(body.encode())).decode()
    return json.dumps({"body": body, "key_id": "k", "signature": signature}).encode()


def settings_for(mqtt_url: str, root: str) -> Settings:
    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    return Settings(mqtt_url=mqtt_url, topic_root=root, order_public_key=public)


async def test_orders_are_shown_acknowledged_once_and_remembered(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    settings = settings_for(mqtt_url, topic_root)
    topic = topics.orders(topic_root, SITE)
    seen: list[OrderList] = []
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        system.publish(topic, a_list(2, "S1", "C1"))  # before the edge is there: it is retained
        async with open_edge(settings, site=SITE, edge=EDGE, folder=tmp_path) as edge:
            assert edge.orders is not None
            edge.orders.follow(seen.append)
            await edge.orders.version_reached(2, deadline_s=20)
            await until(lambda: len(system.acks) == 2)
            assert {ack["order_id"] for ack in system.acks} == {"o-S1", "o-C1"}
            assert {(ack["version"], ack["by"]) for ack in system.acks} == {(2, EDGE)}
            assert system.acks[0]["seen_at"].endswith("Z")
            forged = Ed25519PrivateKey.from_private_bytes(bytes(32))
            for bad in (a_list(1), a_list(9, key=forged), b"{}", a_list(2)):
                await asyncio.to_thread(system.publish, topic, bad)
            await until(lambda: edge.orders is not None and edge.orders.rejected == 4)
            assert edge.orders.current.version == 2
            await until(lambda: json.loads((tmp_path / f"{SITE}.{EDGE}.orders.json").read_text())["acked"])

        async with open_edge(settings, site=SITE, edge=EDGE, folder=tmp_path) as edge:
            assert edge.orders is not None
            assert edge.orders.current.version == 2  # before any message
            edge.orders.follow(seen.append)
            await until(lambda: edge.orders is not None and edge.orders.rejected == 1)  # the retained forgery
            await asyncio.to_thread(system.publish, topic, a_list(3))
            await edge.orders.version_reached(3, deadline_s=20)
        assert [listed.version for listed in seen] == [2, 2, 3]
        assert len(system.acks) == 2


def by_state(system: ReceiptingIngestor, stack: str) -> list[tuple[int, Any]]:
    """(first minute, state) of each run of one state."""
    runs: list[tuple[int, Any]] = []
    for (_, sampled_at), row in sorted((k, r) for k, r in system.rows.items() if k[0] == stack):
        if not runs or runs[-1][1] != row["state"]:
            runs.append((sampled_at, row["state"]))
    return runs


async def test_the_simulated_works_tells_its_past_obeys_and_recovers_by_its_own_clock(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    settings = settings_for(mqtt_url, topic_root)
    topic = topics.orders(topic_root, SITE)
    plan = SimulationPlan(scenario=load_scenario("demo"), site=SITE, speed=1.0)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        async with open_edge(settings, site=SITE, edge=EDGE, folder=tmp_path) as edge:
            assert edge.orders is not None
            simulation = Simulation(plan, edge.publisher, now=NOW)
            edge.orders.follow(simulation.obey)
            task = asyncio.create_task(simulation.run(), name="works")
            await simulation.caught_up(deadline_s=120)
            begin_ms = round(plan.scenario.begin(NOW).timestamp() * 1000)
            minutes = (simulation.through_ms - begin_ms) // MINUTE_MS
            assert minutes >= 31 * 1440
            assert len(system.rows) >= minutes * 3

            await asyncio.to_thread(system.publish, topic, a_list(1, "S1"))
            await edge.orders.version_reached(1, deadline_s=20)
            (effect,) = simulation.effects
            await simulation.advance_to(NOW + timedelta(hours=3), deadline_s=60)
            await asyncio.to_thread(system.publish, topic, a_list(2))
            await edge.orders.version_reached(2, deadline_s=20)
            await simulation.advance_to(NOW + timedelta(hours=8), deadline_s=60)
            task.cancel()

    (ended,) = simulation.effects
    assert (ended.unit, ended.since_ms) == ("S1", effect.since_ms)
    assert ended.until_ms is not None
    hour_ms = 60 * MINUTE_MS
    assert by_state(system, "DA001")[1:] == [
        (effect.since_ms, "stopping"),
        (effect.since_ms + hour_ms, "stopped"),
        (ended.until_ms, "starting"),
        (ended.until_ms + 2 * hour_ms, "running"),
    ]
    assert by_state(system, "DA002")[1:] == []


async def test_a_works_that_was_stopped_goes_on_as_if_it_had_not_been(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    settings = settings_for(mqtt_url, topic_root)
    plan = SimulationPlan(scenario=load_scenario("demo"), site=SITE, speed=1.0)
    ordered = OrderList(site=SITE, version=1)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        for days in (0, 3, 6):
            async with open_edge(settings, site=SITE, edge=EDGE, folder=tmp_path) as edge:
                simulation = Simulation(plan, edge.publisher, now=NOW)
                simulation.obey(ordered)
                task = asyncio.create_task(simulation.run(), name="works")
                target = NOW + timedelta(days=days)
                if days == 6:
                    await simulation.advance_to(target, deadline_s=120)
                else:
                    simulation.clock.wind_to(round(target.timestamp() * 1000))
                    await until(lambda: edge.publisher.stats.settled_frames > 20)
                task.cancel()
                await asyncio.wait([task], timeout=10)
        through_ms = simulation.through_ms
        begin_ms = round(plan.scenario.begin(NOW).timestamp() * 1000)
        frame, number = columns(plan.scenario.works(SITE, begin_ms), begin_ms, through_ms)
        await until(lambda: len(system.rows) >= number)
        assert len(system.rows) == number
        expected = {
            (stack, at): so2 for stack, at, so2 in zip(frame["stack"], frame["sampled_at"], frame["so2"], strict=True)
        }
        assert {identity: row["so2"] for identity, row in system.rows.items()} == expected
