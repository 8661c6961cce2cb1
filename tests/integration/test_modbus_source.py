"""`[[modbus]]` against pymodbus's own servers: over TCP on loopback, and over a serial line of pseudo terminals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pymodbus.constants import ExcCodes

from edge.agent_file import read_agent_file
from edge.feeding import OutboxFeed
from edge.link import Link
from edge.modbus.source import ModbusSource
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.serve import serve
from edge.sources import Declared
from edge.supervision import Supervisor
from fakes.feeds import MemoryFeed
from fakes.modbus_devices import Device, over_serial, over_tcp
from fakes.peers import nonsense
from fakes.polling import until
from fakes.receipting import ReceiptingIngestor
from plant.broker import broker_address
from plant.errors import Unavailable
from plant.settings import Settings

pytestmark = pytest.mark.anyio

READING = {0: 312, 1: 450, 2: 0x4180, 3: 0}  # so2 31.2, nox 45.0, o2 16.0 as a float


def a_group(unit_id: int, stack: str, more: str = "") -> str:
    return f"""
[[modbus.group]]
unit_id = {unit_id}
stack = "{stack}"
interval_s = 1
channel = [
    {{ channel = "so2", address = 0, scale = 0.1 }},
    {{ channel = "nox", address = 1, scale = 0.1, not_available = [65535] }},
    {{ channel = "o2", address = 2, type = "float32" }},
]
{more}
"""


def a_source(folder: Path, place: str, *groups: str) -> ModbusSource:
    file = folder / "edge.toml"
    line = f'[[modbus]]\nname = "line"\n{place}\ntimeout_s = 0.5\nretries = 0\n'
    file.write_text('site = "s"\nedge = "e"\n' + line + "".join(groups), encoding="utf-8")
    (declared,) = read_agent_file(file).sources
    assert isinstance(declared.source, ModbusSource)
    return declared.source


def at_port(port: int) -> str:
    return f'host = "127.0.0.1"\nport = {port}'


@asynccontextmanager
async def running(source: ModbusSource, feed: Any) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(source.run(feed), name="source")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert task.done()


def rows_of(feed: MemoryFeed, stack: str) -> list[dict[str, Any]]:
    return [dict(row) for row in feed.measurements if row["stack"] == stack]


async def test_what_a_device_holds_arrives_in_the_outbox_on_whole_seconds(tmp_path: Path) -> None:
    more = """
