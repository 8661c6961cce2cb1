"""The hot queries read the chunks of their time and no others, as the server itself says when it runs them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg
import pytest

from builders import WORKS, put_register
from history_builders import a_stack
from plant.blocks import IncomingRow, block_of
from plant.merging import Version
from plant.periods import micros
from store import arriving, findings, judging, measurements, published, retention
from store.arriving import Arrivals
from store.findings import AlertRow
from store.judging import HourMean, HourVerdict
from store.pool import Connection, open_pool

pytestmark = [pytest.mark.anyio, pytest.mark.timescaledb_only]

START: Final = datetime(2026, 9, 1, tzinfo=UTC)
DAYS: Final = 70
ASKED: Final = START + timedelta(days=40, hours=5)
TIMES: Final = 8  #: psycopg prepares after five executions, and the server may then turn to a generic plan

_ROWS: Final = """
INSERT INTO measurement (stack_id, instrument, sampled_at, interval_s, flag, revision, received_at, batch_id, so2, o2)
SELECT k.stack_id, 'main', at, 600, 'N', 0, at, 1, 20, 16
FROM stack k, generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 second', '10 minutes') at
"""
_MEANS: Final = """
INSERT INTO hour_mean (stack_id, pollutant, start, averaging, revision, instrument, rows, valid, valid_minutes,
    not_running_minutes, over_range_minutes, claimed_minutes, mean, o2, rows_hash, final)
SELECT k.stack_id, 'so2', at, 'a', 1, 'main', 6, true, 60, 0, 0, 0, 20, 16, '', true
FROM stack k, generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 second', '1 hour') at
"""
_VERDICTS: Final = """
INSERT INTO hour_verdict (stack_id, pollutant, start, pack, pack_version, revision, averaging, mean_revision, month,
    corrected, corrected_from_minutes, method_sensitive, limit_value, verdict, reason, claimed, final)
SELECT k.stack_id, 'so2', at, 'p', '1', 1, 'a', 1,
    date_trunc('month', at AT TIME ZONE 'Asia/Shanghai')::date, 20, 20, false, 35, 'clear', 'within', false, true
