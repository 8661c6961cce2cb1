"""Whatever arrives, in whatever order, cut into whatever frames and batches, by two ingestors at once: one outcome.

The outcome is what `plant.merging` makes of the set of all versions, so the database is compared with it, row by row.
STACKWATCH_TEST_FUZZ_EXAMPLES says how many arrangements are tried.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg_pool import AsyncConnectionPool

from builders import ROOT, WORKS, put_register
from ingestor.intake import Incoming, Intake
from plant import topics
from plant.channels import CHANNELS
from plant.merging import Version, merge
from plant.periods import micros
from store.pool import Connection, open_pool, transaction

EXAMPLES: Final = int(os.environ.get("STACKWATCH_TEST_FUZZ_EXAMPLES", "25"))
PHASES: Final = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # to explain takes longer than to fix
AT: Final = datetime(2026, 11, 10, tzinfo=UTC)
AT_MS: Final = micros(AT) // 1000
RECEIVED: Final = datetime(2026, 11, 12, tzinfo=UTC)
#: What a row is identified by: two stacks' worth of clashes in one, over two days and so over two chunks.
KEYS: Final = [(instrument, AT_MS + at) for instrument in ("main", "backup") for at in (0, 60_000, 86_400_000)]

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """One version of one row, as an edge sends it."""

    key: Key
    cells: dict[str, Any]
    sent_ms: int | None

    @property
    def row(self) -> dict[str, Any]:
        sent = {} if self.sent_ms is None else {"sent_at": self.sent_ms}
        return {"stack": "DA001", "instrument": self.key[0], "sampled_at": self.key[1], **sent, **self.cells}

    @property
    def version(self) -> Version:
        own = {name: float(self.cells[name]) for name in ("so2", "o2", "chlorine") if self.cells.get(name) is not None}
        flag = self.cells.get("flag", "N")
        return Version(
            revision=self.cells.get("revision", 0),
            sent_at=None if self.sent_ms is None else self.sent_ms * 1000,
            interval_s=self.cells.get("interval_s", 60),
            flag=flag,
            flags={channel: letter for channel, letter in self.cells.get("flags", {}).items() if letter != flag},
            state=self.cells.get("state"),
            values=own,
        )


pieces = st.builds(
    Piece,
    st.sampled_from(KEYS),
    st.fixed_dictionaries(
        {},
        optional={
            "so2": st.sampled_from([None, 1.0, 2.0, 0.0]),
            "o2": st.sampled_from([16.0, 1e16]),
            "chlorine": st.sampled_from([0.5, 1e300]),
            "flag": st.sampled_from("NC"),
            "flags": st.sampled_from([{}, {"so2": "T"}, {"chlorine": "D"}]),
            "state": st.sampled_from(["running", "stopped"]),
            "revision": st.integers(0, 2),
            "interval_s": st.sampled_from([60, 10]),
        },
    ),
    st.none() | st.integers(AT_MS, AT_MS + 2),
)
arrived = st.lists(pieces, min_size=1, max_size=14).flatmap(
    lambda some: st.lists(st.sampled_from(some), max_size=6).map(lambda again: [*some, *again])
)


def payload(rows: Sequence[Piece], seq: int, by_column: bool) -> bytes:
    """A message of *rows*: by columns, or a list where they do not share the time of sending."""
    times = {piece.sent_ms for piece in rows}
    if not by_column or len(times) > 1:
        return json.dumps([piece.row for piece in rows]).encode()
    names = sorted({name for piece in rows for name in piece.row} - {"flags", "sent_at"})
    flagged = sorted({channel for piece in rows for channel in piece.cells.get("flags", ())})
    flags = {channel: [piece.cells.get("flags", {}).get(channel) for piece in rows] for channel in flagged}
    columns = {name: [piece.row.get(name) for piece in rows] for name in names}
    head = {"session": "s1", "seq": seq, "sent_at": times.pop(), "flags": flags}
    return json.dumps(head | columns).encode()


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What each of two ingestors commits, batch by batch."""

    batches: list[tuple[int, list[bytes]]]  #: (ingestor, payloads)

    def of(self, ingestor: int) -> list[list[bytes]]:
        return [payloads for by, payloads in self.batches if by == ingestor]


@st.composite
def arrangements(draw: st.DrawFn) -> tuple[list[Piece], Arrangement]:
    some = draw(arrived)
    order = draw(st.permutations(some))
    frames: list[bytes] = []
    start = 0
    while start < len(order):
        size = draw(st.integers(1, 5))
        frames.append(payload(order[start : start + size], len(frames) + 1, draw(st.booleans())))
        start += size
    frames += draw(st.lists(st.sampled_from(frames), max_size=3))
    batches: list[tuple[int, list[bytes]]] = []
    start = 0
    while start < len(frames):
        size = draw(st.integers(1, 4))
        batches.append((draw(st.integers(0, 1)), frames[start : start + size]))
        start += size
    return some, Arrangement(batches)


