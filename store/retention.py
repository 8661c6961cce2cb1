"""What is kept how long, and letting go of the rest: our own policy, the same with and without TimescaleDB.

    the clock of a site ──▶ how far back its data reach (committed first) ──▶ chunks dropped, rows deleted in slices

Kept for good: register, alerts with the rows they stood on, cases, orders, marks, the audit trail. An hour that stood
when its rows went is never judged again from what is left of them (`frozen`); docs/storage.md has the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from plant.periods import HOUR, instant, micros
from store.pool import Connection

ROW_YEARS: Final = 1
"""CEMS data at least 1 year: 环大气〔2019〕35号, on promoting ultra-low emission in the steel industry."""

RECORD_YEARS: Final = 5
"""Monitoring records and ledgers at least 5 years: Ecological and Environmental Code art. 183, Permit Regulation
art. 21, Monitoring Regulation art. 26."""

SLICE: Final = 10_000  #: rows deleted in one transaction: nobody waits long for the locks of one
LOCK_TIMEOUT: Final = "5s"  #: dropping a chunk waits for its readers, and everybody else would wait behind it

_CERTAINLY_KEPT: Final = 300 * 24 * HOUR  # an hour this young is in nobody's retention


@dataclass(frozen=True, slots=True)
class _Table:
    """A table with rows of stacks or of sites, that go by time."""

    name: LiteralString
    at: LiteralString  #: the column with the time
    kept_from: LiteralString  #: the column of `kept_from` that says how far back they are kept
    owner: LiteralString = "stack"


TABLES: Final = (
    _Table("measurement", "sampled_at", "rows_from"),
    _Table("measurement_version", "sampled_at", "rows_from"),
    _Table("measurement_conflict", "sampled_at", "records_from"),
    _Table("hour_mean", "start", "records_from"),
    _Table("hour_verdict", "start", "records_from"),
    _Table("hour_feature", "start", "rows_from"),
    _Table("life", "day", "records_from"),
    _Table("month_verdict", "month", "records_from"),
    _Table("reported_mean", "sampled_at", "records_from"),
    _Table("signal", "sampled_at", "rows_from", "site"),
    _Table("overruled", "sampled_at", "records_from", "site"),
)


@dataclass(slots=True)
class Gone:
    """What one run let go of, by table."""

    chunks: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    busy: int = 0  #: chunks that somebody read for too long: they go with the next run


# The clock of live sites is the tick, but one wrong clock must not be enough to delete anything: it goes neither past
# the database's own nor past a day behind the newest row. A simulated site has its own.
_LIVE_CLOCK: Final[LiteralString] = """
SELECT least((SELECT max(at) FROM tick), now(), (
    SELECT max(l.sampled_at) + interval '1 day'
    FROM stack_latest l JOIN stack k USING (stack_id) JOIN site s USING (site_id) WHERE NOT s.simulated))
WHERE EXISTS (SELECT FROM tick)
"""
# Rows of an hour that is still to be judged stay, however old.
_ADVANCE: Final[LiteralString] = """
WITH waiting AS (
    SELECT site_id, min(hour) AS hour FROM (
        SELECT k.site_id, q.hour FROM rejudge q JOIN stack k USING (stack_id)
        UNION ALL
        SELECT k.site_id, m.start FROM hour_mean m JOIN stack k USING (stack_id)
        WHERE NOT m.final AND m.superseded_at IS NULL
    ) asked GROUP BY site_id
), clock AS (
    SELECT s.site_id, CASE WHEN s.simulated THEN c.newest ELSE %(live)s::timestamptz END AS now, w.hour AS waiting
    FROM site s LEFT JOIN site_clock c USING (site_id) LEFT JOIN waiting w USING (site_id)
)
INSERT INTO kept_from (site_id, rows_from, records_from)
SELECT site_id,
    least(date_trunc('day', now - make_interval(years => %(row_years)s), 'UTC'), waiting - interval '1 hour'),
    least(date_trunc('month', now - make_interval(years => %(record_years)s), 'UTC'), waiting - interval '32 days')
FROM clock WHERE now IS NOT NULL
ON CONFLICT (site_id) DO UPDATE
    SET rows_from = greatest(kept_from.rows_from, excluded.rows_from),
        records_from = greatest(kept_from.records_from, excluded.records_from)
