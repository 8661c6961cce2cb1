"""The life of alerts as rows: opened by a finding, ended by the next clear period, withdrawn when late data unmake it.

`alert_id` is a function of rule, pack, stack, pollutant and period, so working through the same data twice
writes the same rows. Each change is an `alert_event` with the alert as it then was; one sequencer numbers
events for the feed after their commit, so that a reader never meets a gap that fills in later.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """An alert as a finding makes it."""

    alert_id: str
    rule: str
    severity: str
    site_id: int | None  #: None: it is about stackwatch itself
    stack_id: int | None  #: None: it is about an edge
    pollutant: str | None
    pack: str | None
    period_start: datetime
    period_end: datetime
    observed: float
    limit_value: float
    unit: str
    clause: str
    evidence: Mapping[str, Any]
    settled: bool  #: its period has ended: from now on a change is news
    ended_at: datetime | None = None  #: where the rule itself knows it; else what follows ends the alert


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database holds of an alert, as far as its life is concerned."""

    state: str
    evidence: Mapping[str, Any]
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAlerts:
    """Of which series and hours of a stack all alerts are now known."""

    stack_id: int
    rules: Sequence[str]
    packs: Sequence[str]
    pollutants: Sequence[str]
    starts: Sequence[datetime]  #: of the hours; not empty

    def values(self) -> dict[str, Any]:
        return {
            "stack_id": self.stack_id,
            "rules": list(self.rules),
            "packs": list(self.packs),
            "pollutants": list(self.pollutants),
            "starts": list(self.starts),
            "first": min(self.starts),
            "last": max(self.starts),
        }


