"""The live feed through a real uvicorn: from now on, resumed, filtered, cut off, through a restart of each side."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.feed import Entry, Feed, Reader, matches
from api.routes import live
from api.serve import serve
from fakes.api_rows import T0, Rows, rows_in
from plant.errors import BadDocument
from plant.settings import Settings
from store.alerts import AlertFilter
from store.pool import open_pool
from store.scope import Scope

pytestmark = pytest.mark.anyio

DEADLINE_S = 20.0


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@asynccontextmanager
async def a_server(database_url: str, port: int) -> AsyncIterator[str]:
    """The API as a process would run it, ended as SIGTERM would end it."""
    settings = Settings(database_url=database_url, http_port=port)
    task = asyncio.create_task(serve(settings), name="api under test")
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url) as http:

        async def answers() -> bool:
            if task.done():
                task.result()
            with suppress(httpx.TransportError):
                return (await http.get("/v1/keys")).status_code == 200
            return False

        await until(answers)
    try:
        yield url
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            async with asyncio.timeout(DEADLINE_S):
                await task


async def until(holds: Callable[[], Any]) -> None:
    """Wait until the condition holds; fail after the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)  # between two looks, not instead of one


class Stream:
    """A reader as a browser is one: blocks of lines, the number of the last event remembered."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.comments = 0
        self._lines = answer.aiter_lines()

    async def next(self) -> tuple[int, dict[str, Any]]:
        fields: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE_S):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    assert fields["event"] == "alert"
                    return int(fields["id"]), json.loads(fields["data"])
        raise EOFError

    async def take(self, count: int) -> list[int]:
        return [(await self.next())[0] for _ in range(count)]


@asynccontextmanager
async def a_stream(
    url: str, headers: dict[str, str], *, last: int | None = None, **query: Any
) -> AsyncIterator[Stream]:
    if last is not None:
        headers = headers | {"Last-Event-ID": str(last)}
    async with (
        httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as http,
        http.stream("GET", "/v1/alerts/stream", headers=headers, params=query) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


async def numbered(rows: Rows, *numbers: int) -> None:
    for number in numbers:
        await rows.event("hour-1", "changed", number=number)


async def test_a_reader_gets_what_comes_from_now_on(database_url: str) -> None:
    async with rows_in(database_url) as rows:
        await rows.site()
        await rows.alert(number=1)
        watch = await rows.token("watch")
        async with a_server(database_url, a_free_port()) as url, a_stream(url, watch) as stream:
            await rows.event("hour-1", "resolved", number=2)
            began = time.monotonic()
            number, alert = await stream.next()
            assert time.monotonic() - began < 1.0
            assert (number, alert["id"], alert["event"], alert["observed"]) == (2, "hour-1", "resolved", 61.25)


async def test_a_reader_resumes_behind_its_last_event_without_a_gap_or_a_repeat_also_after_a_restart(
    database_url: str,
) -> None:
    port = a_free_port()
    async with rows_in(database_url) as rows:
        await rows.site()
        await rows.alert(number=1)
        watch = await rows.token("watch")
        seen: list[int] = []
        async with a_server(database_url, port) as url, a_stream(url, watch, after=0) as stream:
            await numbered(rows, 2, 3)
            seen += await stream.take(3)
        await numbered(rows, 4, 5)
        async with a_server(database_url, port) as url, a_stream(url, watch, last=seen[-1], after=0) as stream:
            await numbered(rows, 6, 7)
            seen += await stream.take(4)
        assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_many_events_written_while_readers_come_reach_each_exactly_once(database_url: str) -> None:
    async with rows_in(database_url) as rows:
        await rows.site()
        await rows.alert(number=1)
        watch = await rows.token("watch")
        total = 1500

        async def write() -> None:
            for number in range(2, total + 1):
                await rows.event("hour-1", "changed", number=number)

        async def read(url: str) -> list[int]:
            """Comes back whenever it was cut off, as a browser does."""
            got: list[int] = []
            while len(got) < total:
                async with a_stream(url, watch, last=got[-1] if got else 0) as stream:
                    with suppress(EOFError):
                        while len(got) < total:
                            got.append((await stream.next())[0])
            return got

        async with a_server(database_url, a_free_port()) as url:
            readers = [asyncio.create_task(read(url), name=f"reader {index}") for index in range(3)]
            await write()
            for reader in readers:
                assert await reader == list(range(1, total + 1))


async def test_the_feed_has_the_filters_and_the_scope_of_the_list(database_url: str) -> None:
    async with rows_in(database_url) as rows:
        await rows.site("works")
        await rows.site("mill", region="shanxi")
        await rows.alert("w", site="works", number=1)
        await rows.alert("m", site="mill", severity="critical", start=T0.replace(day=21), number=2)
        await rows.alert("last", site="works", severity="critical", start=T0.replace(day=21), number=3)
        since: dict[str, Any] = {"from": "2026-11-20T12:00:00Z"}
        plant = await rows.token("operator", sites=["works"])
        watch = await rows.token("watch")
        async with a_server(database_url, a_free_port()) as url:
            async with a_stream(url, plant, after=0) as stream:
                assert await stream.take(2) == [1, 3]
            async with a_stream(url, watch, after=0, region="shanxi", severity="critical") as stream:
                assert await stream.take(1) == [2]
            async with a_stream(url, watch, after=0, **since) as stream:
                assert await stream.take(2) == [2, 3]
            async with httpx.AsyncClient(base_url=url) as http:
                assert (await http.get("/v1/alerts/stream")).status_code == 401
                assert (await http.get("/v1/alerts/stream?after=x", headers=watch)).status_code == 422


async def test_a_number_of_a_lost_database_counts_as_the_newest(database_url: str) -> None:
    async with rows_in(database_url) as rows:
        await rows.site()
        await rows.alert(number=1)
        watch = await rows.token("watch")
        async with a_server(database_url, a_free_port()) as url, a_stream(url, watch, last=900) as stream:

            async def subscribed() -> bool:
                async with httpx.AsyncClient(base_url=url) as http:
                    return "stackwatch_feed_readers 1" in (await http.get("/metrics")).text

            await until(subscribed)
            await numbered(rows, 2)
            assert await stream.take(1) == [2]


async def test_the_feed_survives_the_loss_of_its_database_connections(database_url: str) -> None:
    async with rows_in(database_url) as rows:
        await rows.site()
        await rows.alert(number=1)
        watch = await rows.token("watch")
        async with a_server(database_url, a_free_port()) as url, a_stream(url, watch) as stream:
            await numbered(rows, 2)
            assert await stream.take(1) == [2]
            lost = await rows.value(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'stackwatch %%'"""
            )
            assert lost >= 1
            await numbered(rows, 3, 4)
            assert await stream.take(2) == [3, 4]


