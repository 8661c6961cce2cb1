"""Bytes on disk of a row, an hour and a stack-year, stored and judged by our own code, with every index.

On the embedded PostgreSQL and, where it can be had, on TimescaleDB: the address in STACKWATCH_BENCH_DATABASE_URL, or
the tree of `deploy/local/timescaledb.sh`. docs/storage.md works with these figures.
"""

from __future__ import annotations

import asyncio
import json
import random
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from alerts.stage import Stage
from benchmarks import servers
from benchmarks.report import publish
from ingestor.intake import Incoming, Intake
from plant import topics
from plant.settings import Settings
from store import clock, queue
from store.migrate import migrate
from store.pool import Connection, open_pool, transaction
from store.register import import_register

ROOT: Final = "bench/v1"
#: A whole day, so that it fills one chunk; a recent one, so that no policy packs it before it is measured.
START: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
STACKS: Final = 20
INTERVAL_S: Final = 10
MINUTES_A_FRAME: Final = 1
FRAMES_A_COMMIT: Final = 20
QUIET_DAYS: Final = 30  # of rows that stand for an hour each: they fill the tables of hours
ROWS_A_YEAR: Final = 365 * 86_400 // INTERVAL_S
HOURS_A_YEAR: Final = 365 * 24
COUNTRY: Final = 25_000  # stacks
POLLUTANTS: Final = 3
RAW_YEARS: Final = 1
RECORD_YEARS: Final = 5

#: What a table takes with its indexes and what it stores apart; a hypertable's are its chunks'.
_SIZE: Final = {
    True: "SELECT coalesce(hypertable_size(%s::regclass), 0)",
    False: "SELECT pg_total_relation_size(%s::regclass)",
}
_INDEXES: Final = {
    True: "SELECT coalesce(sum(index_bytes), 0) FROM hypertable_detailed_size(%s::regclass)",
    False: "SELECT pg_indexes_size(%s::regclass)",
}
_HOUR_TABLES: Final = ("hour_mean", "hour_verdict")
_BOOK_TABLES: Final = ("batch", "batch_hour")

Pool = AsyncConnectionPool[Connection]


def register() -> str:
    stacks = "".join(
        f"""
  [[site.stack]]
  code = "S{number:03}"
  name = "Sinter machine {number}"
  process = "sinter_head"
  packs = ["cn-steel-ule-2019"]
  interval_s = {INTERVAL_S}
"""
        for number in range(STACKS)
    )
    return f"""
[[region]]
code = "r"
name = "Region"

[[site]]
code = "works"
name = "Works"
region = "r"
timezone = "Asia/Shanghai"
{stacks}"""


def a_frame(seq: int, at: datetime, times: int, interval_s: int, rng: random.Random) -> bytes:
    """What an edge sends: *times* rows of every stack, all usual channels, steady below the limits."""
    instants = [int(at.timestamp() * 1000) + step * interval_s * 1000 for step in range(times)]
    n = times * STACKS
    channels = {
        "so2": 20.0,
        "nox": 35.0,
        "pm": 5.0,
        "o2": 16.0,
        "moisture": 8.0,
        "temperature": 120.0,
        "pressure": -150.0,
        "velocity": 12.0,
        "flow": 1.2e6,
    }
    columns = {name: [rng.gauss(mean, abs(mean) / 40) for _ in range(n)] for name, mean in channels.items()}
    frame = {
        "schema": 1,
        "session": "bench",
        "seq": seq,
        "low": seq,
        "sent_at": instants[-1],
        "stack": [f"S{number:03}" for _ in instants for number in range(STACKS)],
        "sampled_at": [instant for instant in instants for _ in range(STACKS)],
        "interval_s": interval_s,
        "flag": "N",
        "state": "running",
        **columns,
    }
    return json.dumps(frame).encode()


async def fill(pool: Pool, stage: Stage, frames: Iterator[tuple[datetime, bytes]]) -> None:
    """Commit *frames* and judge after each commit, as a live system does."""
    intake = Intake(pool, ROOT, "bench")
    topic = topics.data(ROOT, "works", "e1")
    waiting: list[Incoming] = []
    for at, payload in frames:
        waiting.append(Incoming(topic, payload, at))
        if len(waiting) == FRAMES_A_COMMIT:
            await intake.commit(waiting)
            await judge(pool, stage, at)
            waiting = []
    if waiting:
        await intake.commit(waiting)
        await judge(pool, stage, waiting[-1].received_at)


async def judge(pool: Pool, stage: Stage, at: datetime) -> None:
    async with transaction(pool) as conn:
        await clock.put_tick(conn, at + timedelta(minutes=3), "bench")
        await queue.ask_for_ended(conn, 120)
    while await stage.judge_some():
        pass
    while await stage.number_some():
        pass


