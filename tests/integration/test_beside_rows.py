"""What is said beside the rows, in any order and late, comes to what a backtest of the same database says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from alerts.backtest.difference import difference
from alerts.backtest.results import JudgedAlert
from alerts.backtest.running import Asked, judge_history
from alerts.backtest.stored import open_stored
from builders import WORKS, Pipe, a_frame, a_pipe, minutes, put_register
from plant.periods import micros
from store import queue
from store.instrument_records import NewRecord, file_record
from store.pool import transaction
from store.register import site_by_code

pytestmark = pytest.mark.anyio

FIRST: Final = datetime(2026, 10, 20, 16, tzinfo=UTC)  # midnight at the works
DAYS: Final = 6
REGISTER: Final = WORKS.replace("interval_s = 60", "interval_s = 3600")
OFF: Final = range(100, 104)
LEFT: Final = range(120, 130)

Act = Callable[[Pipe], Awaitable[None]]


def at(hours: float) -> datetime:
    return FIRST + timedelta(hours=hours)


def rows_of(day: int) -> Act:
    async def act(pipe: Pipe) -> None:
        for hour in range(24 * day, 24 * day + 24):
            so2 = 20.0 + hour % 7
            row = minutes(at(hour).isoformat(), 1, so2=so2, nox=30.0, pm=4.0, o2=16.0, flow=1e6, temperature=120.0)
            await pipe.publish(a_frame(row, interval_s=3600), received_at=at(24 * DAYS))

    return act


def signals_of(day: int) -> Act:
    async def act(pipe: Pipe) -> None:
        rows = []
        for hour in range(24 * day, 24 * day + 24):
            abatement = 30.0 if hour in OFF else 5000.0 + hour
            for name, value in (("load_pct", 90.0 + hour % 3), ("power_abatement_kw", abatement)):
                for minute in (7, 23, 51):
                    about = {"sampled_at": at(hour + minute / 60).isoformat(), "unit": "S1", "signal": name}
                    rows.append(about | {"value": value + minute / 100})
        await pipe.publish(a_frame(rows, kind="signal"), received_at=at(24 * DAYS))

    return act


async def reported(pipe: Pipe) -> None:
    rows = [
        {"stack": "DA001", "sampled_at": at(hour).isoformat(), "interval_s": 3600, "channel": "so2", "avg": 11.0}
        for hour in range(60, 75)
    ]
    await pipe.publish(a_frame(rows, kind="reported_mean"), received_at=at(24 * DAYS))


async def changed(pipe: Pipe) -> None:
    await put_register(pipe.pool, REGISTER.replace("range = [0, 200]", "range = [0, 150]"))
    async with transaction(pipe.pool) as conn:
        await conn.execute("UPDATE register_version SET changed_at = %s WHERE version = 2", [at(50.5)])


async def recorded(pipe: Pipe) -> None:
    await _record(pipe, "comparison", -24 * 200)


async def explained(pipe: Pipe) -> None:
    await _record(pipe, "parameter", 55)


async def _record(pipe: Pipe, kind: str, hours: float) -> None:
    async with transaction(pipe.pool) as conn:
        site = await site_by_code(conn, "works")
        assert site is not None
        stack_id = site.stack_ids["DA001"]
        record = NewRecord(
            site_id=site.site_id,
            stack_id=stack_id,
            instrument="main",
            channels=[],
            kind=kind,
            at=at(hours),
            note="done",
            figures={},
        )
        await file_record(conn, record, by="a maintainer")
        await queue.ask(conn, [(stack_id, at(int(hours) - 72))], reason="record")


async def ordered(pipe: Pipe) -> None:
    async with transaction(pipe.pool) as conn:
        await conn.execute(
            """INSERT INTO "case" (case_id, site_id, units, track, state, pinned)
               SELECT 'case-1', site_id, '{S1}', 'ule', 'suspended', '{}' FROM site"""
        )
        await conn.execute(
            """INSERT INTO plant_order (order_id, case_id, site_id, kind, units, effective_from, safe_state_by, until,
                                        basis, text)
               SELECT 'order-1', 'case-1', site_id, 'suspend', %s, %s, %s, %s, '', '' FROM site""",
            [json.dumps([{"unit": "S1", "mode": "max_load", "value": 50}]), at(LEFT[0]), at(LEFT[0]), at(LEFT[-1] + 1)],
        )
        site = await site_by_code(conn, "works")
        assert site is not None
        await queue.ask(conn, [(site.stack_ids["DA001"], at(LEFT[0]))], reason="order")


ACTS: Final[tuple[Act, ...]] = (
    *(rows_of(day) for day in range(DAYS)),
    *(signals_of(day) for day in range(DAYS)),
    reported,
    changed,
    recorded,
    ordered,
)


async def played(database_url: str, acts: list[Act], rng: random.Random | None) -> list[tuple[Any, ...]]:
    """The alerts that stand after *acts*; with *rng* the stage works between them, whenever it likes."""
    async with a_pipe(database_url, REGISTER) as pipe:
        for act in acts:
            await act(pipe)
            if rng is not None and rng.random() < 0.6:
                await pipe.tick(at(rng.uniform(0, 24 * DAYS)))
        await pipe.tick(at(24 * DAYS + 0.2))
        asked = Asked(first=micros(FIRST), end=micros(at(24 * DAYS)))
        source = await open_stored(pipe.pool, database_url, (), asked)
        stands = await asyncio.to_thread(source.standing)
        again = await asyncio.to_thread(judge_history, source)
        assert difference(stands, again, dict(source.sites)).is_none
        return sorted(map(_said, again.alerts.values()), key=str)


def _said(alert: JudgedAlert) -> tuple[Any, ...]:
    return alert.rule, alert.alert_id, alert.period_start, alert.ended_at, alert.severity, alert.observed


async def test_any_order_comes_to_what_a_backtest_says(postgres_url_factory: Callable[[], str]) -> None:
    straight = await played(postgres_url_factory(), list(ACTS), None)
    rules = {said[0] for said in straight}
    assert rules >= {
        "production_without_abatement",
        "ordered_state_left",
        "reported_hour_differs",
        "parameter_changed",
        "comparison_overdue",
    }
    for seed in range(2):
        rng = random.Random(seed)
        acts = list(ACTS)
        rng.shuffle(acts)
        assert await played(postgres_url_factory(), acts, rng) == straight, seed


async def test_a_record_takes_back_what_it_explains_wherever_it_comes(postgres_url_factory: Callable[[], str]) -> None:
    for seed in range(2):
        rng = random.Random(10 + seed)
        acts = [*ACTS, explained]
        rng.shuffle(acts)
        said = await played(postgres_url_factory(), acts, rng)
        assert "parameter_changed" not in {each[0] for each in said}
