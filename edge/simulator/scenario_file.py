"""Reading a scenario from TOML: every fault named with its key path, generators spread out.

What the register knows of a stack (channels, packs, area, ...) is written as in the register and read by it. The
options are explained in docs/simulator.md.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from edge.simulator.activity import MODES, Effect
from edge.simulator.fault_table import read_fault
from edge.simulator.faults import HOUR_MS, Fault
from edge.simulator.kinds import KINDS
from edge.simulator.noise import streams, uniform
from edge.simulator.scenario import Scenario, SitePlan
from edge.simulator.works import StackPlan, duct_area
from plant.errors import BadDocument
from plant.errors import Fault as Wrong
from plant.packs import outlets_by_pack, pack
from plant.reading import Reader
from plant.register import Site, Stack, region_from, site_from

DEFAULT_SEED: Final = 1
MOST_STACKS: Final = 100_000
_REGION: Final = {"code": "simulated", "name": "Simulated region (fictional)"}
_PACKS: Final = ("cn-steel-ule-2019",)
_REGISTERED_SITE: Final = ("name", "name_zh", "lon", "lat", "rating", "assessment")
# fmt: off
_REGISTERED_STACK: Final = (
    "name", "process", "packs", "channels", "area_m2", "ambient_pressure_pa", "permit_t_per_year", "permit_mix_mg_m3",
    "also_processes", "mn", "stamped", "velocity_factor", "nox_from", "settle_s",
)
# fmt: on
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def parse_scenario(text: str, source: str) -> Scenario:
    """The scenario in a TOML *text*; `BadDocument` with every fault."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadDocument(source, [Wrong("", f"is no TOML: {error}")]) from error
    wrong: list[Wrong] = []
    top = Reader(tables, "", wrong)
    region = top.raw("region") or _REGION
    read_region = region_from(top.table("region")) if "region" in top else None
    timezone = top.text("timezone")
    _check_zone(top, timezone)
    context = _Context(timezone, read_region.code if read_region else _REGION["code"])
    scenario = Scenario(
        name=top.identifier("name"),
        title=top.text("title", ""),
        timezone=timezone,
        seed=top.whole("seed", DEFAULT_SEED, low=0, high=2**63 - 1),
        days=top.maybe_number("days", low=0.01, high=3660),
        region=region,
        sites=tuple(plan for table in top.tables("works") for plan in _works_from(table, context)),
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
    )
    _check_whole(top, scenario)
    top.finish()
    if wrong:
        raise BadDocument(source, wrong)
    return scenario


@dataclass(frozen=True, slots=True)
class _Context:
    timezone: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What stands behind a stack, as its table says."""

    kind: str
    size: float
    calibration_at: int
    calibration_min: int


def _works_from(table: Reader, context: _Context) -> list[SitePlan]:
    """The works of one table: as many as its `count` asks for."""
    code, count = table.identifier("code"), table.whole("count", 1, low=1, high=MOST_STACKS)
    step_s = table.whole("interval_s", 60, low=1, high=3600)
    if 3600 % step_s:
        table.fault("interval_s", "must go into an hour without a remainder")
    timezone = table.text("timezone", context.timezone)
    spread = table.number("spread", 0.0, low=0, high=0.9)
    read = [found for item in table.tables("stack") for found in _stacks_from(item)]
    if not read:
        table.fault("stack", "is required: at least one [[works.stack]]")
    site_table = {name: table.raw(name) for name in _REGISTERED_SITE if name in table} | {
        "code": code,
        "region": context.region,
        "timezone": timezone,
        "simulated": True,
        "unit": _units(read),
        "stack": [{**stack, "interval_s": step_s} for stack, _ in read],
    }
    site_table.setdefault("name", f"{code} (simulated)")
    site = site_from(Reader(site_table, table.path("").rstrip("."), table.faults), outlets_by_pack())
    plans = tuple(_plan(stack, source) for stack, (_, source) in zip(site.stacks, read, strict=True))
    stops = tuple(_stop_from(item, site) for item in table.tables("stop"))
    faults = [_fault_from(item, n, plans, count) for n, item in enumerate(table.tables("fault"), 1)]
    table.finish()
    plan = SitePlan(code=code, table=site_table, timezone=timezone, step_s=step_s, stacks=plans, stops=stops)
    return [_copy(plan, number, count, spread, faults) for number in range(1, count + 1)]


def _stacks_from(table: Reader) -> Iterator[tuple[dict[str, Any], _Source]]:
    """The register's table and the source of each stack of one table, as many as its `count` asks for."""
    code, count = table.identifier("code"), table.whole("count", 1, low=1, high=1000)
    kind = table.one_of("kind", KINDS)
    units = table.texts("units", ())
    source = _Source(
        kind=kind,
        size=table.number("size", 1.0, low=0.001, high=100),
        calibration_at=_minute_of_day(table, "calibration_at", 200),
        calibration_min=table.whole("calibration_min", 9, low=0, high=60),
    )
    registered = {name: table.raw(name) for name in _REGISTERED_STACK if name in table}
    registered.setdefault("process", KINDS[kind].outlet)
    registered.setdefault("packs", list(_PACKS))
    table.finish()
    for number in range(1, count + 1):
        mine = code if count == 1 else f"{code}{number:03d}"
        ours = list(units) if count == 1 else [f"{unit}{number:03d}" for unit in units]
        yield {"name": mine, **registered, "code": mine, "units": ours or [f"U-{mine}"]}, source


