"""Create or upgrade the schema: numbered SQL files, forward only, each in a transaction of its own.

A file `NNNN_name.sql` is for every database. `NNNN_name.timescale.sql` is applied where the extension can be
had, `NNNN_name.timescale-community.sql` where its licence is `timescale` too; on a plain PostgreSQL
they wait, and are applied by the first run that finds the extension.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Final, LiteralString

from plant.errors import PlantError
from store.pool import Connection, connect

_NAME: Final = re.compile(r"(?P<number>\d{4})_(?P<title>[a-z_]+)(\.(?P<condition>timescale|timescale-community))?\.sql")
_LOCK: Final = 7_274_001  # any two migrations of one database take turns

_LEDGER: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class SchemaTooNew(PlantError):
    """The database was migrated by a newer stackwatch. Start that one, or restore a backup."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    condition: str | None
    sql: str


def migrations() -> list[Migration]:
    """Every migration that ships, in order; a gap or a repeat in the numbers is a mistake of ours."""
    found = []
    for entry in resources.files("store.migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(entry.name)
        if match is None:
            raise ValueError(f"migration {entry.name} is not named NNNN_name[.condition].sql")
        sql = entry.read_text(encoding="utf-8")
        found.append(Migration(int(match["number"]), entry.name, match["condition"], sql))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migration numbers must run 1, 2, 3 ... without a gap")
    return found


async def migrate(database_url: str) -> list[str]:
    """Apply what is missing to the database at *database_url*; the names of what was applied."""
    async with await connect(database_url, name="migrate", autocommit=True) as conn:
        await conn.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        await conn.execute(_LEDGER)
        cursor = await conn.execute("SELECT number FROM schema_migration")
        done = {row[0] for row in await cursor.fetchall()}
        known = migrations()
        if done - {migration.number for migration in known}:
            raise SchemaTooNew(f"the schema has migration {max(done)}, this stackwatch knows {known[-1].number}")
        conditions = await _conditions(conn)
        applied = []
        for migration in known:
            if migration.number in done or migration.condition not in conditions:
                continue
            async with conn.transaction():
                await conn.execute("SET LOCAL lock_timeout = '5s'")
                await conn.execute(migration.sql.encode())
                await conn.execute(
                    "INSERT INTO schema_migration (number, name) VALUES (%s, %s)",
                    [migration.number, migration.name],
                )
            applied.append(migration.name)
        return applied


async def pending(conn: Connection) -> list[str]:
    """Migrations for every database that this one has not had."""
    cursor = await conn.execute("SELECT to_regclass('schema_migration') IS NOT NULL")
    row = await cursor.fetchone()
    done: set[int] = set()
    if row is not None and row[0]:
        cursor = await conn.execute("SELECT number FROM schema_migration")
        done = {number for (number,) in await cursor.fetchall()}
    return [m.name for m in migrations() if m.condition is None and m.number not in done]


async def _conditions(conn: Connection) -> set[str | None]:
    """Which kinds of migration this database can have."""
    cursor = await conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'")
    if await cursor.fetchone() is None:
        return {None}
    await conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    cursor = await conn.execute("SHOW timescaledb.license")
    row = await cursor.fetchone()
    licence = row[0] if row else ""
    return {None, "timescale", "timescale-community"} if licence == "timescale" else {None, "timescale"}
