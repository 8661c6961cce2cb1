"""Reported means and signals into a real database: rows, receipts, books, quarantine, what contradicts, retention."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from builders import ROOT, WORKS, Pipe, a_frame, a_pipe, put_register
from ingestor.intake import Incoming, Intake
from plant import topics
from store import quarantine, retention
from store.pool import connect, transaction
from store.scope import EVERYWHERE

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

AT: Final = datetime(2026, 11, 10, tzinfo=UTC)
MEANS: Final = "SELECT channel, interval_s, avg, corrected_avg, amount, flag, revision FROM reported_mean ORDER BY 1, 2"
SIGNALS: Final = "SELECT unit, stack, signal, value, flag, revision, sent_at FROM signal ORDER BY 1, 2, 3"
OVERRULED: Final = "SELECT kind, identity, body, revision, sent_at FROM overruled ORDER BY 1, 2, 3"


def means(*values: float | None, channel: str = "so2", at: datetime = AT, **head: Any) -> bytes:
    rows = [
        {
            "stack": "DA001",
            "sampled_at": (at + timedelta(hours=hour)).isoformat(),
            "interval_s": 3600,
            "channel": channel,
            "avg": value,
        }
        for hour, value in enumerate(values)
    ]
    return a_frame(rows, kind="reported_mean", **head)


def signals(value: float | None, *, at: datetime = AT, **head: Any) -> bytes:
    row = {"sampled_at": at.isoformat(), "unit": "S1", "signal": "fan_current_a", "value": value}
    return a_frame([row | {key: head.pop(key) for key in ("revision", "flag") if key in head}], kind="signal", **head)


async def totals(pipe: Pipe) -> tuple[int, ...]:
    """(rows of all messages, stored, duplicate, conflict, quarantined) by the books."""
    (found,) = await pipe.rows(
        "SELECT (SELECT sum(rows)::int FROM batch), sum(stored)::int, sum(duplicate)::int, sum(conflict)::int,"
        " sum(quarantined)::int FROM batch_hour"
    )
    return found


async def test_means_and_signals_are_stored_booked_and_receipted(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        outcome = await pipe.publish_all(
            [means(31.2, None, session="s1", seq=1), signals(1.5, session="s1", seq=2), means(9.0, channel="flow")]
        )
        assert (outcome.rows, outcome.stored) == (4, 4)
        assert [(owed.receipt.session, owed.receipt.through) for owed in outcome.receipts] == [("s1", 2)]
        assert await pipe.rows(MEANS) == [
            ("flow", 3600, 9.0, None, None, "N", 0),
            ("so2", 3600, 31.2, None, None, "N", 0),
            ("so2", 3600, None, None, None, "N", 0),
        ]
        assert await pipe.rows(SIGNALS) == [("S1", "", "fan_current_a", 1.5, "N", 0, None)]
        assert await totals(pipe) == (4, 4, 0, 0, 0)
        hours = await pipe.rows("SELECT hour, sum(stored)::int FROM batch_hour GROUP BY 1 ORDER BY 1")
        assert hours == [(AT, 3), (AT + timedelta(hours=1), 1)]
        assert await pipe.rows("SELECT * FROM rejudge") == []
        assert await pipe.rows("SELECT * FROM stack_latest") == []


async def test_a_frame_that_comes_again_changes_nothing(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(means(1.0, 2.0, session="s1", seq=1))
        again = await pipe.publish(means(1.0, 2.0, session="s1", seq=1))
        assert (again.stored, again.redelivered) == (0, 2)
        other = await pipe.publish(means(1.0, 2.0, session="s2", seq=1))
        assert (other.stored, other.redelivered) == (0, 0)
        assert await totals(pipe) == (4, 2, 2, 0, 0)


async def test_bad_rows_are_quarantined_and_can_be_released_when_their_unit_is_known(database_url: str) -> None:
    rows = [
        {"sampled_at": AT.isoformat(), "unit": unit, "signal": "load", "value": value}
        for unit, value in (("S1", 1.0), ("S2", 2.0), ("S1", "x"))
    ]
    async with a_pipe(database_url) as pipe:
        outcome = await pipe.publish(a_frame(rows, kind="signal", session="s1", seq=1))
        (owed,) = outcome.receipts
        assert [(refusal["rows"], refusal["reason"]) for refusal in owed.receipt.refused] == [
            ([1], "unknown unit 'S2'"),
            ([2], "value 'x' is no number"),
        ]
        assert await totals(pipe) == (3, 1, 0, 0, 2)
        await put_register(pipe.pool, WORKS.replace('code = "S1"', 'code = "S1"\n  [[site.unit]]\n  code = "S2"'))
        async with transaction(pipe.pool) as conn:
            for item in await quarantine.list_quarantine(conn, EVERYWHERE, status="held", limit=9):
                await quarantine.release(conn, EVERYWHERE, item["id"], by="inspector")
        while await pipe.intake.release():
            pass
        assert [(unit, value) for unit, _, _, value, *_ in await pipe.rows(SIGNALS)] == [("S1", 1.0), ("S2", 2.0)]
        assert await totals(pipe) == (3, 2, 0, 0, 1)
        ((status, refused),) = await pipe.rows("SELECT status, refused FROM quarantine")
        assert (status, [refusal["row"] for refusal in refused]) == ("held", [2])


async def test_the_fates_of_what_arrives_for_one_row(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        said: list[list[int]] = []
        for frame in (
            signals(1.0, sent_at="2026-11-10T00:00:02Z"),
            signals(2.0, sent_at="2026-11-10T00:00:03Z"),  # contradicts, and was sent later
            signals(2.0, sent_at="2026-11-10T00:00:04Z"),  # the same again
            signals(3.0, sent_at="2026-11-10T00:00:01Z"),  # contradicts, and was sent first
            signals(4.0, revision=1),
            signals(1.0, sent_at="2026-11-10T00:00:02Z"),
        ):
            before = await totals(pipe) if said else (0, 0, 0, 0, 0)
            await pipe.publish(frame)
            after = await totals(pipe)
            said.append([new - old for new, old in zip(after, before, strict=True)][1:4])
            if len(said) == 4:
                assert [row[3] for row in await pipe.rows(SIGNALS)] == [3.0]
        assert said == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
        assert [row[3:6] for row in await pipe.rows(SIGNALS)] == [(4.0, "N", 1)]
        bodies = [body for _, _, body, *_ in await pipe.rows(OVERRULED)]
        assert bodies == [f'{{"flag":"N","revision":0,"value":{value}}}' for value in (1.0, 2.0, 3.0)]


def sent(second: int, value: float, *, revision: int = 0) -> bytes:
    return signals(value, revision=revision, sent_at=(AT + timedelta(seconds=second)).isoformat())


ARRIVALS: Final = (sent(2, 1.0), sent(1, 2.0), sent(1, 1.0), signals(3.0), sent(9, 4.0, revision=1))


async def test_the_order_and_the_batches_of_what_arrives_change_nothing(
    postgres_url_factory: Callable[[], str],
) -> None:
    found = []
    async with a_pipe(postgres_url_factory()) as pipe:
        for order in itertools.islice(itertools.permutations(ARRIVALS), 0, 120, 7):
            for size in (1, 2, 5):
                for start in range(0, 5, size):
                    await pipe.publish_all(order[start : start + size])
                found.append((await pipe.rows(SIGNALS), await pipe.rows(OVERRULED)))
                await pipe.rows("DELETE FROM signal RETURNING 1")
                await pipe.rows("DELETE FROM overruled RETURNING 1")
    assert all(one == found[0] for one in found)
    assert [row[3] for row in found[0][0]] == [4.0]
    assert len(found[0][1]) == 3


async def test_two_ingestors_that_write_the_same_rows_at_once_leave_one_of_each(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        intakes = [Intake(pipe.pool, ROOT, f"ingestor-{i}") for i in range(2)]

        async def work(place: int, intake: Intake) -> None:
            for n in range(15):
                at = AT + timedelta(hours=10 * n)
                payloads = [means(*range(10), at=at), signals(float(place), at=at), means(float(place + 1), at=at)]
                topic = topics.data(ROOT, "works", f"e{place}")
                await intake.commit([Incoming(topic, payload, AT + timedelta(days=9)) for payload in payloads])

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for place, intake in enumerate(intakes):
                tasks.create_task(work(place, intake), name=intake.ingestor)
        assert await pipe.rows("SELECT count(*)::int FROM reported_mean") == [(150,)]
        assert await pipe.rows("SELECT count(*)::int FROM signal") == [(15,)]
        rows, *fates = await totals(pipe)
        assert (rows, sum(fates)) == (2 * 15 * 12, 2 * 15 * 12)
        # 0.0, 1.0 and 2.0 were said of the first hour, 0.0 and 1.0 of each signal
        assert await pipe.rows("SELECT kind, count(*)::int FROM overruled GROUP BY 1 ORDER BY 1") == [
            ("reported_mean", 30),
            ("signal", 15),
        ]


async def test_process_values_go_after_a_year_and_means_after_five(database_url: str) -> None:
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    old = now - timedelta(days=2 * 366)
    async with a_pipe(database_url) as pipe:
        await pipe.publish_all([signals(1.0, at=old), signals(2.0, at=old), means(1.0, at=old), signals(1.0, at=now)])
        await pipe.publish(a_frame([{"stack": "DA001", "sampled_at": now.isoformat(), "so2": 1.0}]))
        await pipe.tick(now)
        async with await connect(database_url, name="test", autocommit=True) as conn:
            gone = await retention.let_go(conn)
        assert gone.rows | gone.chunks == {"signal": 1}, "a row of a plain table, or the chunk that holds it"
        assert await pipe.rows("SELECT sampled_at FROM signal") == [(now,)]
        assert await pipe.rows("SELECT count(*)::int FROM overruled") == [(1,)]
        assert len(await pipe.rows(MEANS)) == 1
