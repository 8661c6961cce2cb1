"""Rows into the database: new ones by COPY, the others beside what stands.

    arrivals ──▶ one of each key ──▶ COPY ──▶ done: nothing stood
                                      └─ a key stands ──▶ staging ──▶ INSERT of what is new
                                                                └──▶ what says the same is a duplicate
                                                                └──▶ what says something else: `store.contested`

COPY is tried first, because nearly always nothing stands. What stands is compared by the database, a batch at a time;
only a row that says something else than the one that stands is read, merged by `plant.merging` and written back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from plant.blocks import Block, Bytes, Indexes, Ints, Truths
from plant.channels import CHANNELS, STATES
from plant.merging import DUPLICATE, NEVER, STORED
from plant.periods import HOUR, Instants, instant
from store import pgcopy
from store.contested import Contested, Standing, merge_all, standing_from
from store.pool import Connection

Fates = Bytes  #: STORED, DUPLICATE or CONFLICT

_DAY: Final = 24 * HOUR
_STATES: Final = (None, *STATES)
_OWN_COLUMN: Final = frozenset(CHANNELS)

_STAGING: Final[LiteralString] = """
CREATE TEMPORARY TABLE IF NOT EXISTS arriving (
    LIKE measurement INCLUDING DEFAULTS, place integer, contested boolean) ON COMMIT DELETE ROWS
"""
# In the order of the staging table: two ingestors that insert the same keys never wait in a circle.
_INSERT: Final[LiteralString] = """
WITH inserted AS (
    INSERT INTO measurement (stack_id, instrument, sampled_at, interval_s, flag, flags, state, revision, sent_at,
                             received_at, batch_id, versions, so2, nox, no, no2, pm, co, nh3, o2, moisture,
                             temperature, pressure, velocity, flow, power_production_kw, power_abatement_kw, load_pct,
                             extra)
    SELECT stack_id, instrument, sampled_at, interval_s, flag, flags, state, revision, sent_at, received_at, batch_id,
           1, so2, nox, no, no2, pm, co, nh3, o2, moisture, temperature, pressure, velocity, flow,
           power_production_kw, power_abatement_kw, load_pct, extra
    FROM arriving ORDER BY place
    ON CONFLICT DO NOTHING RETURNING stack_id, instrument, sampled_at)
DELETE FROM arriving a USING inserted i
WHERE (a.stack_id, a.instrument, a.sampled_at) = (i.stack_id, i.instrument, i.sampled_at)
"""
# One merger of a stack's rows at a time. Not FOR UPDATE: TimescaleDB's columnstore, where late rows may stand, has no
# such locks. In a statement of its own: what the one before committed is seen by the next.
_LOCK_STACKS: Final[LiteralString] = """
SELECT pg_advisory_xact_lock(7274005, s.stack_id) FROM (SELECT DISTINCT stack_id FROM arriving ORDER BY stack_id) s
"""
_STOOD: Final[LiteralString] = "SELECT array_agg(place) FROM arriving"
_OTHER: Final[LiteralString] = """
SELECT a.place, m.stack_id, m.instrument, m.sampled_at, m.interval_s, m.flag, m.flags, m.state, m.revision, m.sent_at,
       m.received_at, m.batch_id, m.versions, m.so2, m.nox, m.no, m.no2, m.pm, m.co, m.nh3, m.o2, m.moisture,
       m.temperature, m.pressure, m.velocity, m.flow, m.power_production_kw, m.power_abatement_kw, m.load_pct, m.extra
FROM arriving a JOIN measurement m USING (stack_id, instrument, sampled_at)
WHERE m.sampled_at BETWEEN %(first)s AND %(last)s AND (
    a.contested OR m.versions > 1 OR coalesce(a.sent_at, 'infinity') < coalesce(m.sent_at, 'infinity')
    OR (m.interval_s, m.flag, m.flags, m.state, m.revision, m.so2, m.nox, m.no, m.no2, m.pm, m.co, m.nh3, m.o2,
        m.moisture, m.temperature, m.pressure, m.velocity, m.flow, m.power_production_kw, m.power_abatement_kw,
        m.load_pct, m.extra)
       IS DISTINCT FROM
       (a.interval_s, a.flag, a.flags, a.state, a.revision, a.so2, a.nox, a.no, a.no2, a.pm, a.co, a.nh3, a.o2,
        a.moisture, a.temperature, a.pressure, a.velocity, a.flow, a.power_production_kw, a.power_abatement_kw,
        a.load_pct, a.extra))
