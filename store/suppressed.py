"""Which open alerts are quiet, and what decides it: SQL of what `alerts.suppression` looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRow:
    """An open alert and how it is marked."""

    alert_id: str
    rule: str
    severity: str
    site_id: int
    region: str
    site: str
    stack: str | None
    pollutant: str | None
    pack: str | None
    month: str
    edge: str | None
    said: bool
    suppressed_by: list[dict[str, Any]] | None
    plant_silence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceRow:
    """A silence in force at a site."""

    site_id: int
    silence_id: int
    by_plant: bool
    region: str | None
    site: str | None
    stack: str | None
    rules: list[str]
    severities: list[str]


_OPEN: Final[LiteralString] = """
SELECT a.alert_id, a.rule, a.severity, a.site_id, r.code AS region, s.code AS site, k.code AS stack, a.pollutant,
       a.pack, to_char(a.period_start AT TIME ZONE s.timezone, 'YYYY-MM') AS month, a.evidence ->> 'edge' AS edge,
       a.acknowledged_at IS NOT NULL OR a.opened_at <= now() - %(said_after_s)s * interval '1 second' AS said,
       a.suppressed_by, a.plant_silence
FROM alert a JOIN site s USING (site_id) JOIN region r USING (region_id) LEFT JOIN stack k ON k.stack_id = a.stack_id
WHERE a.state IN ('firing', 'acknowledged')
"""
_OF_STACK: Final[LiteralString] = (
    _OPEN
    + """
  AND a.stack_id = %(stack)s
UNION ALL"""
    + _OPEN
    + """
  AND a.stack_id IS NULL AND a.rule = 'edge_offline'
  AND a.site_id = (SELECT site_id FROM stack WHERE stack_id = %(stack)s)
"""
)
_OF_SITES: Final[LiteralString] = _OPEN + " AND a.site_id = ANY(%(sites)s)"
_SITES_OF: Final[LiteralString] = """
SELECT DISTINCT site_id FROM alert WHERE alert_id = ANY(%s) AND site_id IS NOT NULL ORDER BY site_id
"""
_SITES_IN_TURN: Final[LiteralString] = """
SELECT DISTINCT site_id FROM alert
WHERE state IN ('firing', 'acknowledged') AND site_id %% %(turns)s = %(turn)s ORDER BY site_id
"""
_STOPPED: Final[LiteralString] = """
SELECT k.site_id, k.code FROM stack_stopped JOIN stack k USING (stack_id) WHERE k.site_id = ANY(%s)
"""
# The edges of the last day on which anything came: of a stack without data for a week, those that fed it then.
_FED_BY: Final[LiteralString] = """
SELECT k.site_id, k.code, array_agg(DISTINCT b.edge)
FROM stack k JOIN stack_latest l USING (stack_id)
CROSS JOIN LATERAL (SELECT DISTINCT m.batch_id FROM measurement m
                    WHERE m.stack_id = k.stack_id AND m.sampled_at > l.sampled_at - interval '1 day'
                      AND m.sampled_at <= l.sampled_at) fed
JOIN batch b USING (batch_id)
WHERE (k.site_id, k.code) IN (SELECT * FROM unnest(%s::integer[], %s::text[]))
GROUP BY k.site_id, k.code
"""
_SILENCES: Final[LiteralString] = """
SELECT s.site_id, q.silence_id, q.audience = 'plant' AS by_plant, r.code AS region, t.code AS site, k.code AS stack,
       q.rules, q.severities
