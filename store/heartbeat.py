"""Which parts live: each process writes when it last did its work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from store.pool import Connection

_BEAT: Final[LiteralString] = """
INSERT INTO heartbeat (component, instance, beat_at, ok, detail) VALUES (%s, %s, now(), %s, %s)
ON CONFLICT (component, instance) DO UPDATE
    SET beat_at = excluded.beat_at, ok = excluded.ok, detail = excluded.detail
"""


async def beat(conn: Connection, component: str, instance: str, *, ok: bool, detail: Mapping[str, Any]) -> None:
    """Note that *instance* of *component* lives, by the database's clock, and whether it can do its work."""
    await conn.execute(_BEAT, [component, instance, ok, Jsonb(dict(detail))])
