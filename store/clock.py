"""The one clock that matters: ticks that the stage's leader commits, and the newest row of a simulated site."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from plant.periods import micros
from store.pool import Connection


async def put_tick(conn: Connection, at: datetime, leader: str) -> datetime:
    """Commit the clock; it never goes back, whatever the machine's clock does. The newest tick."""
    cursor = await conn.execute(
        """
        INSERT INTO tick (at, leader)
        SELECT %(at)s, %(leader)s WHERE NOT EXISTS (SELECT FROM tick WHERE at >= %(at)s)
        """,
        {"at": at, "leader": leader},
    )
    await conn.execute("DELETE FROM tick WHERE at < (SELECT max(at) FROM tick) - interval '1 hour'")
    cursor = await conn.execute("SELECT max(at) FROM tick")
    row = await cursor.fetchone()
    assert row is not None
    newest: datetime = row[0]
    return newest


async def newest_tick(conn: Connection) -> datetime | None:
    row = await (await conn.execute("SELECT max(at) FROM tick")).fetchone()
    return None if row is None else row[0]


async def clock(conn: Connection, site_id: int, *, simulated: bool) -> int | None:
    """What time it is at a site, in microseconds: the newest tick, or its newest row where it is simulated."""
    if simulated:
        cursor = await conn.execute("SELECT newest FROM site_clock WHERE site_id = %s", [site_id])
    else:
        cursor = await conn.execute("SELECT max(at) FROM tick")
    row = await cursor.fetchone()
    return None if row is None or row[0] is None else micros(row[0])


@dataclass(frozen=True, slots=True)
class LastTick:
    at: datetime
    age_s: float  #: since it was committed, by the database's clock


async def last_tick(conn: Connection) -> LastTick | None:
    """The newest tick, and how long ago it was."""
    cursor = await conn.execute(
        """
        SELECT at, extract(epoch FROM clock_timestamp() - committed_at)::float8 FROM tick ORDER BY at DESC LIMIT 1
        """
    )
    row = await cursor.fetchone()
    return None if row is None else LastTick(*row)
