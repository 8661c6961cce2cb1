"""Alerts as they are read, followed and acknowledged: SQL of alert, alert_event and the feed.

Opening, changing and resolving an alert is the rule stage's work. The document of an alert comes from the view
`alert_document` and is built nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row, dict_row

from plant.errors import IllegalTransition
from store.pool import Connection
from store.scope import IN_SCOPE, Scope

STATES: Final = ("firing", "acknowledged", "resolved", "withdrawn")
SEVERITIES: Final = ("info", "warning", "major", "critical")
OPEN_STATES: Final = ("firing", "acknowledged")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """What a list or a feed of alerts is narrowed to; an empty tuple or None is not narrowed."""

    states: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    suppressed: bool | None = None
    by_plant: bool = False  #: the reader is a plant: its own silences suppress, too


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One numbered event: the alert as it then was."""

    number: int
    event: str
    document: dict[str, Any]


_WANTED: Final[LiteralString] = """
      AND (%(states)s::text[] = '{}' OR a.state = ANY(%(states)s::text[]))
      AND (%(severities)s::text[] = '{}' OR a.severity = ANY(%(severities)s::text[]))
      AND (%(rules)s::text[] = '{}' OR a.rule = ANY(%(rules)s::text[]))
      AND (%(sites)s::text[] = '{}' OR s.code = ANY(%(sites)s::text[]))
      AND (%(regions)s::text[] = '{}' OR r.code = ANY(%(regions)s::text[]))
      AND (%(start)s::timestamptz IS NULL OR a.period_start >= %(start)s)
      AND (%(end)s::timestamptz IS NULL OR a.period_start < %(end)s)
      AND (%(suppressed)s::boolean IS NULL
           OR %(suppressed)s = (a.suppressed_by IS NOT NULL OR %(by_plant)s AND a.plant_silence IS NOT NULL))
"""

_PAGE: Final[LiteralString] = (
    """
WITH page AS (
    SELECT a.alert_id, a.period_start
    FROM alert a LEFT JOIN site s USING (site_id) LEFT JOIN region r USING (region_id)
    WHERE """
    + IN_SCOPE
    + _WANTED
    + """
      AND (%(after_at)s::timestamptz IS NULL OR (a.period_start, a.alert_id) < (%(after_at)s, %(after_id)s::text))
    ORDER BY a.period_start DESC, a.alert_id DESC
    LIMIT %(limit)s
)
SELECT d.document FROM page p JOIN alert_document d USING (alert_id)
ORDER BY p.period_start DESC, p.alert_id DESC
"""
)

# What a line of a list needs, without the evidence: of all that is open, there may be thousands.
_BRIEF: Final[LiteralString] = (
    """
SELECT jsonb_build_object(
    'id', a.alert_id, 'rule', a.rule, 'severity', a.severity, 'state', a.state, 'region', r.code, 'site', s.code,
    'stack', k.code, 'pollutant', a.pollutant, 'pack', a.pack, 'period_start', utc_text(a.period_start),
    'started_at', utc_text(a.started_at), 'observed', a.observed, 'limit', a.limit_value, 'unit', a.unit,
    'suppressed_by', a.suppressed_by, 'plant_silence', a.plant_silence)
FROM alert a LEFT JOIN site s USING (site_id) LEFT JOIN region r USING (region_id)
LEFT JOIN stack k ON k.stack_id = a.stack_id
WHERE """
    + IN_SCOPE
    + _WANTED
    + """
ORDER BY a.period_start DESC, a.alert_id DESC
LIMIT %(limit)s
"""
)

_ONE: Final[LiteralString] = (
    """
SELECT d.document
FROM alert_document d LEFT JOIN site s USING (site_id) LEFT JOIN region r USING (region_id)
WHERE d.alert_id = %(alert_id)s AND """
    + IN_SCOPE
)

_EVENTS: Final[LiteralString] = """
SELECT event, utc_text(at) AS at, feed_number, document
FROM alert_event WHERE alert_id = %s ORDER BY event_id
"""

_CASES: Final[LiteralString] = "SELECT case_id FROM case_alert WHERE alert_id = %s ORDER BY case_id"

_EVIDENCE: Final[LiteralString] = "SELECT body FROM alert_evidence WHERE alert_id = %s"

_REGISTERED: Final[LiteralString] = """
SELECT r.document AS region, r.version AS region_version, s.document AS site, s.version AS site_version,
       k.document AS stack, k.version AS stack_version
FROM alert a LEFT JOIN site s USING (site_id) LEFT JOIN region r USING (region_id)
LEFT JOIN stack k ON k.stack_id = a.stack_id
WHERE a.alert_id = %s
"""

