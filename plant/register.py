"""The register: regions, sites, units and stacks, as a person writes them (contract, section 2).

`read_register` turns the tables of a TOML file, or the same tables kept as JSON, into values and names
every fault with its key path. Whether a pack exists is the caller's knowledge and comes in as an
argument. What is not written down here is not known: no default stands for a regulatory fact.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from plant.calibration import Cems
from plant.channels import CHANNELS, GASES
from plant.errors import BadDocument, Fault
from plant.mark_policy import MarkPolicy, mark_policy_from
from plant.reading import Reader

INSTRUMENT_KINDS: Final = ("law", "regulation", "local_regulation", "rule", "plan", "draft")
BINDING_KINDS: Final = frozenset({"law", "regulation", "local_regulation", "rule"})
"""Plans and drafts cannot create a penalty, and suspension is one (Penalty Law arts 9, 16, 38)."""
ACTS: Final = ("suspend", "restrict", "curtail")
GAS_UNITS: Final = ("mg/m3", "ppm")
NOX_SOURCES: Final = ("nox", "no_no2")

LIFT_AFTER_CLEAN_HOURS: Final = 24
"""Consecutive clean hours of a trial before a suspension may be lifted. Policy, not law [D]: a region sets its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The day by whose end a process must have been converted; `*` is every process."""

    process: str
    date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A legal text that an order may rest on."""

    kind: str
    number: str
    issuer: str
    article: str
    covers: tuple[str, ...]
    since: date
    until: date | None = None

    def covers_act(self, act: str, on: date) -> bool:
        """Whether an order of *act* given on the day *on* may rest on this text."""
        in_force = self.since <= on and (self.until is None or on < self.until)
        return self.kind in BINDING_KINDS and act in self.covers and in_force

    def citation(self) -> str:
        parts = (self.issuer, self.number, f"art. {self.article}" if self.article else "")
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    code: str
    name: str
    name_zh: str = ""
    deadlines: tuple[Deadline, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    lift_after_clean_hours: int = LIFT_AFTER_CLEAN_HOURS
    marks: MarkPolicy = field(default_factory=MarkPolicy)

    def deadline_for(self, process: str) -> date | None:
        """The deadline of *process*: its own where one is written, else that of every process."""
        by_process = {deadline.process: deadline.date for deadline in self.deadlines}
        return by_process.get(process, by_process.get("*"))

    def instrument_for(self, act: str, on: date) -> Instrument | None:
        """The first registered text that covers *act* on the day *on*."""
        return next((text for text in self.instruments if text.covers_act(act, on)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How one channel of a stack is measured."""

    unit: str = "mg/m3"
    wet: bool = False
    actual_state: bool = False
    corrected: bool = False  #: already at the reference oxygen
    range: tuple[float, float] | None = None
    slope: float = 1.0  #: of the line that the calibration found; applied to the raw value
    intercept: float = 0.0
    zero_drift: float | None = None  #: readings further below zero are no readings [in the channel's unit]
    cems: str | None = None  #: how it is measured and calibrated, a `plant.calibration.Cems`; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is started and stopped."""

    code: str
    kind: str = ""
    modes: tuple[str, ...] = ("stop",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The outlet that is measured."""

    code: str
    name: str
    process: str
    packs: tuple[str, ...]
    interval_s: int
    units: tuple[str, ...] = ()
    judged_from: tuple[str, ...] = ("main",)
    also_processes: tuple[str, ...] = ()  #: of other units on the same stack: the strictest limit holds
    permit_mix_mg_m3: Mapping[str, float] = field(default_factory=dict)  #: unless the permit states one for the mix
    ducts: tuple[str, ...] = ()  #: instruments of several ducts of one outlet, weighted by flow, instead of ranks
    channels: Mapping[str, Channel] = field(default_factory=dict)
    area_m2: float | None = None
    ambient_pressure_pa: float = 101325.0
    permit_t_per_year: Mapping[str, float] = field(default_factory=dict)
    mn: str | None = None
    stamped_at_end: bool = False  #: its rows carry the end of their interval, not the start
    velocity_factor: float = 1.0  #: Kv, mean velocity in the duct by that of the probe
    nox_from: str = "nox"  #: the channel `nox`, or computed from `no` and `no2`
    settle_s: int = 0  #: after a calibration, the time in which its gas is still in the line

    def channel(self, name: str) -> Channel:
        return self.channels.get(name, Channel())


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    code: str
    name: str
    region: str
    timezone: str
    name_zh: str = ""
    lon: float | None = None
    lat: float | None = None
    rating: str = ""
    simulated: bool = False
    assessment: Mapping[str, date] = field(default_factory=dict)
    units: tuple[Unit, ...] = ()
    stacks: tuple[Stack, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def assessed_before(self, day: date) -> bool:
        """Whether an assessment of organized emissions had been accepted when *day* began."""
        accepted = self.assessment.get("organized")
        return accepted is not None and accepted <= day


@dataclass(frozen=True, slots=True)
class Register:
    regions: tuple[Region, ...]
    sites: tuple[Site, ...]


def parse_register(
    text: str, source: str, *, packs: Mapping[str, Collection[str]], regions: Collection[str] = ()
) -> Register:
    """The register in a TOML *text*.

    *packs* are the rule packs that exist with the outlets that each knows, *regions* the codes registered before.

    Raises
    ------
    BadDocument
        With every fault of the file, each with its key path.
    """
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise BadDocument(source, [Fault("", f"is no TOML: {error}")]) from error
    return read_register(tables, source, packs=packs, regions=regions)


def read_register(
    tables: Mapping[str, Any],
    source: str,
    *,
    packs: Mapping[str, Collection[str]],
    regions: Collection[str] = (),
) -> Register:
    """The register in *tables*; see `parse_register`."""
    faults: list[Fault] = []
    top = Reader(tables, "", faults)
    read_regions = tuple(region_from(table) for table in top.tables("region"))
    read_sites = tuple(site_from(table, packs) for table in top.tables("site"))
    top.finish()
    _no_repeats("region", [region.code for region in read_regions], faults)
    _no_repeats("site", [site.code for site in read_sites], faults)
    known = {region.code for region in read_regions} | set(regions)
    for index, site in enumerate(read_sites):
        if site.region not in known:
            faults.append(Fault(f"site[{index}].region", f"{site.region!r} is no registered region"))
    if faults:
        raise BadDocument(source, faults)
    return Register(read_regions, read_sites)


def region_from(table: Reader) -> Region:
    deadlines = [_deadline_from(item) for item in table.tables("deadline")]
    instruments = [_instrument_from(item) for item in table.tables("instrument")]
    code = table.identifier("code")
    # The short form: one deadline for all processes, one local regulation that covers suspension.
    short = table.maybe_day("ule_deadline")
    if short is not None:
        deadlines.append(Deadline(process="*", date=short))
    basis = table.text("legal_basis", "")
    if table.boolean("suspend_on_deadline", default=False):
        if not basis or short is None:
            table.fault("suspend_on_deadline", "needs legal_basis and ule_deadline beside it")
        else:
            instruments.append(
                Instrument(
                    kind="local_regulation",
                    number=basis,
                    issuer="",
                    article="",
                    covers=("suspend",),
                    since=date.min,
                )
            )
    region = Region(
        code=code,
        name=table.text("name"),
        name_zh=table.text("name_zh", table.raw("name") or ""),
        deadlines=tuple(deadlines),
        instruments=tuple(instruments),
        lift_after_clean_hours=table.whole("lift_after_clean_hours", LIFT_AFTER_CLEAN_HOURS, low=1, high=10_000),
        marks=mark_policy_from(table.table("marks")),
    )
    table.finish()
    return region


def site_from(table: Reader, packs: Mapping[str, Collection[str]]) -> Site:
    zone = table.text("timezone")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if zone != "?":
            table.fault("timezone", f"{zone!r} is no time zone, write one such as Asia/Shanghai")
    assessment = table.table("assessment")
    units = tuple(_unit_from(item) for item in table.tables("unit"))
    site = Site(
        code=table.identifier("code"),
        name=table.text("name"),
        name_zh=table.text("name_zh", table.raw("name") or ""),
        region=table.identifier("region"),
        timezone=zone,
        lon=table.maybe_number("lon", low=-180, high=180),
        lat=table.maybe_number("lat", low=-90, high=90),
        rating=table.text("rating", ""),
        simulated=table.boolean("simulated", default=False),
        assessment={
            scope: assessment.day(scope) for scope in ("organized", "unorganized", "transport") if scope in assessment
        },
        units=units,
        stacks=tuple(_stack_from(item, {unit.code for unit in units}, packs) for item in table.tables("stack")),
    )
    assessment.finish()
    _no_repeats(table.path("unit"), [unit.code for unit in site.units], table.faults)
    _no_repeats(table.path("stack"), [stack.code for stack in site.stacks], table.faults)
    table.finish()
    return site


def _deadline_from(table: Reader) -> Deadline:
    deadline = Deadline(process=table.text("process", "*"), date=table.day("date"))
    table.finish()
    return deadline


def _instrument_from(table: Reader) -> Instrument:
    covers = table.texts("covers", ())
    for act in covers:
        if act not in ACTS:
            table.fault("covers", f"{act!r} is none of {', '.join(ACTS)}")
    instrument = Instrument(
        kind=table.one_of("kind", INSTRUMENT_KINDS),
        number=table.text("number"),
        issuer=table.text("issuer", ""),
        article=table.text("article", ""),
        covers=covers,
        since=table.day("from", date.min),
        until=table.maybe_day("until"),
    )
    table.finish()
    return instrument


def _unit_from(table: Reader) -> Unit:
    unit = Unit(code=table.identifier("code"), kind=table.text("kind", ""), modes=table.texts("modes", ("stop",)))
    table.finish()
    return unit


def _stack_from(table: Reader, units: Collection[str], packs: Mapping[str, Collection[str]]) -> Stack:
    channels = table.table("channels")
    permit = table.table("permit_t_per_year")
    mix = table.table("permit_mix_mg_m3")
    stack = Stack(
        code=table.identifier("code"),
        name=table.text("name"),
        process=table.identifier("process"),
        packs=table.texts("packs"),
        interval_s=table.whole("interval_s", low=1, high=3600),
        units=table.texts("units", ()),
        judged_from=table.texts("judged_from", ("main",)),
        also_processes=table.texts("also_processes", ()),
        permit_mix_mg_m3={name: mix.number(name, low=1e-6) for name in mix.names()},
        ducts=table.texts("ducts", ()),
        channels={name: _channel_from(name, item) for name, item in channels.entries()},
        area_m2=table.maybe_number("area_m2", low=0.001),
        ambient_pressure_pa=table.number("ambient_pressure_pa", 101325.0, low=40_000, high=120_000),
        permit_t_per_year={name: permit.number(name, low=0) for name in permit.names()},
        mn=table.text("mn", "") if "mn" in table else None,
        stamped_at_end=table.one_of("stamped", ("start", "end", "instant"), "start") == "end",
        velocity_factor=table.number("velocity_factor", 1.0, low=0.1, high=10),
        nox_from=table.one_of("nox_from", NOX_SOURCES, "nox"),
        settle_s=table.whole("settle_s", 0, low=0, high=3600),
    )
    for name in stack.units:
        if name not in units:
            table.fault(
                "units",
                f"{name!r} is no unit of this site; its units are {', '.join(sorted(units)) or 'none'}",
            )
    if len(stack.ducts) == 1 or (stack.ducts and "judged_from" in table):
        table.fault("ducts", "must name two instruments or more, and stands instead of judged_from")
    if stack.permit_mix_mg_m3 and not stack.also_processes:
        table.fault("permit_mix_mg_m3", "is for a stack shared by several processes: name the others in also_processes")
    for name in stack.packs:
        if name not in packs:
            table.fault("packs", f"{name!r} is no rule pack; there are {', '.join(sorted(packs))}")
        elif stack.process not in packs[name] and stack.process != "?":
            outlets = ", ".join(sorted(packs[name]))
            table.fault("process", f"{stack.process!r} is no outlet of {name}; its outlets are {outlets}")
    table.finish()
    return stack


def _channel_from(name: str, table: Reader) -> Channel:
    bounds = table.raw("range")
    limits: tuple[float, float] | None = None
    if bounds is not None:
        pair = [float(b) for b in bounds] if isinstance(bounds, list) and all(_is_number(b) for b in bounds) else []
        if len(pair) == 2 and pair[0] < pair[1]:
            limits = (pair[0], pair[1])
        else:
            table.fault("range", f"must be two rising numbers, got {bounds!r}")
    if name not in CHANNELS:
        table.fault("", f"is no channel; channels are {', '.join(CHANNELS)}")
    if table.raw("unit") == "ppm" and name in CHANNELS and name not in GASES:
        table.fault("unit", f"{name} is no gas and cannot be measured in ppm")
    channel = Channel(
        unit=table.one_of("unit", GAS_UNITS, "mg/m3") if name not in _OTHER_UNITS else table.text("unit", ""),
        wet=table.one_of("basis", ("dry", "wet"), "dry") == "wet",
        actual_state=table.one_of("gas_state", ("standard", "actual"), "standard") == "actual",
        corrected=table.one_of("reference", ("measured", "corrected"), "measured") == "corrected",
        range=limits,
        slope=table.number("slope", 1.0, low=1e-6, high=1e6),
        intercept=table.number("intercept", 0.0, low=-1e6, high=1e6),
        zero_drift=table.maybe_number("zero_drift", low=0),
        cems=table.one_of("cems", [*Cems]) if "cems" in table else None,
    )
    table.finish()
    return channel


_OTHER_UNITS: Final = frozenset(CHANNELS[CHANNELS.index("o2") :])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _no_repeats(path: str, codes: list[str], faults: list[Fault]) -> None:
    for code in sorted({code for code in codes if codes.count(code) > 1}):
        faults.append(Fault(path, f"{code!r} is registered twice"))