ORDER BY a.place
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Rows, and the message that brought each; every array has shape (n_rows,)."""

    block: Block
    batch_id: Instants
    received_at: Instants


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    fates: Fates  #: of each arrival
    changed: Indexes  #: an arrival of each row that is new or now says something else
    longest_s: Ints  #: the longest interval that each of them had or has


async def write(conn: Connection, arrivals: Arrivals) -> Written:
    """Store *arrivals*. The caller owns the transaction."""
    keys = _Keys.of(arrivals.block)
    fates = np.full(len(arrivals.block), STORED, np.uint8)
    fates[keys.repeats] = DUPLICATE
    try:
        async with conn.transaction():
            await _copy(conn, "measurement", arrivals, keys.first)
    except psycopg.errors.UniqueViolation:
        stood, other = await _beside_what_stands(conn, arrivals, keys)
    else:
        stood, other = np.zeros(keys.first.size, dtype=bool), {}
    fates[keys.first[stood]] = DUPLICATE
    new = keys.first[~stood]
    contested = [
        Contested(
            standing=other[place] if place in other else _as_standing(arrivals, int(keys.first[place])),
            indexes=keys.arrivals_of(place)[0 if place in other else 1 :],
        )
        for place in sorted({*other, *np.flatnonzero(keys.contested).tolist()})
    ]
    rewritten = await merge_all(conn, arrivals.block, arrivals.batch_id, arrivals.received_at, contested, fates)
    return _written(arrivals.block, fates, new, rewritten)


def _written(block: Block, fates: Bytes, new: Indexes, rewritten: Mapping[int, int]) -> Written:
    changed = np.concatenate([new, np.fromiter(rewritten, np.intp, len(rewritten))])
    longest = np.concatenate([block.interval_s[new], np.fromiter(rewritten.values(), np.int32, len(rewritten))])
    return Written(fates=fates, changed=changed, longest_s=longest)


@dataclass(frozen=True, slots=True)
class _Keys:
    """Arrivals by key. Everybody's order is the same, chunk by chunk, so two writers never wait in a circle."""

    order: Indexes  #: arrivals by key, and for each key in the order they came
    starts: Indexes  #: where in `order` each key begins
    first: Indexes  #: the first arrival of each key
    repeats: Indexes  #: arrivals that say nothing that the first of their key does not say
    contested: Truths  #: of each key: whether another arrival says something else than its first

    @classmethod
    def of(cls, block: Block) -> _Keys:
        source = block.stack_id.astype(np.int64) * max(1, len(block.instruments)) + block.instrument
        day = block.sampled_at // _DAY
        order = np.lexsort((block.sampled_at, source, day))
        at, of = block.sampled_at[order], source[order]
        begins = np.ones(order.size, dtype=bool)
        begins[1:] = (at[1:] != at[:-1]) | (of[1:] != of[:-1])
        starts = np.flatnonzero(begins)
        first = order[starts]
        if starts.size == order.size:
            return cls(order, starts, first, np.empty(0, np.intp), np.zeros(starts.size, dtype=bool))
        place = np.cumsum(begins)[~begins] - 1
        others = order[~begins]
        same = _say_the_same(block, others, first[place])
        contested = np.zeros(starts.size, dtype=bool)
        contested[place[~same]] = True
        return cls(order, starts, first, others[same], contested)

    def arrivals_of(self, place: int) -> list[int]:
        end = self.starts[place + 1] if place + 1 < self.starts.size else self.order.size
        return [int(index) for index in self.order[self.starts[place] : end]]


