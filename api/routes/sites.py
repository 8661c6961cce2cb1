"""Sites, the map, and the operator's view of one site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from alerts.enforcement.chain import utc_text
from alerts.enforcement.documents import case_document
from alerts.enforcement.orders import Order, UnitMode
from api.auth import Asking
from api.context import Here
from api.inputs import LIMIT, MAX_LIMIT, Cursor, Limit, Name
from api.lookup import find_site, local_hour, main_pack
from api.months import figures
from api.paging import decode, page
from api.running import bounds_of_hour
from api.schemas.common import Page
from api.schemas.sites import FeatureCollection, Site, SiteStatus
from plant.errors import Fault
from plant.limits import governing
from plant.packs import pack as pack_named
from plant.periods import micros
from plant.reading import Reader
from plant.register import region_from
from store import cases, edges, orders
from store.alerts import OPEN_STATES, SEVERITIES, AlertFilter, list_alerts
from store.pool import Connection, transaction
from store.published import (
    HourFilter,
    SiteRow,
    StackRow,
    list_hours,
    list_months,
    list_sites,
    list_stacks,
    month_words,
    open_severities,
)
from store.register import RegisteredSite, site_by_code

router = APIRouter(tags=["sites"])

MONTH_WORDS: Final = ("breached", "undecided", "running", "clear")
"""Month verdicts, the worst first: for one word about a whole site."""


@router.get("/sites", response_model=Page[Site])
async def read_sites(here: Here, access: Asking, limit: Limit = LIMIT, cursor: Cursor = None) -> Any:
    """Sites by code."""
    key = decode(cursor, str)
    async with transaction(here.pool) as conn:
        rows = await list_sites(conn, access.scope, after=key[0] if key else None, limit=limit + 1)
        states = await cases.site_states(conn)
    return page([site_document(row, states) for row in rows], limit, lambda site: (site["code"],))


@router.get("/sites/{site}", response_model=Site)
async def read_site(here: Here, access: Asking, site: Name) -> Any:
    async with transaction(here.pool) as conn:
        row = await find_site(conn, access, site)
        return site_document(row, await cases.site_states(conn))


@router.get("/sites/{site}/status", response_model=SiteStatus)
async def read_status(here: Here, access: Asking, site: Name) -> Any:
    """The operator's view: will this hour, this month go wrong, and what is ordered?"""
    access.signed_in()
    async with transaction(here.pool) as conn:
        row = await find_site(conn, access, site)
        stacks = await list_stacks(conn, access.scope, site)
        registered = await site_by_code(conn, site)
        assert registered is not None
        wanted = AlertFilter(states=OPEN_STATES, sites=(site,))
        newest_cases = await cases.page(conn, access.scope, site=site, limit=MAX_LIMIT)
        opened = [case.case_id for case in newest_cases if case.closed_at is None][:LIMIT]
        return {
            "site": site,
            "state": (await cases.site_states(conn))[site],
            "now": utc_text(row.now) if row.now else None,
            "stacks": [await _stack_status(conn, stack, registered) for stack in stacks],
            "alerts": await list_alerts(conn, access.scope, wanted, limit=LIMIT),
            "cases": [await case_document(conn, case_id, access.roles) for case_id in opened],
            "orders": [order_document(order) for order in await orders.in_force(conn, row.site_id)],
            "edges": [_edge_status(state) for state in await edges.states_of(conn, row.site_id, limit=LIMIT)],
        }


@router.get("/map", response_model=FeatureCollection, responses={200: {"content": {"application/geo+json": {}}}})
async def read_map(here: Here, access: Asking) -> Any:
    """Every site in scope as GeoJSON; a site without coordinates has no geometry."""
    async with transaction(here.pool) as conn:
        rows = await list_sites(conn, access.scope, limit=MAX_SITES)
        states = await cases.site_states(conn)
        severities = await open_severities(conn, [row.site_id for row in rows]) if access.principal else {}
        months = {row.site_id: local_hour(row.now, row.timezone).date().replace(day=1) for row in rows if row.now}
        words = await month_words(conn, months)
    features = [
        {
            "type": "Feature",
            "geometry": _point(row),
            "properties": {
                "code": row.code,
                "name": row.document["name"],
                "name_zh": row.document.get("name_zh") or row.document["name"],
                "region": row.region["code"],
                "simulated": row.simulated,
                "state": states[row.code],
                "severity": worst(severities.get(row.site_id, ()), SEVERITIES[::-1]),
                "month": worst(words.get(row.site_id, ()), MONTH_WORDS),
            },
        }
        for row in rows
    ]
    return JSONResponse({"type": "FeatureCollection", "features": features}, media_type="application/geo+json")


