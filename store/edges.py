"""What edges said of themselves last, as `ingestor.notes` kept it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection

_OF_SITE: Final[LiteralString] = """
SELECT edge, online, coalesce((document ->> 'since')::timestamptz, received_at) AS since, document, received_at
FROM edge_state WHERE site_id = %s ORDER BY edge LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class EdgeState:
    """`document`: version, outbox, oldest, dropped, and where the edge says so sources, agent_file and hook."""

    edge: str
    online: bool
    since: datetime  #: when it was first heard to be so, as far as an ingestor listened
    document: Mapping[str, Any]
    received_at: datetime


async def states_of(conn: Connection, site_id: int, *, limit: int) -> list[EdgeState]:
    """The edges of a site by name."""
    async with conn.cursor(row_factory=class_row(EdgeState)) as cursor:
        await cursor.execute(_OF_SITE, [site_id, limit])
        return await cursor.fetchall()
