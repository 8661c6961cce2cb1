"""Receivers of notifications: their register, who works for one just now, and how it goes.

A receiver is never deleted, for messages were sent to it: it is retired. What it is told is `store.notices`', its
messages are in the outbox (`store.outgoing`). Targets are sealed before they come here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from plant.errors import NotFound, Refused
from store.pool import Connection
from store.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceiver:
    name: str
    kind: str
    shown: Mapping[str, Any]  #: what may be read of its target
    sealed: bytes
    language: str
    routes: Sequence[Mapping[str, Any]]
    system: bool
    sites: Collection[str]
    regions: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverRow:
    """A receiver as routing and delivery need it."""

    receiver_id: int
    name: str
    kind: str
    sealed: bytes
    language: str
    routes: list[dict[str, Any]]
    system: bool
    sites: list[str]
    regions: list[str]
    failures: int
    failing_since: datetime | None
    disabled_at: datetime | None
    dead_alert: str | None


# Told from now on: what stood before it was made is not told to it.
_INSERT: Final[LiteralString] = """
INSERT INTO receiver (name, kind, shown, sealed, language, routes, system, sites, regions, position, created_by)
SELECT %(name)s, %(kind)s, %(shown)s, %(sealed)s, %(language)s, %(routes)s, %(system)s, %(sites)s, %(regions)s,
       coalesce((SELECT max(feed_number) FROM alert_event), 0), %(by)s
RETURNING receiver_id
"""
_COLUMNS: Final[LiteralString] = """
SELECT receiver_id, name, kind, sealed, language, routes, system, sites, regions, failures, failing_since, disabled_at,
       dead_alert
FROM receiver r WHERE retired_at IS NULL
"""
# Inside a scope is what was made in it or in a part of it.
_IN_SCOPE: Final[LiteralString] = """
    r.retired_at IS NULL AND NOT %(scope_public)s
    AND (%(scope_sites)s::text[] IS NULL OR (r.sites <> '{}' AND r.sites <@ %(scope_sites)s::text[]))
    AND (%(scope_regions)s::text[] IS NULL OR (r.regions <> '{}' AND r.regions <@ %(scope_regions)s::text[]))
"""
_SHOWN: Final[LiteralString] = (
    """
SELECT r.name, r.kind, r.shown AS target, r.language, r.routes, r.system, r.sites, r.regions, r.created_by,
       utc_text(r.created_at) AS created_at, r.failures, utc_text(r.failing_since) AS failing_since,
       utc_text(r.retry_at) AS retry_at, r.last_error, utc_text(r.last_sent_at) AS last_sent_at,
       utc_text(r.disabled_at) AS disabled_at, r.disabled_why,
       CASE WHEN r.disabled_at IS NOT NULL THEN 'disabled' WHEN r.dead_alert IS NOT NULL THEN 'dead'
            WHEN r.failures > 0 THEN 'failing' ELSE 'well' END AS state,
       r.position, (SELECT count(*) FROM outgoing o WHERE o.address = r.receiver_id::text AND o.kind <> 'orders'
        AND o.sent_at IS NULL AND o.gave_up_at IS NULL) AS waiting,
       (SELECT count(*) FROM outgoing o WHERE o.address = r.receiver_id::text AND o.kind <> 'orders'
        AND o.sent_at IS NULL AND o.gave_up_at IS NOT NULL) AS gave_up
FROM receiver r WHERE """
    + _IN_SCOPE
)
_PAGE: Final[LiteralString] = (
    _SHOWN + " AND (%(after)s::text IS NULL OR r.name > %(after)s::text) ORDER BY r.name LIMIT %(limit)s"
)
_ONE: Final[LiteralString] = _SHOWN + " AND r.name = %(name)s"


async def insert(conn: Connection, new: NewReceiver, *, by: str) -> int:
    """Register a receiver; `Refused` where its name is taken."""
    values = {name: getattr(new, name) for name in new.__slots__}
    values |= {"shown": Jsonb(dict(new.shown)), "routes": Jsonb([dict(route) for route in new.routes])}
    values |= {"sites": sorted(new.sites), "regions": sorted(new.regions), "by": by}
    try:
        row = await (await conn.execute(_INSERT, values)).fetchone()
    except UniqueViolation:
        raise Refused(f"there is a receiver {new.name!r} already") from None
    assert row is not None
    return int(row[0])


async def list_receivers(
    conn: Connection, scope: Scope, *, after: str | None = None, limit: int
) -> list[dict[str, Any]]:
    """Receivers in *scope* by name, behind the name *after*: what may be read of them."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PAGE, {**scope.parameters(), "after": after, "limit": limit})
        return await cursor.fetchall()


