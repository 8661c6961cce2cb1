"""SQL of the measurement tables: the only module that names their columns.

`write` takes rows with any number of versions each and leaves the row that counts in `measurement`, every version of a
contested row in `measurement_version`, and what contradicts in `measurement_conflict`. New rows go in by COPY;
only rows that already stand are read, merged by `plant.merging` and written back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, LiteralString

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from plant.channels import CHANNELS
from plant.merging import Merged, Version, conflicts_with, distinct, merge, version_from
from plant.periods import HOUR, SECOND, instant, micros
from plant.readings import Letters, Rows, state_not_running
from store.pool import Connection

Key = tuple[int, str, int]  #: stack_id, instrument, sampled_at in microseconds


class Fate(StrEnum):
    """What became of a version that arrived."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One version of one row, with the message that brought it."""

    key: Key
    version: Version
    batch_id: int
    received_at: datetime


_TYPES: Final = (
    [
        "int4",
        "text",
        "timestamptz",
        "int4",
        "text",
        "jsonb",
        "text",
        "int4",
        "timestamptz",
        "timestamptz",
        "int8",
        "int2",
    ]
    + ["float8"] * len(CHANNELS)
    + ["jsonb"]
)
_COPY: Final[LiteralString] = """
COPY measurement (stack_id, instrument, sampled_at, interval_s, flag, flags, state, revision, sent_at, received_at,
                  batch_id, versions, so2, nox, no, no2, pm, co, nh3, o2, moisture, temperature, pressure, velocity,
                  flow, power_production_kw, power_abatement_kw, load_pct, extra)
FROM STDIN (FORMAT BINARY)
"""
_STANDING: Final[LiteralString] = """
SELECT m.stack_id, m.instrument, m.sampled_at, m.interval_s, m.flag, m.flags, m.state, m.revision, m.sent_at,
       m.received_at, m.batch_id, m.versions, m.so2, m.nox, m.no, m.no2, m.pm, m.co, m.nh3, m.o2, m.moisture,
       m.temperature, m.pressure, m.velocity, m.flow, m.power_production_kw, m.power_abatement_kw, m.load_pct, m.extra
FROM unnest(%(stacks)s::integer[], %(instruments)s::text[], %(times)s::timestamptz[])
     AS k (stack_id, instrument, sampled_at)
JOIN measurement m USING (stack_id, instrument, sampled_at)
WHERE m.sampled_at BETWEEN %(first)s AND %(last)s
ORDER BY 1, 2, 3
"""
# One merger of a stack's rows at a time. Not FOR UPDATE: TimescaleDB's columnstore, where late rows may stand, has no
# such locks. In a statement of its own: what the one before committed is seen by the next.
_LOCK_STACKS: Final[LiteralString] = """
SELECT pg_advisory_xact_lock(7274005, s.stack_id)
FROM (SELECT DISTINCT stack_id FROM unnest(%(stacks)s::integer[]) AS k (stack_id) ORDER BY stack_id) s
"""
_VERSIONS: Final[LiteralString] = """
SELECT v.stack_id, v.instrument, v.sampled_at, v.body, v.sent_at
FROM unnest(%(stacks)s::integer[], %(instruments)s::text[], %(times)s::timestamptz[])
     AS k (stack_id, instrument, sampled_at)
JOIN measurement_version v USING (stack_id, instrument, sampled_at)
"""
_UPDATE: Final[LiteralString] = """
UPDATE measurement SET interval_s = %s, flag = %s, flags = %s, state = %s, revision = %s, sent_at = %s, versions = %s,
    so2 = %s, nox = %s, no = %s, no2 = %s, pm = %s, co = %s, nh3 = %s, o2 = %s, moisture = %s, temperature = %s,
    pressure = %s, velocity = %s, flow = %s, power_production_kw = %s, power_abatement_kw = %s, load_pct = %s,
    extra = %s
WHERE stack_id = %s AND instrument = %s AND sampled_at = %s
"""
_PUT_VERSION: Final[LiteralString] = """
INSERT INTO measurement_version
    (stack_id, instrument, sampled_at, digest, revision, sent_at, body, received_at, batch_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (stack_id, instrument, sampled_at, digest)
    DO UPDATE SET sent_at = least(measurement_version.sent_at, excluded.sent_at)
"""
_PUT_CONFLICT: Final[LiteralString] = """
INSERT INTO measurement_conflict (stack_id, instrument, sampled_at, channel, revision, counted, others)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (stack_id, instrument, sampled_at, channel, revision)
    DO UPDATE SET counted = excluded.counted, others = excluded.others
"""

_ATTEMPTS: Final = 5  # another ingestor may insert between our look and our COPY


@dataclass(slots=True)
class _Standing:
    """A row that stands: its versions, and what the database holds of it."""

    versions: list[Version]
    received_at: datetime
    batch_id: int
    kept: int  #: versions as the measurement row counts them


@dataclass(frozen=True, slots=True)
class Written:
    fates: list[Fate]  #: of each arrival, in their order
    changed: dict[Key, int]  #: rows that are new or now say something else: the longest interval that they had [s]


