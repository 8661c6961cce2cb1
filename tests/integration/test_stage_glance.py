"""Glances of the stage: at a running hour that may be lost, before it is judged; what they find changes no answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from alerts import work
from builders import WORKS, Pipe, a_frame, a_pipe, minutes, put_register
from store import aside, clock
from store.pool import transaction

pytestmark = pytest.mark.anyio

NOON: Final = datetime(2026, 11, 10, 4, tzinfo=UTC)
RANGED: Final = WORKS + "    [site.stack.channels.o2]\n    range = [14, 18]\n"
WAITING: Final = "SELECT DISTINCT reason FROM rejudge ORDER BY 1"
LOST: Final = "SELECT state FROM alert WHERE rule = 'irrecoverable_hour'"


async def send(pipe: Pipe, first: int, n: int, so2: float, **others: Any) -> None:
    start = (NOON + timedelta(minutes=first)).isoformat()
    await pipe.publish(a_frame(minutes(start, n, so2=so2, o2=16.0, **others)))


async def turn(pipe: Pipe, minute: int) -> int | None:
    """It is *minute*; the stage sees what is asked, and one stack has its turn."""
    async with transaction(pipe.pool) as conn:
        await clock.put_tick(conn, NOON + timedelta(minutes=minute), "test")
    await pipe.stage.work.gather(anew=True)
    return await pipe.stage.work.judge_next()


async def half_an_hour(pipe: Pipe) -> None:
    """Far below the limit, judged at twenty past; ten minutes more that could have been at the top of the range."""
    await send(pipe, 0, 20, 10.0)
    await pipe.tick(NOON + timedelta(minutes=20))
    assert await pipe.rows(WAITING) == []


async def test_a_glance_that_finds_nothing_keeps_the_questions_and_they_are_answered_when_there_is_time(
    database_url: str,
) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await half_an_hour(pipe)
        await send(pipe, 20, 20, 10.0)
        before = await pipe.rows("SELECT max(valid_minutes) FROM hour_mean")
        assert await turn(pipe, 40) == 0
        assert pipe.stage.work.glances == 1
        assert await pipe.rows(WAITING) == [("rows",)]
        assert await pipe.rows("SELECT max(valid_minutes) FROM hour_mean") == before, "nothing is written down"
        assert await pipe.stage.work.judge_next() == 1, "then there is time"
        assert await pipe.stage.work.judge_next() is None, "no second glance at what has not changed"
        assert await pipe.rows(WAITING) == []
        assert await pipe.rows("SELECT max(valid_minutes) FROM hour_mean") == [(40,)]


async def test_a_glance_that_finds_a_lost_hour_has_it_judged_in_the_same_turn(database_url: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await half_an_hour(pipe)
        await send(pipe, 20, 20, 190.0)
        assert await turn(pipe, 40) == 1
        assert pipe.stage.work.glances == 0
        assert await pipe.rows(LOST) == [("firing",)]


async def test_an_hour_that_was_glanced_at_is_judged_when_it_ends(database_url: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await half_an_hour(pipe)
        await send(pipe, 20, 40, 10.0)
        assert await turn(pipe, 40) == 0
        assert await turn(pipe, 62) == 1
        assert await pipe.rows("SELECT DISTINCT final FROM hour_mean") == [(True,)]


@pytest.mark.parametrize("reason", ["mark", "record", "order"])
async def test_who_says_something_about_the_hour_waits_for_no_glance(database_url: str, reason: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await half_an_hour(pipe)
        await send(pipe, 20, 20, 10.0)
        asked = "INSERT INTO rejudge (stack_id, hour, reason) SELECT stack_id, %s, %s FROM stack RETURNING 1"
        await pipe.rows(asked, NOON, reason)
        assert await turn(pipe, 40) == 2
        assert pipe.stage.work.glances == 0
        assert await pipe.rows(WAITING) == []


async def test_another_register_is_judged_by_and_not_glanced_at_with_the_old_one(database_url: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await half_an_hour(pipe)
        await put_register(pipe.pool, RANGED.replace("cn-steel-ule-2019", "cn-gb28662-special"))
        await send(pipe, 20, 20, 10.0)
        assert await turn(pipe, 40)
        assert pipe.stage.work.glances == 0
        judged = "SELECT DISTINCT pack FROM hour_verdict WHERE superseded_at IS NULL"
        assert ("cn-gb28662-special",) in await pipe.rows(judged)


async def test_an_hour_that_is_no_longer_lost_is_withdrawn_when_it_ends_at_the_latest(database_url: str) -> None:
    async with a_pipe(database_url, RANGED) as pipe:
        await half_an_hour(pipe)
        await send(pipe, 20, 20, 190.0)
        await turn(pipe, 40)
        assert await pipe.rows(LOST) == [("firing",)]
        await send(pipe, 20, 20, 10.0, revision=1)
        await send(pipe, 40, 20, 10.0)
        assert await turn(pipe, 62) == 1
        assert await pipe.rows(LOST) == [("withdrawn",)]


async def test_a_stack_at_which_a_glance_raises_is_set_aside_with_its_questions(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*args: Any, **others: Any) -> None:
        raise ZeroDivisionError("a fault of ours")

    async with a_pipe(database_url, RANGED) as pipe:
        await half_an_hour(pipe)
        await send(pipe, 20, 20, 10.0)
        with monkeypatch.context() as patched:
            patched.setattr(work, "glance", failing)
            assert await turn(pipe, 40) == 0
        assert await pipe.rows("SELECT reason FROM set_aside") == [("ZeroDivisionError: a fault of ours",)]
        assert await pipe.rows(WAITING) == [("rows",)]
        assert await turn(pipe, 41) is None, "it is left alone for a while"
        async with transaction(pipe.pool) as conn:
            await aside.try_all_again(conn)
        await pipe.tick(NOON + timedelta(minutes=62))
        assert await pipe.rows(WAITING) == []
        assert await pipe.rows("SELECT DISTINCT final FROM hour_mean") == [(True,)]
