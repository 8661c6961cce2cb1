"""Messages into a real database: rows, receipts, books, quarantine, and what several versions of a row become."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg
import pytest

from builders import REGION, ROOT, WORKS, Pipe, a_frame, a_pipe, minutes, ms, put_register
from ingestor.intake import Incoming, Intake, Outcome
from plant import topics
from plant.errors import Unavailable
from plant.wire import Receipt, receipt_bytes
from store import arriving, quarantine, receipts
from store.pool import transaction
from store.receipts import ALSO_LISTED
from store.scope import EVERYWHERE

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

EIGHT: Final = "2026-11-10T08:00:00+08:00"
AT: Final = datetime(2026, 11, 10, tzinfo=UTC)
RECEIVED: Final = datetime(2026, 11, 10, 2, tzinfo=UTC)

SIMULATED: Final = WORKS.replace('timezone = "Asia/Shanghai"', 'timezone = "Asia/Shanghai"\nsimulated = true')


def the_receipt(outcome: Outcome) -> Receipt:
    (owed,) = outcome.receipts
    return owed.receipt


def frames(seqs: Sequence[int], n: int = 2, **head: Any) -> list[bytes]:
    """One frame of *n* rows for each of *seqs*, each with rows of its own."""
    return [
        a_frame(
            minutes((AT + timedelta(minutes=n * seq)).isoformat(), n, so2=10.0 + seq, o2=16.0),
            session="s1",
            seq=seq,
            **head,
        )
        for seq in seqs
    ]


async def the_books_balance(pipe: Pipe) -> None:
    unequal = await pipe.rows(
        "SELECT b.batch_id, b.rows, sum(h.stored + h.duplicate + h.conflict + h.quarantined)"
        " FROM batch b LEFT JOIN batch_hour h USING (batch_id) GROUP BY 1, 2"
        " HAVING b.rows <> coalesce(sum(h.stored + h.duplicate + h.conflict + h.quarantined), 0)"
    )
    assert unequal == []


async def totals(pipe: Pipe) -> tuple[int, int, int, int]:
    """(stored, duplicate, conflict, quarantined) over all books."""
    (found,) = await pipe.rows(
        "SELECT coalesce(sum(stored), 0)::int, coalesce(sum(duplicate), 0)::int, coalesce(sum(conflict), 0)::int,"
        " coalesce(sum(quarantined), 0)::int FROM batch_hour"
    )
    return found[0], found[1], found[2], found[3]


# Receipts.


async def test_a_receipt_says_how_far_everything_is_settled_and_what_else_is(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        said = []
        for seq in (1, 2, 5, 4, 7, 3):
            receipt = the_receipt(await pipe.publish(*frames([seq])))
            said.append((receipt.through, receipt.also))
        await the_books_balance(pipe)
    assert said == [(1, ()), (2, ()), (2, (5,)), (2, (4, 5)), (2, (4, 5, 7)), (5, (7,))]


async def test_nothing_is_settled_before_the_first_frame(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        receipt = the_receipt(await pipe.publish(*frames([3])))
    assert (receipt.session, receipt.through, receipt.also) == ("s1", 0, (3,))


async def test_what_lies_below_the_lowest_number_an_edge_still_holds_is_settled(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        receipt = the_receipt(await pipe.publish(*frames([40], low=38)))
        assert (receipt.through, receipt.also) == (37, (40,))
        receipt = the_receipt(await pipe.publish(*frames([42], low=41)))
        assert (receipt.through, receipt.also) == (40, (42,))
        receipt = the_receipt(await pipe.publish(*frames([41], low=1)))  # an older frame, late
        assert (receipt.through, receipt.also) == (42, ())


async def test_a_frame_sent_again_gets_its_receipt_and_changes_nothing(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        first = await pipe.publish(*frames([1], low=1))
        before = await pipe.rows("SELECT * FROM measurement ORDER BY sampled_at")
        again = await pipe.publish(*frames([1], low=2))  # `low` moved meanwhile: it is the same frame
        assert the_receipt(again) == the_receipt(first)
        assert (again.rows, again.stored, again.redelivered) == (2, 0, 2)
        assert await pipe.rows("SELECT * FROM measurement ORDER BY sampled_at") == before
        assert await pipe.rows("SELECT rows, deliveries FROM batch") == [(2, 2)]
        assert await totals(pipe) == (2, 0, 0, 0)
        await the_books_balance(pipe)


async def test_the_same_frame_twice_in_one_batch_is_stored_once(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        outcome = await pipe.publish_all(frames([1]) * 3)
        assert (outcome.rows, outcome.stored, outcome.redelivered) == (6, 2, 4)
        assert await totals(pipe) == (2, 0, 0, 0)


async def test_a_restored_disk_that_uses_a_number_again_loses_no_row(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(EIGHT, 2, so2=1.0), session="s1", seq=1))
        later = a_frame(minutes("2026-11-10T09:00:00+08:00", 3, so2=2.0), session="s1", seq=1)
        receipt = the_receipt(await pipe.publish(later))
        assert receipt.through == 1
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(5,)]
        await the_books_balance(pipe)


async def test_sessions_and_edges_have_receipts_of_their_own(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        one = a_frame(minutes(EIGHT, 1, so2=1.0), session="s1", seq=1)
        two = a_frame(minutes("2026-11-10T09:00:00+08:00", 1, so2=1.0), session="s2", seq=2)
        outcome = await pipe.publish_all([one, two])
        said = {(owed.edge, owed.receipt.session): owed.receipt for owed in outcome.receipts}
        assert {key: (r.through, r.also) for key, r in said.items()} == {("e1", "s1"): (1, ()), ("e1", "s2"): (0, (2,))}
        other = the_receipt(await pipe.publish(one, edge="e2"))
        assert (other.through, other.refused) == (1, ())


async def test_a_measurement_without_a_session_is_stored_without_a_receipt(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        single = json.dumps({"stack": "DA001", "sampled_at": EIGHT, "so2": 31.2, "chlorine": 0.5}).encode()
        outcome = await pipe.publish(single)
        assert (outcome.stored, outcome.receipts) == (1, [])
        assert await pipe.rows("SELECT so2, extra, instrument FROM measurement") == [(31.2, {"chlorine": 0.5}, "main")]


async def test_every_ingestor_gives_the_same_receipt(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish_all(frames([1, 2, 4]))
        other = Intake(pipe.pool, ROOT, "another")
        outcome = await other.commit([Incoming(topics.data(ROOT, "works", "e1"), frames([4])[0], RECEIVED)])
        assert the_receipt(outcome) == the_receipt(await pipe.publish(*frames([1])))


async def test_a_receipt_stays_small_however_much_was_refused(database_url: str) -> None:
    """It is retained, and a broker that finds it too large ends the connection of the ingestor."""
    async with a_pipe(database_url) as pipe:
        for seq in range(1, 4):
            rows = [{"stack": f"DA{i}", "sampled_at": EIGHT, "so2": 1.0} for i in range(3_000)]
            rows += [{"stack": "DA001", "sampled_at": EIGHT, "so2": "x"} for _ in range(3_000)]
            receipt = the_receipt(await pipe.publish(a_frame(rows, session="s1", seq=seq)))
        assert receipt.through == 3
        assert len(receipt_bytes(receipt)) < 20_000
        first = [refusal for refusal in receipt.refused if refusal["seq"] == 1]
        assert first[0] == {"seq": 1, "rows": [0], "reason": "unknown stack 'DA0'"}
        assert first[-1]["reason"] == "2993 other reasons, 5992 rows; the first 100 of them are listed"
        assert len(first[-1]["rows"]) == 100
        one_reason = a_frame([{"stack": "DA9", "sampled_at": EIGHT} for _ in range(500)], session="s2", seq=1)
        (refusal,) = the_receipt(await pipe.publish(one_reason)).refused
        assert refusal["reason"] == "unknown stack 'DA9' (500 rows; the first 100 of them are listed)"
        assert refusal["rows"] == list(range(100))


async def test_a_receipt_lists_no_more_than_the_newest_of_very_many_settled_numbers(database_url: str) -> None:
    """An edge that never sent its first frame, and does not say what it still holds."""
    async with a_pipe(database_url) as pipe:
        await pipe.publish(*frames([2]))
        await pipe.rows("UPDATE edge_session SET settled = settled + int8multirange(int8range(3, 1000000)) RETURNING 1")
        receipt = the_receipt(await pipe.publish(*frames([1_000_000], n=1)))
        assert receipt.through == 0
        assert receipt.also == tuple(range(1_000_001 - ALSO_LISTED, 1_000_001))
        assert len(receipt_bytes(receipt)) < 100_000


# Bad input, and its neighbours.


async def test_bad_rows_are_quarantined_with_reasons_and_their_neighbours_are_stored(database_url: str) -> None:
    rows = minutes(EIGHT, 5, so2=10.0)
    rows[1]["so2"] = float("nan")
    rows[2]["stack"] = "DA009"
    rows[3]["sampled_at"] = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    payload = a_frame(rows, session="s1", seq=1)
    async with a_pipe(database_url) as pipe:
        outcome = await pipe.publish(payload)
        assert (outcome.rows, outcome.stored, outcome.quarantined) == (5, 2, 3)
        assert await totals(pipe) == (2, 0, 0, 3)
        await the_books_balance(pipe)
        ((topic, kept, reason, refused, status),) = await pipe.rows(
            "SELECT topic, payload, reason, refused, status FROM quarantine"
        )
    assert (topic, kept, status) == ("ule/v1/works/e1/data", payload, "held")
    assert reason == "3 of 5 rows: so2 nan is not finite (and 2 other reasons)"
    assert [(item["row"], item["reason"]) for item in refused][:2] == [
        (1, "so2 nan is not finite"),
        (2, "unknown stack 'DA009'"),
    ]
    receipt = the_receipt(outcome)
    assert receipt.through == 1
    assert [(item["seq"], item["rows"]) for item in receipt.refused] == [(1, [1]), (1, [2]), (1, [3])]
    assert "ahead of the system's clock" in receipt.refused[2]["reason"]


async def test_a_whole_frame_is_refused_where_its_lists_are_unequal(database_url: str) -> None:
    broken = json.dumps({**json.loads(frames([2])[0]), "so2": [1.0]}).encode()
    async with a_pipe(database_url) as pipe:
        outcome = await pipe.publish_all([*frames([1]), broken, *frames([3])])
        receipt = the_receipt(outcome)
        assert receipt.through == 3
        (refusal,) = receipt.refused
        assert (refusal["seq"], refusal["rows"]) == (2, [])
        assert refusal["reason"].startswith("lists of unequal length")
        assert (outcome.stored, outcome.quarantined) == (4, 2)
        await the_books_balance(pipe)


GARBAGE: Final = {
    "nothing": b"",
    "no_json": b"so2=31.2",
    "cut_off": b'{"stack": "DA001"',
    "bytes": b"\xff\xfe\x00\x01",
    "nul": b"\x00" * 50,
    "very_deep": b"[" * 5_000,
    "number": b"7",
    "null": b"null",
    "empty_list": b"[]",
    "empty_table": b"{}",
    "hj_212": b"##0101QN=20160801085857223;ST=32;CN=1062;;CP=&&&&1C80\r\n",
    "unknown_stack": b'{"stack": "DA9", "sampled_at": 1, "so2": 1}',
    "no_offset": b'{"stack": "DA001", "sampled_at": "2026-11-10T08:00:00", "so2": 1}',
    "nan": b'{"stack": "DA001", "sampled_at": 1795161600000, "so2": NaN}',
    "infinite": b'{"stack": "DA001", "sampled_at": 1795161600000, "so2": 1e999}',
    "text": b'{"stack": "DA001", "sampled_at": 1795161600000, "so2": "31"}',
    "nul_in_a_name": b'{"stack": "DA001", "sampled_at": 1795161600000, "a\\u0000b": 1}',
    "nul_in_a_flag_name": b'{"stack": ["DA001"], "sampled_at": [1], "flags": {"a\\u0000b": ["N", "N"]}}',
    "another_schema": b'{"schema": 9, "stack": ["DA001"], "sampled_at": [1]}',
    "unequal": b'{"schema": 1, "stack": ["DA001"], "sampled_at": [1, 2]}',
    "another_site": b'{"site": "power", "stack": "DA001", "sampled_at": 1, "so2": 1}',
    "another_edge": b'{"edge": "e9", "stack": "DA001", "sampled_at": 1, "so2": 1}',
    "flag": b'{"stack": "DA001", "sampled_at": 1, "so2": 1, "flag": "?"}',
    "state": b'{"stack": "DA001", "sampled_at": 1, "so2": 1, "state": "asleep"}',
    "interval": b'{"stack": "DA001", "sampled_at": 1, "so2": 1, "interval_s": -1}',
    "revision": b'{"stack": "DA001", "sampled_at": 1, "so2": 1, "revision": 99999999999}',
    "next_century": b'{"stack": "DA001", "sampled_at": "2126-11-10T08:00:00Z", "so2": 1}',
}


async def test_garbage_of_more_than_twenty_kinds_stops_nothing(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        mixed = [payload for pair in zip(GARBAGE.values(), frames(range(1, 28)), strict=True) for payload in pair]
        outcome = await pipe.publish_all(mixed)
        assert outcome.stored == 54
        held = await pipe.rows("SELECT payload, reason FROM quarantine")
        assert {payload for payload, _ in held} == set(GARBAGE.values())
        assert all(reason for _, reason in held)
        assert the_receipt(outcome).through == 27
        assert not any("database" in reason for _, reason in held)
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(54,)]
        await the_books_balance(pipe)


@pytest.mark.parametrize(
    "topic",
    [
        "ule/v1/nowhere/e1/data",
        "ule/v1/wo rks/e1/data",
        "ule/v1/works/e.1/data",
        pytest.param(f"ule/v1/{secrets.token_hex(8_000)}/e1/data", id="a_topic_longer_than_an_index_takes"),
        pytest.param(f"ule/v1/works/{'长' * 5_000}/data", id="a_long_topic_of_long_characters"),
    ],
)
async def test_a_message_on_a_topic_of_nobody_is_quarantined_and_stops_nothing(database_url: str, topic: str) -> None:
    async with a_pipe(database_url) as pipe:
        strange = Incoming(topic, frames([9])[0], RECEIVED)
        good = Incoming(topics.data(ROOT, "works", "e1"), frames([1])[0], RECEIVED)
        outcome = await pipe.intake.commit([strange, good])
        again = await pipe.intake.commit([strange])
        assert (outcome.stored, outcome.quarantined, again.quarantined) == (2, 2, 2)
        ((kept, site_id, deliveries),) = await pipe.rows("SELECT topic, site_id, deliveries FROM quarantine")
        assert topic.startswith(kept[:500].rstrip("."))
        assert (site_id, deliveries) == (None, 2)


async def test_a_quarantined_frame_that_comes_again_is_kept_once_and_counted_once(database_url: str) -> None:
    rows = minutes(EIGHT, 2, so2=10.0)
    rows[0]["so2"] = "x"
    payload = a_frame(rows, session="s1", seq=1)
    async with a_pipe(database_url) as pipe:
        for _ in range(3):
            receipt = the_receipt(await pipe.publish(payload))
            assert len(receipt.refused) == 1
        assert await totals(pipe) == (1, 0, 0, 1)
        assert await pipe.rows("SELECT count(*) FROM quarantine") == [(1,)]


async def test_a_row_from_next_week_is_taken_at_a_simulated_site_and_moves_its_clock(database_url: str) -> None:
    next_week = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    async with a_pipe(database_url, SIMULATED) as pipe:
        outcome = await pipe.publish(a_frame(minutes(next_week.isoformat(), 2, so2=1.0)))
        assert (outcome.stored, outcome.quarantined) == (2, 0)
        assert await pipe.rows("SELECT newest FROM site_clock") == [(next_week + timedelta(minutes=1),)]
        await pipe.publish(a_frame(minutes(EIGHT, 2, so2=1.0)))
        assert await pipe.rows("SELECT newest FROM site_clock") == [(next_week + timedelta(minutes=1),)]


async def test_a_live_site_has_no_clock_of_its_own(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(EIGHT, 1, so2=1.0)))
        assert await pipe.rows("SELECT * FROM site_clock") == []


async def test_a_stack_registered_a_moment_ago_is_known_at_once(database_url: str) -> None:
    async with a_pipe(database_url, REGION) as pipe:
        early = await pipe.publish(*frames([1]))
        assert (early.stored, early.quarantined, early.receipts) == (0, 2, [])
        await put_register(pipe.pool, WORKS)
        assert (await pipe.publish(*frames([1]))).stored == 2
        more = WORKS + WORKS[WORKS.index("  [[site.stack]]") :].replace("DA001", "DA002")
        await put_register(pipe.pool, more)
        assert (await pipe.publish(a_frame(minutes(EIGHT, 1, stack="DA002", so2=1.0)))).stored == 1


async def test_a_stack_that_was_withdrawn_and_registered_again_is_known_again(database_url: str) -> None:
    more = WORKS + WORKS[WORKS.index("  [[site.stack]]") :].replace("DA001", "DA002")
    row = a_frame(minutes(EIGHT, 1, stack="DA002", so2=1.0))
    async with a_pipe(database_url, more) as pipe:
        await pipe.publish(*frames([1]))
        await put_register(pipe.pool, WORKS)
        await pipe.publish(b"something unknown makes the ingestor look at the register")
        assert (await pipe.publish(row)).quarantined == 1
        await put_register(pipe.pool, more)
        assert (await pipe.publish(row)).stored == 1


async def test_a_stack_that_was_withdrawn_and_registered_again_is_judged_again(database_url: str) -> None:
    more = WORKS + WORKS[WORKS.index("  [[site.stack]]") :].replace("DA001", "DA002")
    async with a_pipe(database_url, more) as pipe:
        await pipe.publish(a_frame(minutes(EIGHT, 60, stack="DA002", so2=90.0, o2=16.0)))
        await put_register(pipe.pool, WORKS)
        await pipe.tick("2026-11-12T00:00:00Z")
        assert await pipe.rows("SELECT verdict FROM hour_verdict WHERE pollutant = 'so2'") == []
        await put_register(pipe.pool, more)
        await pipe.publish(a_frame(minutes(EIGHT, 60, stack="DA002", so2=91.0, o2=16.0, revision=1)))
        await pipe.judge()
        assert await pipe.rows("SELECT verdict FROM hour_verdict WHERE pollutant = 'so2'") == [("breached",)]


async def test_a_row_without_an_interval_stands_for_that_of_its_stack(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(EIGHT, 1, so2=1.0)))
        await pipe.publish(a_frame(minutes("2026-11-10T09:00:00+08:00", 1, so2=1.0, interval_s=10)))
        assert await pipe.rows("SELECT interval_s FROM measurement ORDER BY sampled_at") == [(60,), (10,)]


# Several versions of one row.


def a_piece(sent_at: int, revision: int = 0, **cells: Any) -> bytes:
    """One version of the row of 08:00, sent at *sent_at* seconds after it."""
    row = {"stack": "DA001", "sampled_at": EIGHT, "sent_at": ms(AT) + sent_at * 1000, "revision": revision, **cells}
    return json.dumps(row).encode()


ROW: Final = "SELECT so2, nox, o2, extra, flag, flags, state, interval_s, revision, sent_at, versions FROM measurement"
CONFLICTS: Final = "SELECT channel, revision, counted, others FROM measurement_conflict ORDER BY channel, revision"
VERSIONS: Final = "SELECT digest, revision, sent_at, body FROM measurement_version ORDER BY digest"


async def the_state(pipe: Pipe) -> list[Any]:
    return [await pipe.rows(query) for query in (ROW, CONFLICTS, VERSIONS)]


async def in_every_order(fresh: Callable[[], str], pieces: Sequence[bytes], *, at_once: bool = False) -> list[Any]:
    """What the database holds after *pieces*, the same in every order (each from its own edge)."""
    found: list[list[Any]] = []
    for order in itertools.permutations(range(len(pieces))):
        async with a_pipe(fresh()) as pipe:
            messages = [Incoming(topics.data(ROOT, "works", f"e{i}"), pieces[i], RECEIVED) for i in order]
            for batch in [messages] if at_once else [[message] for message in messages]:
                await pipe.intake.commit(batch)
            found.append(await the_state(pipe))
            await the_books_balance(pipe)
    assert all(state == found[0] for state in found), found
    return found[0]


async def test_two_edges_that_send_pieces_of_one_row_fill_it_in_whatever_the_order(
    postgres_url_factory: Callable[[], str],
) -> None:
    pieces = [a_piece(1, so2=31.2, chlorine=0.5), a_piece(2, nox=44.0, o2=None), a_piece(3, o2=16.2, state="running")]
    one_by_one = await in_every_order(postgres_url_factory, pieces)
    at_once = await in_every_order(postgres_url_factory, pieces, at_once=True)
    (row,), conflicts, versions = one_by_one
    assert row[:4] == (31.2, 44.0, 16.2, {"chlorine": 0.5})
    assert (row[6], row[10], conflicts, len(versions)) == ("running", 3, [], 3)
    assert at_once == one_by_one


async def test_a_higher_revision_replaces_whatever_the_order(postgres_url_factory: Callable[[], str]) -> None:
    pieces = [a_piece(9, 0, so2=31.2, nox=44.0), a_piece(1, 2, so2=33.0), a_piece(5, 1, so2=32.0, flag="C")]
    (row,), conflicts, versions = await in_every_order(postgres_url_factory, pieces)
    assert row[:2] == (33.0, 44.0)
    assert (row[8], conflicts, len(versions)) == (2, [], 3)


async def test_a_conflict_is_kept_and_the_earlier_sent_counts_whatever_the_order(
    postgres_url_factory: Callable[[], str],
) -> None:
    pieces = [a_piece(2, so2=31.2), a_piece(1, so2=90.0), a_piece(3, so2=31.2, state="stopped")]
    (row,), conflicts, versions = await in_every_order(postgres_url_factory, pieces)
    assert row[0] == 90.0
    assert conflicts == [("so2", 0, [90.0, "N"], [[31.2, "N"]])]
    assert len(versions) == 3


async def test_seeded_storms_of_versions_give_the_same_rows_in_any_order_batching_and_repetition(
    postgres_url_factory: Callable[[], str],
) -> None:
    rng = random.Random(212)
    pieces = []
    for minute, _ in itertools.product(range(4), range(6)):
        cells = {
            name: rng.choice([1.0, 2.0, 1e16, -0.0, 0.0]) for name in ("so2", "o2", "chlorine") if rng.random() < 0.7
        }
        row = {
            "stack": "DA001",
            "sampled_at": ms(AT) + minute * 60_000,
            "revision": rng.choice([0, 0, 1]),
            "flag": rng.choice("NNC"),
            "flags": {"so2": rng.choice("NT")} if rng.random() < 0.3 else None,
            "state": rng.choice([None, "running", "stopped"]),
            **({"sent_at": ms(AT) + rng.randrange(3)} if rng.random() < 0.8 else {}),
            **cells,
        }
        pieces.append(json.dumps(row).encode())
    every = [
        f"SELECT sampled_at, {ROW.removeprefix('SELECT ')} ORDER BY sampled_at",
        "SELECT sampled_at, channel, revision, counted, others FROM measurement_conflict ORDER BY 1, 2, 3",
        "SELECT sampled_at, digest, sent_at, body FROM measurement_version ORDER BY sampled_at, digest",
    ]
    found = []
    for _ in range(4):
        shuffled = pieces + rng.choices(pieces, k=10)
        rng.shuffle(shuffled)
        async with a_pipe(postgres_url_factory()) as pipe:
            while shuffled:
                n = rng.randint(1, 9)
                await pipe.publish_all(shuffled[:n], edge=f"e{n}")
                shuffled = shuffled[n:]
            found.append([await pipe.rows(query) for query in every])
            await the_books_balance(pipe)
    assert len(found[0][0]) == 4
    assert found[0][1]
    assert all(state == found[0] for state in found)


@pytest.mark.parametrize("value", [1e16, 1e300, 5e-324, -0.0, 0.1 + 0.2, 31.0])
async def test_the_same_value_of_an_unknown_channel_is_a_duplicate_whatever_its_size(
    database_url: str, value: float
) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_piece(1, chlorine=value, so2=value))
        await pipe.publish(a_piece(1, chlorine=value, so2=value), edge="e2")
        assert await totals(pipe) == (1, 1, 0, 0)
        assert await pipe.rows(CONFLICTS) == []


async def test_every_version_is_kept_with_the_message_that_brought_it(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_piece(1, so2=1.0), edge="e1")
        pieces = [a_piece(2, so2=2.0), a_piece(3, so2=3.0)]
        messages = [
            Incoming(topics.data(ROOT, "works", f"e{i}"), piece, RECEIVED + timedelta(seconds=i))
            for i, piece in enumerate(pieces, start=2)
        ]
        await pipe.intake.commit(messages)
        brought = await pipe.rows(
            "SELECT (v.body::jsonb -> 'values' ->> 'so2')::float, b.edge, b.received_at = v.received_at"
            " FROM measurement_version v JOIN batch b USING (batch_id) ORDER BY 1"
        )
    assert brought == [(1.0, "e1", True), (2.0, "e2", True), (3.0, "e3", True)]


async def test_the_books_tell_what_became_of_each_row(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_piece(1, so2=31.2))  # stored
        await pipe.publish(a_piece(2, so2=31.2), edge="e2")  # says the same: a duplicate
        await pipe.publish(a_piece(3, nox=1.0), edge="e3")  # fills in: stored
        await pipe.publish(a_piece(4, so2=90.0), edge="e4")  # contradicts: a conflict
        await pipe.publish(a_piece(5, 1, so2=33.0), edge="e5")  # replaces: stored
        await pipe.publish(a_piece(6, so2="x"), edge="e6")  # no number: quarantined
        books = await pipe.rows(
            "SELECT edge, stored, duplicate, conflict, quarantined"
            " FROM batch JOIN batch_hour USING (batch_id) ORDER BY 1"
        )
        await the_books_balance(pipe)
    assert books == [
        ("e1", 1, 0, 0, 0),
        ("e2", 0, 1, 0, 0),
        ("e3", 1, 0, 0, 0),
        ("e4", 0, 0, 1, 0),
        ("e5", 1, 0, 0, 0),
        ("e6", 0, 0, 0, 1),
    ]


async def test_books_are_kept_by_the_hour_of_the_row(database_url: str) -> None:
    rows = minutes("2026-11-10T08:58:00+08:00", 4, so2=1.0)
    rows[3]["so2"] = None  # a row of nulls is a row
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(rows, session="s1", seq=1))
        assert await pipe.rows("SELECT hour, stored FROM batch_hour ORDER BY hour") == [
            (AT, 2),
            (AT.replace(hour=1), 2),
        ]


async def test_hours_are_asked_for_when_rows_say_something_new_and_only_then(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        queue = "SELECT hour, reason FROM rejudge ORDER BY rejudge_id"
        await pipe.publish(a_frame(minutes("2026-11-10T08:30:00+08:00", 1, so2=1.0, interval_s=3600)))
        assert await pipe.rows(queue) == [(AT, "rows"), (AT.replace(hour=1), "rows")]
        await pipe.rows("DELETE FROM rejudge RETURNING 1")
        await pipe.publish(a_frame(minutes("2026-11-10T08:30:00+08:00", 1, so2=1.0, interval_s=3600)), edge="e2")
        assert await pipe.rows(queue) == []
        await pipe.publish(a_frame(minutes("2026-11-10T08:30:00+08:00", 1, so2=1.0, interval_s=60, revision=1)))
        assert await pipe.rows(queue) == [(AT, "rows"), (AT.replace(hour=1), "rows")]


async def test_hours_are_asked_for_by_the_sites_own_clock(database_url: str) -> None:
    kolkata = WORKS.replace("Asia/Shanghai", "Asia/Kolkata")
    async with a_pipe(database_url, kolkata) as pipe:
        await pipe.publish(a_frame(minutes("2026-11-10T00:29:00Z", 2, so2=1.0)))
        assert await pipe.rows("SELECT hour FROM rejudge ORDER BY hour") == [
            (AT - timedelta(minutes=30),),
            (AT + timedelta(minutes=30),),
        ]


# A message that only the database refuses.


def poison_at(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Rows of that second get a flag that no column can hold, behind the back of the decoding."""
    genuine = arriving.write

    async def write(conn: Any, arrivals: arriving.Arrivals) -> arriving.Written:
        block = arrivals.block
        spoilt = np.where(block.sampled_at % 60_000_000 == seconds * 1_000_000, 0, block.flag).astype(np.uint8)
        return await genuine(conn, replace(arrivals, block=replace(block, flag=spoilt)))

    monkeypatch.setattr(arriving, "write", write)


