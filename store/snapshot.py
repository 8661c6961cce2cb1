"""What a backup says about a database, and what a restored one needs: counts of one snapshot, and two leaps.

A number that was given out after the backup was made is known outside and no longer here. Numbers that readers hold on
to (of the feed, of a site's list of orders) therefore leap ahead after a restore, far enough never to be given twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from store.pool import Connection

FEED_LEAP: Final = 1_000_000_000  #: more events than anybody was told between a backup and a crash

_SERVER: Final[LiteralString] = """
SELECT current_setting('server_version'), current_setting('server_version_num')::integer / 10000,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')
"""
_TABLES: Final[LiteralString] = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname
"""
# Whatever an extension brought along does not count: it is there before anything of ours is.
_ANYTHING: Final[LiteralString] = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
  AND n.nspname NOT LIKE 'pg\\_temp%'
  AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  AND NOT EXISTS (SELECT FROM pg_extension x WHERE x.extname = 'timescaledb' AND n.nspname ~ '^_?timescaledb')
ORDER BY 1 LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What must fit between the database a backup was made of and the one it goes into."""

    version: str
    major: int
    timescaledb: str | None  #: version of the extension in this database


async def freeze(conn: Connection) -> str:
    """Let *conn*, on which nothing has run yet, see one instant; the name under which others can see it too."""
    await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    await conn.set_read_only(True)
    return str((await _one(conn, "SELECT pg_export_snapshot()"))[0])


async def server_of(conn: Connection) -> Server:
    version, major, timescaledb = await _one(conn, _SERVER)
    return Server(version=version, major=major, timescaledb=timescaledb)


async def migrations_of(conn: Connection) -> list[str]:
    """The names of the migrations that the database has had, in order; none where it is no database of ours."""
    if (await _one(conn, "SELECT to_regclass('schema_migration') IS NULL"))[0]:
        return []
    cursor = await conn.execute("SELECT name FROM schema_migration ORDER BY number")
    return [str(name) for (name,) in await cursor.fetchall()]


async def counts(conn: Connection) -> dict[str, int]:
    """Rows of every table of ours. Reads them all: a figure that is estimated proves nothing."""
    cursor = await conn.execute(_TABLES)
    found = {}
    for (table,) in await cursor.fetchall():
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        found[str(table)] = int((await _one(conn, query))[0])
    return found


async def case_ids(conn: Connection) -> list[str]:
    cursor = await conn.execute('SELECT case_id FROM "case" ORDER BY case_id')
    return [str(case_id) for (case_id,) in await cursor.fetchall()]


async def anything_in(conn: Connection) -> str | None:
    """A table, view or sequence that somebody made in this database; None where it is empty."""
    cursor = await conn.execute(_ANYTHING)
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def has_timescaledb(conn: Connection, version: str) -> bool:
    """Whether the server could bring exactly this version: a backup fits no other."""
    query = "SELECT FROM pg_available_extension_versions WHERE name = 'timescaledb' AND version = %s"
    return await (await conn.execute(query, [version])).fetchone() is not None


async def before_restoring(conn: Connection, timescaledb: str) -> None:
    """Make TimescaleDB ready to be filled. Needs a connection that commits each statement."""
    version = sql.Literal(timescaledb)
    await conn.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb VERSION {}").format(version))
    await conn.execute("SELECT timescaledb_pre_restore()")


async def after_restoring(conn: Connection) -> None:
    await conn.execute("SELECT timescaledb_post_restore()")


_LEAP_FEED: Final[LiteralString] = """
UPDATE alert_event SET feed_number = feed_number + %s
WHERE feed_number = (SELECT max(feed_number) FROM alert_event)
RETURNING feed_number
"""


async def leap_feed(conn: Connection) -> int | None:
    """Give the newest event of the feed a number that no reader has seen; the number, None in an empty feed.

    Who comes back with a number from after the backup then gets that one event again, and everything new.
    """
    cursor = await conn.execute(_LEAP_FEED, [FEED_LEAP])
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def _one(conn: Connection, query: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = await (await conn.execute(query)).fetchone()
    assert row is not None
    return row