async def show_receiver(conn: Connection, scope: Scope, name: str) -> dict[str, Any]:
    """What may be read of one; `NotFound` outside *scope*."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ONE, {**scope.parameters(), "name": name})
        row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"there is no receiver {name!r}")
    return row


async def receivers(conn: Connection, ids: Collection[int]) -> dict[int, ReceiverRow]:
    """Those of *ids* that are not retired."""
    async with conn.cursor(row_factory=class_row(ReceiverRow)) as cursor:
        await cursor.execute(_COLUMNS + " AND receiver_id = ANY(%s)", [list(ids)])
        return {row.receiver_id: row for row in await cursor.fetchall()}


async def find_receiver(conn: Connection, name: str) -> ReceiverRow:
    """The receiver called *name*; `NotFound` where there is none."""
    return await _one(conn, _COLUMNS + " AND name = %s", name)


async def lock_receiver(conn: Connection, name: str) -> ReceiverRow:
    """The same, locked until the transaction ends."""
    return await _one(conn, _COLUMNS + " AND name = %s FOR UPDATE", name)


async def _one(conn: Connection, query: LiteralString, name: str) -> ReceiverRow:
    async with conn.cursor(row_factory=class_row(ReceiverRow)) as cursor:
        await cursor.execute(query, [name])
        row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"there is no receiver {name!r}")
    return row


_ROUTES: Final[LiteralString] = "UPDATE receiver SET routes = %s WHERE receiver_id = %s"
_TARGET: Final[LiteralString] = "UPDATE receiver SET sealed = %s, shown = %s WHERE receiver_id = %s"
_DISABLE: Final[LiteralString] = """
UPDATE receiver SET disabled_at = now(), disabled_why = %(why)s
WHERE receiver_id = %(receiver_id)s AND disabled_at IS NULL
"""
_ENABLE: Final[LiteralString] = """
UPDATE receiver SET disabled_at = NULL, disabled_why = NULL, failures = 0, failing_since = NULL, retry_at = NULL,
    position = coalesce((SELECT max(feed_number) FROM alert_event), 0)
WHERE receiver_id = %s
"""
_RETIRE: Final[LiteralString] = "UPDATE receiver SET retired_at = now() WHERE receiver_id = %s"


async def put_routes(conn: Connection, receiver_id: int, routes: Sequence[Mapping[str, Any]]) -> None:
    await conn.execute(_ROUTES, [Jsonb([dict(route) for route in routes]), receiver_id])


async def put_target(conn: Connection, receiver_id: int, *, sealed: bytes, shown: Mapping[str, Any]) -> None:
    await conn.execute(_TARGET, [sealed, Jsonb(dict(shown)), receiver_id])


async def disable(conn: Connection, receiver_id: int, why: str) -> None:
    await conn.execute(_DISABLE, {"receiver_id": receiver_id, "why": why})


async def enable(conn: Connection, receiver_id: int) -> None:
    """Tell it again, from now on."""
    await conn.execute(_ENABLE, [receiver_id])


async def retry_now(conn: Connection, receiver_id: int) -> None:
    """Do not leave it alone any longer."""
    await conn.execute(_RETRY_NOW, [receiver_id])


async def unknown_places(
    conn: Connection, scope: Scope, *, sites: Collection[str], regions: Collection[str]
) -> tuple[list[str], list[str]]:
    """Those of *sites* and of *regions* that are not registered within *scope*."""
    parameters = {**scope.parameters(), "sites": sorted(sites), "regions": sorted(regions)}
    row = await (await conn.execute(_UNKNOWN, parameters)).fetchone()
    assert row is not None
    return row[0], row[1]


async def retire(conn: Connection, receiver_id: int) -> None:
    await conn.execute(_RETIRE, [receiver_id])


_RETRY_NOW: Final[LiteralString] = "UPDATE receiver SET retry_at = NULL WHERE receiver_id = %s"
_UNKNOWN: Final[LiteralString] = """
WITH known AS (
    SELECT s.code AS site, r.code AS region FROM site s RIGHT JOIN region r USING (region_id)
    WHERE (%(scope_sites)s::text[] IS NULL OR s.code = ANY(%(scope_sites)s::text[]))
        AND (%(scope_regions)s::text[] IS NULL OR r.code = ANY(%(scope_regions)s::text[]))
)
SELECT ARRAY(SELECT code FROM unnest(%(sites)s::text[]) code WHERE NOT EXISTS (SELECT FROM known WHERE site = code)),
    ARRAY(SELECT code FROM unnest(%(regions)s::text[]) code WHERE NOT EXISTS (SELECT FROM known WHERE region = code))
