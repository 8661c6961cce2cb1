"""Reports into their tables: new rows at once, the others beside what stands (`plant.reports`).

reports ──▶ one of each key ──▶ INSERT of what is new ──▶ nothing stood: done
                                                     └──▶ read, ranked, what counts is written back
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import sql

from plant.merging import CONFLICT, DUPLICATE, STORED
from plant.periods import instant, micros
from plant.reports import REPORTED_MEAN, SIGNAL, Kind, Report, ranked, report_from
from store.pool import Connection

_TYPES: Final[Mapping[str, LiteralString]] = {
    "stack_id": "integer",
    "site_id": "integer",
    "interval_s": "integer",
    "sampled_at": "timestamptz",
    "source": "text",
    "channel": "text",
    "unit": "text",
    "stack": "text",
    "signal": "text",
    "flag": "text",
    "revision": "integer",
    "sent_at": "timestamptz",
    "received_at": "timestamptz",
    "batch_id": "bigint",
}  # all others are double precision
_AROUND: Final = ("revision", "sent_at", "received_at", "batch_id")
_LOCKS: Final = {REPORTED_MEAN.name: 7274006, SIGNAL.name: 7274007}

# In the order of the keys: two ingestors that insert the same ones never wait in a circle.
_INSERT: Final[LiteralString] = """
INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays}) AS a ({columns}) ORDER BY {key}
ON CONFLICT DO NOTHING RETURNING {key}
"""
# One writer over rows of a site that stand at a time; what the one before committed is seen by the next statement.
_LOCK: Final[LiteralString] = "SELECT pg_advisory_xact_lock(%s, site_id) FROM unnest(%s::integer[]) AS s (site_id)"
_STANDING: Final[LiteralString] = """
SELECT {columns} FROM {table} JOIN unnest({arrays}) AS k ({key}) USING ({key})
WHERE {table}.sampled_at BETWEEN %s AND %s
"""
_UPDATE: Final[LiteralString] = """
UPDATE {table} t SET {sets} FROM unnest({arrays}) AS a ({columns})
WHERE ({t_key}) = ({a_key}) AND t.sampled_at BETWEEN %s AND %s
"""
_OVERRULED: Final[LiteralString] = """
SELECT o.identity, o.body, o.sent_at, o.received_at, o.batch_id
FROM unnest(%s::integer[], %s::text[]) AS k (site_id, identity) JOIN overruled o USING (site_id, identity)
WHERE o.kind = %s
"""
_FORGET: Final[LiteralString] = """
DELETE FROM overruled o USING unnest(%s::integer[], %s::text[]) AS k (site_id, identity)
WHERE (o.site_id, o.identity) = (k.site_id, k.identity) AND o.kind = %s
"""
_OVERRULE: Final[LiteralString] = """
INSERT INTO overruled (site_id, kind, identity, body, revision, sent_at, sampled_at, received_at, batch_id)
SELECT * FROM unnest(%s::integer[], %s::text[], %s::text[], %s::text[], %s::integer[], %s::timestamptz[],
                     %s::timestamptz[], %s::timestamptz[], %s::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A report, of which site it is, and the message that brought it."""

    report: Report
    site_id: int
    received_at: datetime
    batch_id: int


async def write(conn: Connection, arrived: Sequence[Arrived]) -> list[int]:
    """Store *arrived*; the fate of each: STORED, DUPLICATE or CONFLICT. The caller owns the transaction."""
    fates = [STORED] * len(arrived)
    for kind in (REPORTED_MEAN, SIGNAL):
        places = [place for place, one in enumerate(arrived) if one.report.kind is kind]
        if places:
            for place, fate in zip(places, await _write(conn, kind, [arrived[p] for p in places]), strict=True):
                fates[place] = fate
    return fates


async def _write(conn: Connection, kind: Kind, arrived: Sequence[Arrived]) -> list[int]:
    by_key: dict[tuple[Any, ...], list[int]] = {}
    for place, one in enumerate(arrived):
        by_key.setdefault(one.report.key, []).append(place)
    firsts = {key: arrived[places[0]] for key, places in by_key.items()}
    inserted = await _insert(conn, kind, firsts.values())
    contested = [key for key, places in by_key.items() if key not in inserted or len(places) > 1]
    fates = [STORED] * len(arrived)
    if contested:
        await conn.execute(_LOCK, [_LOCKS[kind.name], sorted({firsts[key].site_id for key in contested})])
        asked = {key: firsts[key] for key in contested}
        standing = await _standing(conn, kind, asked)
        overruled = await _overruled(conn, kind, asked.values())
        rewriting: list[tuple[Arrived, list[Arrived]]] = []
        for key in contested:
            known = [standing[key], *overruled.get(firsts[key].report.identity, ())]
            places = by_key[key][1:] if key in inserted else by_key[key]
            after = _settle(known, [arrived[place] for place in places], places, fates)
            if after[0] != known[0] or {*after} != {*known}:
                rewriting.append((after[0], after[1:]))
        await _rewrite(conn, kind, rewriting)
    return fates


def _settle(
    known: Sequence[Arrived], arrived: Sequence[Arrived], places: Sequence[int], fates: list[int]
) -> list[Arrived]:
    """All that there is of one row now, what counts first; the fates of what arrived are noted."""
    brought = {one.report.body: one for one in known}
    reports = [one.report for one in known]
    for place, one in zip(places, arrived, strict=True):
        fates[place] = _fate(one.report, reports)
        brought.setdefault(one.report.body, one)
        reports.append(one.report)
    found = []
    for report in ranked(reports):
        by = brought[report.body]
        found.append(Arrived(report, by.site_id, by.received_at, by.batch_id))
    return found


def _fate(report: Report, known: Sequence[Report]) -> int:
    if any(report.body == other.body for other in known):
        return DUPLICATE
    if any(report.revision == other.revision for other in known):
        return CONFLICT
    return STORED if report.revision > max(other.revision for other in known) else DUPLICATE


async def _insert(conn: Connection, kind: Kind, arrived: Iterable[Arrived]) -> set[tuple[Any, ...]]:
    """The keys of those that are new."""
    names = (*kind.identity, *kind.content, *_AROUND)
    statement = sql.SQL(_INSERT).format(
        table=sql.Identifier(kind.name), columns=_names(names), arrays=_arrays(names), key=_names(kind.identity)
    )
    cursor = await conn.execute(statement, _columns([_row(one) for one in arrived]))
    return {_key(row) for row in await cursor.fetchall()}


async def _standing(
    conn: Connection, kind: Kind, asked: Mapping[tuple[Any, ...], Arrived]
) -> dict[tuple[Any, ...], Arrived]:
    names = (*kind.identity, *kind.content, *_AROUND)
    statement = sql.SQL(_STANDING).format(
        table=sql.Identifier(kind.name), columns=_names(names), arrays=_arrays(kind.identity), key=_names(kind.identity)
    )
    cursor = await conn.execute(
        statement, [*_columns([[*key[:-1], instant(key[-1])] for key in asked]), *_span(asked.values())]
    )
    found = {}
    end = len(kind.identity)
    for row in await cursor.fetchall():
        revision, sent_at, received_at, batch_id = row[-4:]
        sent = None if sent_at is None else micros(sent_at)
        report = Report(kind, _key(row[:end]), revision, sent, tuple(row[end:-4]))
        found[report.key] = Arrived(report, asked[report.key].site_id, received_at, batch_id)
    return found


async def _overruled(conn: Connection, kind: Kind, asked: Collection[Arrived]) -> dict[str, list[Arrived]]:
    """What does not count, by the identity of its row."""
    by_identity = {one.report.identity: one for one in asked}
    owners = _columns([[one.site_id, identity] for identity, one in by_identity.items()])
    found: dict[str, list[Arrived]] = {}
    cursor = await conn.execute(_OVERRULED, [*owners, kind.name])
    for identity, body, sent_at, received_at, batch_id in await cursor.fetchall():
        of = by_identity[identity]
        report = report_from(kind, of.report.key, body, None if sent_at is None else micros(sent_at))
        found.setdefault(identity, []).append(Arrived(report, of.site_id, received_at, batch_id))
    return found


async def _rewrite(conn: Connection, kind: Kind, rows: Sequence[tuple[Arrived, Sequence[Arrived]]]) -> None:
    """Write what counts of each row, and all that does not."""
    if not rows:
        return
    names = (*kind.identity, *kind.content, *_AROUND)
    sets = sql.SQL(", ").join(sql.SQL("{0} = a.{0}").format(sql.Identifier(name)) for name in (*kind.content, *_AROUND))
    statement = sql.SQL(_UPDATE).format(
        table=sql.Identifier(kind.name),
        sets=sets,
        arrays=_arrays(names),
        columns=_names(names),
        t_key=_names(kind.identity, "t"),
        a_key=_names(kind.identity, "a"),
    )
    await conn.execute(statement, [*_columns([_row(one) for one, _ in rows]), *_span([one for one, _ in rows])])
    await conn.execute(_FORGET, [*_columns([[one.site_id, one.report.identity] for one, _ in rows]), kind.name])
    others = [_overruled_row(other) for _, some in rows for other in some]
    if others:
        await conn.execute(_OVERRULE, _columns(others))


def _overruled_row(one: Arrived) -> list[Any]:
    report = one.report
    sent_at = None if report.sent_at is None else instant(report.sent_at)
    return [
        one.site_id,
        report.kind.name,
        report.identity,
        report.body,
        report.revision,
        sent_at,
        instant(report.sampled_at),
        one.received_at,
        one.batch_id,
    ]


def _row(one: Arrived) -> list[Any]:
    """By identity, content and what is around them."""
    report = one.report
    sent_at = None if report.sent_at is None else instant(report.sent_at)
    around = [report.revision, sent_at, one.received_at, one.batch_id]
    return [*report.key[:-1], instant(report.sampled_at), *report.content, *around]


def _span(arrived: Collection[Arrived]) -> tuple[datetime, datetime]:
    """The times between which they lie: the chunks to look into, which an unnested key does not name beforehand."""
    times = [one.report.sampled_at for one in arrived]
    return instant(min(times)), instant(max(times))


def _key(row: Sequence[Any]) -> tuple[Any, ...]:
    return (*row[:-1], micros(row[-1]))


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _names(names: Iterable[str], table: str | None = None) -> sql.Composed:
    parts = (sql.Identifier(name) if table is None else sql.Identifier(table, name) for name in names)
    return sql.SQL(", ").join(parts)


def _arrays(names: Iterable[str]) -> sql.Composed:
    types = (sql.SQL(_TYPES.get(name, "double precision")) for name in names)
    return sql.SQL(", ").join(sql.SQL("%s::{}[]").format(kind) for kind in types)
