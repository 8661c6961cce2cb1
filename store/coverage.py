"""Expected and missing rows, by stack, channel and hour: the register beside what arrived. `plant.coverage` counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

import numpy as np

from plant.channels import CHANNELS
from plant.coverage import Sent, cover, expected_channels, window
from plant.periods import HOUR, SECOND, instant, micros
from plant.register import Stack
from store.pool import Connection
from store.register import RegisteredSite

ChannelKey = tuple[datetime, str, str]  #: hour, stack, channel: the order of the list, read from behind

_MOST_HOURS: Final = 48  #: read at once

# A stack owes rows from the day it was registered, or from its first row where that is older.
_SINCE: Final[LiteralString] = """
SELECT k.stack_id, least(
    (SELECT min(v.changed_at) FROM register_version v WHERE v.kind = 'stack' AND v.key = %(site)s || '/' || k.code),
    (SELECT min(m.sampled_at) FROM unnest(%(instruments)s::text[]) AS i (instrument) CROSS JOIN LATERAL (
        SELECT sampled_at FROM measurement m WHERE m.stack_id = k.stack_id AND m.instrument = i.instrument
        ORDER BY sampled_at LIMIT 1) m))
FROM stack k WHERE k.stack_id = %(stack_id)s
"""
_READ: Final[LiteralString] = """
SELECT instrument, (extract(epoch FROM sampled_at) * 1000000)::bigint, interval_s, flag, flags,
       so2 IS NOT NULL, nox IS NOT NULL, no IS NOT NULL, no2 IS NOT NULL, pm IS NOT NULL, co IS NOT NULL,
       nh3 IS NOT NULL, o2 IS NOT NULL, moisture IS NOT NULL, temperature IS NOT NULL, pressure IS NOT NULL,
       velocity IS NOT NULL, flow IS NOT NULL, power_production_kw IS NOT NULL, power_abatement_kw IS NOT NULL,
       load_pct IS NOT NULL
FROM measurement
WHERE stack_id = %(stack_id)s AND instrument = ANY(%(instruments)s)
  AND sampled_at >= %(first)s::timestamptz - interval '1 hour' AND sampled_at < %(end)s
ORDER BY instrument, sampled_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owing:
    """A stack, and since when rows of it are expected."""

    stack_id: int
    stack: Stack
    since: int
    channels: Sequence[str]