def a_live_day(rng: random.Random) -> Iterator[tuple[datetime, bytes]]:
    times = MINUTES_A_FRAME * 60 // INTERVAL_S
    for seq in range(1, 86_400 // (times * INTERVAL_S) + 1):
        at = START + timedelta(seconds=(seq - 1) * times * INTERVAL_S)
        yield at + timedelta(seconds=times * INTERVAL_S), a_frame(seq, at, times, INTERVAL_S, rng)


def quiet_days(rng: random.Random) -> Iterator[tuple[datetime, bytes]]:
    for day in range(1, QUIET_DAYS + 1):
        at = START + timedelta(days=day)
        yield at + timedelta(days=1), a_frame(100_000 + day, at, 24, 3600, rng)


def measured(admin_url: str) -> dict[str, Any]:
    """Figures of the server at *admin_url*, in a database that is dropped afterwards."""
    with servers.a_database(admin_url) as url:
        return asyncio.run(measure(url))


async def measure(url: str) -> dict[str, Any]:
    await migrate(url)
    async with open_pool(url, name="bench") as pool:
        async with transaction(pool) as conn:
            await import_register(conn, tomllib.loads(register(), parse_float=Decimal), by="bench")
        stage = Stage(Settings(database_url=url, mqtt_url="mqtt://127.0.0.1:1"), pool)
        rng = random.Random(1)
        await fill(pool, stage, a_live_day(rng))
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            await conn.execute("VACUUM")
            rows = await _one(conn, "SELECT count(*) FROM measurement")
            raw, raw_indexes = await _size(conn, "measurement"), await _size(conn, "measurement", indexes=True)
            books = sum([await _size(conn, table) for table in _BOOK_TABLES])
            hours_before = await _counted(conn)
            await fill(pool, stage, quiet_days(rng))
            await conn.execute("VACUUM")
            hours = await _counted(conn)
            hour_indexes = sum([await _size(conn, table, indexes=True) for table in _HOUR_TABLES])
            month = await _size(conn, "month_verdict") / max(1, await _one(conn, "SELECT count(*) FROM month_verdict"))
            compressed = await _in_columnstore(conn)
    per_mean, per_verdict = (
        (hours[table][1] - hours_before[table][1]) / (hours[table][0] - hours_before[table][0])
        for table in _HOUR_TABLES
    )
    per_row, per_row_books = raw / rows, books / rows
    records = HOURS_A_YEAR * POLLUTANTS * (per_mean + per_verdict) + 12 * POLLUTANTS * month
    raw_year = ROWS_A_YEAR * per_row
    books_year = ROWS_A_YEAR * per_row_books
    kept = RAW_YEARS * (compressed / rows * ROWS_A_YEAR if compressed else raw_year)
    return {
        "bytes_per_row_raw": round(per_row, 1),
        "bytes_per_row_index": round(raw_indexes / rows, 1),
        "bytes_per_row_books": round(per_row_books, 1),
        "bytes_per_row_columnstore": round(compressed / rows, 1) if compressed else None,
        "bytes_per_hour_mean": round(per_mean, 1),
        "bytes_per_hour_verdict": round(per_verdict, 1),
        "bytes_per_hour_index": round(hour_indexes / hours["hour_mean"][0], 1),
        "bytes_per_stack_year": round(raw_year + records + books_year),
        "bytes_per_stack_year_records": round(records + books_year),
        "five_years_25000_stacks_tb": round(COUNTRY * (kept + RECORD_YEARS * (records + books_year)) / 1e12, 1),
    }


async def _counted(conn: psycopg.AsyncConnection) -> dict[str, tuple[int, int]]:
    """(rows, bytes) of the tables of hours."""
    return {
        table: (await _one(conn, f"SELECT count(*) FROM {table}"), await _size(conn, table)) for table in _HOUR_TABLES
    }


async def _size(conn: psycopg.AsyncConnection, table: str, *, indexes: bool = False) -> int:
    is_hypertable = False
    if await _one(conn, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"):
        query = "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = %s"
        is_hypertable = bool(await _one(conn, query, table))
    return await _one(conn, (_INDEXES if indexes else _SIZE)[is_hypertable], table)


async def _in_columnstore(conn: psycopg.AsyncConnection) -> int:
    """Bytes of the live day's rows in the columnstore; 0 where the licence has none."""
    query = "SELECT count(*) FROM pg_settings WHERE name = 'timescaledb.license' AND setting = 'timescale'"
    if not await _one(conn, query):
        return 0
    end = START + timedelta(days=1)
    await conn.execute("SELECT compress_chunk(c) FROM show_chunks('measurement', older_than => %s) c", [end])
    return await _one(
        conn, "SELECT coalesce(sum(after_compression_total_bytes), 0) FROM hypertable_compression_stats('measurement')"
    )


async def _one(conn: psycopg.AsyncConnection, query: str, *values: Any) -> int:
    row = await (await conn.execute(query.encode(), list(values))).fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    with servers.database_server(servers.POSTGRESQL, servers.QUICK) as server:
        plain = measured(server.url)
    with servers.timescaledb_or_none(servers.QUICK) as url_or_none:
        real = None if url_or_none is None else measured(url_or_none)
    told = real or plain
    figures = {
        "bytes_per_row_raw": told["bytes_per_row_raw"],
        "bytes_per_stack_year": told["bytes_per_stack_year"],
        "newest_indexes_gib": round(newest_indexes(told) / 2**30, 1),
        "timescaledb": real,
        "postgresql": plain,
    }
    publish(figures, __doc__ or "")


def newest_indexes(figures: dict[str, Any]) -> float:
    """Bytes of the indexes of a country's newest chunks, to be kept in memory: a day of rows, a week of hours."""
    rows, hours = 86_400 / INTERVAL_S, 7 * 24 * POLLUTANTS
    return COUNTRY * (rows * float(figures["bytes_per_row_index"]) + hours * float(figures["bytes_per_hour_index"]))


if __name__ == "__main__":
    main()