async def write(conn: Connection, arrivals: Sequence[Arrival]) -> Written:
    """Store *arrivals*. The caller owns the transaction."""
    by_key: dict[Key, list[int]] = {}
    for index, arrival in enumerate(arrivals):
        by_key.setdefault(arrival.key, []).append(index)
    # One order for every writer, so that two ingestors never wait for each other in a circle.
    fresh = sorted(by_key)
    standing: dict[Key, _Standing] = {}
    for attempt in range(_ATTEMPTS):
        try:
            async with conn.transaction():
                await _copy(conn, [(key, arrivals[by_key[key][0]]) for key in fresh])
            break
        except psycopg.errors.UniqueViolation:
            if attempt == _ATTEMPTS - 1:
                raise
            found = await _standing(conn, fresh)
            standing |= found
            fresh = [key for key in fresh if key not in found]
    fates = [Fate.STORED] * len(arrivals)
    for key in fresh:
        if len(by_key[key]) > 1:
            first = arrivals[by_key[key][0]]
            standing[key] = _Standing([first.version], first.received_at, first.batch_id, 1)
    inserted = set(fresh)
    changed = {key: arrivals[by_key[key][0]].version.interval_s for key in fresh}
    for key in sorted(standing):
        indexes = by_key[key][1:] if key in inserted else by_key[key]
        settled, longest_s = await _settle(conn, key, standing[key], indexes, arrivals)
        if longest_s:
            changed[key] = max(longest_s, changed.get(key, 0))
        for index, fate in zip(indexes, settled, strict=True):
            fates[index] = fate
    return Written(fates, changed)


async def _copy(conn: Connection, rows: Iterable[tuple[Key, Arrival]]) -> None:
    async with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for (stack_id, instrument, sampled_at), arrival in rows:
            version = arrival.version
            values = version.values
            extra = {channel: value for channel, value in values.items() if channel not in _OWN_COLUMN}
            await copy.write_row(
                (
                    stack_id,
                    instrument,
                    instant(sampled_at),
                    version.interval_s,
                    version.flag,
                    Jsonb(dict(version.flags)) if version.flags else None,
                    version.state,
                    version.revision,
                    None if version.sent_at is None else instant(version.sent_at),
                    arrival.received_at,
                    arrival.batch_id,
                    1,
                    *(values.get(channel) for channel in CHANNELS),
                    Jsonb(extra) if extra else None,
                )
            )


_OWN_COLUMN: Final = frozenset(CHANNELS)


async def _standing(conn: Connection, keys: Sequence[Key]) -> dict[Key, _Standing]:
    """The rows among *keys* that stand, with every version of them, and nobody else merging into them."""
    found: dict[Key, _Standing] = {}
    contested: list[Key] = []
    arrays = _key_arrays(keys)
    await conn.execute(_LOCK_STACKS, arrays)
    cursor = await conn.execute(_STANDING, arrays)
    for row in await cursor.fetchall():
        key = (row[0], row[1], micros(row[2]))
        found[key] = _Standing([_version(row)], row[9], row[10], row[11])
        if row[11] > 1:
            contested.append(key)
            found[key].versions.clear()
    if contested:
        cursor = await conn.execute(_VERSIONS, _key_arrays(contested))
        for stack_id, instrument, at, body, sent_at in await cursor.fetchall():
            version = version_from(body, None if sent_at is None else micros(sent_at))
            found[stack_id, instrument, micros(at)].versions.append(version)
    return found


def _key_arrays(keys: Sequence[Key]) -> dict[str, Any]:
    times = [instant(at) for _, _, at in keys]
    return {
        "stacks": [stack_id for stack_id, _, _ in keys],
        "instruments": [instrument for _, instrument, _ in keys],
        "times": times,
        "first": min(times),
        "last": max(times),
    }


def _version(row: Sequence[Any]) -> Version:
    """The one version of a row that has no other."""
    values = {channel: value for channel, value in zip(CHANNELS, row[12:-1], strict=True) if value is not None}
    values |= {channel: float(value) for channel, value in (row[-1] or {}).items()}  # jsonb writes 1e300 as an integer
    return Version(
        revision=row[7],
        sent_at=None if row[8] is None else micros(row[8]),
        interval_s=row[3],
        flag=row[4],
        flags=row[5] or {},
        state=row[6],
        values=values,
    )


async def _settle(
    conn: Connection, key: Key, standing: _Standing, indexes: Sequence[int], arrivals: Sequence[Arrival]
) -> tuple[list[Fate], int]:
    """Merge the arrivals at *indexes* into the row that stands.

    Their fates, and the longest interval that the row had or has if it now says another thing, else 0.
    """
    fates = []
    before = merge(standing.versions)
    versions = distinct(standing.versions)
    changed = False
    for index in indexes:
        version = arrivals[index].version
        fate = _fate(version, versions)
        fates.append(fate)
        merged = distinct([*versions, version])
        changed |= merged != versions
        versions = merged
    after = merge(versions)
    if changed:
        brought = {arrivals[index].version.body: arrivals[index] for index in reversed(indexes)}
        await _rewrite(conn, key, standing, versions, after, brought, before)
    is_other = after.row.body != before.row.body
    return fates, max(before.row.interval_s, after.row.interval_s) if is_other else 0