MAX_SITES: Final = 20_000  #: on one map; a national industry has some thousands


def worst(found: Iterable[str], order: Sequence[str]) -> str | None:
    """The first of *order* that is among *found*."""
    present = set(found)
    return next((word for word in order if word in present), None)


def site_document(row: SiteRow, states: dict[str, str]) -> dict[str, Any]:
    region = row.region
    name, region_name = row.document["name"], region["name"]
    return {
        "code": row.code,
        "name": name,
        "name_zh": row.document.get("name_zh") or name,
        "region": region["code"],
        "region_name": region_name,
        "region_name_zh": region.get("name_zh") or region_name,
        "timezone": row.timezone,
        "lon": row.document.get("lon"),
        "lat": row.document.get("lat"),
        "rating": row.document.get("rating"),
        "simulated": row.simulated,
        "state": states[row.code],
        "now": utc_text(row.now) if row.now else None,
        "stacks": [
            {
                "code": stack["code"],
                "name": stack["name"],
                "process": stack["process"],
                "units": stack.get("units", []),
                "packs": stack["packs"],
                "interval_s": stack["interval_s"],
            }
            for stack in row.stacks
        ],
        "units": [
            {"code": unit["code"], "kind": unit.get("kind", ""), "modes": unit.get("modes", ["stop"])}
            for unit in row.units
        ],
        "instruments": _instruments(region),
    }


def _instruments(document: dict[str, Any]) -> list[dict[str, Any]]:
    faults: list[Fault] = []
    region = region_from(Reader(document, "region", faults))
    return [
        {"kind": text.kind, "citation": text.citation(), "covers": list(text.covers)} for text in region.instruments
    ]


def _point(row: SiteRow) -> dict[str, Any] | None:
    lon, lat = row.document.get("lon"), row.document.get("lat")
    return None if lon is None or lat is None else {"type": "Point", "coordinates": [lon, lat]}


def order_document(row: orders.OrderRow) -> dict[str, Any]:
    """An order as the plant gets it."""
    order = Order(
        order_id=row.order_id,
        case=row.case_id,
        order=row.kind,
        units=tuple(UnitMode(**unit) for unit in row.units),
        effective_from=row.effective_from,
        safe_state_by=row.safe_state_by,
        until=row.until,
        basis=row.basis,
        text=row.text,
    )
    return order.document()


def _edge_status(state: edges.EdgeState) -> dict[str, Any]:
    said = state.document
    return {
        "edge": state.edge,
        "online": state.online,
        "since": utc_text(state.since),
        "received_at": utc_text(state.received_at),
        **{name: said.get(name) for name in ("outbox", "oldest", "dropped", "agent_file", "hook")},
        "version": said.get("version", ""),
        "sources": {name: {"figures": {}} | source for name, source in said.get("sources", {}).items()},
    }


async def _stack_status(conn: Connection, stack: StackRow, registered: RegisteredSite) -> dict[str, Any]:
    name = main_pack(stack.document)
    pack = pack_named(name)
    entry = next(item for item in registered.site.stacks if item.code == stack.document["code"])
    limits = {pollutant: rule.limit for pollutant, rule in governing(pack, entry).items()}
    hour: dict[str, Any] = {}
    month: dict[str, Any] = {}
    if stack.now is not None:
        start = local_hour(stack.now, stack.timezone)
        wanted = HourFilter(start=start, end=start + timedelta(hours=1), packs=(name,))
        rows = {
            row["pollutant"]: row for row in await list_hours(conn, stack.stack_id, wanted, limit=len(limits) + 100)
        }
        bounds = await bounds_of_hour(conn, stack.stack_id, entry, pack, start=micros(start), now=micros(stack.now))
        hour = {
            pollutant: _running(utc_text(start), name, limit.mg_m3, rows.get(pollutant)) | bounds[pollutant]
            for pollutant, limit in limits.items()
        }
        first = start.date().replace(day=1)
        month = {row["pollutant"]: figures(row) for row in await list_months(conn, [stack.stack_id], first, pack=name)}
    return {
        "code": stack.code,
        "name": stack.document["name"],
        "process": stack.document["process"],
        "pack": name,
        "last_sample_at": stack.last_sample_at,
        "hour": hour,
        "month": month,
    }


def _running(start: str, pack: str, limit: float, row: dict[str, Any] | None) -> dict[str, Any]:
    """The running hour so far; what no minute is there for is null."""
    row = row or {}
    return {
        "start": start,
        "pack": pack,
        "mean": row.get("mean"),
        "corrected": row.get("corrected"),
        "limit": row.get("limit", limit),
        "valid_minutes": row.get("valid_minutes"),
        "verdict": row.get("verdict"),
        "reason": row.get("reason"),
    }
