"""What receivers are about to be told: SQL of notice_group and notice_alert, and of the feed as they read it.

A receiver has a position in the feed. Feed numbers are given after commit by one session at a time, so whoever has
read all up to a number has missed nothing below it. What is decided with them is `alerts.notify`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """A group of alerts that a route of a receiver tells of."""

    receiver_id: int
    route: str
    group_key: str
    due_at: datetime
    told_at: datetime | None
    number: int
    messages: int  #: written at this number so far


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedRow:
    """An alert that a receiver was told of, or is about to be."""

    receiver_id: int
    alert_id: str
    route: str
    group_key: str
    news: str | None
    told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRow:
    """What a message says of a site."""

    site: str
    name: str
    name_zh: str
    region: str
    timezone: str


_CLOCK: Final[LiteralString] = "SELECT now()"
# Receivers that somebody else routes for just now are left to them.
_BEHIND: Final[LiteralString] = """
SELECT receiver_id, position FROM receiver
WHERE retired_at IS NULL AND disabled_at IS NULL AND position < %s
ORDER BY position, receiver_id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_MOVE: Final[LiteralString] = """
UPDATE receiver SET position = %(position)s WHERE receiver_id = ANY(%(receivers)s) AND position < %(position)s
"""


async def clock(conn: Connection) -> datetime:
    """The database's: one for all that route and deliver."""
    row = await (await conn.execute(_CLOCK)).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


async def behind(conn: Connection, newest: int, limit: int) -> dict[int, int]:
    """The positions of receivers that have not read up to *newest*, ours until the transaction ends."""
    cursor = await conn.execute(_BEHIND, [newest, limit])
    return dict(await cursor.fetchall())


async def move(conn: Connection, receivers: Collection[int], position: int) -> None:
    """*receivers* have read all up to *position*."""
    await conn.execute(_MOVE, {"receivers": list(receivers), "position": position})


_NOTED: Final[LiteralString] = """
SELECT receiver_id, alert_id, route, group_key, news, told FROM notice_alert
WHERE receiver_id = ANY(%s) AND alert_id = ANY(%s)
"""
_GROUPS: Final[LiteralString] = """
SELECT receiver_id, route, group_key, due_at, told_at, number, messages FROM notice_group WHERE receiver_id = ANY(%s)
    AND group_key = ANY(%s)
"""
_PUT_NOTED: Final[LiteralString] = """
INSERT INTO notice_alert (receiver_id, alert_id, route, group_key, news, told)
SELECT * FROM unnest(%(receiver_id)s::integer[], %(alert_id)s::text[], %(route)s::text[], %(group_key)s::text[],
                     %(news)s::text[], %(told)s::boolean[])
ON CONFLICT (receiver_id, alert_id) DO UPDATE
SET route = excluded.route, group_key = excluded.group_key, news = excluded.news, told = excluded.told
"""
_DROP_NOTED: Final[LiteralString] = """
DELETE FROM notice_alert n USING unnest(%s::integer[], %s::text[]) AS k (receiver_id, alert_id)
WHERE n.receiver_id = k.receiver_id AND n.alert_id = k.alert_id
"""
_TOLD: Final[LiteralString] = """
UPDATE notice_alert SET news = NULL, told = true
WHERE receiver_id = %s AND route = %s AND group_key = %s AND (news IS NOT NULL OR NOT told)
"""
_PUT_GROUP: Final[LiteralString] = """
INSERT INTO notice_group (receiver_id, route, group_key, due_at, told_at, number, messages)
VALUES (%(receiver_id)s, %(route)s, %(group_key)s, %(due_at)s, %(told_at)s, %(number)s, %(messages)s)
ON CONFLICT (receiver_id, route, group_key) DO UPDATE
SET due_at = excluded.due_at, told_at = excluded.told_at, number = excluded.number, messages = excluded.messages
"""
_DROP_GROUP: Final[LiteralString] = """
DELETE FROM notice_group WHERE receiver_id = %s AND route = %s AND group_key = %s
"""


async def noted_alerts(conn: Connection, receivers: Collection[int], alerts: Collection[str]) -> list[NotedRow]:
    async with conn.cursor(row_factory=class_row(NotedRow)) as cursor:
        await cursor.execute(_NOTED, [list(receivers), list(alerts)])
        return await cursor.fetchall()


