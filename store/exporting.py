"""What an exported alert carries beside its document: the marks that were accepted, and whether more is coming."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from store.pool import Connection

_ACCEPTED: Final[LiteralString] = """
SELECT mark_id AS id, kind, utc_text(start_at) AS start, utc_text(end_at) AS "end", reason, filed_by,
    decided_by, utc_text(decided_at) AS decided_at
FROM mark
WHERE stack_id = (SELECT stack_id FROM alert WHERE alert_id = %(alert_id)s) AND status = 'accepted'
  AND start_at < %(end)s AND end_at > %(start)s AND (%(before)s::timestamptz IS NULL OR decided_at <= %(before)s)
ORDER BY start_at, mark_id
"""
_MEANS: Final[LiteralString] = """
SELECT utc_text(m.start) AS start, m.pollutant, m.averaging, m.revision, m.instrument, m.rows, m.valid_minutes, m.mean,
    m.o2, encode(m.rows_hash, 'hex') AS rows_hash
FROM alert a JOIN hour_mean m ON m.stack_id = a.stack_id AND (a.pack IS NULL OR m.pollutant = a.pollutant)
WHERE a.alert_id = %(alert_id)s AND m.superseded_at IS NULL AND m.start = ANY(%(starts)s)
  AND m.start BETWEEN %(first)s AND %(last)s
ORDER BY m.start, m.pollutant, m.averaging
"""
_WAITING: Final[LiteralString] = """
SELECT EXISTS (SELECT FROM rejudge q JOIN alert a USING (stack_id) WHERE a.alert_id = %s)
"""


_HOURS: Final[LiteralString] = """
SELECT coalesce(jsonb_agg(jsonb_build_object('start', utc_text(v.start), 'verdict', v.verdict, 'reason', v.reason,
                                             'corrected', v.corrected, 'limit', v.limit_value, 'claimed', v.claimed,
                                             'revision', v.revision) ORDER BY v.start), '[]')
FROM alert a JOIN hour_verdict v USING (stack_id, pack, pollutant)
WHERE a.alert_id = %(alert_id)s AND v.superseded_at IS NULL AND v.final
  AND v.start >= %(start)s AND v.start < %(end)s
"""


async def one_instant(conn: Connection) -> None:
    """Let all that this transaction reads be of one instant. To be asked first."""
    await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


async def accepted_marks(
    conn: Connection, alert_id: str, *, start: datetime, end: datetime, before: datetime | None
) -> list[dict[str, Any]]:
    """The accepted marks of the alert's stack that touch `[start, end)`; if given, decided *before* an instant."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ACCEPTED, {"alert_id": alert_id, "start": start, "end": end, "before": before})
        return await cursor.fetchall()


async def final_hours(conn: Connection, alert_id: str, *, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The final verdicts of the alert's series in `[start, end)`, as `store.findings.HOURS` copies them."""
    cursor = await conn.execute(_HOURS, {"alert_id": alert_id, "start": start, "end": end})
    row = await cursor.fetchone()
    return [] if row is None else list(row[0])


async def means_of_hours(conn: Connection, alert_id: str, starts: Sequence[datetime]) -> list[dict[str, Any]]:
    """The means of the alert's stack that stand at *starts*, with the hash of the rows each was made of."""
    if not starts:
        return []
    async with conn.cursor(row_factory=dict_row) as cursor:
        values = {"alert_id": alert_id, "starts": list(starts), "first": min(starts), "last": max(starts)}
        await cursor.execute(_MEANS, values)
        return await cursor.fetchall()


async def is_being_judged(conn: Connection, alert_id: str) -> bool:
    """Whether hours of the alert's stack wait to be judged."""
    row = await (await conn.execute(_WAITING, [alert_id])).fetchone()
    return bool(row and row[0])