async def test_stopping_the_server_ends_its_streams_at_once(database_url: str) -> None:
    async with rows_in(database_url) as rows:
        await rows.site()
        watch = await rows.token("watch")
        async with a_server(database_url, a_free_port()) as url:
            reading = a_stream(url, watch)
            stream = await reading.__aenter__()
            began = time.monotonic()
        assert time.monotonic() - began < 4.0
        with pytest.raises((EOFError, httpx.TransportError)):
            await stream.next()
        await reading.__aexit__(None, None, None)


async def test_a_quiet_stream_carries_comments(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.QUIET_S < 15
    monkeypatch.setattr(live, "QUIET_S", 0.05)
    async with rows_in(database_url) as rows:
        await rows.site()
        await rows.alert(number=1)
        watch = await rows.token("watch")
        async with a_server(database_url, a_free_port()) as url, a_stream(url, watch) as stream:
            reading = asyncio.create_task(stream.next(), name="reader")

            async def commented() -> bool:
                return stream.comments > 3

            await until(commented)
            await numbered(rows, 2)
            assert (await reading)[0] == 2


async def test_streaming_holds_no_connection_of_the_pool(database_url: str) -> None:
    async with rows_in(database_url) as rows:
        await rows.site()
        await rows.alert(number=1)
        watch = await rows.token("watch")
        app = create_app(Settings(database_url=database_url))
        feed = app.state.context.feed
        async with app.router.lifespan_context(app):
            await feed.ready()
            pool = app.state.context.pool
            entries = feed.follow(pool, lambda _: True, 0, quiet_s=0.05)
            first = await anext(entries)
            assert first is not None
            assert first.number == 1
            stats = pool.get_stats()
            assert stats["pool_available"] == stats["pool_size"]
            await entries.aclose()
            assert watch


async def test_an_address_that_is_taken_is_said_in_words(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(database_url=database_url, http_port=taken.getsockname()[1])
        with pytest.raises(BadDocument, match="cannot be had"):
            await serve(settings)


def an_entry(number: int, **document: Any) -> Entry:
    return Entry(number, document, b"")


async def test_a_reader_that_does_not_keep_up_is_cut_off_and_the_others_are_not(database_url: str) -> None:
    async with rows_in(database_url) as rows, open_pool(database_url, name="test") as pool:
        await rows.site()
        await rows.alert(number=1)
        feed = Feed(database_url, queue=5)
        running = asyncio.create_task(feed.run(), name="feed")
        await feed.ready()
        slow = feed.follow(pool, lambda _: True, None, quiet_s=0.05)
        quick = feed.follow(pool, lambda _: True, None, quiet_s=0.05)
        assert await anext(slow) is None
        got: list[int] = []

        async def read() -> None:
            async for entry in quick:
                if entry is not None:
                    got.append(entry.number)

        reading = asyncio.create_task(read(), name="quick reader")
        for number in range(2, 12):
            await numbered(rows, number)

            async def has_it(number: int = number) -> bool:
                return bool(got) and got[-1] == number

            await until(has_it)
        assert got == list(range(2, 12))
        assert [entry async for entry in slow] == []
        assert feed.cut_off == 1
        running.cancel()
        feed.close()
        await reading
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_reader_ends_when_it_is_full_and_gives_nothing_after() -> None:
    reader = Reader(0, 2)
    assert [reader.offer(an_entry(number)) for number in (1, 2, 3)] == [True, True, False]
    assert reader.ended
    assert await reader.take(0.01) is None


def test_filters_of_the_feed_say_what_the_list_says() -> None:
    document = {
        "site": "works",
        "region": "hebei",
        "state": "firing",
        "severity": "major",
        "rule": "hour_above_limit",
        "period_start": "2026-11-20T00:00:00Z",
    }
    at = datetime.fromisoformat("2026-11-20T08:00:00+08:00")
    everywhere = Scope()
    assert matches(AlertFilter(), everywhere, document)
    assert matches(AlertFilter(start=at, sites=("works", "mill")), everywhere, document)
    assert not matches(AlertFilter(end=at), everywhere, document)
    assert not matches(AlertFilter(states=("resolved",)), everywhere, document)
    assert not matches(AlertFilter(), Scope(sites=frozenset({"mill"})), document)
    assert not matches(AlertFilter(), Scope(regions=frozenset({"shanxi"})), document)