async def test_a_message_that_only_the_database_refuses_is_isolated(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison_at(monkeypatch, 7)
    poisoned = a_frame(minutes("2026-11-10T12:00:07+08:00", 2, so2=1.0), session="s1", seq=6)
    async with a_pipe(database_url) as pipe:
        outcome = await pipe.publish_all([*frames(range(1, 6)), poisoned, *frames(range(7, 11))])
        assert outcome.stored == 18
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(18,)]
        ((kept, reason),) = await pipe.rows("SELECT payload, reason FROM quarantine")
        assert kept == poisoned
        assert reason.startswith("the database cannot hold it")
        last = max((owed.receipt for owed in outcome.receipts), key=lambda receipt: receipt.through)
        assert (last.through, last.refused[0]["seq"]) == (10, 6)
        await the_books_balance(pipe)


async def test_a_released_message_that_the_database_refuses_is_held_again_and_stops_no_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = a_frame(minutes("2026-11-10T12:00:07+08:00", 1, stack="DA002", so2=1.0))
    fine = a_frame(minutes("2026-11-10T12:00:00+08:00", 1, stack="DA002", so2=1.0))
    async with a_pipe(database_url) as pipe:
        await pipe.publish_all([early, fine])
        await put_register(pipe.pool, WORKS + WORKS[WORKS.index("  [[site.stack]]") :].replace("DA001", "DA002"))
        poison_at(monkeypatch, 7)
        await release_all(pipe)
        held = await pipe.rows("SELECT status, reason FROM quarantine ORDER BY quarantine_id")
        assert held[0][0] == "held"
        assert held[0][1].startswith("the database cannot hold it")
        assert held[1][0] == "stored"
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(1,)]


