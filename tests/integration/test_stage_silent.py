"""The stage that died: whoever sees it first says so, once, and it is over with the next tick."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from alerts import deadman, outside
from api.watching import look
from builders import a_pipe
from fakes.polling import until_so
from plant.errors import Unavailable
from store import clock
from store.heartbeat import beat
from store.pool import Connection, open_pool, transaction

pytestmark = pytest.mark.anyio

NOON: Final = datetime(2026, 11, 10, 4, tzinfo=UTC)
ALERT: Final = "SELECT rule, state, severity, site_id, period_start, ended_at FROM alert"
EVENTS: Final = "SELECT event, feed_number FROM alert_event ORDER BY event_id"


async def tick(conn: Connection, at: datetime, *, ago_s: float = 0.0) -> None:
    await clock.put_tick(conn, at, "test")
    await conn.execute("UPDATE tick SET committed_at = now() - make_interval(secs => %s) WHERE at = %s", [ago_s, at])


async def test_the_api_opens_it_while_the_stage_is_silent_and_the_next_tick_ends_it(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        assert not await look(pipe.pool, silent_s=60), "a new system has never ticked"
        async with transaction(pipe.pool) as conn:
            await tick(conn, NOON, ago_s=59)
        assert not await look(pipe.pool, silent_s=60)
        async with transaction(pipe.pool) as conn:
            await tick(conn, NOON, ago_s=61)
        assert await look(pipe.pool, silent_s=60)
        assert not await look(pipe.pool, silent_s=60), "once"
        assert await pipe.rows(ALERT) == [("stage_silent", "firing", "critical", None, NOON, None)]
        assert await pipe.rows(EVENTS) == [("opened", 1)], "it stands in the feed, though the stage is not there"

        back = NOON + timedelta(minutes=9)
        async with transaction(pipe.pool) as conn:
            assert not await deadman.note(conn, silent_s=60), "the stage that comes back finds it open"
            await tick(conn, back)
            await deadman.resolve(conn, back)
        assert await pipe.rows(ALERT) == [("stage_silent", "resolved", "critical", None, NOON, back)]
        assert await pipe.rows(EVENTS) == [("opened", 1), ("resolved", None)]


async def test_a_stage_that_comes_back_unnoticed_says_how_long_it_was_silent(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        async with transaction(pipe.pool) as conn:
            await tick(conn, NOON, ago_s=600)
        before = await pipe.rows("SELECT count(*) FROM tick")
        task = asyncio.create_task(pipe.stage.leader.run(), name="leader")

        async def ticked() -> bool:
            return await pipe.rows("SELECT count(*) FROM tick") != before

        await until_so(ticked, 30.0)
        task.cancel()
        await asyncio.wait([task])
        ((rule, state, _, _, start, ended_at),) = await pipe.rows(ALERT)
        assert (rule, state, start) == ("stage_silent", "resolved", NOON)
        assert ended_at > NOON
        ((observed, limit, said),) = await pipe.rows("SELECT observed, limit_value, evidence FROM alert")
        assert 600 <= observed < 700
        assert (limit, said["silent_for_s"]) == (pipe.stage.settings.stage_silent_s, observed)


async def test_two_that_notice_at_once_open_one_alert(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        async with transaction(pipe.pool) as conn:
            await tick(conn, NOON, ago_s=600)
        looked = await asyncio.gather(*[look(pipe.pool, silent_s=60) for _ in range(4)])
        assert sorted(looked) == [False, False, False, True]
        assert await pipe.rows(EVENTS) == [("opened", 1)]


async def asked_paths(database_url: str, *, ingestor_well: bool, answer: bytes = b"200 OK") -> list[str]:
    """What one sign of life asks of a server that listens."""
    paths: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        paths.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_pool(database_url, name="test") as pool:
        async with transaction(pool) as conn:
            for component in set(outside.COMPONENTS) - {"ingestor"}:
                await beat(conn, component, "one", ok=True, detail={})
            await beat(conn, "ingestor", "one", ok=ingestor_well, detail={})
        await outside.reporter(pool, f"http://127.0.0.1:{port}/ping/secret")()
    return paths


async def test_a_sign_of_life_is_sent_while_every_part_beats(database_url: str) -> None:
    assert await asked_paths(database_url, ingestor_well=True) == ["/ping/secret"]
    assert await asked_paths(database_url, ingestor_well=False) == []


async def test_a_watch_that_refuses_is_logged_without_its_address(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await asked_paths(database_url, ingestor_well=True, answer=b"404 Not Found") == ["/ping/secret"]
    sent: list[Any] = [record for record in caplog.records if record.message == "heartbeat_not_sent"]
    assert [record.reason for record in sent] == ["HTTPStatusError"]
    assert "secret" not in str(vars(sent[0]))


@pytest.mark.parametrize("address", ["http://127.0.0.1:secret", "secret", "ftp://127.0.0.1/secret"])
async def test_a_watch_whose_address_is_none_is_logged_and_stops_nothing(
    database_url: str, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    async with open_pool(database_url, name="test") as pool:
        async with transaction(pool) as conn:
            for component in outside.COMPONENTS:
                await beat(conn, component, "one", ok=True, detail={})
        await outside.reporter(pool, address)()
    sent: list[Any] = [record for record in caplog.records if record.message == "heartbeat_not_sent"]
    assert [record.reason for record in sent] in (["InvalidURL"], ["UnsupportedProtocol"])
    assert "secret" not in str(vars(sent[0]))


async def test_a_database_that_is_away_opens_nothing() -> None:
    async with open_pool("postgresql://nobody@127.0.0.1:1/none", name="test") as pool:
        pool.timeout = 1.0
        with pytest.raises(Unavailable):
            await look(pool, silent_s=60)
