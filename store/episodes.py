"""The alerts of folded rules as rows: exactly the episodes of a review, and nothing erased.

While an episode goes on its alert follows it and the feed stays quiet; news is what changes its severity, its end, or
the numbers that it fired on. An alert that a person had acknowledged and that got graver is firing again: they saw
something less grave. Who acknowledged it stands in its event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from plant.growing import GROWING
from store.alerts import OPEN_STATES, SEVERITIES
from store.pool import Connection

Events = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRow:
    """An episode as a row of alert."""

    alert_id: str
    rule: str
    severity: str
    pollutant: str | None
    pack: str | None
    period_start: datetime
    period_end: datetime
    ended_at: datetime | None
    observed: float | None
    limit_value: float | None
    unit: str
    clause: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database holds of an alert."""

    alert_id: str
    state: str
    severity: str
    period_end: datetime
    ended_at: datetime | None
    observed: float | None
    limit_value: float | None
    clause: str
    evidence: Mapping[str, Any]
    acknowledged: bool

    def stands_on(self, row: EpisodeRow) -> bool:
        """Whether what the alert fired on is the same."""
        numbers = (self.observed, self.limit_value, self.clause) == (row.observed, row.limit_value, row.clause)
        return numbers and _fixed(self.evidence) == _fixed(row.evidence)


@dataclass(frozen=True, slots=True)
class News:
    """What becomes of one alert: its state, what is to be told, and whether anything is to be written."""

    state: str
    events: tuple[str, ...]
    differs: bool


_STANDING: Final[LiteralString] = """
SELECT alert_id, state, severity, period_end, ended_at, observed, limit_value, clause, evidence,
       acknowledged_at IS NOT NULL AS acknowledged
FROM alert
WHERE stack_id = %(stack_id)s AND (rule = ANY(%(rules)s) AND period_start >= %(first)s OR alert_id = ANY(%(open)s))
ORDER BY alert_id FOR UPDATE
"""
_PUT: Final[LiteralString] = """
INSERT INTO alert (alert_id, rule, severity, state, site_id, stack_id, pollutant, pack, period_start, period_end,
                   started_at, ended_at, observed, limit_value, unit, clause, evidence)
VALUES (%(alert_id)s, %(rule)s, %(severity)s, %(state)s, %(site_id)s, %(stack_id)s, %(pollutant)s, %(pack)s,
        %(period_start)s, %(period_end)s, %(period_start)s, %(ended_at)s, %(observed)s, %(limit_value)s, %(unit)s,
        %(clause)s, %(evidence)s)
ON CONFLICT (alert_id) DO UPDATE SET severity = excluded.severity, state = excluded.state,
    period_end = excluded.period_end, ended_at = excluded.ended_at, observed = excluded.observed,
    limit_value = excluded.limit_value, unit = excluded.unit, clause = excluded.clause, evidence = excluded.evidence,
    acknowledged_by = CASE WHEN %(heard)s THEN alert.acknowledged_by END,
    acknowledged_at = CASE WHEN %(heard)s THEN alert.acknowledged_at END,
    acknowledged_note = CASE WHEN %(heard)s THEN alert.acknowledged_note END
"""
_WITHDRAW: Final[LiteralString] = """
UPDATE alert SET state = 'withdrawn', ended_at = NULL WHERE alert_id = ANY(%s)
"""
_COPIED: Final[LiteralString] = "SELECT alert_id, body FROM alert_evidence WHERE alert_id = ANY(%s)"
_COPY: Final[LiteralString] = """
INSERT INTO alert_evidence (alert_id, body) VALUES (%s, %s)
ON CONFLICT (alert_id) DO UPDATE SET body = excluded.body
"""


async def apply(
    conn: Connection,
    rows: Sequence[EpisodeRow],
    *,
    site_id: int,
    stack_id: int,
    rules: Collection[str],
    first: datetime,
    open_before: Collection[str],
) -> Events:
    """Make the alerts of *rules* on a stack exactly *rows*; (alert_id, event) of what is news.

    Meant are those that began in or after *first*, or whose id is one of *open_before*.
    """
    asked = {"stack_id": stack_id, "rules": list(rules), "first": first, "open": list(open_before)}
    async with conn.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(_STANDING, asked)
        standing = {alert.alert_id: alert for alert in await cursor.fetchall()}
    events: Events = []
    written = []
    for row in sorted(rows, key=lambda row: (row.period_start, row.alert_id)):
        news = news_of(standing.get(row.alert_id), row)
        events += [(row.alert_id, event) for event in news.events]
        if news.differs:
            written.append(_values(row, news, site_id, stack_id))
    if written:
        async with conn.cursor() as many:
            await many.executemany(_PUT, written)
    kept = {row.alert_id for row in rows}
    gone = [alert.alert_id for alert in standing.values() if alert.alert_id not in kept and alert.state != "withdrawn"]
    if gone:
        await conn.execute(_WITHDRAW, [gone])
    return events + [(alert_id, "withdrawn") for alert_id in gone]


def news_of(standing: Standing | None, row: EpisodeRow) -> News:
    """What *row* is to an alert as it stands (None: there is none yet)."""
    ended = row.ended_at is not None
    if standing is None:
        return News("resolved" if ended else "firing", ("opened", "resolved") if ended else ("opened",), True)
    if standing.state == "withdrawn":
        return News(_state(standing, row), ("reopened", "resolved") if ended else ("reopened",), True)
    was_open = standing.state in OPEN_STATES
    moved = standing.severity != row.severity
    events = []
    if was_open and not ended and moved:
        events.append("escalated" if _graver(row, standing) else "stepped_down")
    if was_open == ended:
        events.append("resolved" if ended else "reopened")
    elif standing.ended_at != row.ended_at or not standing.stands_on(row) or (ended and moved):
        events.append("changed")
    differs = bool(events) or standing.period_end != row.period_end or dict(standing.evidence) != dict(row.evidence)
    return News(_state(standing, row), tuple(events), differs)


def _state(standing: Standing, row: EpisodeRow) -> str:
    if row.ended_at is not None:
        return "resolved"
    return "acknowledged" if standing.acknowledged and not _graver(row, standing) else "firing"


def _graver(row: EpisodeRow, standing: Standing) -> bool:
    return SEVERITIES.index(row.severity) > SEVERITIES.index(standing.severity)


def _fixed(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evidence.items() if name not in GROWING}


def _values(row: EpisodeRow, news: News, site_id: int, stack_id: int) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return values | {
        "evidence": Jsonb(dict(row.evidence)),
        "state": news.state,
        "heard": news.state != "firing",
        "site_id": site_id,
        "stack_id": stack_id,
    }


async def copied(conn: Connection, alert_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The hours that were copied for alerts so far."""
    cursor = await conn.execute(_COPIED, [list(alert_ids)])
    return dict(await cursor.fetchall())


async def copy(conn: Connection, bodies: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Keep the hours that alerts stand on."""
    async with conn.cursor() as cursor:
        await cursor.executemany(_COPY, [(alert_id, Jsonb(list(hours))) for alert_id, hours in bodies])
