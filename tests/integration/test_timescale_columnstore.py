"""The migrations under each licence, and rows that come late to a chunk that is packed, where the licence can pack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from builders import Pipe, a_frame, a_pipe, minutes
from store.migrate import migrate, migrations

pytestmark = [pytest.mark.anyio, pytest.mark.timescaledb_only]

LATE: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=60)


async def can_pack(pipe: Pipe) -> bool:
    return await pipe.rows("SELECT current_setting('timescaledb.license')") == [("timescale",)]


async def pack(pipe: Pipe) -> int:
    """Put every chunk of rows into the columnstore; how many are there now, 0 where the licence has none."""
    if not await can_pack(pipe):
        return 0
    await pipe.rows("SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('measurement') c")
    return len(
        await pipe.rows(
            "SELECT FROM timescaledb_information.chunks WHERE hypertable_name = 'measurement' AND is_compressed"
        )
    )


async def test_time_series_are_hypertables_and_what_the_licence_has_is_used(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        community = await can_pack(pipe)
        assert await pipe.rows("SELECT hypertable_name FROM timescaledb_information.hypertables ORDER BY 1") == [
            ("hour_feature",),
            ("hour_mean",),
            ("hour_verdict",),
            ("measurement",),
            ("reported_mean",),
            ("signal",),
        ]
        spans = await pipe.rows(
            "SELECT hypertable_name, time_interval FROM timescaledb_information.dimensions ORDER BY 1"
        )
        assert spans == [
            ("hour_feature", timedelta(days=7)),
            ("hour_mean", timedelta(days=7)),
            ("hour_verdict", timedelta(days=7)),
            ("measurement", timedelta(days=1)),
            ("reported_mean", timedelta(days=7)),
            ("signal", timedelta(days=1)),
        ]
        applied = {name for (name,) in await pipe.rows("SELECT name FROM schema_migration")}
        expected = {m.name for m in migrations() if community or m.condition != "timescale-community"}
        assert applied == expected
        jobs = await pipe.rows(
            "SELECT hypertable_name FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL ORDER BY 1"
        )
        assert [name for (name,) in jobs] == (["hour_mean", "hour_verdict", "measurement"] if community else [])
    assert await migrate(database_url) == [], "a second run has nothing to do"


async def test_no_index_is_paid_for_that_no_query_uses(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        found = await pipe.rows(
            "SELECT tablename, count(*)::int FROM pg_indexes WHERE schemaname = 'public'"
            " AND tablename IN ('measurement', 'hour_mean', 'hour_verdict') GROUP BY 1 ORDER BY 1"
        )
    assert found == [("hour_mean", 2), ("hour_verdict", 2), ("measurement", 1)]


async def test_rows_that_come_late_are_merged_into_a_packed_chunk_like_any_other(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(LATE.isoformat(), 60, so2=20.0, o2=16.0), session="s", seq=1))
        await pipe.tick(datetime.now(UTC))
        packed = await pack(pipe)
        again = await pipe.publish(a_frame(minutes(LATE.isoformat(), 30, so2=20.0, o2=16.0), session="s", seq=2))
        other = await pipe.publish(a_frame(minutes(LATE.isoformat(), 10, so2=90.0, o2=16.0, revision=1)))
        new = await pipe.publish(
            a_frame(minutes((LATE + timedelta(minutes=60)).isoformat(), 30, so2=20.0), session="s", seq=3)
        )
        await pipe.judge()
        books = await pipe.rows("SELECT sum(stored)::int, sum(duplicate)::int, sum(conflict)::int FROM batch_hour")
        rows = await pipe.rows("SELECT so2, count(*) FROM measurement GROUP BY 1 ORDER BY 1")
        hours = await pipe.rows(
            "SELECT rows, revision FROM hour_mean WHERE pollutant = 'so2' AND superseded_at IS NULL ORDER BY start"
        )
        assert packed == (1 if await can_pack(pipe) else 0)
    assert (again.quarantined, other.quarantined, new.quarantined) == (0, 0, 0)
    assert books == [(100, 30, 0)]
    assert rows == [(20.0, 80), (90.0, 10)]
    assert hours == [(60, 2), (30, 1)]


async def test_late_rows_between_many_packed_ones_are_stored_in_one_commit(database_url: str) -> None:
    n = 120_000  # more than a server unpacks for one transaction by default
    first = LATE - timedelta(days=5)
    async with a_pipe(database_url) as pipe:
        await pipe.rows(
            """INSERT INTO measurement (stack_id, instrument, sampled_at, interval_s, flag, revision, received_at,
                   batch_id, so2)
               SELECT stack_id, 'main', %s + i * interval '2 seconds', 2, 'N', 0, now(), 1, 20
               FROM stack, generate_series(0, %s) i RETURNING 1""",
            first,
            n - 1,
        )
        await pack(pipe)
        between = [
            {"stack": "DA001", "sampled_at": (first + timedelta(seconds=i)).isoformat(), "so2": 21.0}
            for i in range(1, 2 * n, 60)
        ]
        sent = await pipe.publish(a_frame(between, interval_s=1))
        found = await pipe.rows("SELECT so2, count(*) FROM measurement GROUP BY 1 ORDER BY 1")
    assert (sent.rows, sent.quarantined) == (n // 30, 0)
    assert found == [(20.0, n), (21.0, n // 30)]