def _fate(version: Version, known: Sequence[Version]) -> Fate:
    """A duplicate adds nothing, a conflict contradicts a version of its revision, all else is stored."""
    if any(version.body == other.body for other in known):
        return Fate.DUPLICATE
    if conflicts_with(version, known):
        return Fate.CONFLICT
    before, after = merge(known).row, merge([*known, version]).row
    return Fate.DUPLICATE if before.body == after.body else Fate.STORED


async def _rewrite(
    conn: Connection,
    key: Key,
    standing: _Standing,
    versions: Sequence[Version],
    after: Merged,
    brought: Mapping[str, Arrival],
    before: Merged,
) -> None:
    stack_id, instrument, sampled_at = key
    at, row = instant(sampled_at), after.row
    extra = {c: value for c, value in row.values.items() if c not in _OWN_COLUMN and value is not None}
    values: Mapping[str, float | None] = row.values
    await conn.execute(
        _UPDATE,
        [
            row.interval_s,
            row.flag,
            Jsonb(dict(row.flags)) if row.flags else None,
            row.state,
            row.revision,
            None if row.sent_at is None else instant(row.sent_at),
            len(versions),
            *(values.get(channel) for channel in CHANNELS),
            Jsonb(extra) if extra else None,
            stack_id,
            instrument,
            at,
        ],
    )
    if len(versions) > 1:
        old = {version.body for version in standing.versions}
        for version in versions:
            by = standing if version.body in old else brought[version.body]
            batch_id, received_at = by.batch_id, by.received_at
            sent_at = None if version.sent_at is None else instant(version.sent_at)
            values_of = [version.digest, version.revision, sent_at, version.body, received_at, batch_id]
            await conn.execute(_PUT_VERSION, [stack_id, instrument, at, *values_of])
    if after.conflicts != before.conflicts:
        for conflict in after.conflicts:
            counted, others = Jsonb(conflict.counted), Jsonb(list(conflict.others))
            place = [stack_id, instrument, at, conflict.channel, conflict.revision]
            await conn.execute(_PUT_CONFLICT, [*place, counted, others])


_READ: Final[LiteralString] = """
SELECT instrument, (extract(epoch FROM sampled_at) * 1000000)::bigint, interval_s, flag, flags, state,
       so2, nox, no, no2, pm, co, nh3, o2, moisture, temperature, pressure, velocity, flow
FROM measurement
WHERE stack_id = %(stack_id)s AND instrument = ANY(%(instruments)s)
  AND sampled_at >= %(first)s::timestamptz - interval '1 hour' AND sampled_at < %(end)s
ORDER BY instrument, sampled_at
"""
_READ_CHANNELS: Final = (
    "so2",
    "nox",
    "no",
    "no2",
    "pm",
    "co",
    "nh3",
    "o2",
    "moisture",
    "temperature",
    "pressure",
    "velocity",
    "flow",
)


async def read_rows(
    conn: Connection,
    stack_id: int,
    instruments: Sequence[str],
    *,
    first: int,
    end: int,
    stamped_at_end: bool = False,
) -> dict[str, Rows]:
    """The rows of a stack that touch `[first, end)` (microseconds), by instrument, sorted by their start.

    No row stands for more than an hour, so one hour of rows before *first* is enough, and where a row carries the end
    of its interval one hour behind *end*.
    """
    last = end + HOUR if stamped_at_end else end
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(
            _READ,
            {"stack_id": stack_id, "instruments": list(instruments), "first": instant(first), "end": instant(last)},
        )
        fetched = await cursor.fetchall()
    found: dict[str, Rows] = {}
    for instrument in dict.fromkeys(row[0] for row in fetched):
        found[instrument] = _to_rows([row for row in fetched if row[0] == instrument], stamped_at_end=stamped_at_end)
    return found


def _to_rows(fetched: Sequence[Any], *, stamped_at_end: bool) -> Rows:
    _, times, intervals, flag, flags, states, *values = zip(*fetched, strict=True)
    row_flag = np.frombuffer("".join(flag).encode(), dtype=np.uint8)
    own: dict[str, Letters] = {}
    for index, by_channel in enumerate(flags):
        for channel, letter in (by_channel or {}).items():
            own.setdefault(channel, row_flag.copy())[index] = ord(letter)
    starts, interval_s = np.array(times, dtype=np.int64), np.array(intervals, dtype=np.int64)
    if stamped_at_end:
        starts = starts - interval_s * SECOND
    return Rows(
        sampled_at=starts,
        interval_s=interval_s,
        not_running=state_not_running(states),
        # numpy reads None as NaN
        values={name: np.array(column, dtype=np.float64) for name, column in zip(_READ_CHANNELS, values, strict=True)},
        flags=own,
        row_flag=row_flag,
    )
