"""What is let go of and what stays, on hypertables and on plain tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest

from builders import POWER, Pipe, a_frame, a_pipe
from plant.packs import all_packs
from store import clock, queue, retention
from store.books import list_books
from store.pool import Connection, connect, transaction
from store.retention import RECORD_YEARS, ROW_YEARS, Gone
from store.scope import EVERYWHERE

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

#: By the database's own clock, which retention never goes beyond.
NOW: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
DEADLINE_S: Final = 30.0

SIMULATED: Final = POWER.replace('timezone = "Asia/Shanghai"', 'timezone = "Asia/Shanghai"\nsimulated = true')
AND_A_SIMULATED_ONE: Final = POWER + SIMULATED[SIMULATED.index("[[site]]") :].replace('"power"', '"toy"')

VERDICTS: Final = "SELECT * FROM hour_verdict WHERE pollutant = 'nox' ORDER BY start, revision"

MONTHS: Final = "SELECT month, hours_above, revision FROM month_verdict WHERE pollutant = 'nox' ORDER BY month"


def years_ago(years: int, *, days: int = 0) -> datetime:
    """An instant that is so many years and *days* past; negative: not yet."""
    return NOW.replace(year=NOW.year - years, day=min(NOW.day, 28)) - timedelta(days=days)


def hours_from(at: datetime, n: int = 2, *, nox: float = 60.0) -> list[dict[str, Any]]:
    return [{"stack": "GT", "sampled_at": (at + timedelta(hours=i)).isoformat(), "nox": nox} for i in range(n)]


async def publish(pipe: Pipe, at: datetime, n: int = 2, *, seq: int = 1, session: str = "s", **others: Any) -> None:
    nox = others.pop("nox", 60.0)
    await pipe.publish(a_frame(hours_from(at, n, nox=nox), session=session, seq=seq, **others), site="power")


@asynccontextmanager
async def autocommit(pipe: Pipe) -> AsyncIterator[Connection]:
    async with await connect(pipe.stage.settings.database_url, name="test", autocommit=True) as conn:
        yield conn


async def let_go(pipe: Pipe, **others: Any) -> Gone:
    async with autocommit(pipe) as conn:
        return await retention.let_go(conn, **others)


async def count(pipe: Pipe, table: str) -> int:
    ((found,),) = await pipe.rows(f"SELECT count(*) FROM {table}")
    return int(found)


async def live(pipe: Pipe) -> None:
    """A row of now, without which the clock is not believed; and judge what there is."""
    await publish(pipe, NOW - timedelta(hours=3), 1, seq=999)
    await pipe.tick(NOW)


async def test_rows_go_after_a_year_and_what_was_made_of_them_stays(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(ROW_YEARS, days=9), seq=1)
        await publish(pipe, years_ago(ROW_YEARS, days=-9), seq=2)
        await live(pipe)
        hours = await pipe.rows(VERDICTS)
        gone = await let_go(pipe)
        ((oldest,),) = await pipe.rows("SELECT min(sampled_at) FROM measurement")
        assert oldest == years_ago(ROW_YEARS, days=-9)
        assert await count(pipe, "measurement") == 3
        assert await pipe.rows(VERDICTS) == hours
        assert len(hours) == 5
        evidence = await pipe.rows(
            "SELECT jsonb_array_length(body) FROM alert JOIN alert_evidence USING (alert_id)"
            " WHERE rule = 'hour_above_limit' ORDER BY period_start"
        )
        assert [rows > 0 for (rows,) in evidence] == [True] * 5, "alerts keep copies of the rows they stood on"
    assert sum(gone.chunks.values()) + sum(gone.rows.values()) > 0


async def test_old_rows_go_as_chunks_or_in_slices(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(ROW_YEARS, days=9), 5)
        await live(pipe)
        hypertables = bool(await pipe.rows("SELECT FROM pg_extension WHERE extname = 'timescaledb'"))
        gone = await let_go(pipe, slice_rows=2)
        assert await count(pipe, "measurement") == 1
    if hypertables:
        assert gone.chunks["measurement"] in (1, 2), "five hours lie in one day or in two"
        assert "measurement" not in gone.rows
    else:
        assert (gone.chunks, gone.rows) == ({}, {"measurement": 5, "hour_feature": 5})


async def test_nothing_younger_than_its_time_goes(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(ROW_YEARS, days=-2))
        await live(pipe)
        assert await let_go(pipe) == Gone()


async def test_means_verdicts_and_books_go_after_five_years(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(RECORD_YEARS, days=60), session="old")
        await publish(pipe, years_ago(RECORD_YEARS, days=-60), session="young")
        await live(pipe)
        await pipe.rows(
            "UPDATE edge_session SET changed_at = changed_at - interval '6 years' WHERE session = 'old' RETURNING 1"
        )
        await let_go(pipe, slice_rows=1)
        for table in ("hour_mean", "hour_verdict"):
            ((oldest,),) = await pipe.rows(f"SELECT min(start) FROM {table}")
            assert oldest == years_ago(RECORD_YEARS, days=-60)
        assert await pipe.rows("SELECT DISTINCT session FROM batch ORDER BY 1") == [("s",), ("young",)]
        assert await pipe.rows("SELECT session FROM edge_session ORDER BY 1") == [("s",), ("young",)]
        assert await count(pipe, "alert") > 0


async def test_the_books_of_a_session_that_goes_on_stay_whole(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(RECORD_YEARS, days=60), seq=1)
        await publish(pipe, NOW - timedelta(hours=3), seq=2, rows_before=2, low=2)
        await pipe.tick(NOW)
        await pipe.rows("UPDATE batch SET received_at = received_at - interval '6 years' WHERE seq = 1 RETURNING 1")
        await let_go(pipe)
        async with transaction(pipe.pool) as conn:
            books = await list_books(conn, EVERYWHERE, limit=100)
    assert [(line["published"], line["unexplained"]) for line in books] == [(1, 0)] * 4


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param("late_row", id="by_a_late_row"),
        pytest.param("pack", id="by_another_version_of_the_pack"),
        pytest.param("mark", id="by_a_mark"),
    ],
)
async def test_an_hour_whose_rows_are_gone_is_never_judged_from_what_is_left(database_url: str, ask: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        old = years_ago(ROW_YEARS, days=9)
        await publish(pipe, old)
        await live(pipe)
        before = await pipe.rows(VERDICTS)
        months = await pipe.rows(MONTHS)
        await let_go(pipe)
        if ask == "late_row":
            await publish(pipe, old, seq=5, nox=1.0, rows_before=2)
        elif ask == "pack":
            async with transaction(pipe.pool) as conn:
                await queue.ask_for_other_packs(conn, dict.fromkeys(all_packs(), "another"))
        else:
            await pipe.rows(
                "INSERT INTO rejudge (stack_id, hour, reason) SELECT stack_id, %s, 'mark' FROM stack RETURNING 1", old
            )
        await pipe.judge()
        after = await pipe.rows(VERDICTS)
        assert after[:2] == before[:2]
        assert len(after) == len(before) == 3
        assert await count(pipe, "rejudge") == 0
        assert await pipe.rows(MONTHS) == months


async def test_another_version_of_a_pack_does_not_ask_for_hours_whose_rows_are_gone(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(ROW_YEARS, days=9))
        await live(pipe)
        await let_go(pipe)
        async with transaction(pipe.pool) as conn:
            await queue.ask_for_other_packs(conn, dict.fromkeys(all_packs(), "another"))
        asked = await pipe.rows("SELECT hour FROM rejudge")
    assert asked == [(NOW - timedelta(hours=3),)]


async def test_history_that_comes_after_its_year_is_judged_once_and_then_let_go(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await live(pipe)
        await let_go(pipe)  # from now on it is known how far back rows reach
        await publish(pipe, years_ago(ROW_YEARS, days=30))
        await pipe.judge()
        old = [
            start for (start,) in await pipe.rows("SELECT start FROM hour_verdict WHERE pollutant = 'nox' ORDER BY 1")
        ][:2]
        assert old == [years_ago(ROW_YEARS, days=30), years_ago(ROW_YEARS, days=30) + timedelta(hours=1)]
        await let_go(pipe)
        assert await count(pipe, "measurement") == 1
        assert len(await pipe.rows(VERDICTS)) == 3


async def test_rows_that_wait_to_be_judged_stay(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await live(pipe)
        await publish(pipe, years_ago(ROW_YEARS, days=30))
        await let_go(pipe)
        assert await count(pipe, "measurement") == 3
        await pipe.judge()
        await let_go(pipe)
        assert await count(pipe, "measurement") == 1


async def test_a_stage_with_a_wrong_clock_deletes_nothing(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await live(pipe)
        await pipe.tick(NOW + timedelta(days=40 * 365))
        assert await let_go(pipe) == Gone()
        assert await count(pipe, "measurement") == 1


async def test_a_machine_with_a_wrong_clock_deletes_nothing_that_edges_did_not_outlive(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        at = years_ago(3)  # the clocks of stage and database say today, the newest row says otherwise
        await publish(pipe, at)
        await pipe.tick(NOW)
        assert await let_go(pipe) == Gone()


async def test_a_simulated_site_keeps_its_rows_by_its_own_clock(database_url: str) -> None:
    async with a_pipe(database_url, AND_A_SIMULATED_ONE) as pipe:
        same_day = years_ago(ROW_YEARS, days=30)
        await pipe.publish(a_frame(hours_from(same_day, 4), session="t", seq=1), site="toy")
        await publish(pipe, same_day)
        await live(pipe)
        await let_go(pipe, slice_rows=1)
        left = await pipe.rows(
            "SELECT s.code, count(*) FROM measurement JOIN stack USING (stack_id) JOIN site s USING (site_id)"
            " GROUP BY 1 ORDER BY 1"
        )
        assert left == [("power", 1), ("toy", 4)]
        later = same_day + timedelta(days=500)
        await pipe.publish(a_frame(hours_from(later, 1), session="t", seq=2), site="toy")
        await pipe.judge()
        await let_go(pipe)
        left = await pipe.rows("SELECT count(*) FROM measurement WHERE sampled_at < %s", same_day + timedelta(days=1))
        assert left == [(0,)]


@pytest.mark.timescaledb_only
async def test_a_chunk_that_somebody_reads_goes_with_the_next_run(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOCK_TIMEOUT", "100ms")
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(ROW_YEARS, days=9), 1)
        await publish(pipe, years_ago(ROW_YEARS, days=30), 1, seq=2)
        await live(pipe)
        async with await psycopg.AsyncConnection.connect(database_url) as reader:
            await reader.execute(
                "SELECT count(*) FROM measurement WHERE sampled_at = %s", [years_ago(ROW_YEARS, days=30)]
            )
            gone = await let_go(pipe)
            assert (gone.busy, gone.chunks["measurement"]) == (1, 1)
        gone = await let_go(pipe)
        assert (gone.busy, gone.chunks["measurement"]) == (0, 1)
        assert await count(pipe, "measurement") == 1


async def test_it_is_due_once_a_day_and_not_on_the_first(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe, autocommit(pipe) as conn:
        assert not await retention.due(conn), "without a clock there is no day"
        said = []
        for hours in (0, 12, 24, 25, 48):
            await clock.put_tick(conn, NOW + timedelta(hours=hours), "test")
            said.append(await retention.due(conn))
    assert said == [False, False, True, False, True]


async def test_the_leader_of_the_stage_lets_go(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await publish(pipe, years_ago(ROW_YEARS, days=9))
        await live(pipe)
        await pipe.rows("INSERT INTO retention_run (ran_at) VALUES (%s) RETURNING 1", NOW - timedelta(days=2))
        stage = asyncio.create_task(pipe.stage.run(), name="stage")
        try:
            async with asyncio.timeout(DEADLINE_S):
                while await count(pipe, "measurement") > 1:  # noqa: ASYNC110  # a row that goes tells nobody
                    await asyncio.sleep(0.05)
        finally:
            stage.cancel()
            with suppress(asyncio.CancelledError):
                await stage
        assert await pipe.rows("SELECT ran_at > %s FROM retention_run", NOW - timedelta(days=1)) == [(True,)]


async def test_what_is_kept_from_when_is_written_down(database_url: str) -> None:
    async with a_pipe(database_url, POWER) as pipe:
        await live(pipe)
        async with autocommit(pipe) as conn:
            ((site_id,),) = await pipe.rows("SELECT site_id FROM site")
            assert await retention.kept_from(conn, site_id) is None
            await retention.let_go(conn)
            found = await retention.kept_from(conn, site_id)
        assert found is not None
        assert timedelta(0) <= years_ago(ROW_YEARS, days=-1) - found[0] <= timedelta(days=5)
        assert timedelta(0) <= years_ago(RECORD_YEARS, days=-1) - found[1] <= timedelta(days=35)