status = [
    { address = 9, bits = { 4 = "C" }, of = ["nox"] },
    { read = "discrete", address = 3, values = { 1 = "running", 0 = "stopped" } },
]
signal = [{ signal = "fan_current", read = "input", address = 10, unit = "S1", scale = 0.01 }]
"""
    device = Device(1, {**READING, 9: 0x10, 10: 8_050}, bits={3: True})
    with Outbox(tmp_path / "o.sqlite") as outbox:
        link = Link(broker_address("mqtt://127.0.0.1:1"), client_id="c", rng=Random(1))
        publisher = Publisher(link, outbox, root="r", site="s", edge="e", version="0")
        async with over_tcp(device) as port, OutboxFeed(publisher, gather_s=0.05) as feed:
            source = a_source(tmp_path, at_port(port), a_group(1, "DA001", more))
            async with running(source, feed):
                await until(lambda: outbox.stats().rows >= 4)
                await until(lambda: source.state()["ok"] is True)
        frames = [json.loads(frame.payload) for frame in outbox.pending(0, 100)]
    measured = [frame for frame in frames if "kind" not in frame]
    signals = [frame for frame in frames if frame.get("kind") == "signal"]
    first = measured[0]
    assert {key: first[key] for key in ("stack", "interval_s", "flag", "state")} == {
        "stack": "DA001",
        "interval_s": 1,
        "flag": "N",
        "state": "running",
    }
    assert (first["so2"][0], first["nox"][0], first["o2"][0]) == (31.2, 45.0, 16.0)
    assert first["flags"] == {"nox": ["C"] * len(first["so2"])}
    instants = [at for frame in measured for at in frame["sampled_at"]]
    assert all(at % 1000 == 0 for at in instants)
    assert len(set(instants)) == len(instants) >= 2
    assert (signals[0]["signal"], signals[0]["unit"], signals[0]["value"][0]) == ("fan_current", "S1", 80.5)


async def test_an_agent_carries_what_a_device_holds_to_the_system_and_says_how_the_source_is(
    mqtt_url: str, topic_root: str, tmp_path: Path
) -> None:
    async with over_tcp(Device(1, READING)) as port:
        a_source(tmp_path, at_port(port), a_group(1, "DA001"))
        with ReceiptingIngestor(mqtt_url, topic_root) as system:
            agent = serve(Settings(mqtt_url=mqtt_url, topic_root=topic_root), tmp_path / "edge.toml")
            task = asyncio.create_task(agent, name="edge")
            await until(lambda: len(system.rows) >= 3, deadline_s=60)
            await until(lambda: system.states[-1].get("sources", {}).get("line", {}).get("ok") is True, deadline_s=60)
            task.cancel()
            await asyncio.wait([task], timeout=30)
            assert task.cancelled()
    assert {(row["so2"], row["nox"], row["o2"]) for row in system.rows.values()} == {(31.2, 45.0, 16.0)}


async def test_nothing_is_ever_written_to_a_device_and_neighbours_are_read_together(tmp_path: Path) -> None:
    device, feed = Device(1, READING), MemoryFeed()
    async with over_tcp(device) as port, running(a_source(tmp_path, at_port(port), a_group(1, "DA001")), feed):
        await until(lambda: len(feed.measurements) >= 2)
    assert set(device.asked) == {(3, 0, 4)}


async def test_what_a_device_refuses_is_null_with_the_flag_for_it_and_is_counted(tmp_path: Path) -> None:
    device, feed = Device(1, READING), MemoryFeed()
    device.refuse[20] = ExcCodes.ILLEGAL_ADDRESS
    more = '[[modbus.group.channel]]\nchannel = "co"\naddress = 20\n'
    group = f'[[modbus.group]]\nstack = "DA001"\ninterval_s = 1\n{more}{more.replace("co", "so2").replace("20", "0")}'
    async with over_tcp(device) as port:
        source = a_source(tmp_path, at_port(port), group)
        async with running(source, feed):
            await until(lambda: len(feed.measurements) >= 1)
            assert source.state()["tolerated"]["illegal_address"] >= 1
            await until(lambda: source.state()["ok"] is True)
    row = feed.measurements[0]
    assert (row["so2"], row["co"], row["flag"], row["flags"]) == (312.0, None, "N", {"co": "B"})


async def test_a_device_that_falls_silent_half_way_gives_what_it_gave_and_is_not_asked_for_the_rest(
    tmp_path: Path,
) -> None:
    device, feed = Device(1, READING), MemoryFeed()
    device.delay_at_s[20] = 1.0
    group = '[[modbus.group]]\nstack = "DA001"\ninterval_s = 1\n'
    group += "".join(
        f'[[modbus.group.channel]]\nchannel = "{name}"\naddress = {at}\n'
        for name, at in (("so2", 0), ("co", 20), ("no", 40))
    )
    async with over_tcp(device) as port:
        source = a_source(tmp_path, at_port(port), group)
        async with running(source, feed):
            await until(lambda: len(feed.measurements) >= 1)
    row = feed.measurements[0]
    assert (row["so2"], row["co"], row["no"], row["flags"]) == (312.0, None, None, {"co": "B", "no": "B"})
    assert 40 not in {address for _, address, _ in device.asked}


async def test_a_code_for_no_value_is_null_and_counted(tmp_path: Path) -> None:
    device, feed = Device(1, {**READING, 1: 65_535}), MemoryFeed()
    async with over_tcp(device) as port:
        source = a_source(tmp_path, at_port(port), a_group(1, "DA001"))
        async with running(source, feed):
            await until(lambda: len(feed.measurements) >= 1)
            assert source.state()["tolerated"]["not_available"] >= 1
    assert (feed.measurements[0]["nox"], feed.measurements[0]["so2"]) == (None, 31.2)


async def test_a_device_that_keeps_silent_is_left_alone_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    device, feed = Device(1, READING), MemoryFeed()
    async with over_tcp(device) as port:
        source = a_source(tmp_path, at_port(port), a_group(1, "DA001"), a_group(2, "DA002"))
        async with running(source, feed):
            await until(lambda: len(feed.measurements) >= 4)
            await until(lambda: source.state()["detail"].endswith("no answer from unit 2"))
            assert not source.state()["ok"]
            assert source.state()["tolerated"]["no_answer"] >= 1
    assert rows_of(feed, "DA002") == []
    instants = [row["sampled_at"] for row in rows_of(feed, "DA001")]
    assert instants == sorted(set(instants))


async def test_a_device_that_became_slow_is_back_when_it_answers_in_time_again(tmp_path: Path) -> None:
    device, feed = Device(1, READING), MemoryFeed()
    async with over_tcp(device) as port:
        source = a_source(tmp_path, at_port(port), a_group(1, "DA001"))
        async with running(source, feed):
            await until(lambda: len(feed.measurements) >= 1)
            device.delay_s = 1.2
            await until(lambda: not source.state()["ok"])
            device.delay_s = 0.0
            before = len(feed.measurements)
            await until(lambda: len(feed.measurements) > before and source.state()["ok"])


async def test_a_line_on_which_nothing_answers_is_given_up(tmp_path: Path) -> None:
    async with over_tcp(Device(1, READING)) as port:
        source = a_source(tmp_path, at_port(port), a_group(7, "DA001"))
        async with asyncio.timeout(30):
            with pytest.raises(ExceptionGroup) as caught:
                await source.run(MemoryFeed())
    (error,) = caught.value.exceptions
    assert isinstance(error, Unavailable)
    assert "nothing answers" in str(error)
    assert not source.state()["ok"]


async def test_a_server_that_is_away_and_comes_back_is_read_again_and_no_instant_comes_twice(tmp_path: Path) -> None:
    device, feed = Device(1, READING), MemoryFeed()
    async with over_tcp(device) as port:
        source = a_source(tmp_path, at_port(port), a_group(1, "DA001"))
    async with Supervisor(feed, rng=Random(1)) as supervisor:
        await supervisor.declare([Declared(source, "a")])
        await until(lambda: "cannot be opened" in supervisor.states()["line"]["detail"])
        async with over_tcp(device, port=port):
            await until(lambda: len(feed.measurements) >= 2)
        await until(lambda: not supervisor.states()["line"]["ok"])
        before = len(feed.measurements)
        async with over_tcp(device, port=port):
            await until(lambda: len(feed.measurements) >= before + 2)
    instants = [row["sampled_at"] for row in feed.measurements]
    assert len(instants) == len(set(instants))


async def test_a_gateway_that_passes_rtu_frames_through_is_read_too(tmp_path: Path) -> None:
    feed = MemoryFeed()
    async with over_tcp(Device(5, READING), rtu=True) as port:
        source = a_source(tmp_path, at_port(port) + '\nframing = "rtu"', a_group(5, "DA001"))
        async with running(source, feed):
            await until(lambda: len(feed.measurements) >= 2)
    assert {row["so2"] for row in feed.measurements} == {31.2}


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_a_peer_that_talks_nonsense_is_a_device_that_is_away(tmp_path: Path, framing: str) -> None:
    async with nonsense(Random(7)) as port:
        source = a_source(tmp_path, f'{at_port(port)}\nframing = "{framing}"', a_group(1, "DA001"))
        feed = MemoryFeed()
        async with asyncio.timeout(60):
            with pytest.raises(ExceptionGroup) as caught:
                await source.run(feed)
    _, others = caught.value.split(Unavailable)
    assert others is None
    assert feed.measurements == []


async def test_several_devices_share_one_serial_line_one_request_at_a_time(tmp_path: Path) -> None:
    first, second, feed = Device(1, READING), Device(2, {**READING, 0: 99}), MemoryFeed()
    first.delay_s = second.delay_s = 0.02
    async with over_serial(first, second) as port:
        place = f'serial = "{port}"\nbaud = 115200'
        source = a_source(tmp_path, place, a_group(1, "DA001"), a_group(2, "DA002"), a_group(3, "DA003"))
        async with running(source, feed):
            await until(lambda: len(rows_of(feed, "DA001")) >= 2 and len(rows_of(feed, "DA002")) >= 2)
            await until(lambda: source.state()["detail"].endswith("no answer from unit 3"))
    assert {row["so2"] for row in rows_of(feed, "DA001")} == {31.2}
    assert {row["so2"] for row in rows_of(feed, "DA002")} == {9.9}
    assert max(first.most_at_once, second.most_at_once) == 1


async def test_a_late_answer_on_a_serial_line_never_meets_the_question_to_a_neighbour(tmp_path: Path) -> None:
    """RTU frames do not say which request they answer, so the line is left silent until a late one has passed."""
    late, neighbour, feed = Device(1, READING), Device(2, {**READING, 0: 99}), MemoryFeed()
    said: set[str] = set()

    def heard_of_the_neighbour() -> int:
        said.add(str(source.state()["detail"]))
        return len(rows_of(feed, "DA002"))

    async with over_serial(late, neighbour) as port:
        place = f'serial = "{port}"\nbaud = 115200'
        source = a_source(tmp_path, place, a_group(1, "DA001"), a_group(2, "DA002"))
        async with running(source, feed):
            late.delay_s, neighbour.delay_s = 0.7, 0.3
            await until(lambda: heard_of_the_neighbour() >= 4)
    assert rows_of(feed, "DA001") == []
    assert {row["so2"] for row in rows_of(feed, "DA002")} == {9.9}
    assert any(detail.endswith("no answer from unit 1") for detail in said)
    assert not any(detail.endswith("2") for detail in said if "no answer" in detail)


async def test_a_serial_port_that_is_not_there_is_a_device_that_is_away(tmp_path: Path) -> None:
    source = a_source(tmp_path, 'serial = "/dev/there-is-no-such-port"', a_group(1, "DA001"))
    with pytest.raises(Unavailable, match="cannot be opened"):
        await source.run(MemoryFeed())