def _units(read: list[tuple[dict[str, Any], _Source]]) -> list[dict[str, Any]]:
    """The units that the stacks name, each of the kind of the first stack that does."""
    units: dict[str, dict[str, Any]] = {}
    for stack, source in read:
        kind = KINDS[source.kind]
        for unit in stack["units"]:
            units.setdefault(unit, {"code": unit, "kind": kind.unit, "modes": list(kind.safe_modes)})
    return list(units.values())


def _plan(stack: Stack, source: _Source) -> StackPlan:
    return StackPlan(
        stack=stack,
        kind=source.kind,
        size=source.size,
        calibration_at=source.calibration_at,
        calibration_min=source.calibration_min,
        base_o2=_base_o2(stack) if any(channel.corrected for channel in stack.channels.values()) else None,
    )


def _base_o2(stack: Stack) -> float | None:
    """By the first pack that knows the outlet."""
    outlets = outlets_by_pack()
    known = (name for name in stack.packs if stack.process in outlets.get(name, ()))
    return next((pack(name).outlet(stack.process).base_oxygen() for name in known), None)


def _stop_from(table: Reader, site: Site) -> Effect:
    since_ms, lasts_ms = _times(table)
    stop = Effect(
        unit=table.one_of("unit", [unit.code for unit in site.units] or ["?"]),
        mode=table.one_of("mode", sorted(MODES), "stop"),
        value=table.maybe_number("value", low=0, high=100),
        since_ms=since_ms,
        until_ms=since_ms + lasts_ms,
    )
    table.finish()
    return stop


def _fault_from(table: Reader, number: int, plans: tuple[StackPlan, ...], count: int) -> tuple[Fault, frozenset[int]]:
    """A fault, and the copies of the works that it befalls."""
    since_ms, lasts_ms = _times(table)
    fault = replace(read_fault(table, plans), id=f"planned-{number}", since_ms=since_ms, until_ms=since_ms + lasts_ms)
    copies = table.raw("copies")
    numbers = [n for n in copies if isinstance(n, int) and 1 <= n <= count] if isinstance(copies, list) else []
    if copies is not None and (not isinstance(copies, list) or len(numbers) != len(copies) or not copies):
        table.fault("copies", f"must be numbers of works from 1 to {count}, got {copies!r}")
    table.finish()
    return fault, frozenset(numbers or range(1, count + 1))


def _times(table: Reader) -> tuple[int, int]:
    """How long after the beginning, and for how long. [ms]"""
    day, hour = table.whole("day", low=1, high=3660), table.number("hour", 0.0, low=0, high=24)
    hours = table.number("hours", low=0.02, high=24 * 366)
    return round(((day - 1) * 24 + hour) * HOUR_MS), round(hours * HOUR_MS)


def _copy(
    plan: SitePlan, number: int, count: int, spread: float, faults: list[tuple[Fault, frozenset[int]]]
) -> SitePlan:
    """The works of that number; its stacks are larger or smaller by chance where they may spread."""
    code, name = plan.code, str(plan.table["name"])
    if count > 1:
        digits = f"{number:0{max(3, len(str(count)))}d}"
        code, name = f"{code}-{digits}", f"{name} {digits}"
    stacks = plan.stacks
    if spread:
        once = np.zeros(1, dtype=np.int64)
        chance = uniform(streams(0, tuple(f"{code}/{p.stack.code}" for p in stacks), "size"), once)[0]
        stacks = tuple(
            replace(p, size=round(p.size * (1 + spread * (2 * float(u) - 1)), 4))
            for p, u in zip(stacks, chance, strict=True)
        )
    stacks = tuple(replace(p, stack=replace(p.stack, area_m2=duct_area(p))) for p in stacks)
    tables = [{**stack, "area_m2": p.stack.area_m2} for stack, p in zip(plan.table["stack"], stacks, strict=True)]
    return replace(
        plan,
        code=code,
        table={**plan.table, "code": code, "name": name, "stack": tables},
        stacks=stacks,
        faults=tuple(fault for fault, copies in faults if number in copies),
    )


def _check_whole(top: Reader, scenario: Scenario) -> None:
    codes = [plan.code for plan in scenario.sites]
    if not codes:
        top.fault("works", "is required: at least one [[works]]")
    for code in sorted({code for code in codes if codes.count(code) > 1}) if len(codes) != len(set(codes)) else ():
        top.fault("works", f"{code!r} stands twice")
    total = sum(len(plan.stacks) for plan in scenario.sites)
    if total > MOST_STACKS:
        top.fault("works", f"have {total} stacks together; {MOST_STACKS} are the most")


def _check_zone(top: Reader, timezone: str) -> None:
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if timezone != "?":
            top.fault("timezone", f"{timezone!r} is no time zone, write one such as Asia/Shanghai")


def _minute_of_day(table: Reader, key: str, default: int) -> int:
    text = table.text(key, "")
    found = _CLOCK.fullmatch(text)
    if text and found is None:
        table.fault(key, f"must be a time of the day such as 03:20, got {text!r}")
    return default if found is None else int(found[1]) * 60 + int(found[2])