_STANDING: Final[LiteralString] = """
SELECT alert_id, state, evidence, ended_at FROM alert WHERE alert_id = ANY(%s) FOR UPDATE
"""
_STANDING_OF_HOURS: Final[LiteralString] = """
SELECT alert_id, state, evidence, ended_at FROM alert
WHERE stack_id = %(stack_id)s AND rule = ANY(%(rules)s) AND pack = ANY(%(packs)s) AND pollutant = ANY(%(pollutants)s)
  AND period_start BETWEEN %(first)s AND %(last)s AND period_start = ANY(%(starts)s)
FOR UPDATE
"""
_PUT: Final[LiteralString] = """
INSERT INTO alert (alert_id, rule, severity, state, site_id, stack_id, pollutant, pack, period_start, period_end,
                   started_at, ended_at, observed, limit_value, unit, clause, evidence)
VALUES (%(alert_id)s, %(rule)s, %(severity)s, CASE WHEN %(ended_at)s::timestamptz IS NULL THEN 'firing'
        ELSE 'resolved' END, %(site_id)s, %(stack_id)s, %(pollutant)s, %(pack)s, %(period_start)s, %(period_end)s,
        %(period_start)s, %(ended_at)s, %(observed)s, %(limit_value)s, %(unit)s, %(clause)s, %(evidence)s)
ON CONFLICT (alert_id) DO UPDATE SET severity = excluded.severity, period_end = excluded.period_end,
    observed = excluded.observed, limit_value = excluded.limit_value, unit = excluded.unit, clause = excluded.clause,
    evidence = excluded.evidence, ended_at = coalesce(excluded.ended_at, alert.ended_at),
    state = CASE WHEN excluded.ended_at IS NOT NULL THEN 'resolved'
                 WHEN alert.state = 'withdrawn'
                 THEN CASE WHEN alert.acknowledged_at IS NULL THEN 'firing' ELSE 'acknowledged' END
                 ELSE alert.state END
"""
# A calibration before the hour keeps its first rows out while its gas is in the line, so its rows are copied too. The
# bounds over all of them say nothing new, but let a hypertable leave out its other chunks before it looks.
ROWS: Final[LiteralString] = """
INSERT INTO alert_evidence (alert_id, body)
SELECT a.alert_id, coalesce(
    (SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(m)) - 'stack_id' - 'versions' ORDER BY m.instrument, m.sampled_at)
     FROM measurement m
     CROSS JOIN LATERAL (SELECT m.interval_s * interval '1 second' AS length) i
     CROSS JOIN LATERAL (SELECT CASE WHEN k.document ->> 'stamped' = 'end' THEN m.sampled_at - i.length
                                     ELSE m.sampled_at END AS start) r
     WHERE m.stack_id = a.stack_id AND m.sampled_at < a.period_end + interval '1 hour'
       AND m.sampled_at >= a.period_start - interval '2 hours'
       AND m.sampled_at < %(end)s::timestamptz + interval '1 hour'
       AND m.sampled_at >= %(first)s::timestamptz - interval '2 hours'
       AND r.start < a.period_end AND r.start + i.length > a.period_start - settle.time), '[]')
FROM alert a JOIN stack k USING (stack_id)
CROSS JOIN LATERAL (SELECT coalesce((k.document ->> 'settle_s')::integer, 0) * interval '1 second' AS time) settle
WHERE a.alert_id = ANY(%(alerts)s)
ON CONFLICT (alert_id) DO UPDATE SET body = excluded.body
"""
HOURS: Final[LiteralString] = """
INSERT INTO alert_evidence (alert_id, body)
SELECT a.alert_id, coalesce(
    (SELECT jsonb_agg(jsonb_build_object('start', utc_text(v.start), 'verdict', v.verdict, 'reason', v.reason,
                                         'corrected', v.corrected, 'limit', v.limit_value, 'claimed', v.claimed,
                                         'revision', v.revision) ORDER BY v.start)
     FROM hour_verdict v
     WHERE v.stack_id = a.stack_id AND v.pack = a.pack AND v.pollutant = a.pollutant AND v.superseded_at IS NULL
       AND v.final AND v.start >= a.period_start AND v.start < a.period_end
       AND v.start >= %(first)s AND v.start < %(end)s), '[]')
FROM alert a WHERE a.alert_id = ANY(%(alerts)s)
ON CONFLICT (alert_id) DO UPDATE SET body = excluded.body
"""
# The frames on both sides of each gap: what they count is what is missing between them.
_COPY_FRAMES: Final[LiteralString] = """
INSERT INTO alert_evidence (alert_id, body)
SELECT a.alert_id, coalesce(
    (SELECT jsonb_agg(jsonb_build_object('session', b.session, 'seq', b.seq, 'rows', b.rows,
                                         'rows_before', b.rows_before, 'dropped_before', b.dropped_before,
                                         'low', b.low, 'received_at', utc_text(b.received_at),
                                         'digest', encode(b.digest, 'hex')) ORDER BY b.session, b.seq, b.batch_id)
     FROM batch b
     WHERE b.site_id = a.site_id AND b.edge = a.evidence ->> 'edge' AND (b.session, b.seq) IN (
        SELECT l.session, side.seq
        FROM session_loss l CROSS JOIN LATERAL (VALUES (l.first - 1), (l.last + 1)) side (seq)
        WHERE l.site_id = a.site_id AND l.edge = a.evidence ->> 'edge' AND l.hour = a.period_start)), '[]')
FROM alert a WHERE a.alert_id = ANY(%s)
ON CONFLICT (alert_id) DO UPDATE SET body = excluded.body
"""
_OPEN_OF_EDGES: Final[LiteralString] = """
SELECT rule, site_id, evidence ->> 'edge', period_start, alert_id FROM alert
WHERE stack_id IS NULL AND rule = ANY(%s) AND state IN ('firing', 'acknowledged')
"""
_RESOLVE: Final[LiteralString] = """
UPDATE alert SET state = 'resolved', ended_at = greatest(k.ended_at, alert.started_at)
FROM unnest(%s::text[], %s::timestamptz[]) AS k (alert_id, ended_at)
WHERE alert.alert_id = k.alert_id AND alert.state IN ('firing', 'acknowledged')
RETURNING alert.alert_id
"""
_REOPEN: Final[LiteralString] = """
UPDATE alert SET state = CASE WHEN acknowledged_at IS NULL THEN 'firing' ELSE 'acknowledged' END, ended_at = NULL
WHERE alert_id = ANY(%s) AND state = 'resolved'
RETURNING alert_id
"""
_WITHDRAW: Final[LiteralString] = """
UPDATE alert SET state = 'withdrawn', ended_at = NULL WHERE alert_id = ANY(%s) AND state <> 'withdrawn'
RETURNING alert_id
"""
_SERIES: Final[LiteralString] = """
SELECT alert_id, period_start, ended_at, acknowledged_at IS NOT NULL FROM alert
WHERE stack_id = %(stack_id)s AND rule = %(rule)s AND pack = %(pack)s AND pollutant = %(pollutant)s
  AND state <> 'withdrawn' AND period_start <= %(last)s AND (ended_at IS NULL OR ended_at >= %(first)s)
ORDER BY period_start
"""
_TO_END: Final[LiteralString] = """
SELECT DISTINCT pack, pollutant FROM alert
WHERE stack_id = %(stack_id)s AND rule = %(rule)s AND state <> 'withdrawn'
  AND period_start <= %(last)s AND (ended_at IS NULL OR ended_at >= %(first)s)
"""
_END: Final[LiteralString] = "UPDATE alert SET ended_at = %s, state = %s WHERE alert_id = %s"
_EVENTS: Final[LiteralString] = """
INSERT INTO alert_event (alert_id, event, document)
SELECT e.alert_id, e.event, d.document
FROM unnest(%(ids)s::text[], %(events)s::text[]) WITH ORDINALITY AS e (alert_id, event, place)
JOIN alert_document d USING (alert_id)
ORDER BY e.place
"""


