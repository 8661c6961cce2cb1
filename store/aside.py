"""Stacks whose judging failed by a fault of ours: set aside with the reason, and tried again later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection

FIRST_RETRY_S: Final = 60.0
LAST_RETRY_S: Final = 3_600.0
_LONGEST: Final = 500  #: characters of a reason

_SET_ASIDE: Final[LiteralString] = """
INSERT INTO set_aside (stack_id, reason, failures, retry_at)
VALUES (%(stack_id)s, %(reason)s, 1, now() + make_interval(secs => %(first_s)s))
ON CONFLICT (stack_id) DO UPDATE SET reason = excluded.reason, failures = set_aside.failures + 1,
    retry_at = now() + make_interval(secs => least(%(last_s)s, %(first_s)s * 2 ^ least(set_aside.failures, 16)))
"""
_LIST: Final[LiteralString] = """
SELECT s.code AS site, k.code AS stack, a.reason, a.failures, a.since, a.retry_at
FROM set_aside a JOIN stack k USING (stack_id) JOIN site s USING (site_id) ORDER BY a.since, k.stack_id LIMIT %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    site: str
    stack: str
    reason: str
    failures: int
    since: datetime
    retry_at: datetime


async def put(conn: Connection, stack_id: int, reason: str) -> None:
    """Leave a stack alone for a while, the longer the more often it failed."""
    values = {"stack_id": stack_id, "reason": reason[:_LONGEST], "first_s": FIRST_RETRY_S, "last_s": LAST_RETRY_S}
    await conn.execute(_SET_ASIDE, values)


async def take_back(conn: Connection, stack_id: int) -> None:
    """It was judged."""
    await conn.execute("DELETE FROM set_aside WHERE stack_id = %s", [stack_id])


async def try_all_again(conn: Connection) -> None:
    """A stage has started: it may be another program than the one that failed."""
    await conn.execute("UPDATE set_aside SET retry_at = now() WHERE retry_at > now()")


async def listed(conn: Connection, *, limit: int = 20) -> list[Aside]:
    async with conn.cursor(row_factory=class_row(Aside)) as cursor:
        await cursor.execute(_LIST, [limit])
        return await cursor.fetchall()


async def count(conn: Connection) -> int:
    row = await (await conn.execute("SELECT count(*) FROM set_aside")).fetchone()
    assert row is not None
    return int(row[0])
