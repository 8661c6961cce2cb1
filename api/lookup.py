"""Finding what a path names, inside the asker's scope: `NotFound` for what is outside it or does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from api.auth import Access
from plant.errors import NotFound
from plant.packs import all_packs
from store.pool import Connection
from store.published import SiteRow, StackRow, list_sites, list_stacks


async def find_site(conn: Connection, access: Access, code: str) -> SiteRow:
    found = await list_sites(conn, access.scope, code=code)
    if not found:
        raise NotFound(f"there is no site {code!r}")
    return found[0]


async def find_stack(conn: Connection, access: Access, site: str, stack: str) -> StackRow:
    found = await list_stacks(conn, access.scope, site, stack)
    if not found:
        raise NotFound(f"there is no stack {stack!r} at a site {site!r}")
    return found[0]


def main_pack(stack: Mapping[str, Any]) -> str:
    """The pack an operator looks at first: the stack's first with a monthly share, else its first."""
    packs: list[str] = stack["packs"]
    known = all_packs()
    return next((name for name in packs if name in known and known[name].month is not None), packs[0])


def local_hour(moment: datetime, timezone: str) -> datetime:
    """The start of the site's local hour that *moment* is in."""
    return moment.astimezone(ZoneInfo(timezone)).replace(minute=0, second=0, microsecond=0)
