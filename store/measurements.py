"""Reading measurements back: the rows of a stack as arrays, for judging and for what is shown of the running hour.

Rows are written by `store.arriving`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import numpy as np

from plant.periods import HOUR, SECOND, instant
from plant.readings import Letters, Rows, state_not_running
from store.pool import Connection

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
