"""What a history needs beside the numbers of its hours: marks of every status, the mass before its first hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from plant.periods import instant, micros
from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSpan:
    """`[start, end)` of a mark, in microseconds."""

    start: int
    end: int
    kind: str
    status: str
    detail: Mapping[str, Any]


_MARKS: Final[LiteralString] = """
SELECT start_at, end_at, kind, status, jsonb_build_object('id', mark_id, 'filed_by', filed_by,
       'filed_at', utc_text(filed_at), 'reason', reason)
FROM mark WHERE stack_id = %s AND start_at < %s AND end_at > %s ORDER BY start_at, mark_id
"""
_GRAMS: Final[LiteralString] = """
SELECT coalesce(sum(round(mass_kg * 1000)), 0)::bigint FROM hour_mean
WHERE stack_id = %(stack_id)s AND pollutant = %(pollutant)s AND averaging = %(averaging)s
  AND start >= %(since)s AND start < %(end)s AND superseded_at IS NULL AND final AND mass_kg IS NOT NULL
"""
# Hours of a year lie as far apart as there are stacks: a sum that was made is gone on from, not made again.
_KNOWN_GRAMS: Final[LiteralString] = """
SELECT until, grams FROM year_mass
WHERE stack_id = %(stack_id)s AND pollutant = %(pollutant)s AND averaging = %(averaging)s
  AND until > %(since)s AND until <= %(end)s
"""
_KEEP_GRAMS: Final[LiteralString] = """
INSERT INTO year_mass (stack_id, pollutant, averaging, until, grams)
VALUES (%(stack_id)s, %(pollutant)s, %(averaging)s, %(end)s, %(grams)s)
ON CONFLICT (stack_id, pollutant, averaging) DO UPDATE SET until = excluded.until, grams = excluded.grams
"""
_ASK_SIBLINGS: Final[LiteralString] = """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT k.stack_id, a.hour, 'sibling'
FROM unnest(%(stacks)s::text[], %(hours)s::timestamptz[]) AS a (code, hour)
JOIN stack k ON k.site_id = %(site_id)s AND k.code = a.code
WHERE NOT EXISTS (SELECT FROM rejudge q WHERE q.stack_id = k.stack_id AND q.hour = a.hour AND q.reason = 'sibling')
"""


async def marks_of(conn: Connection, stack_id: int, *, first: int, end: int) -> list[MarkSpan]:
    """The marks of a stack that touch `[first, end)`, whatever became of them."""
    cursor = await conn.execute(_MARKS, [stack_id, instant(end), instant(first)])
    return [
        MarkSpan(start=micros(start), end=micros(stop), kind=kind, status=status, detail=detail)
        for start, stop, kind, status, detail in await cursor.fetchall()
    ]


async def mass_between(
    conn: Connection, stack_id: int, pollutant: str, averaging: str, *, first: int, end: int, keep: bool
) -> float:
    """The mass of the final hours that start in `[first, end)`, each in whole grams: their sum is exact. [kg]

    *first* is the start of a year. Who judges the stack may *keep* the sum for the next time: where an older hour
    changes, its own review asks for a sum that ends before it, and that one is kept then.
    """
    asked = {
        "stack_id": stack_id,
        "pollutant": pollutant,
        "averaging": averaging,
        "since": instant(first),
        "end": instant(end),
    }
    known = await (await conn.execute(_KNOWN_GRAMS, asked)).fetchone()
    since, grams = (asked["since"], 0) if known is None else known
    row = await (await conn.execute(_GRAMS, {**asked, "since": since})).fetchone()
    assert row is not None
    grams += row[0]
    if keep and (known is None or since != asked["end"]):
        await conn.execute(_KEEP_GRAMS, {**asked, "grams": grams})
    return float(grams / 1000)


async def ask_siblings(conn: Connection, site_id: int, asked: Sequence[tuple[str, int]]) -> None:
    """Have hours (stack, start) of other stacks of a site reviewed again."""
    if asked:
        stacks, hours = zip(*asked, strict=True)
        values = {"site_id": site_id, "stacks": list(stacks), "hours": [instant(hour) for hour in hours]}
        await conn.execute(_ASK_SIBLINGS, values)
        await conn.execute("SELECT pg_notify('rejudge', '')")


async def concern(conn: Connection, alert_ids: Sequence[str], rule: str) -> bool:
    """Whether one of the alerts is of *rule*."""
    cursor = await conn.execute("SELECT FROM alert WHERE alert_id = ANY(%s) AND rule = %s LIMIT 1", [alert_ids, rule])
    return cursor.rowcount > 0
