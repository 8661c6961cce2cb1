"""SQL of cases, their events and alerts: the only module that names these columns.

What a case may do next, how its records are hashed and what they say is `alerts.enforcement`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection
from store.scope import IN_SCOPE, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    case_id: str
    site_id: int
    site: str
    region: str
    simulated: bool
    units: list[str]
    track: str
    state: str
    opened_at: datetime
    due: datetime | None
    pinned: dict[str, Any]
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One record as written: `body` says everything, the hashes chain it."""

    case_id: str
    number: int
    body: str
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFacts:
    """What opening a case asks of an alert."""

    site: str
    stack: str | None
    pack: str | None
    period_start: datetime
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalHour:
    """The standing final verdict of one hour."""

    stack: str
    pollutant: str
    pack: str
    pack_version: str
    start: datetime
    verdict: str
    reason: str
    corrected: float | None
    limit_value: float
    revision: int


_FIND: Final[LiteralString] = """
SELECT c.case_id, c.site_id, s.code AS site, r.code AS region, s.simulated, c.units, c.track, c.state,
       c.opened_at, c.due, c.pinned, c.closed_at
FROM "case" c JOIN site s USING (site_id) JOIN region r USING (region_id)
WHERE c.case_id = %s
"""
_LOCK: Final[LiteralString] = """SELECT FROM "case" WHERE case_id = %s FOR UPDATE"""


async def find(conn: Connection, case_id: str) -> Case | None:
    async with conn.cursor(row_factory=class_row(Case)) as cursor:
        await cursor.execute(_FIND, [case_id])
        return await cursor.fetchone()


async def lock(conn: Connection, case_id: str) -> Case | None:
    """The case, held against every other writer until the caller's transaction ends."""
    await conn.execute(_LOCK, [case_id])
    return await find(conn, case_id)


_OPEN_ONE: Final[LiteralString] = """
SELECT case_id FROM "case" WHERE site_id = %s AND units = %s::text[] AND track = %s AND closed_at IS NULL
"""


async def find_open(conn: Connection, site_id: int, units: Sequence[str], track: str) -> str | None:
    """The id of the one open case of these units on this track."""
    cursor = await conn.execute(_OPEN_ONE, [site_id, list(units), track])
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


# Where two workers open at once, the second waits here for the first and then finds its case.
_INSERT: Final[LiteralString] = """
INSERT INTO "case" (case_id, site_id, units, track, state, opened_at, pinned)
VALUES (%(case_id)s, %(site_id)s, %(units)s, %(track)s, %(state)s, %(opened_at)s, %(pinned)s)
ON CONFLICT DO NOTHING
"""


async def insert(
    conn: Connection,
    *,
    case_id: str,
    site_id: int,
    units: Sequence[str],
    track: str,
    state: str,
    opened_at: datetime,
    pinned: Mapping[str, Any],
) -> bool:
    """Write the head of a case; False where there is this one, or an open one of its units and track."""
    cursor = await conn.execute(
        _INSERT,
        {
            "case_id": case_id,
            "site_id": site_id,
            "units": list(units),
            "track": track,
            "state": state,
            "opened_at": opened_at,
            "pinned": json.dumps(pinned, ensure_ascii=False, allow_nan=False),
        },
    )
    return cursor.rowcount == 1


_APPEND: Final[LiteralString] = """
INSERT INTO case_event (case_id, number, action, role, actor, at, reason, body, previous_hash, hash)
VALUES (%(case_id)s, %(number)s, %(action)s, %(role)s, %(actor)s, %(at)s, %(reason)s, %(body)s,
        %(previous_hash)s, %(hash)s)
"""
_SET_STATE: Final[LiteralString] = """
UPDATE "case" SET state = %(state)s, due = %(due)s, closed_at = %(closed_at)s WHERE case_id = %(case_id)s
"""


async def append(
    conn: Connection,
    row: EventRow,
    *,
    action: str,
    role: str,
    actor: str,
    at: datetime,
    reason: str,
) -> None:
    """Write one more record; the columns beside the body repeat what queries need of it."""
    await conn.execute(
        _APPEND,
        {
            "case_id": row.case_id,
            "number": row.number,
            "body": row.body,
            "previous_hash": row.previous_hash,
            "hash": row.hash,
            "action": action,
            "role": role,
            "actor": actor,
            "at": at,
            "reason": reason,
        },
    )


async def set_state(
    conn: Connection, case_id: str, *, state: str, due: datetime | None, closed_at: datetime | None
) -> None:
    """Repeat in the case's row what its newest record says."""
    await conn.execute(_SET_STATE, {"case_id": case_id, "state": state, "due": due, "closed_at": closed_at})


_EVENTS: Final[LiteralString] = """
SELECT case_id, number, body, previous_hash, hash FROM case_event
WHERE case_id = ANY(%s) ORDER BY case_id, number
"""


async def events(conn: Connection, case_ids: Sequence[str]) -> dict[str, list[EventRow]]:
    """The history of each case, oldest record first."""
    found: dict[str, list[EventRow]] = {case_id: [] for case_id in case_ids}
    async with conn.cursor(row_factory=class_row(EventRow)) as cursor:
        await cursor.execute(_EVENTS, [list(case_ids)])
        for row in await cursor.fetchall():
            found[row.case_id].append(row)
    return found


