"""The leader among the stages: one at a time; its clock waits for no chore, and a chore that fails stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import pytest

from alerts import leading
from alerts.leading import Leader
from builders import Pipe, a_pipe, settings
from fakes.polling import until, until_so
from plant.errors import Unavailable
from store import clock, findings, queue, retention
from store.pool import Connection, open_pool, transaction

pytestmark = pytest.mark.anyio

NOON: Final = datetime(2026, 11, 10, 4, tzinfo=UTC)


@asynccontextmanager
async def a_leader(database_url: str, name: str) -> AsyncIterator[Leader]:
    async with open_pool(database_url, name=name, size=6) as pool:
        leader = Leader(
            settings(database_url, tick_s=0.1, stage_lease_s=1.0, stage_id=name), pool, lambda: datetime.now(UTC)
        )
        task = asyncio.create_task(leader.run(), name=name)
        try:
            yield leader
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_one_leads_and_the_other_takes_over_when_it_is_gone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bool] = []
    is_free = leading._is_free

    async def counted(conn: Connection) -> bool:
        tries.append(await is_free(conn))
        return tries[-1]

    monkeypatch.setattr(leading, "_is_free", counted)
    async with AsyncExitStack() as first:
        one = await first.enter_async_context(a_leader(database_url, "one"))
        await until(one.leads.is_set)
        async with a_leader(database_url, "other") as other:
            await until(lambda: len(tries) > 3)
            assert tries == [True] + [False] * (len(tries) - 1)
            assert not other.leads.is_set()
            await first.aclose()
            await until(other.leads.is_set)


async def test_the_other_takes_over_from_one_that_stands_still(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves, put_tick = asyncio.Event(), clock.put_tick

    async def put(conn: Connection, at: datetime, leader: str) -> datetime:
        if leader == "one":
            await moves.wait()
        return await put_tick(conn, at, leader)

    monkeypatch.setattr(clock, "put_tick", put)
    async with a_leader(database_url, "one") as one:
        moves.set()
        await until(one.leads.is_set)
        async with a_leader(database_url, "other") as other:
            moves.clear()
            await until(other.leads.is_set, 30.0)
            moves.set()


async def test_the_locks_of_a_transaction_that_stands_still_are_freed(database_url: str) -> None:
    async def stand_still(pipe: Pipe) -> None:
        async with open_pool(database_url, name="still", idle_s=0.2) as pool, transaction(pool) as conn:
            await findings.number_events(conn, 1)
            async with asyncio.timeout(30):
                assert await pipe.stage.number_some() == 0, "the other stage numbers the feed"
            await conn.execute("SELECT 1")

    async with a_pipe(database_url) as pipe:
        with pytest.raises(Unavailable):
            await stand_still(pipe)


async def test_a_chore_that_fails_is_named_and_stops_no_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[datetime] = []
    fails = [True]

    async def failing(conn: Connection, now: datetime) -> bool:
        if fails[0]:
            raise KeyError("a fault of ours")
        return False

    async def working(conn: Connection, now: datetime) -> bool:
        done.append(now)
        return False

    monkeypatch.setattr(leading, "CHORES", {"failing": failing, "working": working})
    async with a_leader(database_url, "one") as leader:
        await until(lambda: len(done) > 2)
        assert leader.failed == {"failing": "KeyError: 'a fault of ours'"}
        fails[0] = False
        await until(lambda: not leader.failed)
    assert "chore_failed" in caplog.messages


async def test_the_clock_goes_on_while_a_chore_waits(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = asyncio.Event()

    async def waiting(conn: Connection, now: datetime) -> bool:
        return await waits.wait()

    monkeypatch.setattr(leading, "CHORES", {"waiting": waiting})
    async with a_pipe(database_url) as pipe, a_leader(database_url, "one"):

        async def ticked() -> bool:
            ((ticks,),) = await pipe.rows("SELECT count(*) FROM tick")
            return bool(ticks >= 5)

        await until_so(ticked)


async def test_letting_go_that_fails_stops_neither_the_clock_nor_what_is_judged(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_due(conn: Connection) -> bool:
        return True

    async def failing(conn: Connection) -> retention.Gone:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(retention, "due", is_due)
    monkeypatch.setattr(retention, "let_go", failing)
    async with a_leader(database_url, "one") as leader:
        await until(lambda: "retention" in leader.failed)
        assert leader.failed == {"retention": "KeyError: 'a fault of ours'"}


async def test_what_has_ended_is_asked_for_while_other_versions_of_packs_are_looked_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked for in years of verdicts."""
    asked: list[int] = []
    found = asyncio.Event()

    async def waiting(conn: Connection, versions: Mapping[str, str]) -> int:
        await found.wait()
        return 0

    async def ask(conn: Connection, after_s: int, *, most: int | None = None) -> int:
        asked.append(after_s)
        return 0

    monkeypatch.setattr(queue, "ask_for_other_packs", waiting)
    monkeypatch.setattr(queue, "ask_for_ended", ask)
    async with a_leader(database_url, "one"):
        await until(lambda: bool(asked))
        found.set()