"""
# One deliverer a receiver at a time.
_TAKE: Final[LiteralString] = """
UPDATE receiver SET busy_until = now() + make_interval(secs => %(lease_s)s), busy_by = %(by)s
WHERE receiver_id = %(receiver_id)s AND retired_at IS NULL AND disabled_at IS NULL
    AND (retry_at IS NULL OR retry_at <= now())
    AND (busy_until IS NULL OR busy_until <= now() OR busy_by = %(by)s)
"""
_RELEASE: Final[LiteralString] = """
UPDATE receiver SET busy_until = NULL, busy_by = NULL WHERE receiver_id = %s AND busy_by = %s
"""
_TOOK: Final[LiteralString] = """
UPDATE receiver SET failures = 0, failing_since = NULL, retry_at = NULL, last_error = NULL, last_sent_at = now()
WHERE receiver_id = %s
"""
_FAILED: Final[LiteralString] = """
UPDATE receiver SET failures = failures + 1, failing_since = coalesce(failing_since, now()), last_error = %(error)s,
    retry_at = now() + make_interval(secs => %(delay_s)s)
WHERE receiver_id = %(receiver_id)s AND retired_at IS NULL AND disabled_at IS NULL
"""
_DEAD: Final[LiteralString] = "UPDATE receiver SET dead_alert = %s WHERE receiver_id = %s"
_STATES: Final[LiteralString] = """
SELECT count(*) AS all, count(dead_alert) AS dead, count(disabled_at) AS disabled FROM receiver WHERE retired_at IS NULL
"""


async def take(conn: Connection, receiver_id: int, *, by: str, lease_s: float) -> ReceiverRow | None:
    """Work for a receiver for *lease_s*; None where somebody else does, or it is not its turn."""
    cursor = await conn.execute(_TAKE, {"receiver_id": receiver_id, "by": by, "lease_s": lease_s})
    if not cursor.rowcount:
        return None
    return (await receivers(conn, [receiver_id])).get(receiver_id)


async def release(conn: Connection, receiver_id: int, *, by: str) -> None:
    await conn.execute(_RELEASE, [receiver_id, by])


async def note_taken(conn: Connection, receiver_id: int) -> None:
    """It took a message: whatever was wrong is over."""
    await conn.execute(_TOOK, [receiver_id])


async def note_failed(conn: Connection, receiver_id: int, *, error: str, delay_s: float) -> bool:
    """It did not take a message; it is left alone for *delay_s*. False where a person took it out of service meanwhile.

    Its row is locked until the transaction ends.
    """
    values = {"receiver_id": receiver_id, "error": error, "delay_s": delay_s}
    return (await conn.execute(_FAILED, values)).rowcount > 0


async def note_dead(conn: Connection, receiver_id: int, alert_id: str | None) -> None:
    """*alert_id*: the alert that says that it is dead; None: none does any more."""
    await conn.execute(_DEAD, [alert_id, receiver_id])


async def states(conn: Connection) -> dict[str, int]:
    """How many receivers there are: `all`, and of them `dead` and `disabled`."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_STATES)
        row = await cursor.fetchone()
    assert row is not None
    return row
