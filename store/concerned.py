"""Which hours have to be looked at again for what is said beside their rows, if it arrives after they were judged.

An hour mean comes when its hour is over, and is read with the stack's next hour anyway, which looks at the local day
again. So it asks only where it is not ours by more than a hundredth, where it replaces another, or where its day is
over. A process value comes with its hour, and is read when that is judged; only one that is late asks. So does a row
with another value than the one that counts: by it no number of its hour is another, and still it is a lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, LiteralString

from plant.periods import MINUTE, instant
from plant.reports import REPORTED_MEAN, SIGNAL
from plant.signals import is_read
from store.pool import Connection
from store.reports import Arrived

HOUR_S: Final = 3600
LATE: Final = timedelta(minutes=1)  #: after its hour, a minute before that is judged: what is read takes time to write
QUARTER: Final = 15 * MINUTE  #: lies in one hour, wherever clocks are off by halves and quarters of one

_AVG: Final = REPORTED_MEAN.content.index("avg")
_CORRECTED: Final = REPORTED_MEAN.content.index("corrected_avg")

StackHours = set[tuple[int, datetime]]  #: stack_id, start of a local hour

# An hour is cut where the site's clock cuts it, also in a zone off by half an hour. With the zone as an argument: there
# and back by AT TIME ZONE takes the wrong one of the two hours that a summer's end repeats.
_MEANS: Final[LiteralString] = """
SELECT DISTINCT a.stack_id, date_trunc('hour', a.at, s.timezone)
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
# Of what came late: the hour that it is of, by what time it then was at the site. What waited for the database came
# before its hour was judged, and is written after it.
_IS_LATE: Final[LiteralString] = """
LEFT JOIN site_clock c ON c.site_id = s.site_id
CROSS JOIN LATERAL (
    SELECT date_trunc('hour', a.at, s.timezone) AS start) h
WHERE CASE WHEN s.simulated THEN c.newest ELSE greatest(a.received_at, (SELECT max(at) FROM tick)) END
      >= h.start + interval '1 hour' + %(late)s
"""
_SIGNALS: Final[LiteralString] = (
    """
SELECT DISTINCT k.stack_id, h.start
FROM unnest(%(sites)s::integer[], %(units)s::text[], %(stacks)s::text[], %(at)s::timestamptz[],
            %(received)s::timestamptz[]) AS a (site_id, unit, stack, at, received_at)
JOIN site s USING (site_id)
JOIN stack k ON k.site_id = a.site_id AND (k.code = a.stack OR a.stack = '' AND k.document->'units' ? a.unit)
"""
    + _IS_LATE
)
_CONFLICTS: Final[LiteralString] = (
    """
SELECT DISTINCT a.stack_id, h.start
FROM unnest(%(stacks)s::integer[], %(at)s::timestamptz[], %(received)s::timestamptz[]) AS a (stack_id, at, received_at)
JOIN stack USING (stack_id) JOIN site s USING (site_id)
"""
    + _IS_LATE
)


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
    """The hours whose process values came when they had been judged without them, and that a rule would have read."""
    latest: dict[tuple[int, str, str, int], datetime] = {}
    for one in arrived:
        if one.report.kind is SIGNAL and is_read(one.report.key[3]):
            key = (*one.report.key[:3], one.report.sampled_at // QUARTER * QUARTER)
            latest[key] = max(one.received_at, latest.get(key, one.received_at))
    if not latest:
        return set()
    sites, units, stacks, at = zip(*latest, strict=True)
    values = {
        "sites": list(sites),
        "units": list(units),
        "stacks": list(stacks),
        "at": [instant(each) for each in at],
        "received": list(latest.values()),
        "late": LATE,
    }
    return set(await (await conn.execute(_SIGNALS, values)).fetchall())


async def by_conflicts(
    conn: Connection, stack_ids: Sequence[int], sampled_at: Sequence[int], received_at: Sequence[int]
) -> StackHours:
    """The hours of rows that came with another value than the one that counts, when they had been judged without."""
    values = {
        "stacks": list(stack_ids),
        "at": [instant(at) for at in sampled_at],
        "received": [instant(at) for at in received_at],
        "late": LATE,
    }
    return set(await (await conn.execute(_CONFLICTS, values)).fetchall())
