"""Rows of which several versions arrived: read, merged by `plant.merging`, and written back in bulk.

`measurement` holds the row that counts, `measurement_version` every version of a row that has more than one, and
`measurement_conflict` what contradicts. The row is a function of the set of its versions, never of their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from plant.blocks import Block, Bytes, Key
from plant.channels import CHANNELS
from plant.merging import CONFLICT, DUPLICATE, STORED, Merged, Version, conflicts_with, distinct, merge, version_from
from plant.periods import Instants, instant, micros
from store.pool import Connection

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
_PUT_VERSIONS: Final[LiteralString] = """
INSERT INTO measurement_version
    (stack_id, instrument, sampled_at, digest, revision, sent_at, body, received_at, batch_id)
SELECT * FROM unnest(%s::integer[], %s::text[], %s::timestamptz[], %s::bytea[], %s::integer[], %s::timestamptz[],
                     %s::text[], %s::timestamptz[], %s::bigint[])
ON CONFLICT (stack_id, instrument, sampled_at, digest)
    DO UPDATE SET sent_at = least(measurement_version.sent_at, excluded.sent_at)
"""
_PUT_CONFLICTS: Final[LiteralString] = """
INSERT INTO measurement_conflict (stack_id, instrument, sampled_at, channel, revision, counted, others)
SELECT * FROM unnest(%s::integer[], %s::text[], %s::timestamptz[], %s::text[], %s::integer[], %s::jsonb[], %s::jsonb[])
ON CONFLICT (stack_id, instrument, sampled_at, channel, revision)
    DO UPDATE SET counted = excluded.counted, others = excluded.others
"""
_OWN_COLUMN: Final = frozenset(CHANNELS)


@dataclass(slots=True)
class Standing:
    """A row that stands, with every version of it and the message that brought the first."""

    key: Key
    versions: list[Version]
    received_at: datetime
    batch_id: int


@dataclass(frozen=True, slots=True)
class Contested:
    """A row that stands, and the arrivals of it that may say something else, in the order they came."""

    standing: Standing
    indexes: Sequence[int]


@dataclass(slots=True)
class _Rewriting:
    """What is to be written, in the order of the keys."""

    rows: list[list[Any]] = field(default_factory=list)
    versions: list[list[Any]] = field(default_factory=list)
    conflicts: list[list[Any]] = field(default_factory=list)


async def standing_from(conn: Connection, rows: Sequence[Sequence[Any]]) -> dict[int, Standing]:
    """The rows that stand, by the place that leads each of *rows*; the rest are the columns of `measurement`."""
    found: dict[int, Standing] = {}
    by_key: dict[Key, Standing] = {}
    for place, *row in rows:
        key = (row[0], row[1], micros(row[2]))
        found[place] = Standing(key, [], row[9], row[10])
        if row[11] > 1:
            by_key[key] = found[place]
        else:
            found[place].versions.append(_version(row))
    if by_key:
        values = {
            "stacks": [stack_id for stack_id, _, _ in by_key],
            "instruments": [instrument for _, instrument, _ in by_key],
            "times": [instant(at) for _, _, at in by_key],
        }
        cursor = await conn.execute(_VERSIONS, values)
        for stack_id, instrument, at, body, sent_at in await cursor.fetchall():
            version = version_from(body, None if sent_at is None else micros(sent_at))
            by_key[stack_id, instrument, micros(at)].versions.append(version)
    return found


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


async def merge_all(
    conn: Connection,
    block: Block,
    batch_id: Instants,
    received_at: Instants,
    contested: Sequence[Contested],
    fates: Bytes,
) -> dict[int, int]:
    """Merge arrivals into the rows that stand, and note their *fates*.

    An arrival of each row that now says something else, with the longest interval that it had or has [s].
    """
    writing = _Rewriting()
    changed: dict[int, int] = {}
    for row in contested:
        arrived = [block.version(index) for index in row.indexes]
        known = distinct(row.standing.versions)
        before = merge(known)
        versions, after, found = _settle(known, before, arrived)
        fates[list(row.indexes)] = found
        if versions == known:
            continue
        brought = {
            version.body: (instant(int(received_at[index])), int(batch_id[index]))
            for index, version in reversed(list(zip(row.indexes, arrived, strict=True)))
        }
        _rewrite(writing, row.standing, versions, after, brought, before)
        if after.row.body != before.row.body:
            changed[row.indexes[0]] = max(before.row.interval_s, after.row.interval_s)
    await _put(conn, writing)
    return changed


def _settle(
    known: list[Version], before: Merged, arrived: Sequence[Version]
) -> tuple[list[Version], Merged, list[int]]:
    """(every version that there is now, what they make, the fate of each that arrived)."""
    versions, merged, fates = known, before, []
    for version in arrived:
        is_new = all(version.body != other.body for other in versions)
        now = distinct([*versions, version])
        after = merged if now == versions else merge(now)
        fates.append(_fate(version, versions, merged, after) if is_new else DUPLICATE)
        versions, merged = now, after
    return versions, merged, fates


def _fate(version: Version, known: Sequence[Version], before: Merged, after: Merged) -> int:
    if conflicts_with(version, known):
        return CONFLICT
    return DUPLICATE if before.row.body == after.row.body else STORED


def _rewrite(
    writing: _Rewriting,
    standing: Standing,
    versions: Sequence[Version],
    after: Merged,
    brought: Mapping[str, tuple[datetime, int]],
    before: Merged,
) -> None:
    stack_id, instrument, sampled_at = standing.key
    key = [stack_id, instrument, instant(sampled_at)]
    writing.rows.append([*_cells(after.row, len(versions)), *key])
    if len(versions) > 1:
        old = {version.body for version in standing.versions}
        for version in versions:
            by = (standing.received_at, standing.batch_id) if version.body in old else brought[version.body]
            sent_at = None if version.sent_at is None else instant(version.sent_at)
            writing.versions.append([*key, version.digest, version.revision, sent_at, version.body, *by])
    if after.conflicts != before.conflicts:
        for conflict in after.conflicts:
            counted, others = Jsonb(conflict.counted), Jsonb(list(conflict.others))
            writing.conflicts.append([*key, conflict.channel, conflict.revision, counted, others])


def _cells(row: Version, versions: int) -> list[Any]:
    """What `_UPDATE` sets."""
    extra = {c: value for c, value in row.values.items() if c not in _OWN_COLUMN and value is not None}
    return [
        row.interval_s,
        row.flag,
        Jsonb(dict(row.flags)) if row.flags else None,
        row.state,
        row.revision,
        None if row.sent_at is None else instant(row.sent_at),
        versions,
        *(row.values.get(channel) for channel in CHANNELS),
        Jsonb(extra) if extra else None,
    ]


async def _put(conn: Connection, writing: _Rewriting) -> None:
    if writing.rows:
        async with conn.cursor() as cursor:
            # One key a statement, sent together: each is planned for the chunk that holds its row, and for no other.
            await cursor.executemany(_UPDATE, writing.rows)
    for statement, rows in ((_PUT_VERSIONS, writing.versions), (_PUT_CONFLICTS, writing.conflicts)):
        if rows:
            await conn.execute(statement, [list(column) for column in zip(*rows, strict=True)])