"""
_CHUNKS: Final[LiteralString] = """
SELECT chunk_schema, chunk_name, range_start, range_end, is_compressed FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = %s ORDER BY range_start
"""
_DROP: Final[LiteralString] = "SELECT drop_chunks(%s::regclass, older_than => %s, newer_than => %s)"
# A chunk goes as a whole when nobody keeps anything in it.
_IS_KEPT: Final[LiteralString] = """
SELECT FROM {owner} k LEFT JOIN kept_from f USING (site_id)
WHERE coalesce(f.{kept_from}, '-infinity') < %(end)s AND EXISTS (SELECT FROM {relation} m WHERE m.{id} = k.{id})
LIMIT 1
"""
_SLICE: Final[LiteralString] = """
DELETE FROM {relation} WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM {owner} k JOIN kept_from f USING (site_id) CROSS JOIN LATERAL (
        SELECT m.ctid FROM {relation} m WHERE m.{id} = k.{id} AND m.{at} < f.{kept_from} LIMIT %(slice)s) old
    LIMIT %(slice)s))
"""
# Books go by session, as a whole and from its end, so that what is left of one always balances. A session that still
# speaks is kept: its counts begin with its first frame.
_BOOKS: Final[tuple[tuple[LiteralString, LiteralString], ...]] = (
    (
        "batch",
        """
DELETE FROM batch WHERE batch_id = ANY(ARRAY(
    SELECT b.batch_id FROM edge_session e JOIN batch b USING (site_id, edge, session)
    WHERE e.changed_at < %(before)s ORDER BY b.site_id, b.edge, b.session, b.seq DESC LIMIT %(slice)s))
""",
    ),
    (
        "batch",
        """
DELETE FROM batch WHERE batch_id = ANY(ARRAY(
    SELECT batch_id FROM batch WHERE session IS NULL AND received_at < %(before)s LIMIT %(slice)s))
""",
    ),
    (
        "edge_session",
        """
DELETE FROM edge_session WHERE (site_id, edge, session) IN (
    SELECT e.site_id, e.edge, e.session FROM edge_session e
    WHERE e.changed_at < %(before)s
      AND NOT EXISTS (SELECT FROM batch b WHERE (b.site_id, b.edge, b.session) = (e.site_id, e.edge, e.session))
    LIMIT %(slice)s)
""",
    ),
    (
        "quarantine",
        """
DELETE FROM quarantine WHERE quarantine_id IN (
    SELECT q.quarantine_id FROM quarantine q
    WHERE q.received_at < %(before)s AND NOT EXISTS (
        SELECT FROM edge_session e WHERE (e.site_id, e.edge, e.session) = (q.site_id, q.edge, q.session))
    LIMIT %(slice)s)
""",
    ),
)


async def due(conn: Connection) -> bool:
    """Whether a day has passed since the last run, by the stage's clock; if so, this is the next one."""
    first = await conn.execute(
        "INSERT INTO retention_run (ran_at) SELECT max(at) FROM tick HAVING max(at) IS NOT NULL ON CONFLICT DO NOTHING"
    )
    if first.rowcount:
        return False  # a new database has nothing to let go of
    again = await conn.execute(
        """UPDATE retention_run SET ran_at = newest.at FROM (SELECT max(at) AS at FROM tick) newest
           WHERE ran_at <= newest.at - interval '1 day'"""
    )
    return again.rowcount == 1


async def let_go(conn: Connection, *, slice_rows: int = SLICE) -> Gone:
    """Delete what need not be kept any longer.

    *conn* is in autocommit mode: what is deleted together is a slice or a chunk, so nobody waits long, and a run that
    is killed has done its part. The next one goes on.
    """
    assert conn.autocommit, "each slice is a transaction of its own"
    row = await (await conn.execute(_LIVE_CLOCK)).fetchone()
    gone = Gone()
    if row is None:
        return gone  # no stage has ever ticked here
    live: datetime = row[0]
    years = {"row_years": ROW_YEARS, "record_years": RECORD_YEARS}
    await conn.execute(_ADVANCE, {"live": live, **years})
    for table in TABLES:
        await _let_go_of(conn, table, gone, slice_rows)
    before = live.replace(year=live.year - RECORD_YEARS, day=min(live.day, 28))
    for name, statement in _BOOKS:
        await _repeat(conn, name, sql.SQL(statement), {"before": before, "slice": slice_rows}, gone)
    return gone


