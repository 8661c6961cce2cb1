"""The books: the same answers as from reading every frame ever sent, however far the stage has folded; the alerts."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from alerts.rules.lost import GRACE
from builders import Pipe, a_frame, a_pipe, minutes, settings
from fakes.api_rows import Rows, rows_in
from fakes.whole_books import whole_books
from plant.periods import instant, micros
from store import tallying
from store.books import book_totals, list_books
from store.pool import transaction
from store.scope import EVERYWHERE, Scope

pytestmark = pytest.mark.anyio

T0: Final = datetime(2026, 11, 20, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
FIRST: Final = "2026-11-20T08:00:00+08:00"
TICK: Final = datetime(2026, 11, 20, 6, tzinfo=UTC)


def the_frames(rng: random.Random) -> list[dict[str, Any]]:
    """What an outbox would send, with losses, drops, repeats, restored disks and another order on the way."""
    frames: list[dict[str, Any]] = []
    before = dropped = 0
    low = 1
    for seq in range(1, rng.randint(2, 12)):
        rows = rng.randint(1, 5)
        fate = rng.choice(["sent", "sent", "sent", "lost", "dropped", "short"])
        at = T0 + HOUR * rng.randint(0, 3)
        if fate in ("sent", "short"):
            arrived = rows if fate == "sent" else rng.randint(1, rows)
            low = rng.randint(low, seq)
            frames.append(
                {"seq": seq, "hour": at, "rows": arrived, "rows_before": before, "dropped_before": dropped, "low": low}
            )
            if rng.random() < 0.1:
                frames.append({**frames[-1], "hour": at + HOUR, "rows": rng.randint(1, 5)})
        elif fate == "dropped":
            dropped += rows
        before += rows
    if rng.random() < 0.4:
        rng.shuffle(frames)
    return frames


async def fold(pipe: Pipe, *, most: int = 20_000, now: datetime = TICK) -> None:
    async with transaction(pipe.pool) as conn:
        await tallying.fold(conn, now=now, most=most)


async def the_books(pipe: Pipe, **asked: Any) -> list[dict[str, Any]]:
    async with transaction(pipe.pool) as conn:
        return await list_books(conn, EVERYWHERE, limit=asked.pop("limit", 100_000), **asked)


@asynccontextmanager
async def works(database_url: str) -> AsyncIterator[tuple[Pipe, Rows]]:
    async with a_pipe(database_url) as pipe, rows_in(database_url) as rows:
        yield pipe, rows


@pytest.mark.both_databases
@pytest.mark.parametrize("seed", range(8))
async def test_books_are_those_of_reading_every_frame_however_far_they_are_folded(database_url: str, seed: int) -> None:
    rng = random.Random(seed)
    async with works(database_url) as (pipe, rows):
        told = [(f"e{n}", frame) for n in range(8) for frame in the_frames(rng)]
        if seed % 2:
            rng.shuffle(told)
        for edge, frame in told:
            hour = frame["hour"]
            await rows.frame(**{**frame, "edge": edge, "hour": hour, "deliveries": rng.choice([1, 1, 3])})
            if rng.random() < 0.1:
                await rows.quarantined(rng.randbytes(9), seq=rng.randint(1, 12), edge=edge)
                await rows.touched(edge)
            if rng.random() < 0.1:
                await rows.redelivered(edge, rng.randint(1, 12))
            if rng.random() < 0.15:
                await fold(pipe, most=rng.choice([1, 5, 1000]))
        async with transaction(pipe.pool) as conn:
            whole = await whole_books(conn)
            assert await list_books(conn, EVERYWHERE, limit=100_000) == whole
            totals = await book_totals(conn, EVERYWHERE)
        for _ in range(300):
            await fold(pipe, most=7)
        assert await the_books(pipe) == whole
        assert {name: sum(line[name] for line in whole) for name in totals} == totals
        assert await pipe.rows("SELECT (SELECT count(*) FROM book_entry), (SELECT count(*) FROM session_news)") == [
            (0, 0)
        ]
        two = T0 + 2 * HOUR
        assert await the_books(pipe, start=T0 + HOUR, end=two, edge="e3") == [
            line for line in whole if line["edge"] == "e3" and line["hour"] == "2026-11-20T01:00:00Z"
        ]


async def test_pages_of_the_books_are_the_whole(database_url: str) -> None:
    rng = random.Random(5)
    async with works(database_url) as (pipe, rows):
        for edge in ("Gate", "gate", "a-b", "a_b"):
            for frame in the_frames(rng):
                await rows.frame(**frame, edge=edge)
            if edge == "gate":
                await fold(pipe)
        whole = await the_books(pipe)
        paged: list[dict[str, Any]] = []
        while page := await the_books(
            pipe,
            limit=3,
            after=(datetime.fromisoformat(paged[-1]["hour"]), paged[-1]["site"], paged[-1]["edge"]) if paged else None,
        ):
            paged += page
        assert paged == whole


async def test_books_of_another_site_are_nobodys(database_url: str) -> None:
    async with works(database_url) as (pipe, rows):
        await rows.frame(1, T0)
        await rows.frame(3, T0, rows_before=20, low=4)
        for _ in range(2):
            async with transaction(pipe.pool) as conn:
                own = await list_books(conn, Scope(sites=frozenset(["works"])), limit=10)
                other = await list_books(conn, Scope(sites=frozenset(["elsewhere"])), limit=10)
            assert [(line["stored"], line["unexplained"]) for line in own] == [(20, 10)]
            assert other == []
            await fold(pipe)


@pytest.mark.parametrize("folded", [False, True])
async def test_a_frame_that_is_released_is_counted_with_all_its_rows(database_url: str, folded: bool) -> None:
    """It could not be read at all, so nobody knew what it counted."""
    frames = [
        a_frame(minutes(FIRST, 3, stack="DA009", so2=1.0), session="s1", seq=1),
        a_frame(minutes(FIRST, 3, so2=1.0), session="s1", seq=2, rows_before=3),
    ]
    broken = json.dumps({**json.loads(frames[0]), "so2": [1.0]}).encode()
    async with a_pipe(database_url) as pipe:
        await pipe.publish_all([broken, frames[1]])
        if folded:
            await fold(pipe)
        await pipe.rows("UPDATE quarantine SET status = 'released' RETURNING 1")
        await pipe.intake.release()
        for _ in range(2):
            async with transaction(pipe.pool) as conn:
                whole = await whole_books(conn)
                assert await list_books(conn, EVERYWHERE, limit=10) == whole
            await fold(pipe)


async def test_books_of_frames_that_retention_let_go_are_gone_too(database_url: str) -> None:
    async with works(database_url) as (pipe, rows):
        await rows.frame(1, T0)
        await rows.frame(5, T0, rows_before=40, low=6)
        await fold(pipe)
        await rows.frame(6, T0 + HOUR, rows_before=50, low=6, deliveries=2)
        await rows.conn.execute("DELETE FROM batch WHERE seq = 6")
        assert [line["hour"] for line in await the_books(pipe)] == ["2026-11-20T01:00:00Z", "2026-11-20T00:00:00Z"]
        await fold(pipe)
        (line,) = await the_books(pipe)
        assert (line["stored"], line["unexplained"], line["published"]) == (20, 30, 50)
        await rows.conn.execute("DELETE FROM batch")
        await rows.conn.execute("DELETE FROM edge_session")
        await fold(pipe)
        assert await the_books(pipe) == []
        for table in ("book_line", "session_run", "session_loss"):
            assert await pipe.rows(f"SELECT * FROM {table}") == []


async def test_the_leader_folds_the_books_by_itself(database_url: str) -> None:
    async with works(database_url) as (pipe, rows), asyncio.timeout(30):
        await rows.frame(1, T0)
        await rows.frame(3, T0, rows_before=20, dropped_before=10, low=4)
        pipe.stage.settings = settings(database_url, tick_s=0.1)
        stage = asyncio.create_task(pipe.stage.run(), name="stage")
        try:
            query = "SELECT stored, fate, rows FROM book_edge LEFT JOIN session_loss USING (site_id, edge)"
            async with asyncio.timeout(60):
                while await pipe.rows(query) != [(20, "dropped", 10)]:  # noqa: ASYNC110  # the fold sets no event
                    await asyncio.sleep(0.05)
        finally:
            stage.cancel()
            await asyncio.gather(stage, return_exceptions=True)


# Alerts.


async def judge(pipe: Pipe, at: datetime) -> None:
    await pipe.tick(at)
    await pipe.keep_books()
    await pipe.judge()


async def the_alerts(pipe: Pipe) -> list[tuple[str, str, float]]:
    return [
        (rule, state, observed)
        for rule, state, observed in await pipe.rows(
            "SELECT rule, state, observed FROM alert ORDER BY rule, period_start"
        )
    ]


async def the_events(pipe: Pipe) -> list[str]:
    return [event for (event,) in await pipe.rows("SELECT event FROM alert_event ORDER BY feed_number")]


def past_grace(at: datetime) -> datetime:
    return instant(micros(at) + GRACE)


async def test_rows_that_nothing_explains_are_an_alert_after_a_grace_and_end_when_they_come(database_url: str) -> None:
    async with works(database_url) as (pipe, rows):
        await rows.frame(1, T0)
        await rows.frame(4, T0, rows_before=30, low=5)
        await judge(pipe, TICK)
        assert await the_alerts(pipe) == []
        await judge(pipe, past_grace(TICK))
        assert await the_alerts(pipe) == [("rows_unexplained", "firing", 20.0)]
        ((document, copied),) = await pipe.rows(
            "SELECT document, body FROM alert_document JOIN alert_evidence USING (alert_id)"
        )
        (gap,) = document["evidence"]["gaps"]
        assert (gap["session"], gap["first"], gap["last"], gap["rows"], gap["dropped"]) == ("b1946ac9", 2, 3, 20, 0)
        assert (document["stack"], document["severity"], document["unit"]) == (None, "major", "rows")
        assert document["evidence"]["since"] == "2026-11-20T06:00:00Z"
        assert [(frame["seq"], frame["rows_before"]) for frame in copied] == [(1, 0), (4, 30)]

        await rows.frame(2, T0, rows_before=10, low=5)  # a part of them: what is left is a new gap of the same hour
        await judge(pipe, past_grace(TICK) + timedelta(seconds=10))
        assert await the_alerts(pipe) == [("rows_unexplained", "firing", 10.0)]
        await rows.frame(3, T0, rows_before=20, low=5)
        ended = past_grace(TICK) + timedelta(seconds=20)
        await judge(pipe, ended)
        assert await the_alerts(pipe) == [("rows_unexplained", "resolved", 10.0)]
        assert await pipe.rows("SELECT ended_at FROM alert") == [(ended,)]
        assert await the_events(pipe) == ["opened", "changed", "resolved"]


async def test_rows_in_flight_are_no_alert_and_a_late_count_of_drops_explains_a_gap(database_url: str) -> None:
    async with works(database_url) as (pipe, rows):
        await rows.frame(1, T0)
        await rows.frame(3, T0, rows_before=20, low=2)  # 2 is still held
        await judge(pipe, TICK)
        await judge(pipe, past_grace(TICK))
        assert await the_alerts(pipe) == []
        await rows.frame(4, T0, rows_before=30, low=4)  # it went, and the count of drops is behind
        await judge(pipe, past_grace(TICK) + timedelta(seconds=10))
        await rows.frame(5, T0, rows_before=40, dropped_before=10, low=4)
        await judge(pipe, past_grace(TICK) + timedelta(seconds=20))
        await judge(pipe, past_grace(past_grace(TICK)) + timedelta(seconds=20))
        assert await the_alerts(pipe) == [("rows_dropped", "firing", 10.0)]


async def test_an_alert_of_drops_ends_with_the_next_hour_without_any(database_url: str) -> None:
    async with works(database_url) as (pipe, rows):
        await rows.frame(1, T0)
        await rows.frame(3, T0, rows_before=20, dropped_before=10, low=3)
        await judge(pipe, TICK)
        await judge(pipe, past_grace(TICK))
        assert await the_alerts(pipe) == [("rows_dropped", "firing", 10.0)]
        await rows.frame(4, T0 + 2 * HOUR, rows_before=30, dropped_before=10, low=4)
        await judge(pipe, past_grace(TICK) + timedelta(seconds=10))
        assert await pipe.rows("SELECT state, ended_at FROM alert") == [("resolved", T0 + 2 * HOUR)]
        assert await the_events(pipe) == ["opened", "resolved"]
        assert await pipe.rows("SELECT severity FROM alert") == [("warning",)]


async def test_an_alert_that_was_resolved_is_reopened_where_its_hour_loses_more(database_url: str) -> None:
    async with works(database_url) as (pipe, rows):
        await rows.frame(1, T0)
        await rows.frame(3, T0, rows_before=20, low=4)
        await judge(pipe, TICK)
        await judge(pipe, past_grace(TICK))
        await rows.frame(2, T0, rows_before=10, low=4)
        await judge(pipe, past_grace(TICK) + timedelta(seconds=10))
        await rows.frame(6, T0, rows_before=50, low=7)
        later = past_grace(TICK) + timedelta(seconds=20)
        await judge(pipe, later)
        assert await the_alerts(pipe) == [("rows_unexplained", "resolved", 10.0)]
        await judge(pipe, past_grace(later))
        assert await the_alerts(pipe) == [("rows_unexplained", "firing", 20.0)]
        assert await the_events(pipe) == ["opened", "resolved", "reopened"]


async def test_the_same_losses_give_the_same_alerts_whatever_the_order(postgres_url_factory: Any) -> None:
    frames: list[dict[str, Any]] = [
        {"seq": 1, "hour": T0},
        {"seq": 4, "hour": T0, "rows_before": 30, "low": 7},
        {"seq": 7, "hour": T0 + HOUR, "rows_before": 60, "dropped_before": 5, "low": 7},
    ]
    found = []
    for order in (frames, frames[::-1]):
        async with works(postgres_url_factory()) as (pipe, rows):
            for frame in order:
                await rows.frame(**frame)
                await judge(pipe, TICK)
            await judge(pipe, past_grace(TICK))
            found.append(await pipe.rows("SELECT alert_id, rule, state, observed FROM alert ORDER BY 1"))
    assert found[0] == found[1]
    assert len(found[0]) == 3
