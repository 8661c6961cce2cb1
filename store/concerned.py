"""Which hours of which stacks reports are about: what arrives after an hour was judged has it looked at again.

An hour mean comes when its hour is over, and is read with the stack's next hour anyway, which looks at the local day
again. So it asks only where it is not ours by more than a hundredth, where it replaces another, or where its day is
over. A process value comes with its hour, and is read when that is judged; only one that is late asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, LiteralString

from plant.periods import HOUR, MINUTE, instant, micros
from plant.reports import REPORTED_MEAN, SIGNAL
from plant.signals import is_read
from store.pool import Connection
from store.reports import Arrived

HOUR_S: Final = 3600
LATE: Final = 2 * MINUTE  #: after its hour: by then it is judged (contract, section 5)

_AVG: Final = REPORTED_MEAN.content.index("avg")
_CORRECTED: Final = REPORTED_MEAN.content.index("corrected_avg")

StackHours = set[tuple[int, datetime]]  #: stack_id, start of a local hour

_MEANS: Final[LiteralString] = """
SELECT DISTINCT a.stack_id, date_trunc('hour', a.at AT TIME ZONE s.timezone) AT TIME ZONE s.timezone
FROM unnest(%(stacks)s::integer[], %(channels)s::text[], %(avg)s::double precision[],
            %(corrected)s::double precision[], %(at)s::timestamptz[], %(revised)s::boolean[])
     AS a (stack_id, channel, avg, corrected, at, revised)
JOIN stack USING (stack_id) JOIN site s USING (site_id) LEFT JOIN stack_latest l ON l.stack_id = a.stack_id
WHERE a.revised OR (l.sampled_at AT TIME ZONE s.timezone)::date > (a.at AT TIME ZONE s.timezone)::date
   OR EXISTS (SELECT FROM hour_mean m
              WHERE m.stack_id = a.stack_id AND m.pollutant = a.channel AND m.start = a.at AND m.superseded_at IS NULL
                AND abs(m.mean - a.avg) > 0.01 * abs(m.mean))
   OR EXISTS (SELECT FROM hour_verdict v
              WHERE v.stack_id = a.stack_id AND v.pollutant = a.channel AND v.start = a.at AND v.superseded_at IS NULL
                AND abs(v.corrected - a.corrected) > 0.01 * abs(v.corrected))
"""
_SIGNALS: Final[LiteralString] = """
SELECT DISTINCT k.stack_id, date_trunc('hour', a.at AT TIME ZONE s.timezone) AT TIME ZONE s.timezone
FROM unnest(%s::integer[], %s::text[], %s::text[], %s::timestamptz[]) AS a (site_id, unit, stack, at)
JOIN site s USING (site_id)
JOIN stack k ON k.site_id = a.site_id AND (k.code = a.stack OR a.stack = '' AND k.document->'units' ? a.unit)
"""


async def by_means(conn: Connection, arrived: Sequence[Arrived]) -> StackHours:
    """The hours of which means were reported that would not be read otherwise, or not soon."""
    hourly = [one.report for one in arrived if one.report.kind is REPORTED_MEAN and one.report.key[3] == HOUR_S]
    if not hourly:
        return set()
    values = {
        "stacks": [report.key[0] for report in hourly],
        "channels": [report.key[2] for report in hourly],
        "avg": [report.content[_AVG] for report in hourly],
        "corrected": [report.content[_CORRECTED] for report in hourly],
        "at": [instant(report.sampled_at) for report in hourly],
        "revised": [report.revision > 0 for report in hourly],
    }
    return set(await (await conn.execute(_MEANS, values)).fetchall())


async def by_signals(conn: Connection, arrived: Sequence[Arrived]) -> StackHours:
    """The hours whose process values came late."""
    late = [
        one.report.key for one in arrived if one.report.kind is SIGNAL and is_read(one.report.key[3]) and _is_late(one)
    ]
    ours = {(site_id, unit, stack, instant(at // HOUR * HOUR)) for site_id, unit, stack, _, at in late}
    if not ours:
        return set()
    cursor = await conn.execute(_SIGNALS, [list(column) for column in zip(*sorted(ours), strict=True)])
    return set(await cursor.fetchall())


def _is_late(one: Arrived) -> bool:
    """Whether it is of an hour that was judged without it, and a rule would have read it."""
    ended = (one.report.sampled_at // HOUR + 1) * HOUR
    return micros(one.received_at) >= ended + LATE and is_read(one.report.key[3])