# Release from the quarantine.


async def release_all(pipe: Pipe) -> None:
    async with transaction(pipe.pool) as conn:
        for item in await quarantine.list_quarantine(conn, EVERYWHERE, status="held", limit=100):
            await quarantine.release(conn, EVERYWHERE, item["id"], by="inspector")
    async with asyncio.timeout(30):
        while await pipe.intake.release():
            pass


async def test_a_released_row_from_the_future_is_stored(database_url: str) -> None:
    rows = minutes(EIGHT, 3, so2=10.0)
    next_week = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    rows[1]["sampled_at"] = next_week.isoformat()
    async with a_pipe(database_url) as pipe:
        before = await pipe.publish(a_frame(rows, session="s1", seq=1))
        assert (before.stored, len(the_receipt(before).refused)) == (2, 1)
        await release_all(pipe)
        assert await pipe.rows("SELECT status FROM quarantine") == [("stored",)]
        assert await pipe.rows("SELECT sampled_at FROM measurement ORDER BY 1 DESC LIMIT 1") == [(next_week,)]
        after = the_receipt(await pipe.publish(a_frame(rows, session="s1", seq=1)))
        assert after.refused == ()
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(3,)]
        # It was published once: in the books it is no longer quarantined.
        assert await totals(pipe) == (3, 0, 0, 0)
        await the_books_balance(pipe)


