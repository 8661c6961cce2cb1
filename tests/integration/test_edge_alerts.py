"""Alerts about edges that are away, hold rows back or tell the wrong time: from what was stored to the alert."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from alerts.edges import watch_edges
from builders import Pipe, a_frame, a_pipe, minutes
from ingestor.notes import _state
from plant import wire
from store.edge_watch import TURNS
from store.heartbeat import beat
from store.intake import put_edge_state
from store.pool import transaction

pytestmark = pytest.mark.anyio

T0: Final = datetime(2026, 11, 20, tzinfo=UTC)
FIRST: Final = "2026-11-20T08:00:00+08:00"
MINUTE: Final = timedelta(minutes=1)

Alerts = list[tuple[str, str, datetime, datetime | None]]


@asynccontextmanager
async def works(database_url: str) -> AsyncIterator[Pipe]:
    async with a_pipe(database_url) as pipe:
        async with transaction(pipe.pool) as conn:
            await beat(conn, "ingestor", "test", ok=True, detail={})
        yield pipe


async def frame(pipe: Pipe, seq: int, at: datetime, *, sent_at: datetime | None = None, rows: Any = None) -> None:
    sent = round((sent_at or at).timestamp() * 1000)
    payload = a_frame(rows or minutes(FIRST, 1, so2=20.0), session="s1", seq=seq, rows_before=seq - 1, sent_at=sent)
    await pipe.publish(payload, received_at=at)


async def state(
    pipe: Pipe, at: datetime, *, online: bool = True, outbox: int = 0, oldest: datetime | None = None
) -> None:
    oldest_ms = None if oldest is None else round(oldest.timestamp() * 1000)
    said = _state(json.loads(wire.state_bytes(online=online, version="1", outbox=outbox, oldest_ms=oldest_ms)))
    async with transaction(pipe.pool) as conn:
        ((site_id,),) = await (await conn.execute("SELECT site_id FROM site WHERE code = 'works'")).fetchall()
        await put_edge_state(conn, site_id, "e1", said, at)


async def watched(pipe: Pipe, at: datetime) -> Alerts:
    """The alerts after the edges were looked at, each in its turn."""
    for second in range(TURNS):
        async with transaction(pipe.pool) as conn:
            await watch_edges(conn, now=at + timedelta(seconds=second))
    found = await pipe.rows("SELECT rule, state, period_start, ended_at FROM alert ORDER BY period_start, rule")
    return [(rule, said, start, ended) for rule, said, start, ended in found]


async def events(pipe: Pipe) -> list[str]:
    return [event for (event,) in await pipe.rows("SELECT event FROM alert_event ORDER BY event_id")]


async def test_an_edge_that_goes_is_missed_and_welcomed_back(database_url: str) -> None:
    async with works(database_url) as pipe:
        await frame(pipe, 1, T0)
        await state(pipe, T0)
        assert await watched(pipe, T0 + MINUTE) == []
        await state(pipe, T0 + 2 * MINUTE, online=False)
        assert await watched(pipe, T0 + 6 * MINUTE) == []
        gone = T0 + 2 * MINUTE
        assert await watched(pipe, T0 + 7 * MINUTE) == [("edge_offline", "firing", gone, None)]
        assert await watched(pipe, T0 + 70 * MINUTE) == [("edge_offline", "firing", gone, None)]
        await state(pipe, T0 + 71 * MINUTE)
        back = T0 + 71 * MINUTE
        assert await watched(pipe, T0 + 72 * MINUTE) == [("edge_offline", "resolved", gone, back)]
        assert await events(pipe) == ["opened", "resolved"], "a quiet feed between"


async def test_a_silence_is_missed_only_while_we_listen(database_url: str) -> None:
    async with works(database_url) as pipe:
        await frame(pipe, 1, T0)
        await state(pipe, T0)
        await pipe.rows("UPDATE heartbeat SET ok = false WHERE component = 'ingestor' RETURNING 1")
        assert await watched(pipe, T0 + 20 * MINUTE) == []
        await pipe.rows("UPDATE heartbeat SET ok = true WHERE component = 'ingestor' RETURNING 1")
        assert await watched(pipe, T0 + 21 * MINUTE) == [("edge_offline", "firing", T0, None)]


async def test_a_backlog_is_told_and_over_when_it_is_drained(database_url: str) -> None:
    async with works(database_url) as pipe:
        await frame(pipe, 1, T0)
        held = T0 - 20 * MINUTE
        await state(pipe, T0, outbox=500, oldest=held)
        assert await watched(pipe, T0) == [("edge_backlog", "firing", held, None)]
        await state(pipe, T0 + 5 * MINUTE, outbox=100, oldest=T0 - 10 * MINUTE)
        assert await watched(pipe, T0 + 5 * MINUTE) == [("edge_backlog", "firing", held, None)]
        await state(pipe, T0 + 9 * MINUTE)
        assert await watched(pipe, T0 + 9 * MINUTE) == [("edge_backlog", "resolved", held, T0 + 9 * MINUTE)]
        assert await events(pipe) == ["opened", "resolved"]


async def test_a_clock_that_is_ahead_is_told_and_set(database_url: str) -> None:
    async with works(database_url) as pipe:
        for seq in range(1, 7):
            await frame(pipe, seq, T0 + seq * MINUTE, sent_at=T0 + (seq + 10) * MINUTE)
        await state(pipe, T0 + 6 * MINUTE)
        began = T0 + MINUTE
        assert await watched(pipe, T0 + 6 * MINUTE) == [("clock_skew", "firing", began, None)]
        for seq in range(7, 25):
            await frame(pipe, seq, T0 + seq * MINUTE)
        await state(pipe, T0 + 24 * MINUTE)
        assert await watched(pipe, T0 + 24 * MINUTE) == [("clock_skew", "resolved", began, T0 + 24 * MINUTE)]


async def test_rows_in_the_future_are_a_clock_that_is_wrong(database_url: str) -> None:
    async with works(database_url) as pipe:
        ahead = minutes("2026-11-20T08:30:00+08:00", 1, so2=20.0)
        await frame(pipe, 1, T0, rows=ahead)
        await state(pipe, T0)
        assert await watched(pipe, T0 + MINUTE) == [("clock_skew", "firing", T0, None)]
        ((evidence,),) = await pipe.rows("SELECT evidence FROM alert")
        assert evidence["rows_in_the_future"] == 1


async def test_an_edge_that_says_nonsense_stops_nobody(database_url: str) -> None:
    async with works(database_url) as pipe:
        await frame(pipe, 1, T0)
        await pipe.rows(
            """INSERT INTO edge_state (site_id, edge, online, document, received_at)
            SELECT site_id, 'e1', true, '{"outbox": 4611686018427387903, "oldest": -4611686018427387904}', %s
            FROM site RETURNING 1""",
            T0,
        )
        assert await watched(pipe, T0 + MINUTE) == []
