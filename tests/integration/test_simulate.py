"""`stackwatch simulate` over a real broker: every row once, the truth beside it, and the control over HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pyarrow.parquet as pq
import pytest

from edge.agent import Edge, open_edge
from edge.simulator.control import Control, serve_control
from edge.simulator.faults import HOUR_MS, Fault
from edge.simulator.loggers import columns
from edge.simulator.played import SimulatedSite
from edge.simulator.run import Simulation, SimulationPlan
from edge.simulator.scenario import load_scenario
from fakes.polling import until
from fakes.receipting import ReceiptingIngestor
from plant import topics
from plant.broker import broker_of
from plant.settings import Settings

pytestmark = pytest.mark.anyio

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
BEGIN_MS = round(BEGIN.timestamp() * 1000)
SITE = "one-works"


async def stackwatch(*args: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stackwatch",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "XDG_DATA_HOME": "/nonexistent", **environ},
    )


async def told(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def expected(scenario: str, site: str, hours: float, *, seed: int | None = None) -> dict[tuple[str, int], float]:
    works = load_scenario(scenario).works(site, BEGIN_MS, seed)
    frame, _ = columns(works, BEGIN_MS, BEGIN_MS + round(hours * HOUR_MS))
    return dict(zip(zip(frame["stack"], frame["sampled_at"], strict=True), frame["nox"], strict=True))


def stored(system: ReceiptingIngestor) -> dict[tuple[str, int], float]:
    return {key: row["nox"] for key, row in system.rows.items()}


async def test_a_scenario_is_published_row_by_row_with_its_truth_and_resumes(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    common = ("simulate", "faults", "--from", BEGIN.isoformat(), "--mqtt-url", mqtt_url, "--json", "--seed", "9")
    files = ("--outbox", str(tmp_path), "--truth", str(tmp_path / "truth.json"))
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        first = json.loads(
            await told(await stackwatch(*common, *files, "--duration", "12h", STACKWATCH_TOPIC_ROOT=topic_root))
        )
        again = json.loads(
            await told(await stackwatch(*common, *files, "--duration", "60h", STACKWATCH_TOPIC_ROOT=topic_root))
        )
        assert (first["rows"], again["rows"]) == (12 * 60 * 6, 48 * 60 * 6)
        assert stored(system) == expected("faults", "faulty-works", 60, seed=9)
        assert system.copies == 0
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert again["faults"] == len(truth["faults"]) == 2
    assert [fault["kind"] for fault in truth["faults"]] == ["abatement_loss", "bag_leak"]
    assert truth["sites"][0]["to"] == "2026-11-03T12:00:00Z"


async def test_a_play_that_is_stopped_still_writes_its_truth(mqtt_url: str, topic_root: str, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        process = await stackwatch(
            "simulate", "demo", "--from", BEGIN.isoformat(), "--speed", "3600", "--mqtt-url", mqtt_url, "--json",
            "--outbox", str(tmp_path), "--truth", str(truth), STACKWATCH_TOPIC_ROOT=topic_root,
        )  # fmt: skip
        await until(lambda: len(system.rows) > 200, 60)
        process.send_signal(signal.SIGTERM)
        said = json.loads(await told(process))
    assert said["rows"] > 200
    assert json.loads(truth.read_text())["sites"][0]["site"] == "demo-works"


async def test_without_a_broker_it_writes_parquet_and_the_register(tmp_path: Path) -> None:
    said = json.loads(
        await told(
            await stackwatch(
                "simulate",
                "country",
                "--from",
                BEGIN.isoformat(),
                "--duration",
                "2h",
                "--out",
                str(tmp_path),
                "--site",
                "works-007",
                "--site",
                "works-500",
                "--json",
            )
        )
    )
    assert (said["sites"], said["stacks"], said["rows"]) == (2, 100, 100 * 120)
    table = await asyncio.to_thread(pq.read_table, tmp_path / "works-007.parquet")
    assert table.num_rows == 6000
    assert {"stack", "sampled_at", "so2", "flag", "flag_so2", "power_abatement_kw"} <= set(table.column_names)
    assert table["so2"].null_count == 18 * 120  # dust collectors measure dust
    assert (tmp_path / "register.toml").exists()
    assert json.loads((tmp_path / "truth.json").read_text())["faults"] == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        pytest.param(("one-stack", "--out", "x"), "is needed with --out", id="no_end"),
        pytest.param(("one-stack", "--from", "2026-01-01"), "needs an offset", id="no_zone"),
        pytest.param(("country", "--site", "nowhere"), "nowhere", id="unknown_works"),
        pytest.param(("nightmare",), "is no scenario", id="unknown_scenario"),
    ],
)
async def test_what_is_asked_wrongly_is_said_in_a_sentence(args: tuple[str, ...], says: str) -> None:
    process = await stackwatch("simulate", *args)
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 2
    assert says in err.decode()
    assert "Traceback" not in err.decode()


def ask(port: int, path: str, body: Any = None, *, host: str = "127.0.0.1", kind: str = "application/json") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data)
    request.add_header("Host", host)
    if data is not None:
        request.add_header("Content-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def simulation_at(edge: Edge, *, speed: float = 1.0) -> Simulation:
    plan = SimulationPlan(scenario=load_scenario("one-stack"), site=SITE, speed=speed, begin=BEGIN)
    return Simulation(plan, edge.publisher, now=BEGIN + timedelta(hours=1))


async def test_it_is_paused_stepped_and_faults_are_injected_over_http(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        async with open_edge(settings, site=SITE, edge="e", folder=tmp_path) as edge:
            simulation = simulation_at(edge)
            control = Control({SITE: simulation}, scenario="one-stack", digest="d", seed=1)
            task = asyncio.create_task(simulation.run(), name="works")
            async with serve_control(control, 0) as port:

                async def call(path: str, body: Any = None, **more: Any) -> Any:
                    return await asyncio.to_thread(ask, port, path, body, **more)

                await simulation.caught_up(deadline_s=60)
                paused = (await call("/pause", {}))["sites"][SITE]
                assert paused["paused"] is True
                assert (await call("/step", {"minutes": 30}))["sites"][SITE]["through"] == "2026-11-01T01:30:00Z"
                placed = await call("/inject", {"kind": "scr_trip", "stack": "DA001", "hours": 2})
                assert (placed["start"], placed["end"]) == ("2026-11-01T01:30:00Z", "2026-11-01T03:30:00Z")
                stepped = await call("/step", {"minutes": 180, "site": SITE})
                assert stepped["sites"][SITE]["through"] == "2026-11-01T04:30:00Z"
                (fault,) = (await call("/truth"))["faults"]
                assert (fault["id"], fault["kind"]) == ("injected-1", "scr_trip")
                resumed = (await call("/resume", {"speed": 7200}))["sites"][SITE]
                assert (resumed["paused"], resumed["speed"]) == (False, 7200)
                await until(lambda: simulation.through_ms > BEGIN_MS + 6 * HOUR_MS, 60)

                assert "scr_trip" in await call("/catalogue")
                for path, body, code in (
                    ("/inject", {"kind": "scr_trip", "stack": "DA002", "hours": 2}, 400),
                    ("/inject", {"kind": "scr_trip", "stack": "DA001", "hours": 2, "how": 1}, 400),
                    ("/step", {"minutes": -5}, 400),
                    ("/nothing", None, 404),
                    ("/step", None, 405),
                ):
                    answer = await call(path, body)
                    assert answer[0] == code
                for garbage in (b"\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"x" * 40_000):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(garbage)
                    writer.write_eof()
                    async with asyncio.timeout(20):
                        said = await reader.read()
                    writer.close()
                    assert said == b"" or said.startswith(b"HTTP/1.1 40")
                assert (await call("/", host="evil.example"))[0] == 403
                assert (await call("/pause", {}, kind="text/plain"))[0] == 403
            task.cancel()
            await asyncio.wait([task], timeout=10)
        tripped = [row["nox"] for (_, at), row in system.rows.items() if 2.5 * HOUR_MS < at - BEGIN_MS < 3.4 * HOUR_MS]
        before = [row["nox"] for (_, at), row in system.rows.items() if at - BEGIN_MS < 1.4 * HOUR_MS]
        assert min(tripped) > max(before)


async def test_what_was_injected_outlives_the_process(mqtt_url: str, topic_root: str, tmp_path: Path) -> None:
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    with ReceiptingIngestor(mqtt_url, topic_root) as system:
        for run in range(2):
            async with open_edge(settings, site=SITE, edge="e", folder=tmp_path) as edge:
                simulation = simulation_at(edge)
                if run == 0:
                    fault = Fault(id="", kind="rows_lost", stack="DA001", since_ms=0, until_ms=2 * HOUR_MS)
                    assert simulation.inject(fault).since_ms == BEGIN_MS
                task = asyncio.create_task(simulation.run(), name="works")
                await simulation.advance_to(BEGIN + timedelta(hours=1.5 * (run + 1)), deadline_s=60)
                task.cancel()
                await asyncio.wait([task], timeout=10)
        assert [fault.kind for fault in simulation.injected] == ["rows_lost"]
        assert min(at for _, at in system.rows) == BEGIN_MS + 2 * HOUR_MS
        assert len(system.rows) == 60


async def test_a_site_of_the_plugin_publishes_what_it_played(mqtt_url: str, topic_root: str) -> None:
    site = SimulatedSite(start=BEGIN)
    address = broker_of(Settings(mqtt_url=mqtt_url))
    payloads: list[dict[str, Any]] = []
    async with aiomqtt.Client(address.host, address.port) as client, asyncio.timeout(30):
        await client.subscribe(topics.data(topic_root, site.code, "theirs"), qos=1)
        await site.publish_async(mqtt_url, site.frames(hours=5), root=topic_root, edge="theirs")
        async for message in client.messages:
            payloads.append(json.loads(bytes(message.payload)))
            if len(payloads) == 2:
                break
    assert sum(len(payload["sampled_at"]) for payload in payloads) == 300
    assert {payload["stack"][0] for payload in payloads} == {"DA001"}