async def test_only_the_rows_that_were_refused_are_taken_at_a_release(database_url: str) -> None:
    rows = [*minutes(EIGHT, 2, so2=1.0), *minutes(EIGHT, 2, stack="DA002", so2=1.0), *minutes(EIGHT, 1, so2="x")]
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(rows, session="s1", seq=1))
        assert await totals(pipe) == (2, 0, 0, 3)
        await put_register(pipe.pool, WORKS + WORKS[WORKS.index("  [[site.stack]]") :].replace("DA001", "DA002"))
        await release_all(pipe)
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(4,)]
        ((status, reason, refused),) = await pipe.rows("SELECT status, reason, refused FROM quarantine")
        assert (status, reason) == ("held", "so2 'x' is no number")
        assert refused == [{"row": 4, "reason": "so2 'x' is no number"}]
        assert await totals(pipe) == (4, 0, 0, 1)
        await the_books_balance(pipe)


async def test_a_payload_of_a_site_that_is_registered_later_can_be_released(database_url: str) -> None:
    async with a_pipe(database_url, REGION) as pipe:
        await pipe.publish(*frames([1]))
        await put_register(pipe.pool, WORKS)
        await release_all(pipe)
        assert await pipe.rows("SELECT status FROM quarantine") == [("stored",)]
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(2,)]
        assert await totals(pipe) == (2, 0, 0, 0)
        await the_books_balance(pipe)


