"""What rules look back on: one row of numbers for each hour of a stack, and the lives of its alerts at day ends.

The numbers are a digest of what other tables hold, written with them; `alerts.digests` knows what they are. A layout
is named by its content, so any process that reads one knows it for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, LiteralString

import numpy as np
from psycopg.types.json import Jsonb

from plant.periods import Instants, instant, micros
from store.arrays import items
from store.pool import Connection


@dataclass(frozen=True, slots=True)
class HourDigest:
    """The numbers of one hour, each float64 little endian, in the order of its layout."""

    start: int  #: microseconds
    layout: int
    features: bytes
    blocks: bytes
    verdicts: bytes


@dataclass(frozen=True, slots=True)
class DigestRun:
    """The numbers of hours of one layout, one behind the other; empty where they were not asked for."""

    layout: int
    starts: Instants
    features: bytes
    blocks: bytes
    verdicts: bytes


_KNOWN_LAYOUTS: Final[LiteralString] = "SELECT layout FROM hour_layout WHERE layout = ANY(%s)"
_PUT_LAYOUT: Final[LiteralString] = """
INSERT INTO hour_layout (layout, names) VALUES (%s, %s) ON CONFLICT (layout) DO NOTHING
"""
_PUT: Final[LiteralString] = """
INSERT INTO hour_feature (stack_id, start, layout, features, blocks, verdicts) VALUES (%s, %s, %s, %b, %b, %b)
ON CONFLICT (stack_id, start) DO UPDATE SET
    layout = excluded.layout, features = excluded.features, blocks = excluded.blocks, verdicts = excluded.verdicts
"""
_STANDING: Final[LiteralString] = """
SELECT (extract(epoch FROM start) * 1000000)::bigint, layout, features, blocks, verdicts FROM hour_feature
WHERE stack_id = %(stack_id)s AND start = ANY(%(starts)s) AND start BETWEEN %(first)s AND %(last)s
"""
_READ: Final[LiteralString] = """
SELECT layout, array_send(array_agg(us)), string_agg(features, ''), string_agg(blocks, ''), string_agg(verdicts, '')
FROM (
    SELECT layout, (extract(epoch FROM start) * 1000000)::bigint AS us, start >= %(values_from)s AS whole,
           CASE WHEN start >= %(values_from)s THEN features ELSE '' END AS features,
           CASE WHEN start >= %(values_from)s THEN blocks ELSE '' END AS blocks, verdicts
    FROM hour_feature WHERE stack_id = %(stack_id)s AND start >= %(first)s AND start < %(end)s
    ORDER BY start
) ordered
GROUP BY layout, whole
"""
_BLOCKS: Final[LiteralString] = """
SELECT code, layout, array_send(array_agg(us)), string_agg(blocks, '')
FROM (
    SELECT k.code, f.layout, (extract(epoch FROM f.start) * 1000000)::bigint AS us, f.blocks
    FROM stack k JOIN hour_feature f USING (stack_id)
    WHERE k.site_id = %(site_id)s AND k.stack_id <> %(stack_id)s AND k.withdrawn_at IS NULL
      AND f.start >= %(first)s AND f.start < %(end)s
    ORDER BY k.code, f.start
) ordered
GROUP BY code, layout
"""
_LAYOUTS: Final[LiteralString] = "SELECT layout, names FROM hour_layout WHERE layout = ANY(%s)"


async def put_digests(
    conn: Connection, stack_id: int, digests: Sequence[HourDigest], layouts: Mapping[int, Mapping[str, Any]]
) -> None:
    """Write *digests* over what stands; *layouts* are those of them that may not be known yet."""
    if layouts:
        cursor = await conn.execute(_KNOWN_LAYOUTS, [list(layouts)])
        known = {layout for (layout,) in await cursor.fetchall()}
        for layout in sorted(layouts.keys() - known):
            await conn.execute(_PUT_LAYOUT, [layout, Jsonb(dict(layouts[layout]))])
    async with conn.cursor() as cursor:
        await cursor.executemany(
            _PUT, [[stack_id, instant(d.start), d.layout, d.features, d.blocks, d.verdicts] for d in digests]
        )


async def standing_digests(conn: Connection, stack_id: int, starts: Sequence[int]) -> dict[int, HourDigest]:
    """What stands of the hours *starts*, by start."""
    if not starts:
        return {}
    at = [instant(start) for start in starts]
    values = {"stack_id": stack_id, "starts": at, "first": min(at), "last": max(at)}
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_STANDING, values)
        return {row[0]: HourDigest(*row) for row in await cursor.fetchall()}


async def read_digests(conn: Connection, stack_id: int, *, first: int, values_from: int, end: int) -> list[DigestRun]:
    """The hours of `[first, end)`; before *values_from* with their verdicts alone."""
    bounds = {"first": instant(first), "values_from": instant(values_from), "end": instant(end)}
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_READ, {"stack_id": stack_id, **bounds})
        return [DigestRun(layout, _starts(us), *bodies) for layout, us, *bodies in await cursor.fetchall()]


async def read_blocks(
    conn: Connection, site_id: int, stack_id: int, *, first: int, end: int
) -> dict[str, list[DigestRun]]:
    """The blocks of the site's other stacks in `[first, end)`, by stack."""
    values = {"site_id": site_id, "stack_id": stack_id, "first": instant(first), "end": instant(end)}
    found: dict[str, list[DigestRun]] = {}
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_BLOCKS, values)
        for code, layout, us, blocks in await cursor.fetchall():
            found.setdefault(code, []).append(DigestRun(layout, _starts(us), b"", blocks, b""))
    return found


def _starts(body: bytes) -> Instants:
    return items(body, ">i8", np.int64)


async def layouts(conn: Connection, wanted: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    cursor = await conn.execute(_LAYOUTS, [sorted(wanted)])
    return dict(await cursor.fetchall())


_CHECKPOINT: Final[LiteralString] = """
SELECT day, state FROM life WHERE stack_id = %s AND day < %s ORDER BY day DESC LIMIT 1
"""
_FIRST: Final[LiteralString] = "SELECT min(start) FROM hour_feature WHERE stack_id = %s"
_PUT_CHECKPOINTS: Final[LiteralString] = """
INSERT INTO life (stack_id, day, state) VALUES (%s, %s, %s)
ON CONFLICT (stack_id, day) DO UPDATE SET state = excluded.state WHERE life.state <> excluded.state
"""


async def checkpoint_before(conn: Connection, stack_id: int, day: date) -> tuple[date, Mapping[str, Any]] | None:
    """The newest checkpoint of a stack from before the local *day*, with its own day."""
    cursor = await conn.execute(_CHECKPOINT, [stack_id, day])
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


async def first_hour(conn: Connection, stack_id: int) -> int | None:
    """The first hour of a stack that was ever judged, as far as it is kept."""
    row = await (await conn.execute(_FIRST, [stack_id])).fetchone()
    return None if row is None or row[0] is None else micros(row[0])


async def put_checkpoints(conn: Connection, stack_id: int, states: Mapping[date, Mapping[str, Any]]) -> None:
    if states:
        async with conn.cursor() as cursor:
            await cursor.executemany(
                _PUT_CHECKPOINTS, [[stack_id, day, Jsonb(dict(state))] for day, state in sorted(states.items())]
            )
