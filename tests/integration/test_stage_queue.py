"""The queue of hours on a real database: asked once, never missed, and one bad stack stops no other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest

from alerts import work
from alerts.judge import Judgement, judge_stack
from alerts.shards import share_of
from alerts.stage import Stage
from builders import WORKS, Pipe, a_frame, a_pipe, minutes, put_register, settings
from plant.periods import micros
from stackwatch.commands.doctor import look_at_judging
from store import aside, clock, queue, shards
from store.pool import connect, transaction

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

NOON: Final = datetime(2026, 11, 10, 4, tzinfo=UTC)
TWO_STACKS: Final = (
    WORKS
    + """
  [[site.stack]]
  code = "DA002"
  name = "Sinter tail"
  process = "sinter_head"
  units = ["S1"]
  packs = ["cn-steel-ule-2019"]
  interval_s = 60
"""
)
WAITING: Final = "SELECT k.code, q.reason FROM rejudge q JOIN stack k USING (stack_id) ORDER BY q.rejudge_id"


async def stack_id(pipe: Pipe, code: str = "DA001") -> int:
    return int((await pipe.rows("SELECT stack_id FROM stack WHERE code = %s", code))[0][0])


async def an_hour(pipe: Pipe, stack: str = "DA001", *, later_s: int = 0) -> None:
    start = (NOON + timedelta(seconds=later_s)).isoformat()
    rows = minutes(start, 59, stack=stack, so2=20, nox=30, pm=4, o2=16.0)
    await pipe.publish(a_frame(rows))


async def test_what_waits_is_asked_once_however_many_messages_bring_rows_of_it(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        for minute in range(20):
            at = (NOON + timedelta(minutes=minute)).isoformat()
            await pipe.publish(a_frame(minutes(at, 1, so2=20, nox=30, pm=4, o2=16.0)))
        assert await pipe.rows(WAITING) == [("DA001", "rows")]


async def test_rows_that_wait_do_not_hide_what_else_is_said_of_their_hour(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe)
        stack = await stack_id(pipe)
        async with await connect(database_url, name="asker") as conn:
            for _ in range(2):
                await queue.ask(conn, [(stack, NOON)], reason="record")
            await conn.commit()
            claim = await queue.claim(conn, stack, 10)
        assert claim is not None
        assert claim.hours == claim.touched == (micros(NOON),)
        assert len(claim.queue_ids) == 2


async def test_rows_that_come_while_their_hour_is_being_judged_ask_again(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe)
        async with await connect(database_url, name="worker") as conn:
            claim = await queue.claim(conn, await stack_id(pipe), 10)
            assert claim is not None
            await an_hour(pipe, later_s=30)
            await queue.answered(conn, claim)
            await conn.commit()
        assert await pipe.rows(WAITING) == [("DA001", "rows")], "the second message's question stays"


async def test_a_question_is_not_claimed_while_somebody_is_about_to_ask_it_again(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe)
        stack = await stack_id(pipe)
        async with await connect(database_url, name="asker") as asker, await connect(database_url, name="w") as worker:
            await queue.ask(asker, [(stack, NOON)], reason="rows")
            held = await queue.claim(worker, stack, 10)
            assert held is not None
            assert held.hours == (), "its rows are not committed yet"
            await worker.commit()
            await asker.commit()
            claim = await queue.claim(worker, stack, 10)
            assert claim is not None
            assert len(claim.queue_ids) == 1
            await worker.rollback()


async def test_a_killed_worker_leaves_its_questions(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe)
        conn = await connect(database_url, name="worker")
        claim = await queue.claim(conn, await stack_id(pipe), 10)
        assert claim is not None
        await queue.answered(conn, claim)
        await conn.close()
        assert await pipe.rows(WAITING) == [("DA001", "rows")]


async def test_more_hours_than_one_transaction_holds_are_judged_in_several(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        pipe.stage.work.claim_hours = 3
        await pipe.publish(a_frame(minutes(NOON.isoformat(), 8, step_s=3600, so2=20, nox=30, pm=4, o2=16.0)))
        await pipe.tick(NOON + timedelta(hours=9))
        assert await pipe.rows(WAITING) == []
        judged = await pipe.rows("SELECT count(DISTINCT start) FROM hour_verdict WHERE final")
        assert judged == [(8,)]
        assert pipe.stage.work.stacks_judged >= 3


async def test_a_stack_whose_judging_raises_is_set_aside_and_its_neighbours_are_judged(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(conn: Any, subject: Any, hours: Any, **others: Any) -> Judgement:
        if subject.stack.code == "DA001":
            raise ZeroDivisionError("a fault of ours")
        return await judge_stack(conn, subject, hours, **others)

    async with a_pipe(database_url, TWO_STACKS) as pipe:
        pipe.lets_fail = True
        await an_hour(pipe, "DA001")
        await an_hour(pipe, "DA002")
        monkeypatch.setattr(work, "judge_stack", failing)
        await pipe.tick(NOON + timedelta(hours=2))
        assert await pipe.rows("SELECT DISTINCT code FROM hour_verdict JOIN stack USING (stack_id)") == [("DA002",)]
        assert {code for code, _ in await pipe.rows(WAITING)} == {"DA001"}, "its questions wait"
        async with transaction(pipe.pool) as conn:
            (left,) = await aside.listed(conn)
        assert (left.site, left.stack, left.failures) == ("works", "DA001", 1)
        assert left.reason == "ZeroDivisionError: a fault of ours"

        monkeypatch.setattr(work, "judge_stack", judge_stack)
        await pipe.judge()
        assert {code for code, _ in await pipe.rows(WAITING)} == {"DA001"}, "it is left alone for a while"
        async with transaction(pipe.pool) as conn:
            await aside.try_all_again(conn)
        await pipe.judge()
        assert await pipe.rows(WAITING) == []
        assert await pipe.rows("SELECT count(*) FROM set_aside") == [(0,)]


async def test_a_stack_that_fails_again_is_left_alone_for_longer(database_url: str) -> None:
    waits = []
    async with await connect(database_url, name="test", autocommit=True) as conn:
        for _ in range(9):
            await aside.put(conn, 1, "a fault")
            cursor = await conn.execute("SELECT extract(epoch FROM retry_at - now())::integer FROM set_aside")
            waits += await cursor.fetchall()
    assert [wait for (wait,) in waits] == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


async def test_a_stack_that_falls_silent_is_asked_about_once_an_hour(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await an_hour(pipe)
        await pipe.tick(NOON + timedelta(minutes=63))
        asked = []
        for minute in (70, 76, 80, 120, 123, 150):
            async with transaction(pipe.pool) as conn:
                await clock.put_tick(conn, NOON + timedelta(minutes=minute), "test")
                await queue.ask_for_ended(conn, 120)
            asked.append(await pipe.rows("SELECT hour FROM rejudge WHERE reason = 'silent' ORDER BY hour"))
            await pipe.rows("DELETE FROM rejudge RETURNING 1")
        first, second = [(NOON,), (NOON + timedelta(hours=1),)], [(NOON + timedelta(hours=n),) for n in (1, 2)]
        assert asked == [[], first, [], [], second, []]


async def test_what_ended_at_many_stacks_is_asked_for_in_portions(database_url: str) -> None:
    async with a_pipe(database_url, TWO_STACKS) as pipe:
        for stack in ("DA001", "DA002"):
            await an_hour(pipe, stack)
        await pipe.tick(NOON + timedelta(minutes=59))
        counts = []
        async with transaction(pipe.pool) as conn:
            await clock.put_tick(conn, NOON + timedelta(minutes=62), "test")
            while asked := await queue.ask_for_ended(conn, 120, most=1):
                counts.append(asked)
        assert counts == [1, 1]
        assert sorted(await pipe.rows(WAITING)) == [("DA001", "ended"), ("DA002", "ended")]


async def test_doctor_names_the_stages_and_the_stacks_that_are_set_aside(database_url: str) -> None:
    async with a_pipe(database_url) as pipe, transaction(pipe.pool) as conn:
        await shards.renew(conn, "stage-1/a", 15.0, partial(share_of, "stage-1/a"))
        await aside.put(conn, await stack_id(pipe), "KeyError: 'a fault'")
        said = [(one.ok, one.sentence) async for one in look_at_judging(conn, [])]
    assert said[0] == (True, f"the rule stage stage-1/a works on {queue.SHARDS} of {queue.SHARDS} shards of the stacks")
    assert said[1] == (True, "0 hours wait to be judged")
    assert said[2] == (False, "1 stacks are set aside, because judging them failed")
    assert not said[3][0]
    assert said[3][1].startswith("stack works/DA001 is set aside, failed 1 times since ")
    assert said[3][1].endswith(": KeyError: 'a fault'")


async def test_a_stage_that_stands_still_in_its_work_stops_no_other(database_url: str) -> None:
    async with a_pipe(database_url, TWO_STACKS) as pipe:
        await an_hour(pipe, "DA001")
        await an_hour(pipe, "DA002")
        async with transaction(pipe.pool) as conn:
            await clock.put_tick(conn, NOON + timedelta(hours=2), "test")
        async with await connect(database_url, name="still") as conn:
            claim = await queue.claim(conn, await stack_id(pipe, "DA001"), 10)
            assert claim is not None
            assert claim.hours
            await an_hour(pipe, "DA001", later_s=30)  # a question that nobody holds, of a stack that somebody does
            async with asyncio.timeout(30):
                await pipe.judge()
            assert await pipe.rows("SELECT DISTINCT code FROM hour_verdict JOIN stack USING (stack_id)") == [("DA002",)]
        await pipe.judge()
        assert await pipe.rows(WAITING) == []


async def test_a_stack_that_another_program_judges_is_not_set_aside_any_more(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(conn: Any, subject: Any, hours: Any, **others: Any) -> Judgement:
        raise ZeroDivisionError("a fault of ours")

    async with a_pipe(database_url) as pipe:
        pipe.lets_fail = True
        await an_hour(pipe)
        with monkeypatch.context() as patched:
            patched.setattr(work, "judge_stack", failing)
            await pipe.tick(NOON + timedelta(hours=2))
        assert await pipe.rows("SELECT count(*) FROM set_aside") == [(1,)]
        pipe.stage = Stage(settings(database_url), pipe.pool)
        async with transaction(pipe.pool) as conn:
            await aside.try_all_again(conn)
        await pipe.judge()
        assert await pipe.rows(WAITING) == []
        assert await pipe.rows("SELECT count(*) FROM set_aside") == [(0,)]


async def test_nothing_is_asked_about_a_stack_that_was_withdrawn(database_url: str) -> None:
    async with a_pipe(database_url, TWO_STACKS) as pipe:
        await an_hour(pipe, "DA002")
        await pipe.tick(NOON + timedelta(minutes=50))
        await put_register(pipe.pool, WORKS)
        await pipe.judge()
        async with transaction(pipe.pool) as conn:
            await clock.put_tick(conn, NOON + timedelta(hours=2), "test")
            assert await queue.ask_for_ended(conn, 120, most=10) == 0, (
                "it would be answered with nothing, and asked again"
            )
        await put_register(pipe.pool, TWO_STACKS)
        await pipe.judge()
        assert await pipe.rows("SELECT DISTINCT final FROM hour_mean") == [(True,)], "it is judged when it is back"