async def commit(pool: AsyncConnectionPool[Connection], arrangement: Arrangement) -> None:
    topic = topics.data(ROOT, "works", "e1")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for ingestor in range(2):
            intake = Intake(pool, ROOT, f"ingestor-{ingestor}")
            tasks.create_task(_commit(intake, topic, arrangement.of(ingestor)), name=intake.ingestor)


async def _commit(intake: Intake, topic: str, batches: list[list[bytes]]) -> None:
    for payloads in batches:
        await intake.commit([Incoming(topic, one, RECEIVED) for one in payloads])


def in_floats(value: Any) -> Any:
    """JSON as jsonb may write it: a large number comes back as an integer."""
    if isinstance(value, list | tuple):
        return [in_floats(one) for one in value]
    return float(value) if isinstance(value, int) else value


def expected(some: Sequence[Piece]) -> dict[Key, tuple[str, int | None, set[tuple[str, int | None]], list[Any]]]:
    """By key: the row that counts and when it was sent, every version, and what contradicts."""
    found = {}
    for key in {piece.key for piece in some}:
        merged = merge([piece.version for piece in some if piece.key == key])
        earliest: dict[str, int | None] = {}
        for piece in (piece for piece in some if piece.key == key):
            version = piece.version
            times = [at for at in (earliest.get(version.body), version.sent_at) if at is not None]
            earliest[version.body] = min(times, default=None)
        versions = set(earliest.items()) if len(earliest) > 1 else set()
        conflicts = [[c.channel, c.revision, c.counted, list(c.others)] for c in merged.conflicts]
        found[key] = (merged.row.body, merged.row.sent_at, versions, in_floats(sorted(conflicts)))
    return found


async def stored(pool: AsyncConnectionPool[Connection]) -> dict[Key, Any]:
    """The same, as the database has it."""
    async with transaction(pool) as conn:
        rows = await (
            await conn.execute(
                f"SELECT instrument, sampled_at, interval_s, flag, flags, state, revision, sent_at, versions,"
                f" {', '.join(CHANNELS)}, extra FROM measurement".encode()
            )
        ).fetchall()
        versions = await (
            await conn.execute("SELECT instrument, sampled_at, body, sent_at FROM measurement_version")
        ).fetchall()
        conflicts = await (
            await conn.execute(
                "SELECT instrument, sampled_at, channel, revision, counted, others FROM measurement_conflict"
            )
        ).fetchall()
    found: dict[Key, Any] = {}
    for instrument, at, interval_s, flag, flags, state, revision, sent_at, n_versions, *values, extra in rows:
        key = (instrument, micros(at) // 1000)
        own = {channel: value for channel, value in zip(CHANNELS, values, strict=True) if value is not None}
        row = Version(
            revision=revision,
            sent_at=None if sent_at is None else micros(sent_at),
            interval_s=interval_s,
            flag=flag,
            flags=flags or {},
            state=state,
            values=own | {channel: float(value) for channel, value in (extra or {}).items()},
        )
        every = {
            (body, None if sent is None else micros(sent))
            for name, when, body, sent in versions
            if (name, micros(when) // 1000) == key
        }
        assert n_versions == max(1, len(every))
        own_conflicts = [rest for name, when, *rest in conflicts if (name, micros(when) // 1000) == key]
        against = in_floats(sorted(own_conflicts))
        found[key] = (row.body, row.sent_at, every, against)
    return found


async def the_books(pool: AsyncConnectionPool[Connection]) -> tuple[int, int]:
    """(rows of all messages, rows with a fate)."""
    async with transaction(pool) as conn:
        cursor = await conn.execute(
            "SELECT (SELECT sum(rows)::int FROM batch), sum(stored + duplicate + conflict + quarantined)::int"
            " FROM batch_hour"
        )
        row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def empty(pool: AsyncConnectionPool[Connection]) -> None:
    async with transaction(pool) as conn:
        for table in ("measurement", "measurement_version", "measurement_conflict", "batch", "edge_session"):
            await conn.execute(f"DELETE FROM {table}".encode())


async def check(pool: AsyncConnectionPool[Connection], some: list[Piece], arrangement: Arrangement) -> None:
    await empty(pool)
    await commit(pool, arrangement)
    assert await stored(pool) == expected(some)
    rows, with_a_fate = await the_books(pool)
    assert rows == with_a_fate


def test_any_arrangement_of_what_arrives_gives_what_merging_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        pool = runner.run(stack.enter_async_context(open_pool(database_url, name="test")))
        runner.run(put_register(pool, WORKS))

        @settings(deadline=None, max_examples=EXAMPLES, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
        @given(arrangements())
        def try_one(case: tuple[list[Piece], Arrangement]) -> None:
            runner.run(check(pool, *case))

        try:
            try_one()
        finally:
            runner.run(stack.aclose())
