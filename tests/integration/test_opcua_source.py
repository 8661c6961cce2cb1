"""`[[opcua]]` against asyncua's own server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.ua.status_codes import StatusCodes
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge.agent_file import read_agent_file
from edge.feeding import OutboxFeed
from edge.link import Link
from edge.opcua.source import OpcuaSource
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.sources import Declared
from edge.supervision import Supervisor
from fakes.feeds import MemoryFeed
from fakes.opcua_server import URI, a_plant
from fakes.peers import a_wire, nonsense
from fakes.polling import until
from plant.broker import broker_address
from plant.errors import Unavailable
from stackwatch.local.ports import Ports

pytestmark = pytest.mark.anyio

GROUP = f"""
[[opcua.group]]
stack = "DA001"
interval_s = 1
channel = [
    {{ channel = "so2", node = "ns=2;s=SO2", scale = 0.1 }},
    {{ channel = "o2", node = "nsu={URI};s=O2" }},
]
status = [{{ node = "ns=2;s=MODE", values = {{ 0 = "running", 1 = "C" }} }}]
signal = [{{ signal = "load", node = "ns=2;s=LOAD", unit = "S1" }}]
"""
NAMES = ("SO2", "O2", "MODE", "LOAD")


@pytest.fixture
def port() -> Iterator[int]:
    with Ports() as ports:
        yield ports.take(18_840)


def a_source(folder: Path, port: int, group: str = GROUP, more: str = "") -> OpcuaSource:
    file = folder / "edge.toml"
    head = 'site = "s"\nedge = "e"\n[[opcua]]\nname = "dcs"\n'
    beat = "publish_ms = 100\nsettle_s = 0.5\n" + ("" if "timeout_s" in more else "timeout_s = 2\n")
    file.write_text(f'{head}url = "opc.tcp://127.0.0.1:{port}"\n{beat}{more}{group}', encoding="utf-8")
    (declared,) = read_agent_file(file).sources
    assert isinstance(declared.source, OpcuaSource)
    return declared.source


async def soon(condition: Callable[[], bool]) -> None:
    """A server of Python takes its time to start and to answer on a busy machine."""
    await until(condition, deadline_s=90)


@asynccontextmanager
async def running(source: OpcuaSource, feed: Any) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(source.run(feed), name="source")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=60)
        assert task.done()


async def test_values_that_a_server_tells_arrive_in_the_outbox_as_rows_of_whole_seconds(
    tmp_path: Path, port: int
) -> None:
    with Outbox(tmp_path / "o.sqlite") as outbox:
        link = Link(broker_address("mqtt://127.0.0.1:1"), client_id="c", rng=Random(1))
        publisher = Publisher(link, outbox, root="r", site="s", edge="e", version="0")
        async with a_plant(port, *NAMES) as plant, OutboxFeed(publisher, gather_s=0.05) as feed:
            await plant.tell("SO2", 312)
            await plant.tell("O2", 16.0)
            await plant.tell("LOAD", 80.0)
            source = a_source(tmp_path, port)
            async with running(source, feed):
                await soon(lambda: outbox.stats().rows >= 6)
                assert source.state()["ok"], source.state()
        frames = [json.loads(frame.payload) for frame in outbox.pending(0, 100)]
    measured = [frame for frame in frames if "kind" not in frame]
    signals = [frame for frame in frames if frame.get("kind") == "signal"]
    first = measured[0]
    assert (first["so2"][0], first["o2"][0], first["flag"], first["state"]) == (31.2, 16.0, "N", "running")
    assert (signals[0]["signal"], signals[0]["unit"], signals[0]["value"][0]) == ("load", "S1", 80.0)
    instants = [at for frame in measured for at in frame["sampled_at"]]
    assert all(at % 1000 == 0 for at in instants)
    assert len(instants) == len(set(instants))


async def test_a_value_is_dated_by_its_source_and_its_status_is_its_flag(tmp_path: Path, port: int) -> None:
    feed = MemoryFeed()
    async with a_plant(port, *NAMES) as plant:
        source = a_source(tmp_path, port)
        async with running(source, feed):
            await soon(lambda: len(feed.measurements) >= 1)
            told = datetime.now(UTC)
            await plant.tell("SO2", 777, at=told, code=StatusCodes.UncertainSensorNotAccurate)
            await plant.tell("O2", None, at=told, code=StatusCodes.BadSensorFailure)
            await soon(lambda: feed.measurements[-1]["so2"] == 77.7)
            found = next(row for row in feed.measurements if row["so2"] == 77.7)
            await plant.tell("MODE", 1)
            await soon(lambda: feed.measurements[-1]["flag"] == "C")
    assert found["sampled_at"] == int(told.timestamp()) * 1000
    assert (found["flags"], found["o2"]) == ({"so2": "D", "o2": "D"}, None)


async def test_a_server_that_went_away_is_subscribed_to_again_and_no_instant_comes_twice(
    tmp_path: Path, port: int
) -> None:
    feed = MemoryFeed()
    source = a_source(tmp_path, port)
    async with Supervisor(feed, rng=Random(1)) as supervisor:
        await supervisor.declare([Declared(source, "a")])
        await soon(lambda: not supervisor.states()["dcs"]["ok"])
        async with a_plant(port, *NAMES) as plant:
            await plant.tell("SO2", 100)
            await soon(lambda: len(feed.measurements) >= 2)
        await soon(lambda: not supervisor.states()["dcs"]["ok"])
        before = len(feed.measurements)
        async with a_plant(port, *NAMES) as plant:
            await plant.tell("SO2", 200)
            await soon(lambda: len(feed.measurements) >= before + 2)
            await soon(lambda: feed.measurements[-1]["so2"] == 20.0)
    instants = [row["sampled_at"] for row in feed.measurements]
    assert len(instants) == len(set(instants))


async def test_a_server_that_falls_silent_without_closing_is_noticed_and_nothing_is_held_for_it(
    tmp_path: Path, port: int
) -> None:
    feed = MemoryFeed()
    async with a_plant(port, *NAMES), a_wire(port) as (wire, near):
        source = a_source(tmp_path, near)
        before = asyncio.all_tasks()
        async with running(source, feed) as task:
            await soon(lambda: len(feed.measurements) >= 2)
            wire.pulled = True
            await asyncio.wait([task], timeout=90)
            ended_ms = time.time_ns() // 1_000_000
        error = task.exception()
        await soon(lambda: wire.held == 0)
        left = [task for task in asyncio.all_tasks() - before if "asyncua/client" in repr(task)]
        assert left == []
    assert isinstance(error, ExceptionGroup)
    assert error.split(Unavailable)[1] is None
    assert feed.measurements[-1]["sampled_at"] < ended_ms


async def test_a_node_that_the_server_does_not_have_is_named_and_the_others_go_on(tmp_path: Path, port: int) -> None:
    feed = MemoryFeed()
    group = GROUP.replace("ns=2;s=SO2", "ns=2;s=GONE")
    async with a_plant(port, *NAMES):
        source = a_source(tmp_path, port, group)
        async with running(source, feed):
            await soon(lambda: len(feed.measurements) >= 1)
            assert not source.state()["ok"]
            assert "ns=2;s=GONE (BadNodeIdUnknown)" in source.state()["detail"]
    assert (feed.measurements[0]["so2"], feed.measurements[0]["flags"]) == (None, {"so2": "B"})


async def test_a_server_that_is_not_there_is_a_device_that_is_away(tmp_path: Path, port: int) -> None:
    with pytest.raises(Unavailable, match="opc"):
        await a_source(tmp_path, port).run(MemoryFeed())


@pytest.mark.parametrize("seed", range(5))
async def test_a_peer_that_talks_nonsense_is_a_device_that_is_away(tmp_path: Path, seed: int) -> None:
    async with nonsense(Random(seed)) as port:
        source = a_source(tmp_path, port, more="timeout_s = 0.5\n")
        with pytest.raises(Unavailable):
            await source.run(MemoryFeed())


async def test_a_password_and_a_certificate_open_a_server_that_wants_both_and_nothing_else_does(
    tmp_path: Path, port: int
) -> None:
    certificates = {}
    for name in ("ours", "theirs", "stranger"):
        key, certificate = tmp_path / f"{name}.pem", tmp_path / f"{name}.der"
        await setup_self_signed_certificate(
            key,
            certificate,
            f"urn:stackwatch:test:{name}",
            "localhost",
            [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
            {},
        )
        certificates[name] = certificate, key
    (tmp_path / "word").write_text("secret-word\n", encoding="utf-8")
    (tmp_path / "wrong").write_text("other-word\n", encoding="utf-8")
    trust = 'policy = "Basic256Sha256"\ncertificate = "ours.der"\nkey = "ours.pem"\nserver_certificate = "theirs.der"\n'
    login = 'user = "reader"\npassword_file = "word"\n'
    feed = MemoryFeed()
    async with a_plant(port, *NAMES, users=True, trust=certificates["theirs"]):
        async with running(a_source(tmp_path, port, more=trust + login), feed):
            await soon(lambda: len(feed.measurements) >= 1)
        for more in (
            "",
            trust + login.replace('"word"', '"wrong"'),
            trust.replace("theirs", "stranger") + login,
        ):
            with pytest.raises(Unavailable):
                await a_source(tmp_path, port, more=more).run(MemoryFeed())