def _say_the_same(block: Block, rows: Indexes, firsts: Indexes) -> Truths:
    """Whether each of *rows* says what its first says, and was not sent before it."""
    same = block.sent_at[rows] >= block.sent_at[firsts]
    columns: list[npt.NDArray[Any]] = [block.interval_s, block.revision, block.flag, block.state, *block.flags.values()]
    for column in columns:
        same &= column[rows] == column[firsts]
    for values in block.values.values():
        ours, theirs = values[rows], values[firsts]
        same &= (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    if block.extra is not None:
        pairs = zip(block.extra[rows], block.extra[firsts], strict=True)
        same &= np.fromiter((ours == theirs for ours, theirs in pairs), bool, rows.size)
    return same


async def _beside_what_stands(conn: Connection, arrivals: Arrivals, keys: _Keys) -> tuple[Truths, dict[int, Standing]]:
    """Insert what is new. Which keys stood, and those among them of which something else arrived.

    Nobody else merges into their rows until this transaction ends.
    """
    await conn.execute(_STAGING)
    await conn.execute("DELETE FROM arriving")
    await _copy(conn, "arriving", arrivals, keys.first, contested=keys.contested)
    await conn.execute(_INSERT)
    await conn.execute(_LOCK_STACKS)
    stood = np.zeros(keys.first.size, dtype=bool)
    row = await (await conn.execute(_STOOD)).fetchone()
    if row is None or row[0] is None:
        return stood, {}  # who inserted the row that was in our way did not commit it
    stood[row[0]] = True
    times = arrivals.block.sampled_at[keys.first[stood]]
    span = {"first": instant(int(times.min())), "last": instant(int(times.max()))}
    cursor = await conn.execute(_OTHER, span)
    other = await standing_from(conn, await cursor.fetchall())
    return stood, other


def _as_standing(arrivals: Arrivals, index: int) -> Standing:
    """The row that was just inserted."""
    block = arrivals.block
    received_at, batch_id = instant(int(arrivals.received_at[index])), int(arrivals.batch_id[index])
    return Standing(block.key(index), [block.version(index)], received_at, batch_id)


async def _copy(
    conn: Connection, table: LiteralString, arrivals: Arrivals, rows: Indexes, *, contested: Truths | None = None
) -> None:
    """COPY the arrivals at *rows*, in that order, with the columns that hold anything."""
    block = arrivals.block.take(rows)
    columns = _columns(block, arrivals.batch_id[rows], arrivals.received_at[rows])
    if contested is not None:
        places = pgcopy.int4("place", np.arange(rows.size))
        columns = [places, pgcopy.Fixed("contested", "u1", contested), *columns]
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table), names)
    async with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for buffer in pgcopy.buffers(columns, len(block)):
            await copy.write(buffer)


def _columns(block: Block, batch_id: Instants, received_at: Instants) -> list[pgcopy.Column]:
    unsaid = block.sent_at == NEVER
    columns: list[pgcopy.Column] = [
        pgcopy.int4("stack_id", block.stack_id),
        pgcopy.Coded("instrument", block.instrument, block.instruments),
        pgcopy.timestamptz("sampled_at", block.sampled_at),
        pgcopy.int4("interval_s", block.interval_s),
        pgcopy.letter("flag", block.flag),
        pgcopy.int4("revision", block.revision),
        pgcopy.timestamptz("received_at", received_at),
        pgcopy.int8("batch_id", batch_id),
    ]
    if not unsaid.all():
        columns.append(pgcopy.timestamptz("sent_at", block.sent_at, unsaid if unsaid.any() else None))
    if block.state.any():
        columns.append(pgcopy.Coded("state", block.state, _STATES))
    for channel in CHANNELS:
        column = pgcopy.float8(channel, block.values[channel]) if channel in block.values else None
        if column is not None:
            columns.append(column)
    if (flags := _flags_json(block)) is not None:
        columns.append(pgcopy.Free("flags", flags))
    if (extra := _extra_json(block)) is not None:
        columns.append(pgcopy.Free("extra", extra))
    return columns


def _flags_json(block: Block) -> list[bytes | None] | None:
    """The flags by channel of each row; None where no row has any."""
    flagged = np.zeros(len(block), dtype=bool)
    for letters in block.flags.values():
        flagged |= letters != 0
    if block.extra is not None:
        flagged |= np.fromiter((extra is not None and bool(extra.flags) for extra in block.extra), bool, len(block))
    if not flagged.any():
        return None
    found: list[bytes | None] = [None] * len(block)
    for index in np.flatnonzero(flagged).tolist():
        found[index] = _jsonb(block.flags_of(index))
    return found


def _extra_json(block: Block) -> list[bytes | None] | None:
    if block.extra is None:
        return None
    found = [_jsonb(extra.values) if extra is not None and extra.values else None for extra in block.extra]
    return found if any(found) else None


def _jsonb(document: Mapping[str, object]) -> bytes:
    return pgcopy.JSONB + json.dumps(document).encode()
