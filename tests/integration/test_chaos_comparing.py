"""The chaos test would find it: a row that is missing, changed or invented, another answer, a book that lies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest

from builders import WORKS, a_pipe
from chaos.comparing import answers, other_answers, other_books, other_rows, publish, quiet_answers
from chaos.material import FIRST, Material, Trace
from chaos.reader import Reader
from store.pool import Connection

pytestmark = pytest.mark.anyio

START_MS: Final = round(FIRST.timestamp() * 1000)
ROWS: Final = 120
TRACE: Final = Trace(
    edge="e1",
    site="works",
    stack="DA001",
    step_s=60,
    rows=[{"sampled_at": START_MS + i * 60_000, "so2": 20.0 + i % 7, "o2": 16.0} for i in range(ROWS)],
)
MATERIAL: Final = Material(WORKS, (TRACE,))
MADE: Final = {("works", "e1"): ROWS}


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    """To a database that has the rows of the trace, judged."""
    async with a_pipe(database_url, WORKS) as pipe:
        await publish(pipe, MATERIAL)
        async with pipe.pool.connection() as conn:
            yield conn


async def test_what_is_as_it_should_be_is_found_to_be_so(
    conn: Connection, postgres_url_factory: Callable[[], str]
) -> None:
    assert await other_rows(conn, MATERIAL.expected()) == []
    assert await other_books(conn, MADE) == []
    found = await answers(conn)
    assert other_answers(found, await quiet_answers(postgres_url_factory(), MATERIAL)) == []
    assert found["means"]
    assert found["verdicts"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM measurement WHERE so2 = 21", "is missing"),
        ("UPDATE measurement SET so2 = 21.5 WHERE so2 = 21", "was measured as"),
        ("UPDATE measurement SET instrument = 'other' WHERE sampled_at < '2025-09-30T16:01Z'", "comes from nowhere"),
    ],
)
async def test_a_row_that_is_not_as_measured_is_found(conn: Connection, damage: str, said: str) -> None:
    await conn.execute(damage.encode())
    assert any(said in fault for fault in await other_rows(conn, MATERIAL.expected()))


async def test_rows_that_the_books_do_not_know_are_found(conn: Connection) -> None:
    faults = await other_books(conn, {("works", "e1"): ROWS + 1})
    assert len(faults) == 1
    assert "the edges made 121" in faults[0]


async def test_another_mean_and_another_verdict_are_found(conn: Connection) -> None:
    quiet = await answers(conn)
    await conn.execute("UPDATE hour_mean SET mean = mean + 1e-9 WHERE pollutant = 'so2' AND superseded_at IS NULL")
    await conn.execute("DELETE FROM hour_verdict WHERE pollutant = 'so2'")
    faults = other_answers(await answers(conn), quiet)
    assert [fault.partition(":")[0] for fault in faults] == ["means", "verdicts"]


def test_an_event_that_the_reader_missed_or_got_twice_is_found() -> None:
    reader = Reader("http://nowhere", "")
    for numbers, good in (([1, 2, 3], True), ([1, 3], False), ([1, 2, 2, 3], False), ([2, 1, 3], False)):
        reader.numbers = numbers
        assert (reader.faults(3) == []) is good
