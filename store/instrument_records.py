"""Records of what was done at the instruments of a stack: the SQL of instrument_record. Nothing is rewritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from store.pool import Connection

KINDS: Final = ("calibration", "comparison", "parameter", "maintenance")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    site_id: int
    stack_id: int
    instrument: str
    channels: Sequence[str]
    kind: str
    at: datetime
    note: str
    figures: Mapping[str, Any]


_COLUMNS: Final[LiteralString] = """
SELECT i.record_id AS id, s.code AS site, k.code AS stack, i.instrument, i.channels, i.kind, utc_text(i.at) AS at,
    i.note, i.figures, i.filed_by, utc_text(i.filed_at) AS filed_at
FROM instrument_record i JOIN stack k USING (stack_id) JOIN site s ON s.site_id = i.site_id
"""
_PAGE: Final[LiteralString] = (
    _COLUMNS
    + """
WHERE i.stack_id = %(stack_id)s
  AND (%(kind)s::text IS NULL OR i.kind = %(kind)s)
  AND (%(instrument)s::text IS NULL OR i.instrument = %(instrument)s)
  AND (%(start)s::timestamptz IS NULL OR i.at >= %(start)s)
  AND (%(end)s::timestamptz IS NULL OR i.at < %(end)s)
  AND (%(after)s::bigint IS NULL OR i.record_id < %(after)s)
ORDER BY i.record_id DESC
LIMIT %(limit)s
"""
)
_FILE: Final[LiteralString] = """
INSERT INTO instrument_record (site_id, stack_id, instrument, channels, kind, at, note, figures, filed_by)
VALUES (%(site_id)s, %(stack_id)s, %(instrument)s, %(channels)s, %(kind)s, %(at)s, %(note)s, %(figures)s, %(by)s)
RETURNING record_id
"""


async def file_record(conn: Connection, record: NewRecord, *, by: str) -> dict[str, Any]:
    """Keep a new record; as it is listed."""
    values = {
        "site_id": record.site_id,
        "stack_id": record.stack_id,
        "instrument": record.instrument,
        "channels": list(record.channels),
        "kind": record.kind,
        "at": record.at,
        "note": record.note,
        "figures": Jsonb(dict(record.figures)),
        "by": by,
    }
    row = await (await conn.execute(_FILE, values)).fetchone()
    assert row is not None
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_COLUMNS + "WHERE i.record_id = %s", [row[0]])
        (filed,) = await cursor.fetchall()
    return filed


async def list_records(
    conn: Connection,
    stack_id: int,
    *,
    kind: str | None = None,
    instrument: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    after: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Records of what was done in `[start, end)`, the last filed first, behind the id *after*."""
    values = {
        "stack_id": stack_id,
        "kind": kind,
        "instrument": instrument,
        "start": start,
        "end": end,
        "after": after,
        "limit": limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PAGE, values)
        return await cursor.fetchall()