_ATTACH: Final[LiteralString] = """
INSERT INTO case_alert (case_id, alert_id) VALUES (%s, %s) ON CONFLICT DO NOTHING
"""
_CASES_OF_ALERT: Final[LiteralString] = """
SELECT case_id FROM case_alert JOIN "case" USING (case_id) WHERE alert_id = %s
ORDER BY opened_at DESC, case_id DESC
"""
_ALERTS: Final[LiteralString] = """
SELECT a.case_id, d.document FROM case_alert a JOIN alert_document d USING (alert_id)
WHERE a.case_id = ANY(%s) ORDER BY a.case_id, d.document->>'period_start', d.alert_id
"""
_ALERT_FACTS: Final[LiteralString] = """
SELECT s.code AS site, k.code AS stack, a.pack, a.period_start, d.document
FROM alert a JOIN alert_document d USING (alert_id) JOIN site s ON s.site_id = a.site_id
LEFT JOIN stack k ON k.stack_id = a.stack_id
WHERE a.alert_id = %s
"""


async def attach(conn: Connection, case_id: str, alert_id: str) -> bool:
    """Whether the alert was not yet part of the case; now it is."""
    cursor = await conn.execute(_ATTACH, [case_id, alert_id])
    return cursor.rowcount == 1


async def cases_of_alert(conn: Connection, alert_id: str) -> list[str]:
    """The cases an alert is part of, open or not, newest first."""
    cursor = await conn.execute(_CASES_OF_ALERT, [alert_id])
    return [str(case_id) for (case_id,) in await cursor.fetchall()]


async def alerts(conn: Connection, case_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The alerts of each case as they are now, oldest period first."""
    found: dict[str, list[dict[str, Any]]] = {case_id: [] for case_id in case_ids}
    cursor = await conn.execute(_ALERTS, [list(case_ids)])
    for case_id, document in await cursor.fetchall():
        found[case_id].append(document)
    return found


async def alert_facts(conn: Connection, alert_id: str) -> AlertFacts | None:
    async with conn.cursor(row_factory=class_row(AlertFacts)) as cursor:
        await cursor.execute(_ALERT_FACTS, [alert_id])
        return await cursor.fetchone()


_PAGE: Final[LiteralString] = (
    """
SELECT c.case_id, c.site_id, s.code AS site, r.code AS region, s.simulated, c.units, c.track, c.state,
       c.opened_at, c.due, c.pinned, c.closed_at
FROM "case" c JOIN site s USING (site_id) JOIN region r USING (region_id)
WHERE (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND """
    + IN_SCOPE
    + """
  AND (%(before_at)s::timestamptz IS NULL OR (c.opened_at, c.case_id) < (%(before_at)s, %(before_id)s::text))
ORDER BY c.opened_at DESC, c.case_id DESC
LIMIT %(limit)s
"""
)


async def page(
    conn: Connection,
    scope: Scope,
    *,
    state: str | None = None,
    site: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> list[Case]:
    """Cases within *scope*, newest first; with *before*, those that come after this (opened_at, id)."""
    values = {
        **scope.parameters(),
        "state": state,
        "site": site,
        "before_at": before[0] if before else None,
        "before_id": before[1] if before else None,
        "limit": limit,
    }
    async with conn.cursor(row_factory=class_row(Case)) as cursor:
        await cursor.execute(_PAGE, values)
        return await cursor.fetchall()


# An order in force says more than the state of its case: it is what the plant was told.
_SITE_STATES: Final[LiteralString] = """
SELECT s.code,
       CASE
           WHEN EXISTS (SELECT FROM plant_order o WHERE o.site_id = s.site_id AND o.kind = 'suspend'
                        AND o.ended_at IS NULL) THEN 'suspended'
           WHEN EXISTS (SELECT FROM plant_order o WHERE o.site_id = s.site_id
                        AND o.kind IN ('restrict', 'curtail') AND o.ended_at IS NULL) THEN 'restricted'
           WHEN EXISTS (SELECT FROM "case" c WHERE c.site_id = s.site_id AND c.state = 'trial'
                        AND c.closed_at IS NULL) THEN 'trial'
           ELSE 'operating'
       END
FROM site s
"""


async def site_states(conn: Connection) -> dict[str, str]:
    """What each site may do now: operating, restricted, suspended or trial; the strictest of its units."""
    cursor = await conn.execute(_SITE_STATES)
    return {str(code): str(state) for code, state in await cursor.fetchall()}


_CLOCK: Final[LiteralString] = """
SELECT newest FROM site_clock JOIN site USING (site_id) WHERE site_id = %s AND simulated
"""


async def simulated_clock(conn: Connection, site_id: int) -> datetime | None:
    """The newest row of a simulated site; None at a site that lives in our time, or before its first row."""
    cursor = await conn.execute(_CLOCK, [site_id])
    row = await cursor.fetchone()
    return None if row is None else row[0]


_FINAL_HOURS: Final[LiteralString] = """
SELECT k.code AS stack, v.pollutant, v.pack, v.pack_version, v.start, v.verdict, v.reason, v.corrected,
       v.limit_value, v.revision
FROM hour_verdict v JOIN stack k USING (stack_id)
WHERE k.site_id = %(site_id)s AND k.code = ANY(%(stacks)s) AND v.start >= %(since)s
  AND v.final AND v.superseded_at IS NULL
ORDER BY k.code, v.pollutant, v.pack, v.start
"""


async def final_hours(conn: Connection, site_id: int, stacks: Sequence[str], since: datetime) -> list[FinalHour]:
    """The standing final verdicts of hours that began at or after *since*, oldest first within a series."""
    async with conn.cursor(row_factory=class_row(FinalHour)) as cursor:
        await cursor.execute(_FINAL_HOURS, {"site_id": site_id, "stacks": list(stacks), "since": since})
        return await cursor.fetchall()
