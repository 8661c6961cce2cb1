"""SQL of orders, the lists that were issued, and what the plants answered.

The caller holds `lock_site` while it changes the orders of a site, so that versions rise one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from store.pool import Connection

_SITE_LOCK: Final = 7_274_010  #: first half of the advisory key; the site is the second


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    order_id: str
    case_id: str
    kind: str
    units: list[dict[str, Any]]
    effective_from: datetime
    safe_state_by: datetime
    until: datetime | None
    basis: str
    text: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedList:
    site: str
    version: int
    body: str


async def lock_site(conn: Connection, site_id: int) -> None:
    """Take turns with every other writer of this site's orders until the transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_SITE_LOCK, site_id])


_INSERT: Final[LiteralString] = """
INSERT INTO plant_order
    (order_id, case_id, site_id, kind, units, effective_from, safe_state_by, until, basis, text)
VALUES (%(order_id)s, %(case_id)s, %(site_id)s, %(kind)s, %(units)s, %(effective_from)s, %(safe_state_by)s,
        %(until)s, %(basis)s, %(text)s)
"""
_END: Final[LiteralString] = """
UPDATE plant_order SET ended_at = %s WHERE case_id = %s AND ended_at IS NULL RETURNING order_id
"""


async def insert(
    conn: Connection,
    *,
    order_id: str,
    case_id: str,
    site_id: int,
    kind: str,
    units: Sequence[Mapping[str, Any]],
    effective_from: datetime,
    safe_state_by: datetime,
    until: datetime | None,
    basis: str,
    text: str,
) -> None:
    await conn.execute(
        _INSERT,
        {
            "order_id": order_id,
            "case_id": case_id,
            "site_id": site_id,
            "kind": kind,
            "units": json.dumps([dict(unit) for unit in units], allow_nan=False),
            "effective_from": effective_from,
            "safe_state_by": safe_state_by,
            "until": until,
            "basis": basis,
            "text": text,
        },
    )


async def end_of_case(conn: Connection, case_id: str, at: datetime) -> list[str]:
    """End every order of a case that is in force; their ids."""
    cursor = await conn.execute(_END, [at, case_id])
    return [str(order_id) for (order_id,) in await cursor.fetchall()]


_IN_FORCE: Final[LiteralString] = """
SELECT order_id, case_id, kind, units, effective_from, safe_state_by, until, basis, text, ended_at
FROM plant_order WHERE site_id = %s AND ended_at IS NULL ORDER BY effective_from, order_id
"""


async def in_force(conn: Connection, site_id: int) -> list[OrderRow]:
    """The orders of a site that nobody has ended."""
    async with conn.cursor(row_factory=class_row(OrderRow)) as cursor:
        await cursor.execute(_IN_FORCE, [site_id])
        return await cursor.fetchall()


_NEXT_VERSION: Final[LiteralString] = """
SELECT coalesce(max(version), 0) + 1 FROM order_list WHERE site_id = %s
"""
_ISSUE: Final[LiteralString] = """
INSERT INTO order_list (site_id, version, body, issued_at) VALUES (%s, %s, %s, %s)
"""
_NEWEST: Final[LiteralString] = """
SELECT s.code AS site, o.version, o.body FROM order_list o JOIN site s USING (site_id)
WHERE s.code = %s ORDER BY o.version DESC LIMIT 1
"""
_SITES_WITH_LISTS: Final[LiteralString] = """
SELECT s.code FROM site s WHERE EXISTS (SELECT FROM order_list o WHERE o.site_id = s.site_id) ORDER BY s.code
"""


async def next_version(conn: Connection, site_id: int) -> int:
    cursor = await conn.execute(_NEXT_VERSION, [site_id])
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def issue(conn: Connection, site_id: int, *, version: int, body: str, issued_at: datetime) -> None:
    """Keep a list as the newest of its site."""
    await conn.execute(_ISSUE, [site_id, version, body, issued_at])


async def newest_list(conn: Connection, site: str) -> IssuedList | None:
    """The list in force at the site called *site*."""
    async with conn.cursor(row_factory=class_row(IssuedList)) as cursor:
        await cursor.execute(_NEWEST, [site])
        return await cursor.fetchone()


async def sites_with_lists(conn: Connection) -> list[str]:
    """Sites to which a list was ever issued."""
    cursor = await conn.execute(_SITES_WITH_LISTS)
    return [str(code) for (code,) in await cursor.fetchall()]


_OF_CASES: Final[LiteralString] = """
SELECT o.case_id, jsonb_build_object(
    'order_id', o.order_id,
    'case', o.case_id,
    'order', o.kind,
    'units', o.units,
    'effective_from', utc_text(o.effective_from),
    'safe_state_by', utc_text(o.safe_state_by),
    'until', utc_text(o.until),
    'basis', o.basis,
    'text', o.text,
    'ended_at', utc_text(o.ended_at),
    'version', l.version,
    'sent_at', utc_text(g.sent_at),
    'acks', coalesce(
        (SELECT jsonb_agg(jsonb_build_object('edge', a.edge, 'version', a.version,
                                             'seen_at', utc_text(a.seen_at), 'by', a.seen_by)
                          ORDER BY a.seen_at, a.edge, a.version)
         FROM order_ack a WHERE a.site_id = o.site_id AND a.order_id = o.order_id), '[]')
) AS document
FROM plant_order o
JOIN site s USING (site_id)
LEFT JOIN LATERAL (
    SELECT min(version) AS version FROM order_list l
    WHERE l.site_id = o.site_id AND strpos(l.body, o.order_id) > 0
) l ON true
LEFT JOIN outgoing g ON g.outgoing_id = 'orders-' || s.code || '-' || l.version
WHERE o.case_id = ANY(%s)
ORDER BY o.case_id, o.effective_from, o.order_id
"""


async def of_cases(conn: Connection, case_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The orders of each case as the contract writes them, with the list that brought them and receipts."""
    found: dict[str, list[dict[str, Any]]] = {case_id: [] for case_id in case_ids}
    cursor = await conn.execute(_OF_CASES, [list(case_ids)])
    for case_id, document in await cursor.fetchall():
        found[case_id].append(document)
    return found
