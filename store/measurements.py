"""Reading measurements back: the rows of a stack as arrays, for judging and for what is shown of the running hour.

Rows are written by `store.arriving`. The database makes the arrays and sends them as it would send them to another
database: numpy reads those bytes as they are, so a row costs no object of Python's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

import numpy as np

from plant.channels import NOT_RUNNING
from plant.periods import HOUR, SECOND, instant
from plant.readings import Letters, Rows
from plant.register import Stack
from store.arrays import items
from store.pool import Connection

_CHANNELS: Final = (
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
    "power_production_kw",
    "power_abatement_kw",
    "load_pct",
)
# An aggregate takes rows in the order in which a sorted subquery gives them. An array must have no nulls, or its items
# have no fixed length; of a channel that no row has nothing is sent.
_READ: Final[LiteralString] = """
SELECT instrument,
       array_send(array_agg((extract(epoch FROM sampled_at) * 1000000)::bigint)),
       array_send(array_agg(interval_s)), string_agg(flag, ''),
       array_send(array_agg(coalesce(state = ANY(%(stopped)s), false))),
       jsonb_object_agg(place, flags) FILTER (WHERE flags IS NOT NULL),
       CASE WHEN count(so2) > 0 THEN array_send(array_agg(coalesce(so2, 'NaN'))) END,
       CASE WHEN count(nox) > 0 THEN array_send(array_agg(coalesce(nox, 'NaN'))) END,
       CASE WHEN count(no) > 0 THEN array_send(array_agg(coalesce(no, 'NaN'))) END,
       CASE WHEN count(no2) > 0 THEN array_send(array_agg(coalesce(no2, 'NaN'))) END,
       CASE WHEN count(pm) > 0 THEN array_send(array_agg(coalesce(pm, 'NaN'))) END,
       CASE WHEN count(co) > 0 THEN array_send(array_agg(coalesce(co, 'NaN'))) END,
       CASE WHEN count(nh3) > 0 THEN array_send(array_agg(coalesce(nh3, 'NaN'))) END,
       CASE WHEN count(o2) > 0 THEN array_send(array_agg(coalesce(o2, 'NaN'))) END,
       CASE WHEN count(moisture) > 0 THEN array_send(array_agg(coalesce(moisture, 'NaN'))) END,
       CASE WHEN count(temperature) > 0 THEN array_send(array_agg(coalesce(temperature, 'NaN'))) END,
       CASE WHEN count(pressure) > 0 THEN array_send(array_agg(coalesce(pressure, 'NaN'))) END,
       CASE WHEN count(velocity) > 0 THEN array_send(array_agg(coalesce(velocity, 'NaN'))) END,
       CASE WHEN count(flow) > 0 THEN array_send(array_agg(coalesce(flow, 'NaN'))) END,
       CASE WHEN count(power_production_kw) > 0 THEN array_send(array_agg(coalesce(power_production_kw, 'NaN'))) END,
       CASE WHEN count(power_abatement_kw) > 0 THEN array_send(array_agg(coalesce(power_abatement_kw, 'NaN'))) END,
       CASE WHEN count(load_pct) > 0 THEN array_send(array_agg(coalesce(load_pct, 'NaN'))) END
FROM (
    SELECT *, row_number() OVER (PARTITION BY instrument ORDER BY sampled_at) - 1 AS place FROM measurement
    WHERE stack_id = %(stack_id)s AND instrument = ANY(%(instruments)s)
      AND sampled_at >= %(first)s::timestamptz - make_interval(hours => 1, secs => %(settle_s)s)
      AND sampled_at < %(end)s
      AND (sampled_at >= %(first)s OR sampled_at + make_interval(secs => interval_s + %(settle_s)s) > %(first)s)
    ORDER BY instrument, sampled_at
) ordered
GROUP BY instrument ORDER BY instrument
"""


async def read_rows(conn: Connection, stack_id: int, stack: Stack, *, first: int, end: int) -> dict[str, Rows]:
    """The rows of the instruments that *stack* is judged from that touch `[first, end)` (microseconds), by instrument.

    Sorted by their start. No row stands for more than an hour, so one hour of rows before *first* is enough, and where
    a row carries the end of its interval one hour behind *end*. A calibration still touches while its gas is in the
    line.
    """
    at_end = stack.stamped_at_end
    values = {
        "stack_id": stack_id,
        "instruments": list(stack.ducts or stack.judged_from),
        "stopped": sorted(NOT_RUNNING),
        "first": instant(first),
        "end": instant(end + HOUR if at_end else end),
        "settle_s": stack.settle_s,
    }
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_READ, values)
        return {row[0]: _to_rows(row[1:], stamped_at_end=at_end) for row in await cursor.fetchall()}


def _to_rows(fetched: Sequence[Any], *, stamped_at_end: bool) -> Rows:
    times, intervals, flag, stopped, flags, *values = fetched
    row_flag: Letters = np.frombuffer(flag.encode(), dtype=np.uint8)
    starts, interval_s = items(times, ">i8", np.int64), items(intervals, ">i4", np.int64)
    if stamped_at_end:
        starts = starts - interval_s * SECOND
    nothing = np.full(row_flag.size, np.nan)
    return Rows(
        sampled_at=starts,
        interval_s=interval_s,
        not_running=items(stopped, "?", np.bool_),
        values={
            name: nothing if body is None else items(body, ">f8", np.float64)
            for name, body in zip(_CHANNELS, values, strict=True)
        },
        flags=_own_flags(flags or {}, row_flag),
        row_flag=row_flag,
    )


def _own_flags(by_place: Mapping[str, Mapping[str, str]], row_flag: Letters) -> dict[str, Letters]:
    """By channel, where any row has another flag for it than its own."""
    found: dict[str, Letters] = {}
    for place, by_channel in by_place.items():
        for channel, letter in by_channel.items():
            if channel not in found:
                found[channel] = row_flag.copy()
            found[channel][int(place)] = ord(letter)
    return found