_STATE: Final[LiteralString] = "SELECT state FROM alert WHERE alert_id = %s FOR UPDATE"

_ACKNOWLEDGE: Final[LiteralString] = """
UPDATE alert SET state = 'acknowledged', acknowledged_by = %(by)s, acknowledged_at = now(), acknowledged_note = %(note)s
WHERE alert_id = %(alert_id)s
"""

_NOTE_EVENT: Final[LiteralString] = """
INSERT INTO alert_event (alert_id, event, document)
SELECT alert_id, 'acknowledged', document FROM alert_document WHERE alert_id = %s
"""

# The stage owns the one sequencer; this wakes it, and its polling would do alone.
_WAKE_SEQUENCER: Final[LiteralString] = "SELECT pg_notify('event', '')"

_FEED: Final[LiteralString] = """
SELECT feed_number AS number, event, document FROM alert_event
WHERE feed_number > %s ORDER BY feed_number LIMIT %s
"""

_HEAD: Final[LiteralString] = "SELECT coalesce(max(feed_number), 0) FROM alert_event"


async def list_alerts(
    conn: Connection,
    scope: Scope,
    wanted: AlertFilter,
    *,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Documents of the alerts in *scope*, the newest period first, behind the key *after*."""
    page = {"after_at": after[0] if after else None, "after_id": after[1] if after else None, "limit": limit}
    cursor = await conn.execute(_PAGE, {**_values(scope, wanted), **page})
    return [row[0] for row in await cursor.fetchall()]


async def list_briefly(conn: Connection, scope: Scope, wanted: AlertFilter, *, limit: int) -> list[dict[str, Any]]:
    """Alerts in *scope* without their evidence, the newest period first: for what shows many in few words."""
    cursor = await conn.execute(_BRIEF, {**_values(scope, wanted), "limit": limit})
    return [row[0] for row in await cursor.fetchall()]


def _values(scope: Scope, wanted: AlertFilter) -> dict[str, Any]:
    return {
        **scope.parameters(),
        "states": list(wanted.states),
        "severities": list(wanted.severities),
        "rules": list(wanted.rules),
        "sites": list(wanted.sites),
        "regions": list(wanted.regions),
        "start": wanted.start,
        "end": wanted.end,
        "suppressed": wanted.suppressed,
        "by_plant": wanted.by_plant,
    }


async def find_alert(conn: Connection, scope: Scope, alert_id: str) -> dict[str, Any] | None:
    cursor = await conn.execute(_ONE, {**scope.parameters(), "alert_id": alert_id})
    row = await cursor.fetchone()
    return None if row is None else dict(row[0])


async def events_of(conn: Connection, alert_id: str) -> list[dict[str, Any]]:
    """What happened to an alert, in order, each with the alert as it then was."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_EVENTS, [alert_id])
        return await cursor.fetchall()


async def cases_of(conn: Connection, alert_id: str) -> list[str]:
    cursor = await conn.execute(_CASES, [alert_id])
    return [row[0] for row in await cursor.fetchall()]


async def evidence_of(conn: Connection, alert_id: str) -> Any:
    """The rows that were copied when it opened; None where there are none."""
    cursor = await conn.execute(_EVIDENCE, [alert_id])
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def register_of(conn: Connection, alert_id: str) -> dict[str, Any]:
    """The register's documents and versions that an alert's site and stack have now."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_REGISTERED, [alert_id])
        row = await cursor.fetchone()
    assert row is not None
    return row


async def acknowledge(conn: Connection, alert_id: str, *, by: str, note: str) -> None:
    """Note that somebody has seen it; `IllegalTransition` unless it is firing."""
    cursor = await conn.execute(_STATE, [alert_id])
    row = await cursor.fetchone()
    assert row is not None, "the caller has found the alert in its scope"
    if row[0] != "firing":
        raise IllegalTransition(f"alert {alert_id}", row[0], "acknowledge")
    await conn.execute(_ACKNOWLEDGE, {"alert_id": alert_id, "by": by, "note": note})
    await conn.execute(_NOTE_EVENT, [alert_id])
    await conn.execute(_WAKE_SEQUENCER)


async def feed_after(conn: Connection, number: int, *, limit: int) -> Sequence[FeedEvent]:
    """The next events of the feed. One sequencer gives the numbers after commit: none appears behind a later one."""
    async with conn.cursor(row_factory=class_row(FeedEvent)) as cursor:
        await cursor.execute(_FEED, [number, limit])
        return await cursor.fetchall()


async def feed_head(conn: Connection) -> int:
    """The highest number given so far; 0 before the first."""
    cursor = await conn.execute(_HEAD)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