async def test_a_payload_that_was_sent_again_and_taken_is_released_without_a_trace_in_the_books(
    database_url: str,
) -> None:
    async with a_pipe(database_url, REGION) as pipe:
        await pipe.publish(*frames([1]))
        await put_register(pipe.pool, WORKS)
        await pipe.publish(*frames([1]))
        await release_all(pipe)
        assert await pipe.rows("SELECT status FROM quarantine") == [("stored",)]
        assert await totals(pipe) == (2, 0, 0, 0)
        await the_books_balance(pipe)


async def test_a_whole_payload_that_can_be_read_by_now_is_booked_anew_at_its_release(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood in the books as quarantined in the hour of its receipt."""
    payload = a_frame([*minutes(EIGHT, 2, so2=1.0), *minutes(EIGHT, 1, so2="x")], session="s1", seq=1)
    async with a_pipe(database_url) as pipe:
        with monkeypatch.context() as patched:
            patched.setattr("ingestor.decode.MAX_ROWS", 2)
            await pipe.publish(payload)
        assert await totals(pipe) == (0, 0, 0, 3)
        await release_all(pipe)
        assert await totals(pipe) == (2, 0, 0, 1)
        assert await pipe.rows("SELECT DISTINCT hour FROM batch_hour") == [(AT,)]
        await the_books_balance(pipe)


async def test_a_released_payload_that_still_cannot_be_read_is_held_with_its_reason(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(b"garbage")
        await release_all(pipe)
        ((status, reason),) = await pipe.rows("SELECT status, reason FROM quarantine")
        assert status == "held"
        assert reason.startswith("not JSON")


# Several ingestors.


async def test_two_intakes_that_commit_the_same_frames_at_once_lose_and_double_nothing(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        batch = [Incoming(topics.data(ROOT, "works", "e1"), frame, RECEIVED) for frame in frames(range(1, 41), n=3)]
        rng = random.Random(4)
        intakes = [Intake(pipe.pool, ROOT, f"ingestor-{i}") for i in range(3)]

        async def work(intake: Intake) -> None:
            mine = batch[:]
            rng.shuffle(mine)
            for start in range(0, len(mine), 8):
                await intake.commit(mine[start : start + 8])

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for intake in intakes:
                tasks.create_task(work(intake), name=intake.ingestor)
        assert await pipe.rows("SELECT count(*), count(DISTINCT sampled_at) FROM measurement") == [(120, 120)]
        assert await totals(pipe) == (120, 0, 0, 0)
        assert await pipe.rows("SELECT count(*), min(deliveries), max(deliveries) FROM batch") == [(40, 3, 3)]
        assert the_receipt(await pipe.publish(*frames([1], n=3))).through == 40
        await the_books_balance(pipe)


async def test_two_edges_that_send_the_same_rows_at_once_leave_one_of_each(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        intakes = [Intake(pipe.pool, ROOT, f"ingestor-{i}") for i in range(2)]

        async def work(intake: Intake, edge: str) -> None:
            for frame in frames(range(1, 21), n=3):
                await intake.commit([Incoming(topics.data(ROOT, "works", edge), frame, RECEIVED)])

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for i, intake in enumerate(intakes):
                tasks.create_task(work(intake, f"e{i}"), name=intake.ingestor)
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(60,)]
        assert await totals(pipe) == (60, 60, 0, 0)
        await the_books_balance(pipe)


async def test_an_interrupted_commit_leaves_nothing_and_may_be_made_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away after the COPY, before the COMMIT."""
    genuine = receipts.settle
    async with a_pipe(database_url) as pipe:

        async def cut_off(conn: Any, settled: Any) -> None:
            await genuine(conn, settled)
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as killer:
                await killer.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            await conn.execute("SELECT 1")

        monkeypatch.setattr(receipts, "settle", cut_off)
        with pytest.raises(Unavailable):
            await pipe.publish_all(frames([1, 2]))
        assert await pipe.rows("SELECT count(*) FROM measurement") == [(0,)]
        assert await pipe.rows("SELECT count(*) FROM batch") == [(0,)]
        monkeypatch.setattr(receipts, "settle", genuine)
        assert the_receipt(await pipe.publish_all(frames([1, 2]))).through == 2
        assert await totals(pipe) == (4, 0, 0, 0)


# What was read before it is committed.


async def test_a_batch_that_was_read_before_the_register_changed_is_read_again(database_url: str) -> None:
    async with a_pipe(database_url) as pipe:
        await pipe.publish(a_frame(minutes(EIGHT, 1, so2=1.0)))
        later = a_frame(minutes("2026-11-10T09:00:00+08:00", 1, so2=1.0))
        batch = pipe.intake.read([Incoming(topics.data(ROOT, "works", "e1"), later, RECEIVED)])
        await put_register(pipe.pool, WORKS.replace("interval_s = 60", "interval_s = 10"))
        async with transaction(pipe.pool) as conn:
            await pipe.intake.known.refresh(conn)
        outcome = await pipe.intake.commit_read(batch)
        assert outcome.stored == 1
        assert await pipe.rows("SELECT interval_s FROM measurement ORDER BY sampled_at") == [(60,), (10,)]