async def apply(
    conn: Connection, found: Sequence[AlertRow], *, copying: LiteralString | None = None
) -> list[tuple[str, str]]:
    """Open, change or re-open the alerts in *found*; (alert_id, event) of each that is news.

    *copying* copies the evidence of those: `ROWS` or `HOURS`.
    """
    if not found:
        return []
    cursor = await conn.execute(_STANDING, [sorted(row.alert_id for row in found)])
    standing = {row[0]: Standing(*row[1:]) for row in await cursor.fetchall()}
    return await _write(conn, found, standing, copying)


async def apply_of_hours(conn: Connection, found: Sequence[AlertRow], *, hours: JudgedAlerts) -> list[tuple[str, str]]:
    """Make the alerts of *hours* exactly those *found*: what stands there and is not among them is withdrawn."""
    cursor = await conn.execute(_STANDING_OF_HOURS, hours.values())
    standing = {row[0]: Standing(*row[1:]) for row in await cursor.fetchall()}
    events = await _write(conn, found, standing, ROWS) if found else []
    ids = {row.alert_id for row in found}
    gone = [alert_id for alert_id, stood in standing.items() if alert_id not in ids and stood.state != "withdrawn"]
    return events + await withdraw(conn, gone)


async def _write(
    conn: Connection,
    found: Sequence[AlertRow],
    standing: Mapping[str, Standing],
    copying: LiteralString | None,
) -> list[tuple[str, str]]:
    events: list[tuple[str, str]] = []
    to_write = []
    for row in sorted(found, key=lambda row: (row.period_start, row.alert_id)):
        names, differs = _news(standing.get(row.alert_id), row)
        if differs:
            to_write.append(row)
        events += [(row.alert_id, name) for name in names]
    if to_write:
        async with conn.cursor() as rows:
            await rows.executemany(_PUT, [_values(row) for row in to_write])
    news = {alert_id for alert_id, _ in events}
    copied = [row for row in found if row.alert_id in news]
    if copied and copying is not None:
        bounds = {
            "alerts": sorted(news),
            "first": min(row.period_start for row in copied),
            "end": max(row.period_end for row in copied),
        }
        await conn.execute(copying, bounds)
    return events


def _news(standing: Standing | None, row: AlertRow) -> tuple[list[str], bool]:
    """(the events that *row* is, whether anything is to be written)."""
    ends = ["resolved"] if row.ended_at is not None else []
    if standing is None:
        return ["opened", *ends], True
    if standing.state == "withdrawn":
        return ["reopened", *ends], True
    differs = dict(standing.evidence) != dict(row.evidence)
    if ends and standing.ended_at != row.ended_at:
        return ends, True
    # While its period runs the numbers move with every row: the alert follows, the feed stays quiet.
    return (["changed"] if differs and row.settled else []), differs


def _values(row: AlertRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in AlertRow.__slots__}
    values["evidence"] = Jsonb(dict(row.evidence))
    return values


