"""Principals, their tokens, and what they did: the SQL of principal, token, audit and idempotency.

A token is 256 random bits; only its SHA-256 is stored, and it is found by that hash, so no comparison here
depends on how much of a guess is right. What a role may do is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from plant.errors import BadDocument, Fault, NotFound
from store.pool import Connection
from store.scope import Scope, narrowed

AGENCY_ROLES: Final = ("watch", "investigator", "reviewer", "decider")
PLANT_ROLES: Final = ("operator", "maintainer", "safety")
ROLES: Final = ("admin", *AGENCY_ROLES, *PLANT_ROLES, "auditor")

TOKEN_PREFIX: Final = "swk_"  # so that a leaked token is recognised by whoever scans for secrets
_HINT_LENGTH: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. Empty `sites` or `regions`: not narrowed by it; both narrow together."""

    principal_id: int
    name: str
    roles: frozenset[str]
    sites: frozenset[str]
    regions: frozenset[str]

    @property
    def scope(self) -> Scope:
        return Scope(sites=narrowed(self.sites), regions=narrowed(self.regions))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token as it may be shown: never the token itself."""

    token_id: int
    name: str
    hint: str
    roles: list[str]
    sites: list[str]
    regions: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


_UNKNOWN: Final[LiteralString] = """
SELECT
    ARRAY(SELECT code FROM unnest(%(sites)s::text[]) AS code WHERE code NOT IN (SELECT code FROM site)) AS sites,
    ARRAY(SELECT code FROM unnest(%(regions)s::text[]) AS code WHERE code NOT IN (SELECT code FROM region)) AS regions
"""

_CREATE: Final[LiteralString] = """
WITH holder AS (
    INSERT INTO principal (name, roles, sites, regions)
    VALUES (%(name)s, %(roles)s, %(sites)s, %(regions)s)
    RETURNING principal_id
)
INSERT INTO token (principal_id, hash, hint, expires_at)
SELECT principal_id, %(hash)s, %(hint)s, %(expires_at)s FROM holder
RETURNING token_id
"""

_FIND: Final[LiteralString] = """
SELECT p.principal_id, p.name, p.roles, p.sites, p.regions
FROM token t JOIN principal p USING (principal_id)
WHERE t.hash = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
"""

_LIST: Final[LiteralString] = """
SELECT t.token_id, p.name, t.hint, p.roles, p.sites, p.regions, t.created_at, t.expires_at, t.revoked_at
FROM token t JOIN principal p USING (principal_id)
ORDER BY t.token_id DESC
"""

_REVOKE: Final[LiteralString] = """
UPDATE token SET revoked_at = coalesce(revoked_at, now()) WHERE token_id = %s RETURNING hint
"""

_AUDIT: Final[LiteralString] = """
INSERT INTO audit (principal_id, actor, action, object, detail) VALUES (%s, %s, %s, %s, %s)
"""


def hash_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


async def create_token(
    conn: Connection,
    *,
    name: str,
    roles: Collection[str],
    sites: Collection[str] = (),
    regions: Collection[str] = (),
    expires_at: datetime | None = None,
) -> tuple[str, int]:
    """A new principal with one token: the token's text, which is nowhere else, and its id.

    Raises
    ------
    BadDocument
        Naming every unknown role, site and region: a misspelt one would be silently without effect.
    """
    faults = [
        Fault("role", f"{role!r} is no role; roles are {', '.join(ROLES)}") for role in roles if role not in ROLES
    ]
    if not roles:
        faults.append(Fault("role", f"is required; roles are {', '.join(ROLES)}"))
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_UNKNOWN, {"sites": list(sites), "regions": list(regions)})
        unknown = await cursor.fetchone()
    assert unknown is not None
    faults += [Fault("site", f"{code!r} is not registered") for code in unknown["sites"]]
    faults += [Fault("region", f"{code!r} is not registered") for code in unknown["regions"]]
    if faults:
        raise BadDocument("token", faults)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    cursor_ = await conn.execute(
        _CREATE,
        {
            "name": name,
            "roles": sorted(set(roles)),
            "sites": sorted(set(sites)),
            "regions": sorted(set(regions)),
            "hash": hash_of(token),
            "hint": token[:_HINT_LENGTH],
            "expires_at": expires_at,
        },
    )
    row = await cursor_.fetchone()
    assert row is not None
    token_id = int(row[0])
    await audit(
        conn,
        None,
        action="token_created",
        on=f"token {token_id}",
        detail={"name": name, "roles": sorted(roles)},
    )
    return token, token_id


async def find_principal(conn: Connection, token: str) -> Principal | None:
    """Whose *token* it is; None where it is unknown, expired or revoked."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_FIND, [hash_of(token)])
        row = await cursor.fetchone()
    if row is None:
        return None
    return Principal(
        principal_id=row["principal_id"],
        name=row["name"],
        roles=frozenset(row["roles"]),
        sites=frozenset(row["sites"]),
        regions=frozenset(row["regions"]),
    )


async def list_tokens(conn: Connection) -> list[TokenRow]:
    """Every token that was ever given out, newest first."""
    async with conn.cursor(row_factory=class_row(TokenRow)) as cursor:
        await cursor.execute(_LIST)
        return await cursor.fetchall()


async def revoke_token(conn: Connection, token_id: int) -> None:
    """End a token; again is no fault. `NotFound` where there is none."""
    cursor = await conn.execute(_REVOKE, [token_id])
    if await cursor.fetchone() is None:
        raise NotFound(f"there is no token {token_id}")
    await audit(conn, None, action="token_revoked", on=f"token {token_id}")


async def audit(
    conn: Connection,
    principal: Principal | None,
    *,
    action: str,
    on: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Note what was done; without a principal it was done at the command line of this installation."""
    actor = principal.name if principal else "command line"
    principal_id = principal.principal_id if principal else None
    await conn.execute(_AUDIT, [principal_id, actor, action, on, Jsonb(dict(detail or {}))])