async def list_channels(
    conn: Connection,
    site: RegisteredSite,
    *,
    now: datetime,
    stack: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: ChannelKey | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """One line a stack, channel and UTC hour of *site*, newest hour first, behind the key *after*.

    *now* is the clock of the site; the running hour counts as far as it has run.
    """
    owing = [
        await _owing(conn, site, item)
        for item in sorted(site.site.stacks, key=lambda item: item.code, reverse=True)
        if stack in (None, item.code)
    ]
    clock = micros(now)
    wanted = list(_wanted([item for item in owing if item is not None], clock, start, end, after, limit))
    read: dict[tuple[str, int], dict[str, Sent]] = {}
    for item in (item for item in owing if item is not None):
        hours = [hour for hour, other, _ in wanted if other is item]
        for first in range(min(hours, default=0), max(hours, default=-1) + 1, _MOST_HOURS * HOUR):
            sent = await _read(conn, item, first, min(first + _MOST_HOURS * HOUR, max(hours) + HOUR))
            some = range(first, min(first + _MOST_HOURS * HOUR, max(hours) + HOUR), HOUR)
            read |= {(item.stack.code, hour): _touching(sent, hour) for hour in some}
    return [
        _line(site.site.code, item, hour, channel, read[item.stack.code, hour], clock) for hour, item, channel in wanted
    ]


async def _owing(conn: Connection, site: RegisteredSite, stack: Stack) -> _Owing | None:
    values = {
        "site": site.site.code,
        "stack_id": site.stack_ids[stack.code],
        "instruments": list(stack.ducts or stack.judged_from),
    }
    row = await (await conn.execute(_SINCE, values)).fetchone()
    if row is None or row[1] is None:
        return None
    return _Owing(stack_id=row[0], stack=stack, since=micros(row[1]), channels=expected_channels(stack)[::-1])


def _wanted(
    owing: Sequence[_Owing],
    now: int,
    start: datetime | None,
    end: datetime | None,
    after: ChannelKey | None,
    limit: int,
) -> Iterator[tuple[int, _Owing, str]]:
    """Hours, stacks and channels of the lines, in their order, at most *limit*."""
    if not owing or limit <= 0:
        return
    last = now - 1 if end is None else min(now, micros(end)) - 1
    if after is not None:
        last = min(last, micros(after[0]))
    oldest = min(item.since for item in owing)
    first = oldest if start is None else max(oldest, micros(start))
    found = 0
    for hour in range(last // HOUR * HOUR, first // HOUR * HOUR - 1, -HOUR):
        if start is not None and hour < micros(start):
            return
        for item in owing:
            begins, ends = window(hour, since=item.since, now=now, interval_s=item.stack.interval_s)
            if begins >= ends:
                continue
            for channel in item.channels:
                if after is None or (instant(hour), item.stack.code, channel) < after:
                    yield hour, item, channel
                    found += 1
                    if found == limit:
                        return


async def _read(conn: Connection, item: _Owing, first: int, end: int) -> dict[str, Sent]:
    """What touches `[first, end)`. No row stands for more than an hour."""
    last = end + HOUR if item.stack.stamped_at_end else end
    values = {
        "stack_id": item.stack_id,
        "instruments": list(item.stack.ducts or item.stack.judged_from),
        "first": instant(first),
        "end": instant(last),
    }
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(_READ, values)
        rows = await cursor.fetchall()
    by_instrument: dict[str, list[Any]] = {}
    for row in rows:
        by_instrument.setdefault(row[0], []).append(row)
    return {name: _sent(listed, stamped_at_end=item.stack.stamped_at_end) for name, listed in by_instrument.items()}


def _touching(sent: Mapping[str, Sent], hour: int) -> dict[str, Sent]:
    """The rows that may stand for a part of *hour*."""
    found = {}
    for name, one in sent.items():
        near = (one.start > hour - HOUR) & (one.start < hour + HOUR)
        found[name] = Sent(
            start=one.start[near],
            interval_s=one.interval_s[near],
            present={channel: column[near] for channel, column in one.present.items()},
            flags={channel: column[near] for channel, column in one.flags.items()},
        )
    return found


def _sent(rows: Sequence[Any], *, stamped_at_end: bool) -> Sent:
    _, times, intervals, flag, flags, *present = zip(*rows, strict=True)
    row_flag = np.frombuffer("".join(flag).encode(), np.uint8)
    letters = dict.fromkeys(CHANNELS, row_flag)
    own: Mapping[str, str] | None
    for index, own in enumerate(flags):
        for channel, letter in (own or {}).items():
            if channel in letters:
                if letters[channel] is row_flag:
                    letters[channel] = row_flag.copy()
                letters[channel][index] = ord(letter)
    start, interval_s = np.array(times, np.int64), np.array(intervals, np.int64)
    return Sent(
        start=start - interval_s * SECOND if stamped_at_end else start,
        interval_s=interval_s,
        present={name: np.array(column, np.bool_) for name, column in zip(CHANNELS, present, strict=True)},
        flags=letters,
    )


def _line(site: str, item: _Owing, hour: int, channel: str, sent: Mapping[str, Sent], now: int) -> dict[str, Any]:
    span = window(hour, since=item.since, now=now, interval_s=item.stack.interval_s)
    covered = cover(sent, item.stack, channel, span)
    return {
        "site": site,
        "stack": item.stack.code,
        "hour": f"{instant(hour).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "channel": channel,
        "interval_s": item.stack.interval_s,
        "expected": covered.expected,
        "present": covered.present,
        "missing": covered.missing,
        "flagged": covered.flagged,
        "missing_s": covered.missing_us / SECOND,
    }


_CLOCKS: Final[LiteralString] = """
WITH clock AS (
    SELECT s.site_id, CASE WHEN s.simulated THEN c.newest ELSE %(tick)s END AS now
    FROM site s LEFT JOIN site_clock c USING (site_id)
), ended AS (
    SELECT site_id, date_bin('1 hour', now - interval '120 seconds', 'epoch') - interval '1 hour' AS hour
    FROM clock WHERE now IS NOT NULL
)
SELECT hour, array_agg(site_id) FROM (
    SELECT site_id, e.hour FROM ended e LEFT JOIN site_missing m USING (site_id)
    WHERE m.hour IS NULL OR m.hour < e.hour ORDER BY site_id LIMIT %(most)s) due
GROUP BY hour ORDER BY hour
"""
# By what the rows stand for, of the instrument that was there most. The bounds let a hypertable leave out other chunks.
_NOTE_MISSING: Final[LiteralString] = """
WITH owing AS (
    SELECT k.site_id, k.interval_s,
        least(3600, coalesce((
            SELECT max(seconds) FROM (
                SELECT sum(m.interval_s) AS seconds
                FROM measurement m CROSS JOIN LATERAL (
                    SELECT CASE WHEN k.document ->> 'stamped' = 'end'
                                THEN m.sampled_at - m.interval_s * interval '1 second' ELSE m.sampled_at END AS start) r
                WHERE m.stack_id = k.stack_id AND m.sampled_at >= %(hour)s
                  AND m.sampled_at < %(hour)s::timestamptz + interval '2 hours'
                  AND r.start >= %(hour)s AND r.start < %(hour)s::timestamptz + interval '1 hour'
                GROUP BY m.instrument) one), 0)) AS covered_s,
        (SELECT min(v.changed_at) FROM register_version v WHERE v.kind = 'stack' AND v.key = s.code || '/' || k.code)
            AS registered_at
    FROM stack k JOIN site s USING (site_id) WHERE site_id = ANY(%(sites)s) AND k.withdrawn_at IS NULL
), counted AS (
    SELECT site_id, sum(3600 / interval_s) AS expected,
           sum((2 * (3600 - covered_s) + interval_s) / (2 * interval_s)) AS missing
    FROM owing WHERE covered_s > 0 OR registered_at <= %(hour)s GROUP BY site_id
)
INSERT INTO site_missing (site_id, hour, expected, missing)
SELECT site_id, %(hour)s, coalesce(expected, 0), coalesce(missing, 0)
FROM unnest(%(sites)s::integer[]) AS asked (site_id) LEFT JOIN counted USING (site_id)
ON CONFLICT (site_id) DO UPDATE
    SET hour = excluded.hour, expected = excluded.expected, missing = excluded.missing
"""


async def note_missing(conn: Connection, *, now: datetime, most: int = 50) -> int:
    """Note what is missing of the last hour that ended at *most* sites, as of the tick *now*; how many there were."""
    count = 0
    for hour, sites in await (await conn.execute(_CLOCKS, {"tick": now, "most": most})).fetchall():
        await conn.execute(_NOTE_MISSING, {"hour": hour, "sites": sites})
        count += len(sites)
    return count