async def withdraw(conn: Connection, alert_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Late data unmade what these alerts stood on."""
    if not alert_ids:
        return []
    cursor = await conn.execute(_WITHDRAW, [sorted(alert_ids)])
    return [(alert_id, "withdrawn") for (alert_id,) in await cursor.fetchall()]


async def apply_of_edges(
    conn: Connection, running: Sequence[AlertRow], *, ended: Sequence[AlertRow]
) -> list[tuple[str, str]]:
    """Open or change alerts about hours of edges; (alert_id, event) of what is news.

    One of *running* that was resolved is open again; one of *ended* is to be resolved by the caller.
    """
    ids = sorted(row.alert_id for row in running)
    again = {alert_id for (alert_id,) in await (await conn.execute(_REOPEN, [ids])).fetchall()}
    events = [pair for pair in await apply(conn, [*running, *ended]) if pair[0] not in again]
    events += [(alert_id, "reopened") for alert_id in sorted(again)]
    if events:
        await conn.execute(_COPY_FRAMES, [[alert_id for alert_id, _ in events]])
    return events


async def open_of_edges(conn: Connection, rules: Sequence[str]) -> dict[tuple[str, int, str, datetime], str]:
    """The id of each open alert about an edge, by rule, site_id, edge and period start."""
    cursor = await conn.execute(_OPEN_OF_EDGES, [list(rules)])
    return {(row[0], row[1], row[2], row[3]): row[4] for row in await cursor.fetchall()}


async def resolve(conn: Connection, ends: Mapping[str, datetime]) -> list[tuple[str, str]]:
    """End open alerts, each at its instant."""
    if not ends:
        return []
    cursor = await conn.execute(_RESOLVE, [list(ends), list(ends.values())])
    return [(alert_id, "resolved") for (alert_id,) in await cursor.fetchall()]


async def to_end(
    conn: Connection, *, stack_id: int, rule: str, first: datetime, last: datetime
) -> set[tuple[str, str]]:
    """The series (pack, pollutant) with an alert whose end a change between *first* and *last* may move."""
    cursor = await conn.execute(_TO_END, {"stack_id": stack_id, "rule": rule, "first": first, "last": last})
    return set(await cursor.fetchall())


async def end(
    conn: Connection,
    *,
    stack_id: int,
    rule: str,
    pack: str,
    pollutant: str,
    clear: Sequence[datetime],
    first: datetime,
    last: datetime,
) -> list[tuple[str, str]]:
    """Set the end of each alert of a series that what changed between *first* and *last* may have moved.

    An alert ends with the start of the first clear period after it; *clear* has those from *first* on. Missing data
    ends nothing.
    """
    values = {"stack_id": stack_id, "rule": rule, "pack": pack, "pollutant": pollutant, "first": first, "last": last}
    cursor = await conn.execute(_SERIES, values)
    events, updates = [], []
    for alert_id, period_start, ended_at, acknowledged in await cursor.fetchall():
        # An alert that began before *first* is listed only if no period between the two was clear.
        place = bisect.bisect_right(clear, period_start)
        ends = clear[place] if place < len(clear) else None
        if ends == ended_at:
            continue
        state = "resolved" if ends is not None else ("acknowledged" if acknowledged else "firing")
        updates.append([ends, state, alert_id])
        if (ended_at is None) != (ends is None):
            events.append((alert_id, "resolved" if ends is not None else "reopened"))
        else:
            events.append((alert_id, "changed"))
    if updates:
        async with conn.cursor() as rows:
            await rows.executemany(_END, updates)
    return events


async def lock_rule(conn: Connection, rule: str) -> None:
    """One opener of a rule's alerts at a time, of those that several processes may open."""
    await conn.execute("SELECT pg_advisory_xact_lock(7274013, hashtext(%s))", [rule])


async def is_known(conn: Connection, alert_id: str) -> bool:
    cursor = await conn.execute("SELECT FROM alert WHERE alert_id = %s", [alert_id])
    return await cursor.fetchone() is not None


async def open_of_rule(conn: Connection, rule: str) -> list[str]:
    """The ids of the open alerts of a rule that is about stackwatch itself."""
    cursor = await conn.execute(
        "SELECT alert_id FROM alert WHERE site_id IS NULL AND rule = %s AND state IN ('firing', 'acknowledged')", [rule]
    )
    return [alert_id for (alert_id,) in await cursor.fetchall()]


async def announce(conn: Connection, events: Iterable[tuple[str, str]]) -> int:
    """Write the events, each with its alert as it is now; how many there are."""
    listed = list(events)
    if listed:
        ids, names = zip(*listed, strict=True)
        await conn.execute(_EVENTS, {"ids": list(ids), "events": list(names)})
        await conn.execute("SELECT pg_notify('event', '')")
    return len(listed)


_NUMBER: Final[LiteralString] = """
WITH next AS (
    SELECT event_id, row_number() OVER (ORDER BY event_id) AS place
    FROM (SELECT event_id FROM alert_event WHERE feed_number IS NULL ORDER BY event_id LIMIT %(most)s) waiting
)
UPDATE alert_event e
SET feed_number = next.place + coalesce((SELECT max(feed_number) FROM alert_event), 0)
FROM next WHERE e.event_id = next.event_id
"""


async def number_events(conn: Connection, most: int) -> int:
    """Give the next feed numbers to committed events; only one session does so at a time. How many it gave."""
    await conn.execute("SELECT pg_advisory_xact_lock(7274003)")
    cursor = await conn.execute(_NUMBER, {"most": most})
    if cursor.rowcount:
        await conn.execute("SELECT pg_notify('feed', '')")
    return cursor.rowcount
