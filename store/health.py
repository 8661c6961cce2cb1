"""Who beats, and the few figures to watch: reads of heartbeat, queues and counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg.rows import class_row, dict_row

from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    component: str
    instance: str
    age_s: float  #: by the database's clock, which also stamped it
    ok: bool
    detail: dict[str, Any]


YOUNG_S: Final = 15.0  #: a part that has not beaten for so long is taken for dead

_BEATS: Final[LiteralString] = """
SELECT component, instance, extract(epoch FROM now() - beat_at)::float8 AS age_s, ok, detail
FROM heartbeat ORDER BY component, beat_at DESC, instance
"""

_FIGURES: Final[LiteralString] = """
SELECT
    (SELECT coalesce(sum(stored + duplicate + conflict + quarantined), 0)::bigint FROM (
        SELECT stored, duplicate, conflict, quarantined FROM book_edge
        UNION ALL
        SELECT stored, duplicate, conflict, quarantined FROM book_entry) arrived) AS rows,
    (SELECT count(*) FROM rejudge) AS rejudge,
    (SELECT count(*) FROM alert_event WHERE feed_number IS NULL) AS unnumbered,
    (SELECT count(*) FROM outgoing WHERE sent_at IS NULL AND gave_up_at IS NULL AND due_at <= now()) AS outgoing_due,
    (SELECT count(*) FROM quarantine WHERE status = 'held') AS quarantine_held,
    (SELECT count(*) FROM "case" WHERE closed_at IS NULL) AS open_cases
"""

_OPEN_ALERTS: Final[LiteralString] = """
SELECT severity, count(*) FROM alert WHERE state IN ('firing', 'acknowledged') GROUP BY severity ORDER BY severity
"""

_PUBLIC_SITES: Final[LiteralString] = """
SELECT code FROM site WHERE code = ANY(%s) AND NOT simulated ORDER BY code LIMIT %s
"""


async def beats(conn: Connection) -> list[Beat]:
    """The last beat of each instance, by component, the youngest first."""
    async with conn.cursor(row_factory=class_row(Beat)) as cursor:
        await cursor.execute(_BEATS)
        return await cursor.fetchall()


def all_well(seen: Sequence[Beat], components: Sequence[str]) -> bool:
    """Whether of each of *components* one instance at least beats and is well."""
    well = {beat.component for beat in seen if beat.ok and beat.age_s < YOUNG_S}
    return well.issuperset(components)


async def public_sites(conn: Connection, codes: Sequence[str], *, limit: int) -> list[str]:
    """The first of *codes* that may be named to anybody, in order."""
    cursor = await conn.execute(_PUBLIC_SITES, [list(codes), limit])
    return [code for (code,) in await cursor.fetchall()]


async def figures(conn: Connection) -> dict[str, int]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_FIGURES)
        row = await cursor.fetchone()
    assert row is not None
    return row


async def open_alerts(conn: Connection) -> dict[str, int]:
    """How many alerts are open, by severity."""
    cursor = await conn.execute(_OPEN_ALERTS)
    return dict(await cursor.fetchall())