FROM stack k, generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 second', '1 hour') at
"""
_CHUNKS: Final = """
SELECT hypertable_name, chunk_name, range_start, range_end FROM timescaledb_information.chunks
"""


class Watched:
    """A connection whose server explains each statement that it ran."""

    def __init__(self, conn: Connection, stack_id: int, chunks: dict[str, tuple[str, datetime, datetime]]) -> None:
        self.conn = conn
        self.stack_id = stack_id
        self._chunks = chunks
        self._plans: list[dict[str, Any]] = []
        conn.add_notice_handler(self._hear)

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        head, found, plan = (notice.message_primary or "").partition("plan:\n")
        if found and head.startswith("duration:"):
            self._plans.append(json.loads(plan))

    async def read_by(self, work: Callable[[], Awaitable[object]]) -> dict[str, list[tuple[datetime, datetime]]]:
        """Run *work* as often as it takes to have a settled plan; which chunks, by table, the last run read."""
        for _ in range(TIMES):
            self._plans.clear()
            await work()
        read: dict[str, list[tuple[datetime, datetime]]] = {}
        for name in sorted({name for plan in self._plans for name in _relations(plan["Plan"])}):
            if name in self._chunks:
                table, *span = self._chunks[name]
                read.setdefault(table, []).append((span[0], span[1]))
        assert self._plans, "the server explained nothing"
        return read


def _relations(node: dict[str, Any]) -> list[str]:
    """The tables that a node and those below it really read."""
    here = [node["Relation Name"]] if node.get("Relation Name") and node.get("Actual Loops", 0) else []
    return here + [name for child in node.get("Plans", ()) for name in _relations(child)]


@pytest.fixture
async def watched(database_url: str) -> AsyncIterator[Watched]:
    async with open_pool(database_url, name="test") as pool:
        await put_register(pool, WORKS)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        span = {"start": START, "end": START + timedelta(days=DAYS)}
        for statement in (_ROWS, _MEANS, _VERDICTS):
            await conn.execute(statement.encode(), span)
        await conn.execute("ANALYZE measurement, hour_mean, hour_verdict")
        found = await (await conn.execute(_CHUNKS)).fetchall()
        chunks = {name: (table, start, end) for table, name, start, end in found}
        (stack_id,) = await (await conn.execute("SELECT stack_id FROM stack")).fetchone() or (0,)
        await conn.execute("LOAD 'auto_explain'")
        for name, value in {
            "log_min_duration": "0",
            "log_analyze": "on",
            "log_timing": "off",
            "log_format": "json",
            "log_level": "notice",
        }.items():
            await conn.execute("SELECT set_config(%s, %s, false)", [f"auto_explain.{name}", value])
        yield Watched(conn, stack_id, chunks)


def only_about(spans: list[tuple[datetime, datetime]], first: datetime, last: datetime) -> bool:
    """Whether there are chunks, and each touches [first, last]."""
    return bool(spans) and all(start <= last and end > first for start, end in spans)


async def test_there_are_chunks_to_be_left_out(watched: Watched) -> None:
    tables = [table for table, _, _ in watched._chunks.values()]
    assert tables.count("measurement") == DAYS
    assert tables.count("hour_mean") == tables.count("hour_verdict") >= DAYS // 7


async def test_the_rows_of_an_hour_are_read_from_its_day(watched: Watched) -> None:
    first, end = micros(ASKED), micros(ASKED + timedelta(hours=1))
    read = await watched.read_by(
        lambda: measurements.read_rows(watched.conn, watched.stack_id, a_stack(), first=first, end=end)
    )
    assert list(read) == ["measurement"]
    assert only_about(read["measurement"], ASKED - timedelta(hours=1), ASKED + timedelta(hours=1))


async def test_rows_that_stand_are_looked_up_in_their_day(watched: Watched) -> None:
    version = Version(
        revision=1, sent_at=None, interval_s=600, flag="N", flags={}, state=None, values={"so2": 21.0, "o2": 16.0}
    )
    at = micros(ASKED)
    block = block_of([IncomingRow(watched.stack_id, "main", at, version)])
    arrivals = Arrivals(block=block, batch_id=np.array([2]), received_at=np.array([at]))

    async def replace_and_undo() -> None:
        async with watched.conn.transaction(force_rollback=True):
            written = await arriving.write(watched.conn, arrivals)
            assert written.changed.tolist() == [0]

    read = await watched.read_by(replace_and_undo)
    assert only_about(read["measurement"], ASKED, ASKED)


@pytest.mark.parametrize(("kind", "table"), [(HourMean, "hour_mean"), (HourVerdict, "hour_verdict")])
async def test_hours_that_stand_are_looked_up_in_their_week(
    watched: Watched, kind: type[HourMean] | type[HourVerdict], table: str
) -> None:
    starts = [ASKED, ASKED + timedelta(hours=1)]

    async def look() -> None:
        assert await judging.standing(watched.conn, kind, watched.stack_id, starts)  # type: ignore[type-var]

    read = await watched.read_by(look)
    assert list(read) == [table]
    assert only_about(read[table], starts[0], starts[-1])


async def test_a_new_revision_touches_its_week(watched: Watched) -> None:
    standing = await judging.standing(watched.conn, HourMean, watched.stack_id, [ASKED])
    ((mean, revision),) = standing.values()

    async def supersede_and_undo() -> None:
        async with watched.conn.transaction(force_rollback=True):
            step = judging.Step(revision + 1, in_place=False, changed=True)
            await judging.write(watched.conn, watched.stack_id, [(mean, step)])

    read = await watched.read_by(supersede_and_undo)
    assert only_about(read["hour_mean"], ASKED, ASKED)


async def test_a_month_is_counted_from_its_own_weeks(watched: Watched) -> None:
    month = date(2026, 10, 1)
    read = await watched.read_by(lambda: judging.hours_of_months(watched.conn, watched.stack_id, ["p"], [month]))
    first = datetime(2026, 10, 1, tzinfo=UTC)
    assert list(read) == ["hour_verdict"]
    assert only_about(read["hour_verdict"], first - timedelta(days=2), first + timedelta(days=33))


async def test_the_next_clear_hour_is_found_without_the_past(watched: Watched) -> None:
    read = await watched.read_by(
        lambda: judging.clear_periods(
            watched.conn, watched.stack_id, "so2", "p", months=False, first=ASKED, last=ASKED + timedelta(hours=1)
        )
    )
    assert only_about(read["hour_verdict"], ASKED, START + timedelta(days=DAYS))
    assert len(read["hour_verdict"]) <= 2, "the hours themselves, and the one behind them"


async def test_published_hours_are_read_from_their_weeks(watched: Watched) -> None:
    wanted = published.HourFilter(start=ASKED, end=ASKED + timedelta(days=1))
    read = await watched.read_by(lambda: published.list_hours(watched.conn, watched.stack_id, wanted, limit=100))
    assert sorted(read) == ["hour_mean", "hour_verdict"]
    for spans in read.values():
        assert only_about(spans, ASKED, ASKED + timedelta(days=1))


async def test_published_rows_are_read_from_their_days(watched: Watched) -> None:
    end = ASKED + timedelta(hours=3)
    read = await watched.read_by(
        lambda: published.list_measurements(watched.conn, watched.stack_id, start=ASKED, end=end, limit=100)
    )
    assert only_about(read["measurement"], ASKED, end)


async def test_hours_that_may_be_frozen_are_looked_up_in_their_weeks(watched: Watched) -> None:
    await watched.conn.execute(
        "INSERT INTO kept_from SELECT site_id, %s, %s FROM site", [ASKED + timedelta(days=9), START]
    )
    now = micros(ASKED + timedelta(days=400))
    read = await watched.read_by(lambda: retention.frozen(watched.conn, watched.stack_id, [micros(ASKED)], now=now))
    assert only_about(read["hour_mean"], ASKED, ASKED)
    assert await retention.frozen(watched.conn, watched.stack_id, [micros(ASKED)], now=now) == {micros(ASKED)}


async def test_evidence_is_copied_from_its_day(watched: Watched) -> None:
    ((site_id,),) = await (await watched.conn.execute("SELECT site_id FROM site")).fetchall()
    alert = AlertRow(
        alert_id="a",
        rule="hour_above_limit",
        severity="major",
        site_id=site_id,
        stack_id=watched.stack_id,
        pollutant="so2",
        pack="p",
        period_start=ASKED,
        period_end=ASKED + timedelta(hours=1),
        observed=40.0,
        limit_value=35.0,
        unit="mg/m3",
        clause="c",
        evidence={},
        settled=True,
    )

    async def open_and_undo() -> None:
        async with watched.conn.transaction(force_rollback=True):
            assert await findings.apply(watched.conn, [alert], copying=findings.ROWS) == [("a", "opened")]

    read = await watched.read_by(open_and_undo)
    assert only_about(read["measurement"], ASKED - timedelta(hours=1), ASKED + timedelta(hours=1))
