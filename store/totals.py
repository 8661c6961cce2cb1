"""How much there is: the figures that a person who starts the system wants to see grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    rows: int
    hours: int  #: final hours, by stack
    to_judge: int  #: questions in the queue
    alerts: int
    cases: int
    orders: int
    lifted: int


_TOTALS: Final[LiteralString] = """
SELECT
    (SELECT count(*) FROM measurement) AS rows,
    (SELECT count(*) FROM (SELECT DISTINCT stack_id, start FROM hour_verdict WHERE final) h) AS hours,
    (SELECT count(*) FROM rejudge) AS to_judge,
    (SELECT count(*) FROM alert WHERE state <> 'withdrawn') AS alerts,
    (SELECT count(*) FROM "case") AS cases,
    (SELECT count(*) FROM plant_order) AS orders,
    (SELECT count(*) FROM "case" WHERE state = 'lifted') AS lifted
"""


async def totals(conn: Connection) -> Totals:
    """Counted, so for a database of a demonstration's size."""
    async with conn.cursor(row_factory=class_row(Totals)) as cursor:
        await cursor.execute(_TOTALS)
        found = await cursor.fetchone()
    assert found is not None
    return found