async def groups_of(conn: Connection, receivers: Collection[int], keys: Collection[str]) -> list[GroupRow]:
    async with conn.cursor(row_factory=class_row(GroupRow)) as cursor:
        await cursor.execute(_GROUPS, [list(receivers), list(keys)])
        return await cursor.fetchall()


async def put_noted(conn: Connection, rows: Sequence[NotedRow]) -> None:
    if rows:
        await conn.execute(_PUT_NOTED, {name: [getattr(row, name) for row in rows] for name in NotedRow.__slots__})


async def note_told(conn: Connection, group: GroupRow) -> None:
    """All that is noted in a group has been told."""
    await conn.execute(_TOLD, [group.receiver_id, group.route, group.group_key])


async def drop_noted(conn: Connection, keys: Collection[tuple[int, str]]) -> None:
    """Forget alerts by receiver and id."""
    if keys:
        listed = sorted(keys)
        await conn.execute(_DROP_NOTED, [[key[0] for key in listed], [key[1] for key in listed]])


async def put_groups(conn: Connection, rows: Sequence[GroupRow]) -> None:
    async with conn.cursor() as cursor:
        await cursor.executemany(
            _PUT_GROUP, [{name: getattr(row, name) for name in GroupRow.__slots__} for row in rows]
        )


async def drop_group(conn: Connection, row: GroupRow) -> None:
    await conn.execute(_DROP_GROUP, [row.receiver_id, row.route, row.group_key])


# Whose receiver somebody else has just now is left to them.
_DUE: Final[LiteralString] = """
SELECT g.receiver_id, g.route, g.group_key, g.due_at, g.told_at, g.number, g.messages
FROM notice_group g JOIN receiver r USING (receiver_id)
WHERE g.due_at <= now() AND r.retired_at IS NULL AND r.disabled_at IS NULL
ORDER BY g.due_at LIMIT %s FOR UPDATE OF g, r SKIP LOCKED
"""
_OF_GROUPS: Final[LiteralString] = """
SELECT n.receiver_id, n.alert_id, n.route, n.group_key, n.news, n.told
FROM unnest(%s::integer[], %s::text[], %s::text[]) AS g (receiver_id, route, group_key)
JOIN notice_alert n USING (receiver_id, route, group_key)
"""
_DOCUMENTS: Final[LiteralString] = "SELECT alert_id, document FROM alert_document WHERE alert_id = ANY(%s)"
_SITES: Final[LiteralString] = """
SELECT s.code AS site, coalesce(s.document ->> 'name', s.code) AS name,
       coalesce(s.document ->> 'name_zh', '') AS name_zh,
       r.code AS region, s.timezone
FROM site s JOIN region r USING (region_id) WHERE s.code = ANY(%s)
"""
_FORGET: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM notice_alert WHERE receiver_id = %s",
    "DELETE FROM notice_group WHERE receiver_id = %s",
)


async def due_groups(conn: Connection, limit: int) -> list[GroupRow]:
    """Groups whose time has come, ours until the transaction ends."""
    async with conn.cursor(row_factory=class_row(GroupRow)) as cursor:
        await cursor.execute(_DUE, [limit])
        return await cursor.fetchall()


async def noted_of(conn: Connection, groups: Sequence[GroupRow]) -> list[NotedRow]:
    """Every alert that is noted in one of *groups*."""
    keys = [[getattr(group, name) for group in groups] for name in ("receiver_id", "route", "group_key")]
    async with conn.cursor(row_factory=class_row(NotedRow)) as cursor:
        await cursor.execute(_OF_GROUPS, keys)
        return await cursor.fetchall()


async def documents_of(conn: Connection, alerts: Collection[str]) -> dict[str, dict[str, Any]]:
    """The alerts as they are now, by id."""
    cursor = await conn.execute(_DOCUMENTS, [list(alerts)])
    return dict(await cursor.fetchall())


async def sites_of(conn: Connection, codes: Collection[str]) -> dict[str, SiteRow]:
    async with conn.cursor(row_factory=class_row(SiteRow)) as cursor:
        await cursor.execute(_SITES, [list(codes)])
        return {row.site: row for row in await cursor.fetchall()}


async def forget(conn: Connection, receiver_id: int) -> None:
    """A receiver begins anew: it owes and remembers nothing."""
    for statement in _FORGET:
        await conn.execute(statement, [receiver_id])
