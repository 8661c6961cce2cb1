"""Data loggers over real TCP against the server and the client: every hour arrives once, whatever the line does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from edge.feeding import OutboxFeed
from edge.hj212.commands import Command, QnRtn
from edge.hj212.decoder import Packet
from edge.hj212.encoder import encode
from edge.hj212.listen import Listening
from edge.hj212.loggers import Logger
from edge.hj212.peers import Asks, Peer
from edge.hj212.poll import Polling
from edge.hj212.segment import Version
from edge.hj212.talking import Waits
from edge.link import Link
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.sources import Source
from edge.supervision import Supervisor
from fakes.hj212_logger import (
    AT_MS,
    HOUR_MS,
    MN,
    NOISE,
    PASSWORD,
    AskedLogger,
    BadLine,
    a_reading,
    an_hour,
    days_of,
    parts_of,
    push,
    replies_to,
    value_of,
)
from fakes.polling import until
from plant.broker import broker_address

pytestmark = pytest.mark.anyio

QUICK: Final = Waits(identify_s=5.0, idle_s=30.0, timeout_s=0.3, pause_s=0.05, look_every_s=0.05)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "o.sqlite", policy="refuse") as opened:
        yield opened


@asynccontextmanager
async def fed(outbox: Outbox) -> AsyncIterator[OutboxFeed]:
    link = Link(broker_address("mqtt://127.0.0.1:1"), client_id="c", rng=Random(1))
    publisher = Publisher(link, outbox, root="r", site="s", edge="e", version="0")
    async with OutboxFeed(publisher, gather_s=0.01) as feed:
        yield feed


def a_peer(**changed: Any) -> Peer:
    return replace(Peer(logger=Logger(mn=MN, stack="DA001"), password=PASSWORD), **changed)


def a_listener(*peers: Peer, connections: int = 64, waits: Waits = QUICK) -> Listening:
    known = {peer.mn: peer for peer in peers or (a_peer(),)}
    return Listening(
        "loggers", known, host="127.0.0.1", port=0, connections=connections, waits=waits, clock_ms=lambda: NOW_MS
    )


NOW_MS: Final = AT_MS + 48 * HOUR_MS + 600_000


@asynccontextmanager
async def running(source: Source, feed: OutboxFeed) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run(feed), name="source")
    try:
        if isinstance(source, Listening):
            await until(lambda: source.port != 0 or task.done())
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()


def rows_in(outbox: Outbox, kind: str) -> list[dict[str, Any]]:
    """All rows of the frames that wait, by kind."""
    rows = []
    for frame in outbox.pending(0, 100_000):
        body = json.loads(frame.payload)
        if body.get("kind", "measurement") != kind:
            continue
        count = len(body["sampled_at"])
        columns = {key: value if isinstance(value, list) else [value] * count for key, value in body.items()}
        rows += [{key: values[n] for key, values in columns.items()} for n in range(count)]
    return rows


def hours_in(outbox: Outbox) -> Counter[tuple[int, str]]:
    return Counter((row["sampled_at"], row["channel"]) for row in rows_in(outbox, "reported_mean"))


def once(hours: list[int]) -> Counter[tuple[int, str]]:
    return Counter((hour, channel) for hour in hours for channel in ("so2", "pm"))


@pytest.mark.parametrize("seed", range(3))
async def test_every_hour_arrives_once_over_a_bad_line(outbox: Outbox, seed: int) -> None:
    rng = Random(seed)
    hours = days_of(40)
    messages = [parts_of(hour) if rng.random() < 0.3 else [an_hour(hour)] for hour in hours]
    line = BadLine(rng, noise=0.3, double=0.2, end=0.35, pieces=True)
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            assert await push(source.port, messages, line) > 1
            assert hours_in(outbox) == once(hours)
            values = {
                row["sampled_at"]: row["avg"] for row in rows_in(outbox, "reported_mean") if row["channel"] == "so2"
            }
            assert values == {hour: value_of(hour) for hour in hours}
            assert source.state()["tolerated"]["duplicate"] > 0


async def test_an_hour_that_is_sent_again_after_its_reply_is_acknowledged_and_kept_once(outbox: Outbox) -> None:
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            for number in (0, 0, 7):  # the same packet, and the same hour under another QN
                packet = encode(an_hour(AT_MS, number=number))
                (reply,) = await replies_to(source.port, packet, until=bool)
                assert (reply.command, reply.qn, reply.flag) == (
                    Command.DATA_REPLY,
                    an_hour(AT_MS, number=number).qn,
                    4,
                )
    assert hours_in(outbox) == once([AT_MS])


async def test_what_the_outbox_cannot_keep_is_not_acknowledged(outbox: Outbox) -> None:
    outbox.max_bytes = 700
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            await replies_to(source.port, encode(an_hour(AT_MS)), until=bool)
            stream = b"".join(encode(segment) for segment in (*map(an_hour, days_of(20)), a_heartbeat()))
            replies = await replies_to(source.port, stream, until=lambda got: any(p.cn == "9013" for p in got))
            kept = an_hour(AT_MS).qn  # it was there already
            assert [(reply.cn, reply.qn) for reply in replies] == [("9014", kept), ("9013", a_heartbeat().qn)]
            assert source.state()["tolerated"]["not_kept"] > 0


def a_heartbeat() -> Any:
    return replace(an_hour(AT_MS), cn=Command.HEARTBEAT, flag=9, fields=())


async def test_a_heartbeat_is_answered_under_its_number(outbox: Outbox) -> None:
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            (reply,) = await replies_to(source.port, encode(a_heartbeat()), until=bool)
            assert (reply.cn, reply.qn, reply.st, reply.version) == ("9013", a_heartbeat().qn, "91", Version.HJ_2025)


async def test_real_time_data_becomes_a_measurement(outbox: Outbox) -> None:
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            await replies_to(source.port, encode(a_reading(AT_MS)), until=bool)
    (row,) = rows_in(outbox, "measurement")
    assert (row["stack"], row["sampled_at"], row["so2"]) == ("DA001", AT_MS, 12.5)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        pytest.param(an_hour(AT_MS, mn="0" * 24), "refused_mn", id="unknown_mn"),
        pytest.param(an_hour(AT_MS, pw="654321"), "refused_password", id="wrong_password"),
    ],
)
async def test_a_stranger_is_refused_counted_and_shown_and_its_password_is_not(
    outbox: Outbox, segment: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            assert await replies_to(source.port, encode(segment) * 2, until=lambda _: False) == []
            state = source.state()
            assert state["tolerated"][reason] >= 1
            assert f"last refused: {reason.removeprefix('refused_')} of {segment.mn}" in state["detail"]
            assert "654321" not in str(state)
    assert outbox.stats().rows == 0
    assert not any("654321" in str(vars(record)) for record in caplog.records)
    assert PASSWORD not in repr(a_peer())


async def test_a_wrong_check_value_is_met_by_silence_and_the_connection_stays(outbox: Outbox) -> None:
    spoilt = encode(an_hour(AT_MS)).replace(b"Avg=", b"Avg=9", 1)
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            replies = await replies_to(source.port, spoilt + encode(an_hour(AT_MS + HOUR_MS)), until=bool)
            assert [reply.qn for reply in replies] == [an_hour(AT_MS + HOUR_MS).qn]
            assert source.state()["tolerated"]["refused_crc"] == 1
    assert hours_in(outbox) == once([AT_MS + HOUR_MS])


async def test_a_variant_of_the_check_value_is_for_the_logger_that_is_allowed_it(outbox: Outbox) -> None:
    other = replace(a_peer(), logger=Logger(mn="B" * 24, stack="DA002"), checks=frozenset({"hj212", "modbus"}))
    mine, theirs = encode(an_hour(AT_MS), crc="modbus"), encode(an_hour(AT_MS, mn="B" * 24), crc="modbus")
    async with fed(outbox) as feed:
        source = a_listener(a_peer(), other)
        async with running(source, feed):
            (reply,) = await replies_to(source.port, mine + theirs, until=bool)
            assert (reply.mn, reply.crc_variant) == ("B" * 24, "modbus")
    assert {row["stack"] for row in rows_in(outbox, "reported_mean")} == {"DA002"}


async def test_an_enciphered_hour_is_read_with_the_key_of_its_logger(outbox: Outbox) -> None:
    key = bytes(range(16))
    packet = encode(an_hour(AT_MS, version=Version.HJ_2025), key=key)
    async with fed(outbox) as feed:
        source = a_listener(a_peer(key=key))
        async with running(source, feed):
            (reply,) = await replies_to(source.port, packet, until=bool)
            assert (reply.cn, reply.flag) == ("9014", 8)
    assert hours_in(outbox) == once([AT_MS])


async def test_a_packet_without_line_end_is_taken_after_a_second_of_silence(outbox: Outbox) -> None:
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            (reply,) = await replies_to(source.port, encode(an_hour(AT_MS)).removesuffix(b"\r\n"), until=bool)
            assert reply.cn == "9014"
            assert source.state()["tolerated"]["tail_missing"] == 1


async def test_who_does_not_say_who_it_is_has_to_go(outbox: Outbox) -> None:
    async with fed(outbox) as feed:
        source = a_listener(waits=replace(QUICK, identify_s=0.2))
        async with running(source, feed):
            assert await replies_to(source.port, b"##", until=lambda _: False) == []
            await until(lambda: source.state()["tolerated"].get("silent_connection") == 1)


def peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def test_an_endless_packet_is_cut_and_costs_no_memory(outbox: Outbox) -> None:
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            before = peak_kb()
            _reader, writer = await asyncio.open_connection("127.0.0.1", source.port)
            sent = 0
            with contextlib.suppress(OSError):
                writer.write(b"##9999QN=")
                while sent < 200 << 20:
                    writer.write(b"x" * 65_536)
                    sent += 65_536
                    await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            assert sent < 50 << 20
            assert source.state()["tolerated"]["overlong"] == 1
            assert peak_kb() - before < 8_192
            assert len(await replies_to(source.port, encode(an_hour(AT_MS)), until=bool)) == 1


async def test_a_thousand_connections_cost_little_and_lock_no_logger_out(outbox: Outbox) -> None:
    async with fed(outbox) as feed:
        source = a_listener(connections=32)
        async with running(source, feed):
            before = peak_kb()
            writers = []
            for n in range(1_000):
                _reader, writer = await asyncio.open_connection("127.0.0.1", source.port, limit=1024)
                writer.write(b"##0400QN=")
                writers.append(writer)
                if n % 100 == 50:
                    hour = AT_MS + n // 100 * HOUR_MS
                    (reply,) = await replies_to(source.port, encode(an_hour(hour)), until=bool)
                    assert reply.cn == "9014"
            await until(lambda: source.state()["tolerated"].get("refused_connection", 0) >= 960)
            for writer in writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
            assert peak_kb() - before < 24_576  # of both ends
    assert hours_in(outbox) == once(days_of(10))


async def test_any_bytes_leave_the_server_in_order(outbox: Outbox) -> None:
    rng = Random(5)
    async with fed(outbox) as feed:
        source = a_listener()
        async with running(source, feed):
            for n in range(30):
                packet = bytearray(encode(an_hour(AT_MS)) + encode(a_reading(AT_MS)))
                for _ in range(rng.randrange(1, 30)):
                    packet[rng.randrange(len(packet))] = rng.randrange(256)
                stream = rng.choice(NOISE) + bytes(packet) + b"\r\n" + encode(an_hour(AT_MS, number=n))
                await replies_to(source.port, stream, until=bool)
            (reply,) = await replies_to(source.port, encode(an_hour(AT_MS + HOUR_MS)), until=bool)
            assert reply.cn == "9014"


ASKS: Final = Asks(hours=True, after_ms=600_000, history_ms=48 * HOUR_MS)


def a_poller(logger: AskedLogger, peer: Peer | None = None) -> Polling:
    peer = peer or a_peer(asks=ASKS)
    return Polling("poll", peer, host="127.0.0.1", port=logger.port, waits=QUICK, clock_ms=lambda: NOW_MS)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({}, id="well"),
        pytest.param({"deaf": 2}, id="requests_lost"),
        pytest.param({"cuts": 3}, id="connections_lost"),
        pytest.param({"parts": True}, id="in_parts"),
    ],
)
async def test_a_client_asks_until_every_hour_is_here_once(outbox: Outbox, trouble: dict[str, Any]) -> None:
    hours = [hour for hour in days_of(48) if hour not in (AT_MS + 5 * HOUR_MS, AT_MS + 6 * HOUR_MS)]
    async with fed(outbox) as feed, AskedLogger(hours=set(hours), **trouble).serving() as logger:
        async with Supervisor(feed, rng=Random(1)) as supervisor:
            source = a_poller(logger)
            await supervisor.declare([declared(source)])
            await until(lambda: len(hours_in(outbox)) == 2 * len(hours))
            await until(lambda: source.intake.tolerated["hours_absent"] == 2)
        assert hours_in(outbox) == once(hours)
        assert max(last - first for first, last in logger.asked) < 24 * HOUR_MS


def declared(source: Source) -> Any:
    from edge.sources import Declared

    return Declared(source, source.name)


async def test_a_restart_asks_for_what_is_missing_and_nothing_else(outbox: Outbox) -> None:
    hours = days_of(48)
    async with fed(outbox) as feed, AskedLogger(hours=set(hours[:30])).serving() as logger:
        async with running(source := a_poller(logger), feed):
            await until(lambda: len(hours_in(outbox)) == 60)
            await until(lambda: source.intake.tolerated["hours_absent"] == 18)
        assert source.intake.tolerated["asked_no_data"] > 0
        before = len(logger.asked)
        async with running(a_poller(logger), feed):
            await until(lambda: logger.connections == 2)
        assert logger.asked[before:] == []


async def test_the_real_time_interval_is_set_and_a_refusal_is_counted(outbox: Outbox) -> None:
    peer = a_peer(asks=Asks(realtime_interval_s=60))
    async with fed(outbox) as feed, AskedLogger(refuses=QnRtn.PW_WRONG).serving() as logger:
        async with running(source := a_poller(logger, peer), feed):
            await until(lambda: source.intake.tolerated["asked_refused"] == 1)
        (request,) = logger.requests
        assert (request.cn, request.fields, request.reply_wanted) == ("1062", ({"RtdInterval": "60"},), True)


async def test_a_server_asks_over_the_connection_that_a_logger_made(outbox: Outbox) -> None:
    peer = a_peer(asks=replace(ASKS, history_ms=3 * HOUR_MS))
    wanted = days_of(48)[-3:]
    async with fed(outbox) as feed:
        source = a_listener(peer)
        async with running(source, feed):
            logger = AskedLogger(hours=set(wanted))
            reader, writer = await asyncio.open_connection("127.0.0.1", source.port)
            task = asyncio.create_task(logger._serve(reader, writer), name="logger")
            writer.write(encode(a_reading(AT_MS)))
            await until(lambda: hours_in(outbox) == once(wanted))
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            await asyncio.wait([task], timeout=10)
    assert logger.asked == [(wanted[0], wanted[-1])]


def test_packets_are_what_a_logger_sends() -> None:
    from edge.hj212.decoder import Decoder

    (packet,) = Decoder().feed(encode(an_hour(AT_MS)))
    assert isinstance(packet, Packet)
    assert (packet.crc_ok, packet.faults, packet.data_time_ms) == (True, (), AT_MS)
