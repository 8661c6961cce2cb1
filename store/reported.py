"""Reading reported means back: as they are listed, and as runs of periods that are reconciled with the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from plant.periods import micros
from store.pool import Connection

_LIST: Final[LiteralString] = """
SELECT utc_text(sampled_at) AS start, interval_s, channel, source, avg, min, max, corrected_avg, corrected_min,
       corrected_max, amount, flag, revision, utc_text(received_at) AS received_at
FROM reported_mean
WHERE stack_id = %(stack)s
  AND sampled_at >= coalesce(%(start)s, '-infinity'::timestamptz)
  AND sampled_at < coalesce(%(end)s, 'infinity'::timestamptz)
  AND (%(period)s::integer IS NULL OR interval_s = %(period)s)
  AND (%(channels)s::text[] = '{}' OR channel = ANY(%(channels)s))
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(after_at)s::timestamptz IS NULL
       OR (sampled_at, interval_s, channel, source) < (%(after_at)s, %(after_s)s, %(after_channel)s, %(after_source)s))
ORDER BY sampled_at DESC, interval_s DESC, channel DESC, source DESC
LIMIT %(limit)s
"""

# The same periods for every channel, so that a page ends at one place.
_RUNS: Final[LiteralString] = """
WITH newest AS (
    SELECT DISTINCT sampled_at FROM reported_mean
    WHERE stack_id = %(stack)s AND interval_s = %(period)s AND channel = ANY(%(channels)s)
      AND sampled_at >= coalesce(%(start)s, '-infinity'::timestamptz)
      AND sampled_at < coalesce(%(end)s, 'infinity'::timestamptz)
    ORDER BY sampled_at DESC LIMIT %(most)s
)
SELECT channel, source, sampled_at, avg, corrected_avg
FROM reported_mean JOIN newest USING (sampled_at)
WHERE stack_id = %(stack)s AND interval_s = %(period)s AND channel = ANY(%(channels)s)
ORDER BY channel, sampled_at
"""


@dataclass(frozen=True, slots=True)
class ReportedFilter:
    start: datetime | None = None
    end: datetime | None = None
    period_s: int | None = None
    channels: tuple[str, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What was reported of one channel, period by period: rising starts, and by source (measured, corrected)."""

    starts: list[int] = field(default_factory=list)  #: microseconds since the epoch
    values: list[dict[str, tuple[float | None, float | None]]] = field(default_factory=list)


async def list_reported(
    conn: Connection,
    stack_id: int,
    wanted: ReportedFilter,
    *,
    after: tuple[datetime, int, str, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Reported means as they count now, newest first."""
    after_at, after_s, after_channel, after_source = after or (None, None, None, None)
    parameters = {
        "stack": stack_id,
        "start": wanted.start,
        "end": wanted.end,
        "period": wanted.period_s,
        "channels": list(wanted.channels),
        "source": wanted.source,
        "after_at": after_at,
        "after_s": after_s,
        "after_channel": after_channel,
        "after_source": after_source,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_LIST, parameters)
        return await cursor.fetchall()


async def reported_runs(
    conn: Connection,
    stack_id: int,
    period_s: int,
    channels: Sequence[str],
    *,
    start: datetime | None,
    end: datetime | None,
    most: int,
) -> Mapping[str, Run]:
    """By channel, what was reported of the newest *most* periods of `[start, end)` that anything was reported of."""
    cursor = await conn.execute(
        _RUNS,
        {"stack": stack_id, "period": period_s, "channels": list(channels), "start": start, "end": end, "most": most},
    )
    found: dict[str, Run] = {}
    for channel, source, sampled_at, avg, corrected in await cursor.fetchall():
        run = found.setdefault(channel, Run())
        at = micros(sampled_at)
        if not run.starts or run.starts[-1] != at:
            run.starts.append(at)
            run.values.append({})
        run.values[-1][source] = (avg, corrected)
    return found