FROM silence q
JOIN site s ON (q.site_id IS NULL OR q.site_id = s.site_id) AND (q.region_id IS NULL OR q.region_id = s.region_id)
LEFT JOIN region r ON r.region_id = q.region_id
LEFT JOIN site t ON t.site_id = q.site_id
LEFT JOIN stack k ON k.stack_id = q.stack_id
WHERE q.in_force AND s.site_id = ANY(%s)
ORDER BY s.site_id, q.silence_id
"""
_PUT: Final[LiteralString] = """
UPDATE alert SET suppressed_by = %s, plant_silence = %s
WHERE alert_id = %s AND state IN ('firing', 'acknowledged')
"""
_COUNTS: Final[LiteralString] = """
SELECT why ->> 'reason', count(DISTINCT a.alert_id)
FROM alert a CROSS JOIN LATERAL jsonb_array_elements(a.suppressed_by) why
WHERE a.state IN ('firing', 'acknowledged') GROUP BY 1
"""
_NOTE_STOPPED: Final[LiteralString] = "INSERT INTO stack_stopped (stack_id) VALUES (%s) ON CONFLICT DO NOTHING"
_NOTE_RUNNING: Final[LiteralString] = "DELETE FROM stack_stopped WHERE stack_id = %s"


async def open_of_stack(conn: Connection, stack_id: int, *, said_after_s: int) -> list[OpenRow]:
    """The open alerts of a stack, and those that its site's edges are offline."""
    return await _open(conn, _OF_STACK, {"stack": stack_id, "said_after_s": said_after_s})


async def open_of_sites(conn: Connection, site_ids: Sequence[int], *, said_after_s: int) -> list[OpenRow]:
    return await _open(conn, _OF_SITES, {"sites": list(site_ids), "said_after_s": said_after_s})


async def _open(conn: Connection, query: LiteralString, values: Mapping[str, Any]) -> list[OpenRow]:
    async with conn.cursor(row_factory=class_row(OpenRow)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def sites_of(conn: Connection, alert_ids: Sequence[str]) -> list[int]:
    """The sites that alerts are about, each once."""
    cursor = await conn.execute(_SITES_OF, [list(alert_ids)])
    return [site_id for (site_id,) in await cursor.fetchall()]


async def sites_in_turn(conn: Connection, turn: int, turns: int) -> list[int]:
    """The sites with open alerts whose turn it is: each once in *turns*."""
    cursor = await conn.execute(_SITES_IN_TURN, {"turn": turn % turns, "turns": turns})
    return [site_id for (site_id,) in await cursor.fetchall()]


async def stopped(conn: Connection, site_ids: Sequence[int]) -> set[tuple[int, str]]:
    """(site_id, code) of the stacks whose source stands still."""
    cursor = await conn.execute(_STOPPED, [list(site_ids)])
    return {(site_id, code) for site_id, code in await cursor.fetchall()}


async def fed_by(conn: Connection, stacks: Sequence[tuple[int, str]]) -> dict[tuple[int, str], frozenset[str]]:
    """The edges that sent the last rows of *stacks*, each a (site_id, code)."""
    if not stacks:
        return {}
    site_ids, codes = zip(*stacks, strict=True)
    cursor = await conn.execute(_FED_BY, [list(site_ids), list(codes)])
    return {(site_id, code): frozenset(edges) for site_id, code, edges in await cursor.fetchall()}


async def silences(conn: Connection, site_ids: Sequence[int]) -> list[SilenceRow]:
    """The silences in force at each site; one of a region is there once a site."""
    async with conn.cursor(row_factory=class_row(SilenceRow)) as cursor:
        await cursor.execute(_SILENCES, [list(site_ids)])
        return await cursor.fetchall()


async def counts(conn: Connection) -> dict[str, int]:
    """How many open alerts are quiet, by reason."""
    cursor = await conn.execute(_COUNTS)
    return dict(await cursor.fetchall())


async def put(conn: Connection, marks: Sequence[tuple[str, Sequence[Mapping[str, Any]], int | None]]) -> None:
    """Mark open alerts with their reasons (none: they are heard again) and the plant's own silence."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            _PUT,
            [
                (Jsonb([dict(reason) for reason in reasons]) if reasons else None, own, alert_id)
                for alert_id, reasons, own in sorted(marks, key=lambda mark: mark[0])
            ],
        )


async def note_stopped(conn: Connection, stack_id: int, *, stopped: bool) -> bool:
    """Note whether a stack's source stands still; whether that is new."""
    cursor = await conn.execute(_NOTE_STOPPED if stopped else _NOTE_RUNNING, [stack_id])
    return cursor.rowcount > 0
