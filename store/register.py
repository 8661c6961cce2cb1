"""The register as stored: sites with their units and stacks, regions with their legal texts.

A row's document is the table that a person wrote; `plant.register` reads it again. Every version is
kept, and a change of a stack or its site asks for the hours that it has to be judged again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, LiteralString

from plant.errors import Fault
from plant.packs import outlets_by_pack
from plant.reading import Reader
from plant.register import Region, Site, region_from, site_from
from store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSite:
    """A site as registered, with the keys and versions of its parts."""

    site_id: int
    region_id: int
    site: Site
    region: Region
    stack_ids: Mapping[str, int]
    versions: Mapping[str, int]  #: by kind and key, as `stack works/DA001`


_SITES: Final[LiteralString] = """
SELECT s.site_id, s.region_id, r.document AS region, r.version AS region_version, s.document, s.version,
       coalesce((SELECT jsonb_agg(u.document ORDER BY u.code) FROM unit u
                 WHERE u.site_id = s.site_id AND u.withdrawn_at IS NULL), '[]') AS units,
       coalesce((SELECT jsonb_agg(k.document ORDER BY k.code) FROM stack k
                 WHERE k.site_id = s.site_id AND k.withdrawn_at IS NULL), '[]') AS stacks,
       coalesce((SELECT jsonb_object_agg(k.code, k.stack_id) FROM stack k
                 WHERE k.site_id = s.site_id AND k.withdrawn_at IS NULL), '{}') AS stack_ids,
       coalesce((SELECT jsonb_object_agg(p.kind || ' ' || s.code || '/' || p.code, p.version) FROM (
                    SELECT 'unit' AS kind, code, version FROM unit u
                    WHERE u.site_id = s.site_id AND u.withdrawn_at IS NULL
                    UNION ALL
                    SELECT 'stack', code, version FROM stack k WHERE k.site_id = s.site_id AND k.withdrawn_at IS NULL
                 ) p), '{}') AS versions
FROM site s JOIN region r USING (region_id)
WHERE %(code)s::text IS NULL OR s.code = %(code)s
ORDER BY s.code
"""


async def load_register(conn: Connection, code: str | None = None) -> dict[str, RegisteredSite]:
    """Every registered site by its code, or the one with *code*."""
    cursor = await conn.execute(_SITES, {"code": code})
    packs = outlets_by_pack()
    found = {}
    for row in await cursor.fetchall():
        (
            site_id,
            region_id,
            region_document,
            region_version,
            document,
            version,
            units,
            stacks,
            ids,
            versions,
        ) = row
        faults: list[Fault] = []
        region = region_from(Reader(region_document, "region", faults))
        table = {**document, "unit": units, "stack": stacks}
        site = site_from(Reader(table, "site", faults), packs)
        if faults:
            raise ValueError(f"stored register: {'; '.join(map(str, faults))}")
        found[site.code] = RegisteredSite(
            site_id=site_id,
            region_id=region_id,
            site=site,
            region=region,
            stack_ids=ids,
            versions={**versions, f"region {region.code}": region_version, f"site {site.code}": version},
        )
    return found


async def site_by_code(conn: Connection, code: str) -> RegisteredSite | None:
    """The site called *code*, or None."""
    return (await load_register(conn, code)).get(code)


async def site_codes(conn: Connection) -> list[str]:
    cursor = await conn.execute("SELECT code FROM site ORDER BY code")
    return [code for (code,) in await cursor.fetchall()]


async def regions_of_sites(conn: Connection) -> dict[str, str]:
    """The code of its region by the code of each site."""
    cursor = await conn.execute("SELECT s.code, r.code FROM site s JOIN region r USING (region_id)")
    return dict(await cursor.fetchall())


async def region_codes(conn: Connection) -> set[str]:
    cursor = await conn.execute("SELECT code FROM region")
    return {code for (code,) in await cursor.fetchall()}


_PUT_REGION: Final[LiteralString] = """
INSERT INTO region (code, document) VALUES (%(code)s, %(document)s)
ON CONFLICT (code) DO UPDATE SET document = excluded.document, version = region.version + 1
    WHERE region.document <> excluded.document
RETURNING version
"""
_PUT_SITE: Final[LiteralString] = """
INSERT INTO site (code, region_id, timezone, simulated, document)
VALUES (%(code)s, (SELECT region_id FROM region WHERE code = %(region)s), %(timezone)s, %(simulated)s, %(document)s)
ON CONFLICT (code) DO UPDATE SET region_id = excluded.region_id, timezone = excluded.timezone,
    simulated = excluded.simulated, document = excluded.document, version = site.version + 1
    WHERE site.document <> excluded.document
RETURNING version
"""
_PUT_UNIT: Final[LiteralString] = """
INSERT INTO unit (site_id, code, document)
VALUES ((SELECT site_id FROM site WHERE code = %(site)s), %(code)s, %(document)s)
ON CONFLICT (site_id, code) DO UPDATE
    SET document = excluded.document, version = unit.version + 1, withdrawn_at = NULL
    WHERE unit.document <> excluded.document OR unit.withdrawn_at IS NOT NULL