async def _let_go_of(conn: Connection, table: _Table, gone: Gone, slice_rows: int) -> None:
    chunks = await _chunks(conn, table)
    if chunks is None:
        await _delete(conn, table, sql.Identifier(table.name), gone, slice_rows)
        return
    newest = await _newest_kept_from(conn, table)
    for schema, name, start, end, compressed in chunks:
        if newest is None or end > newest:
            break
        relation = sql.Identifier(schema, name)
        if await _is_kept(conn, table, relation, end):
            if not compressed:  # a columnstore's rows cannot be deleted one by one; it goes when nobody keeps any of it
                await _delete(conn, table, relation, gone, slice_rows)
            continue
        try:
            async with conn.transaction():
                await conn.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
                await conn.execute(_DROP, [table.name, end, start])
        except psycopg.errors.LockNotAvailable:
            gone.busy += 1
        else:
            gone.chunks[table.name] = gone.chunks.get(table.name, 0) + 1


async def _chunks(conn: Connection, table: _Table) -> list[tuple[str, str, datetime, datetime, bool]] | None:
    """The chunks of a hypertable, oldest first; None where it is a plain table."""
    cursor = await conn.execute("SELECT to_regclass('timescaledb_information.chunks') IS NOT NULL")
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return None
    cursor = await conn.execute(
        """SELECT FROM timescaledb_information.hypertables
           WHERE hypertable_schema = current_schema() AND hypertable_name = %s""",
        [table.name],
    )
    if cursor.rowcount == 0:
        return None
    return list(await (await conn.execute(_CHUNKS, [table.name])).fetchall())


async def _newest_kept_from(conn: Connection, table: _Table) -> datetime | None:
    query = sql.SQL("SELECT max({}) FROM kept_from").format(sql.Identifier(table.kept_from))
    row = await (await conn.execute(query)).fetchone()
    return None if row is None else row[0]


async def _is_kept(conn: Connection, table: _Table, relation: sql.Identifier, end: datetime) -> bool:
    query = sql.SQL(_IS_KEPT).format(relation=relation, **_names(table))
    return (await conn.execute(query, {"end": end})).rowcount == 1


async def _delete(conn: Connection, table: _Table, relation: sql.Identifier, gone: Gone, slice_rows: int) -> None:
    statement = sql.SQL(_SLICE).format(relation=relation, at=sql.Identifier(table.at), **_names(table))
    await _repeat(conn, table.name, statement, {"slice": slice_rows}, gone)


def _names(table: _Table) -> dict[str, sql.Identifier]:
    owner, kept_from = table.owner, table.kept_from
    return {
        "owner": sql.Identifier(owner),
        "id": sql.Identifier(f"{owner}_id"),
        "kept_from": sql.Identifier(kept_from),
    }


async def _repeat(
    conn: Connection, name: str, statement: sql.SQL | sql.Composed, values: dict[str, Any], gone: Gone
) -> None:
    """Run *statement* until it finds nothing more."""
    while count := (await conn.execute(statement, values)).rowcount:
        gone.rows[name] = gone.rows.get(name, 0) + count


_FROZEN: Final[LiteralString] = """
SELECT asked.hour FROM unnest(%(hours)s::timestamptz[]) AS asked (hour), stack k JOIN kept_from f USING (site_id)
WHERE k.stack_id = %(stack)s AND (
    asked.hour < f.records_from + interval '32 days'
    OR asked.hour < f.rows_from + interval '1 hour' AND EXISTS (
        SELECT FROM hour_mean m
        WHERE m.stack_id = %(stack)s AND m.start = asked.hour AND m.start BETWEEN %(first)s AND %(last)s
          AND m.final AND m.superseded_at IS NULL))
"""


async def frozen(conn: Connection, stack_id: int, hours: Iterable[int], *, now: int) -> set[int]:
    """Which of *hours* must stay as they are: they stood when their rows went, or their month is not whole any more."""
    old = [instant(hour) for hour in hours if hour < now - _CERTAINLY_KEPT]
    if not old:
        return set()
    values = {"stack": stack_id, "hours": old, "first": min(old), "last": max(old)}
    return {micros(hour) for (hour,) in await (await conn.execute(_FROZEN, values)).fetchall()}


async def kept_from(conn: Connection, site_id: int) -> tuple[datetime, datetime] | None:
    """Since when a site's (rows, records) are whole; None where nothing was ever let go of."""
    cursor = await conn.execute("SELECT rows_from, records_from FROM kept_from WHERE site_id = %s", [site_id])
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])
