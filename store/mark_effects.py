"""What the effect of marks is worked out from: the other accepted marks, and hours of a month beside the touched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Final, LiteralString

from plant.hours import Claim
from plant.months import JudgedHour
from plant.periods import instant, micros
from plant.verdicts import Verdict
from store.pool import Connection

_OTHERS: Final[LiteralString] = """
SELECT start_at, end_at FROM mark
WHERE stack_id = %(stack_id)s AND status = 'accepted' AND start_at < %(end)s AND end_at > %(first)s
  AND NOT mark_id = ANY(%(ids)s)
ORDER BY start_at
"""
_OUTSIDE: Final[LiteralString] = """
SELECT month, pack, pollutant, verdict, reason, claimed, count(*)
FROM hour_verdict
WHERE stack_id = %(stack_id)s AND month = ANY(%(months)s) AND superseded_at IS NULL AND final
  AND start BETWEEN %(first)s::timestamptz - interval '2 days' AND %(last)s::timestamptz + interval '33 days'
  AND NOT start = ANY(%(starts)s)
GROUP BY 1, 2, 3, 4, 5, 6
"""


async def other_accepted(conn: Connection, stack_id: int, ids: Collection[int], *, first: int, end: int) -> list[Claim]:
    """The accepted marks of a stack that touch `[first, end)` (microseconds), without *ids*."""
    values = {"stack_id": stack_id, "ids": list(ids), "first": instant(first), "end": instant(end)}
    return [
        Claim(micros(start), micros(stop)) for start, stop in await (await conn.execute(_OTHERS, values)).fetchall()
    ]


async def hours_outside(
    conn: Connection, stack_id: int, months: Sequence[date], starts: Sequence[int]
) -> dict[tuple[date, str, str], dict[JudgedHour, int]]:
    """How many final hours of each kind the local *months* have beside those at *starts*, by month, pack, pollutant."""
    values = {
        "stack_id": stack_id,
        "months": list(months),
        "first": min(months),
        "last": max(months),
        "starts": [instant(start) for start in starts],
    }
    found: dict[tuple[date, str, str], dict[JudgedHour, int]] = {}
    for month, pack, pollutant, verdict, reason, claimed, count in await (
        await conn.execute(_OUTSIDE, values)
    ).fetchall():
        found.setdefault((month, pack, pollutant), {})[JudgedHour(Verdict(verdict), reason, claimed)] = count
    return found