RETURNING version
"""
_PUT_STACK: Final[LiteralString] = """
INSERT INTO stack (site_id, code, interval_s, document)
VALUES ((SELECT site_id FROM site WHERE code = %(site)s), %(code)s, %(interval_s)s, %(document)s)
ON CONFLICT (site_id, code) DO UPDATE SET interval_s = excluded.interval_s, document = excluded.document,
    version = stack.version + 1, withdrawn_at = NULL
    WHERE stack.document <> excluded.document OR stack.withdrawn_at IS NOT NULL
RETURNING version
"""
_KEEP: Final[LiteralString] = """
INSERT INTO register_version (kind, key, version, document, changed_by) VALUES (%s, %s, %s, %s, %s)
"""
_WITHDRAW_STACKS: Final[LiteralString] = """
UPDATE stack SET withdrawn_at = now(), version = stack.version + 1 FROM site
WHERE stack.site_id = site.site_id AND site.code = %s AND stack.withdrawn_at IS NULL AND NOT stack.code = ANY(%s)
RETURNING stack.code, stack.version
"""
_WITHDRAW_UNITS: Final[LiteralString] = """
UPDATE unit SET withdrawn_at = now(), version = unit.version + 1 FROM site
WHERE unit.site_id = site.site_id AND site.code = %s AND unit.withdrawn_at IS NULL AND NOT unit.code = ANY(%s)
RETURNING unit.code, unit.version
"""
_REJUDGE_STACK: Final[LiteralString] = """
INSERT INTO rejudge (stack_id, hour, reason)
SELECT DISTINCT k.stack_id, h.start, 'register'
FROM stack k JOIN site s USING (site_id) CROSS JOIN LATERAL (
    SELECT m.start FROM hour_mean m WHERE m.stack_id = k.stack_id AND m.superseded_at IS NULL
    UNION  -- rows that came while nobody judged them: the stack was withdrawn, or no pack was in force
    SELECT date_trunc('hour', m.sampled_at, s.timezone)
    FROM measurement m WHERE m.stack_id = k.stack_id AND %(stack)s::text IS NOT NULL) AS h (start)
WHERE s.code = %(site)s AND (%(stack)s::text IS NULL OR k.code = %(stack)s)
"""


async def import_register(conn: Connection, tables: Mapping[str, Any], *, by: str) -> list[str]:
    """Write the checked *tables* of a register file; one line for each thing that changed.

    The tables have passed `plant.register.read_register`. A unit or stack of a listed site that the file
    no longer has is withdrawn, never deleted. Sites that the file does not name are left alone.
    """
    changes: list[str] = []
    for table in tables.get("region", ()):
        document = _json(table)
        version = await _put(conn, _PUT_REGION, {"code": table["code"], "document": document})
        await _record(conn, changes, "region", table["code"], version, document, by)
    for table in tables.get("site", ()):
        await _import_site(conn, table, changes, by)
    if changes:
        await conn.execute("SELECT pg_notify('register', '')")
    return changes


async def _import_site(conn: Connection, table: Mapping[str, Any], changes: list[str], by: str) -> None:
    site = table["code"]
    document = _json({key: value for key, value in table.items() if key not in ("unit", "stack")})
    simulated = bool(table.get("simulated", False))
    values = {
        "code": site,
        "region": table["region"],
        "timezone": table["timezone"],
        "simulated": simulated,
        "document": document,
    }
    version = await _put(conn, _PUT_SITE, values)
    await _record(conn, changes, "site", site, version, document, by)
    if version is not None and version > 1:
        await conn.execute(_REJUDGE_STACK, {"site": site, "stack": None})
    for unit in table.get("unit", ()):
        document = _json(unit)
        version = await _put(conn, _PUT_UNIT, {"site": site, "code": unit["code"], "document": document})
        await _record(conn, changes, "unit", f"{site}/{unit['code']}", version, document, by)
    for stack in table.get("stack", ()):
        document = _json(stack)
        values = {
            "site": site,
            "code": stack["code"],
            "interval_s": stack["interval_s"],
            "document": document,
        }
        version = await _put(conn, _PUT_STACK, values)
        await _record(conn, changes, "stack", f"{site}/{stack['code']}", version, document, by)
        if version is not None and version > 1:
            await conn.execute(_REJUDGE_STACK, {"site": site, "stack": stack["code"]})
    for kind, query in (("stack", _WITHDRAW_STACKS), ("unit", _WITHDRAW_UNITS)):
        codes = [part["code"] for part in table.get(kind, ())]
        cursor = await conn.execute(query, [site, codes])
        for code, version in await cursor.fetchall():
            await conn.execute(_KEEP, [kind, f"{site}/{code}", version, _json({"withdrawn": True}), by])
            changes.append(f"{kind} {site}/{code}: withdrawn")


async def _put(conn: Connection, query: LiteralString, values: Mapping[str, Any]) -> int | None:
    """The version written, or None where the stored document says the same."""
    cursor = await conn.execute(query, values)
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def _record(
    conn: Connection, changes: list[str], kind: str, key: str, version: int | None, document: str, by: str
) -> None:
    if version is not None:
        await conn.execute(_KEEP, [kind, key, version, document, by])
        changes.append(f"{kind} {key}: {'new' if version == 1 else f'version {version}'}")


def _json(table: Mapping[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Decimal):
            return float(value)
        raise TypeError(f"{value!r} has no place in a register")

    return json.dumps(table, default=plain, ensure_ascii=False)
