"""`migrate`, `register` and `token`."""

from __future__ import annotations

import json
import os
import pwd
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from plant.errors import BadDocument, Fault, PlantError
from plant.packs import outlets_by_pack
from plant.register import read_register
from stackwatch.reach import reach
from store import principals
from store import register as store_register
from store.migrate import migrate as migrate_database
from store.migrate import pending
from store.pool import Connection, connect


async def migrate(database_url: str | None, data: Path | None) -> None:
    settings = reach(database_url=database_url, data=data)
    applied = await migrate_database(settings.database_url)
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("the schema is current")


async def register(file: Path, database_url: str | None, data: Path | None, *, as_json: bool) -> None:
    settings = reach(database_url=database_url, data=data)
    changes = await import_file(settings.database_url, file)
    if as_json:
        print(json.dumps({"changes": changes}))
        return
    for change in changes:
        print(change)
    print(f"{len(changes)} changes" if changes else "nothing changed")


async def import_file(database_url: str, file: Path) -> list[str]:
    """Import the register in *file*; what changed. `BadDocument` names every fault, and then nothing is imported."""
    tables = _tables(file)
    async with await _connect(database_url) as conn:
        known = await store_register.region_codes(conn)
        read_register(tables, str(file), packs=outlets_by_pack(), regions=known)
        return await store_register.import_register(conn, tables, by=_who())


def _tables(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise BadDocument(str(file), [Fault("", f"cannot be read: {error.strerror}")]) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadDocument(str(file), [Fault("", f"is no TOML: {error}")]) from error


async def create_token(
    roles: Sequence[str],
    sites: Sequence[str],
    regions: Sequence[str],
    name: str | None,
    expires: str | None,
    *,
    database_url: str | None,
    data: Path | None,
) -> None:
    settings = reach(database_url=database_url, data=data)
    expires_at = None if expires is None else _time(expires)
    async with await _connect(settings.database_url) as conn:
        token, token_id = await principals.create_token(
            conn,
            name=name or "+".join(roles),
            roles=list(roles),
            sites=list(sites),
            regions=list(regions),
            expires_at=expires_at,
        )
    print(f"token {token_id} for {name or '+'.join(roles)}: it is shown only now")
    print(token)


async def list_tokens(database_url: str | None, data: Path | None, *, as_json: bool) -> None:
    settings = reach(database_url=database_url, data=data)
    async with await _connect(settings.database_url) as conn:
        rows = await principals.list_tokens(conn)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], default=str))
        return
    for row in rows:
        fields = asdict(row)
        print("  ".join(f"{key}={_text(value)}" for key, value in fields.items() if value not in (None, [], ())))


async def revoke_token(token_id: int, database_url: str | None, data: Path | None) -> None:
    settings = reach(database_url=database_url, data=data)
    async with await _connect(settings.database_url) as conn:
        await principals.revoke_token(conn, token_id)
    print(f"token {token_id} is revoked")


async def _connect(database_url: str) -> Connection:
    conn = await connect(database_url, name="command")
    missing = await pending(conn)
    if missing:
        await conn.close()
        raise PlantError(f"the schema lacks {len(missing)} migrations: run `stackwatch migrate` first")
    return conn


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadDocument("arguments", [Fault("--expires", f"must be a time such as 2027-01-01T00:00Z, got {text!r}")])
    if at <= datetime.now(UTC):
        raise BadDocument("arguments", [Fault("--expires", f"{text} is past: nobody could use the token")])
    return at


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _who() -> str:
    """Who changes the register, as the machine knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
