"""Our data to a platform over real TCP: all of it is confirmed, through lost connections, refusals and restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from edge.feeding import OutboxFeed
from edge.hj212.backlog import Backlog
from edge.hj212.commands import Command, QnRtn
from edge.hj212.encoder import encode
from edge.hj212.messages import build
from edge.hj212.responding import Identity, Terms
from edge.hj212.segment import Version
from edge.hj212.sending import Manners
from edge.hj212.uplink import Plan, Uplink, memory_of
from edge.link import Link
from edge.outbox import Outbox
from edge.publisher import Publisher
from fakes.hj212_logger import AT_MS, HOUR_MS, MN, PASSWORD
from fakes.hj212_platform import Platform, code_of
from fakes.polling import until
from plant.broker import broker_address

pytestmark = pytest.mark.anyio

MINUTE_MS: Final = 60_000
KEY: Final = bytes(range(16))


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


def a_plan(platform: Platform, *, version: Version = Version.HJ_2017, key: bytes | None = None, **changed: Any) -> Plan:
    identity = Identity(mn=MN, password=PASSWORD, st="31", version=version)
    plan = Plan(
        host="127.0.0.1",
        port=platform.port,
        manners=Manners(identity=identity, key=key, realtime_reply=True),
        stack="DA001",
        terms=Terms(timeout_s=20, retries=1, realtime_interval_s=600),
        tick_s=0.02,
        first_retry_s=0.02,
    )
    return replace(plan, **changed)


class Clock:
    """Stands where the rows are."""

    now_ms = AT_MS

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def running(uplink: Uplink, feed: OutboxFeed) -> AsyncIterator[None]:
    listening = len(feed._listeners)
    task = asyncio.create_task(uplink.run(feed), name="uplink")
    try:
        await until(lambda: len(feed._listeners) > listening or task.done())
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()
    assert len(feed._listeners) == listening


def minutes_of(count: int, first: int = 0) -> list[dict[str, Any]]:
    """A row a minute: sulphur dioxide is the number of its hour, and 1000 where the analyser was at fault."""
    rows = []
    for n in range(first, first + count):
        fault = n % 60 == 59
        row = {"stack": "DA001", "sampled_at": AT_MS + n * MINUTE_MS, "so2": 1000.0 if fault else float(n // 60)}
        row |= {"flow": 3600.0, "so2_corrected": 2.0 * (n // 60)}
        rows.append(row | ({"flags": {"so2": "D"}} if fault else {}))
    return rows


def confirmed_in(outbox: Outbox) -> list[tuple[int, int, str, float | None, str]]:
    """What came back as rows: interval, time, channel, mean, source; in order."""
    rows = []
    for frame in outbox.pending(0, 100_000):
        body = json.loads(frame.payload)
        if body.get("kind") != "reported_mean":
            continue
        count = len(body["sampled_at"])
        columns = {key: value if isinstance(value, list) else [value] * count for key, value in body.items()}
        names = ("interval_s", "sampled_at", "channel", "avg", "source")
        rows += [tuple(columns[name][n] for name in names) for n in range(count)]
    return sorted(rows)


def hours_of(platform: Platform) -> list[tuple[int, str]]:
    """The hours that a platform got, and the mean of each."""
    return [((packet.data_time_ms or 0) - AT_MS, str(packet.fields[1]["a21026-Avg"])) for packet in platform.of("2061")]


async def test_real_time_minutes_and_hours_reach_the_platform_and_what_it_confirmed_comes_back(outbox: Outbox) -> None:
    clock = Clock()
    async with fed(outbox) as feed, Platform().serving() as platform:
        uplink = Uplink("up", a_plan(platform), rng=Random(1), clock_ms=clock)
        async with running(uplink, feed):
            await feed.put(minutes_of(121))
            await until(lambda: len(platform.of("2061")) == 2 and len(platform.of("2011")) == 13)
            await until(lambda: len(platform.of("2051")) == 12)
            assert hours_of(platform) == [(0, "0.00"), (HOUR_MS, "1.00")]
            hour = platform.of("2061")[1]
            assert hour.fields[1:] == (
                {
                    "a21026-Min": "1.00",
                    "a21026-Avg": "1.00",
                    "a21026-Max": "1.00",
                    "a21026-ZsMin": "2.00",
                    "a21026-ZsAvg": "2.00",
                    "a21026-ZsMax": "2.00",
                    "a21026-Flag": "N",
                },
                {"a00000-Min": "1.0", "a00000-Avg": "1.0", "a00000-Max": "1.0", "a00000-Flag": "N"},
            )
            assert platform.of("2011")[0].fields[1]["a21026-Rtd"] == "0.00"
            await until(lambda: uplink.state()["waiting"] == 0 and uplink.state()["last_confirmed"] is not None)
            assert uplink.state()["ok"]
        found = [row for row in confirmed_in(outbox) if row[0] == 3600]
        assert found == [
            (3600, AT_MS, "flow", 3600.0, "platform"),
            (3600, AT_MS, "so2", 0.0, "platform"),
            (3600, AT_MS + HOUR_MS, "flow", 3600.0, "platform"),
            (3600, AT_MS + HOUR_MS, "so2", 1.0, "platform"),
        ]
        clock.now_ms += 2 * HOUR_MS


async def test_the_running_hour_closes_by_the_clock_when_rows_end(outbox: Outbox) -> None:
    clock = Clock()
    async with (
        fed(outbox) as feed,
        Platform().serving() as platform,
        running(Uplink("up", a_plan(platform), rng=Random(1), clock_ms=clock), feed),
    ):
        await feed.put(minutes_of(30))
        await until(lambda: len(platform.of("2051")) == 2)
        clock.now_ms = AT_MS + HOUR_MS + 40_000
        await until(lambda: hours_of(platform) == [(0, "0.00")])
        await until(lambda: len(platform.of("2051")) == 3)


@pytest.mark.parametrize("version", [Version.HJ_2017, Version.HJ_2025])
async def test_a_packet_without_reply_goes_again_under_its_number(outbox: Outbox, version: Version) -> None:
    async with (
        fed(outbox) as feed,
        Platform(cuts=3).serving() as platform,
        running(Uplink("up", a_plan(platform, version=version), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await feed.put(minutes_of(61))
        await until(lambda: len({packet.qn for packet in platform.of("2011")}) == 7)
        sent = [packet for packet in platform.uploads if packet.cn != "9015"]
        by_number: dict[str | None, list[bool]] = {}
        for packet in sent:
            by_number.setdefault(packet.qn, []).append(packet.resend)
        assert len(by_number) == 1 + 6 + 7
        again = [marks for marks in by_number.values() if len(marks) > 1]
        assert again
        assert all(marks == [False, *[version is Version.HJ_2025] * (len(marks) - 1)] for marks in again)
        assert (len(platform.of("9015")) > 0) is (version is Version.HJ_2025)


async def test_a_platform_that_does_not_hear_is_told_again_and_given_up_after_that(outbox: Outbox) -> None:
    terms = Terms(timeout_s=1, retries=1, realtime_interval_s=600)
    async with (
        fed(outbox) as feed,
        Platform(deaf=3).serving() as platform,
        running(uplink := Uplink("up", a_plan(platform, terms=terms), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await feed.put(minutes_of(1))
        await until(lambda: len(platform.of("2011")) == 1)
        assert platform.connections >= 2
        assert uplink.state()["tolerated"]["sent_again"] >= 1


async def test_what_was_made_while_the_platform_was_away_arrives_when_it_is_back_over_a_restart(outbox: Outbox) -> None:
    platform = Platform()
    await platform.open()
    await platform.close()
    async with fed(outbox) as feed:
        plan = a_plan(platform)
        async with running(uplink := Uplink("up", plan, rng=Random(1), clock_ms=Clock()), feed):
            await feed.put(minutes_of(90))
            await until(lambda: uplink.state()["waiting"] > 0)
            assert not uplink.state()["ok"]
            assert "cannot be reached" in uplink.state()["detail"]
        async with running(Uplink("up", plan, rng=Random(1), clock_ms=Clock()), feed):
            await feed.put(minutes_of(31, first=90))  # the sums of the second hour go on
            await platform.open()
            await until(lambda: len(platform.of("2061")) == 2 and len(platform.of("2011")) == 13, 30)
            assert hours_of(platform) == [(0, "0.00"), (HOUR_MS, "1.00")]
            assert [packet.cn for packet in platform.uploads[:2]] == ["2061", "2061"]  # the most worth goes first
        await platform.close()


async def test_a_wrong_password_holds_everything_up_and_says_so(outbox: Outbox) -> None:
    async with (
        fed(outbox) as feed,
        Platform(refuses=QnRtn.PW_WRONG).serving() as platform,
        running(uplink := Uplink("up", a_plan(platform), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await feed.put(minutes_of(61))
        await until(lambda: platform.refused >= 3)
        await until(lambda: "PW_WRONG" in uplink.state()["refused"])
        assert not uplink.state()["ok"]
        assert uplink.state()["set_aside"] == 0
        assert PASSWORD not in str(uplink.state())
        platform.refuses = None
        await until(lambda: len(platform.of("2061")) == 1 and len(platform.of("2011")) == 7)
        await until(lambda: bool(uplink.state()["ok"]))


async def test_a_packet_that_is_refused_for_itself_is_set_aside_and_the_next_one_goes(outbox: Outbox) -> None:
    async with (
        fed(outbox) as feed,
        Platform(refuses=QnRtn.CRC_WRONG).serving() as platform,
        running(uplink := Uplink("up", a_plan(platform), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await feed.put(minutes_of(1))
        await until(lambda: uplink.state()["set_aside"] == 1)
        assert platform.refused == 2  # it was tried again first
        assert uplink.state()["refused"] == {"CRC_WRONG": 2}
        platform.refuses = None
        await feed.put(minutes_of(1, first=10))
        await until(lambda: len(platform.of("2011")) == 1)
        assert platform.connections == 1


async def test_a_platform_reads_and_sets_what_it_may(outbox: Outbox) -> None:
    clock = Clock()
    async with fed(outbox) as feed, Platform().serving() as platform:
        async with running(uplink := Uplink("up", a_plan(platform), rng=Random(1), clock_ms=clock), feed):
            await until(lambda: platform.connections == 1 and uplink.state()["ok"])
            asked: list[tuple[Command, dict[str, Any]]] = [
                (Command.CLOCK, {}),
                (Command.SET_CLOCK, {"SystemTime": AT_MS}),
                (Command.SET_REALTIME_INTERVAL, {"RtdInterval": 60}),
                (Command.SET_REALTIME_INTERVAL, {"RtdInterval": 5}),
                (Command.SET_PASSWORD, {"NewPW": "abcdef"}),
                (Command.CALIBRATE, {"PolId": "a21026"}),
            ]
            said = []
            for number, (command, parameters) in enumerate(asked):
                before = len(platform.replies)
                platform.ask(command, parameters, qn=f"2026112008000000{number}")
                ends = 1 if command in (Command.SET_CLOCK, Command.SET_PASSWORD, Command.CALIBRATE) else 2
                await until(lambda wanted=before + ends: len(platform.replies) >= wanted)  # type: ignore[misc]
                said.append([code_of(reply) for reply in platform.replies[before:]])
            assert said == [
                [("9011", "20261120080000000", 1), ("9012", "20261120080000000", 1)],
                [("9011", "20261120080000001", 2)],
                [("9011", "20261120080000002", 1), ("9012", "20261120080000002", 1)],
                [("9011", "20261120080000003", 1), ("9012", "20261120080000003", 3)],
                [("9011", "20261120080000004", 2)],
                [("9011", "20261120080000005", 2)],
            ]
            (clock_told,) = platform.of("1011")
            assert clock_told.fields == ({"SystemTime": "20261120160000"},)
            await feed.put(minutes_of(3))  # now a real-time packet a minute
            await until(lambda: len(platform.of("2011")) == 3)
            assert uplink.state()["tolerated"]["request_REFUSED"] == 3
        async with running(Uplink("up", a_plan(platform), rng=Random(1), clock_ms=clock), feed):
            await feed.put(minutes_of(2, first=3))  # and so after a restart
            await until(lambda: len(platform.of("2011")) == 5)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        pytest.param({"pw": "000000"}, QnRtn.PW_WRONG, id="password"),
        pytest.param({"mn": "F" * 24}, QnRtn.MN_WRONG, id="mn"),
        pytest.param({"st": "32"}, QnRtn.ST_WRONG, id="st"),
        pytest.param({"qn": "7"}, QnRtn.QN_WRONG, id="qn"),
    ],
)
async def test_a_request_with_a_wrong_head_is_refused_by_its_code(
    outbox: Outbox, changed: dict[str, Any], code: QnRtn
) -> None:
    async with (
        fed(outbox) as feed,
        Platform().serving() as platform,
        running(uplink := Uplink("up", a_plan(platform), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await until(lambda: platform.connections == 1 and uplink.state()["ok"])
        platform.ask(Command.CLOCK, **changed)
        await until(lambda: len(platform.replies) == 1)
        assert code_of(platform.replies[0])[2] == code


async def test_a_request_with_a_wrong_check_value_is_met_by_silence(outbox: Outbox) -> None:
    spoilt = encode(build(Command.CLOCK, qn="20261120080000001", st="31", mn=MN, pw=PASSWORD)).replace(b"PW=1", b"PW=9")
    async with (
        fed(outbox) as feed,
        Platform().serving() as platform,
        running(uplink := Uplink("up", a_plan(platform), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await until(lambda: platform.connections == 1 and uplink.state()["ok"])
        platform.send(spoilt)
        platform.ask(Command.SET_CLOCK, {"SystemTime": AT_MS})
        await until(lambda: len(platform.replies) == 1)
        assert code_of(platform.replies[0])[2] == QnRtn.REFUSED
        assert uplink.state()["tolerated"]["refused_crc"] == 1


async def test_a_platform_asks_for_hours_again(outbox: Outbox) -> None:
    async with (
        fed(outbox) as feed,
        Platform().serving() as platform,
        running(Uplink("up", a_plan(platform), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await feed.put(minutes_of(5 * 60 + 1))
        await until(lambda: len(platform.of("2061")) == 5 and len(platform.of("2011")) == 31)
        platform.ask(Command.HOUR_DATA, {"BeginTime": AT_MS + HOUR_MS, "EndTime": AT_MS + 3 * HOUR_MS})
        await until(lambda: len(platform.replies) == 2)
        assert [code_of(reply)[2] for reply in platform.replies] == [1, 1]
        assert [at for at, _ in hours_of(platform)[5:]] == [HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]
        platform.ask(Command.HOUR_DATA, {"BeginTime": AT_MS - HOUR_MS, "EndTime": AT_MS - HOUR_MS}, qn="2" * 17)
        await until(lambda: len(platform.replies) == 4)
        assert [code_of(reply)[2] for reply in platform.replies[2:]] == [1, 100]


async def test_enciphered_data_is_read_with_the_key(outbox: Outbox) -> None:
    async with fed(outbox) as feed, Platform(keys={MN: KEY}).serving() as platform:
        plan = a_plan(platform, version=Version.HJ_2025, key=KEY)
        async with running(Uplink("up", plan, rng=Random(1), clock_ms=Clock()), feed):
            await feed.put(minutes_of(61))
            await until(lambda: hours_of(platform) == [(0, "0.00")])


async def test_means_that_a_logger_made_are_passed_on_as_they_are(outbox: Outbox) -> None:
    row = {"stack": "DA001", "sampled_at": AT_MS, "interval_s": 3600, "channel": "so2"}
    row |= {"avg": 12.345, "corrected_avg": 20.5, "amount": 1.25, "flag": "M"}
    async with (
        fed(outbox) as feed,
        Platform().serving() as platform,
        running(Uplink("up", a_plan(platform, passes_means=True), rng=Random(1), clock_ms=Clock()), feed),
    ):
        await feed.put([row, row | {"stack": "DA002"}], kind="reported_mean")
        await feed.put(minutes_of(61))
        await until(lambda: len(platform.of("2061")) == 1 and len(platform.of("2011")) == 7)
        assert platform.of("2061")[0].fields[1] == {
            "a21026-Cou": "1.25",
            "a21026-Avg": "12.34",  # half to even
            "a21026-ZsAvg": "20.50",
            "a21026-Flag": "M",
        }
        assert platform.of("2051") == []


async def test_what_waits_is_bounded_and_the_least_worth_goes_first(outbox: Outbox) -> None:
    platform = Platform()
    await platform.open()
    await platform.close()
    async with fed(outbox) as feed:
        uplink = Uplink("up", a_plan(platform, most=10), rng=Random(1), clock_ms=Clock())
        async with running(uplink, feed):
            await feed.put(minutes_of(121))
            await until(lambda: uplink.state()["dropped"] == 13 + 12 + 2 - 10)
        with Backlog(memory_of(outbox.path, "up")) as backlog:
            assert backlog.waiting == 10
            first = backlog.next()
            assert first is not None
            assert first.item.command is Command.HOUR_DATA
