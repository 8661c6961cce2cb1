"""Rule packs: limits as data (`*.toml` beside this file), read and checked.

A pack names its regulation and clause, the limits by outlet and pollutant, the reference oxygen, the
averaging and validity rules, the monthly share of hours and the dates from which they hold. Adding a
country adds a file. Every figure carries the confidence mark of its source: V-P read in a primary text, V-S in a
secondary one, K-H, K-M, K-L from knowledge (high, medium, low), never hidden from who relies on it.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Final

from plant.channels import CHANNELS
from plant.errors import BadDocument, Fault, NotFound
from plant.reading import Reader

SOURCE: Final = resources.files(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """What makes a minute and an hour valid (contract, section 5)."""

    min_minute_cover: float  #: share of a minute that its rows must cover
    min_valid_minutes: int  #: valid running minutes of a valid hour
    not_running_minutes: int  #: minutes not running that exclude an hour
    oxygen_at_ambient_vol_pct: float  #: at or above it a correction has no meaning
    ended_after_s: int  #: an hour or month has ended that long after its end


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthRule:
    """The share of a month's valid hours that must be within the limit."""

    required: Decimal  #: compared without rounding
    min_valid_share: Decimal  #: of the hours not excluded, below which the month is undecided
    clause: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The limit of an hour mean. [mg/m3, dry, 273.15 K, 101.325 kPa, at the outlet's base oxygen]"""

    pollutant: str
    mg_m3: float
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    key: str
    name: str
    name_zh: str
    base_o2_vol_pct: float | None
    limits: Mapping[str, Limit]
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    name: str
    version: str  #: the written version and a digest of the file: a changed figure is another version
    title: str
    title_zh: str
    instrument: str
    clause: str
    kind: str  #: policy or statutory: what an hour above it means
    mark: str
    valid_from: date | None  #: unset where the date of force is not verified
    valid_until: date | None
    decimals: int
    averaging: Averaging
    month: MonthRule | None
    outlets: Mapping[str, Outlet]
    text: str

    def outlet(self, key: str) -> Outlet:
        try:
            return self.outlets[key]
        except KeyError:
            raise NotFound(f"pack {self.name} has no outlet {key!r}; it has {', '.join(self.outlets)}") from None


def parse_pack(text: str, source: str) -> Pack:
    """The pack in a TOML *text*; `BadDocument` with every fault and its key path."""
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise BadDocument(source, [Fault("", f"is no TOML: {error}")]) from error
    faults: list[Fault] = []
    top = Reader(tables, "", faults)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    pack = Pack(
        name=top.identifier("name"),
        version=f"{top.text('version')}+{digest}",
        title=top.text("title"),
        title_zh=top.text("title_zh"),
        instrument=top.text("instrument"),
        clause=top.text("clause"),
        kind=top.one_of("kind", ("policy", "statutory")),
        mark=top.text("mark"),
        valid_from=top.maybe_day("valid_from"),
        valid_until=top.maybe_day("valid_until"),
        decimals=top.whole("decimals", low=0, high=9),
        averaging=_averaging_from(top.table("averaging")),
        month=_month_from(top.table("month")) if "month" in top else None,
        outlets={key: _outlet_from(key, table) for key, table in top.table("outlet").entries()},
        text=text,
    )
    if not pack.outlets:
        top.fault("outlet", "is required: at least one outlet with its limits")
    top.finish()
    if faults:
        raise BadDocument(source, faults)
    return pack


def _averaging_from(table: Reader) -> Averaging:
    rule = Averaging(
        min_minute_cover=table.number("min_minute_cover", low=0.01, high=1),
        min_valid_minutes=table.whole("min_valid_minutes", low=1, high=60),
        not_running_minutes=table.whole("not_running_minutes", low=1, high=60),
        oxygen_at_ambient_vol_pct=table.number("oxygen_at_ambient_vol_pct", low=1, high=20.99),
        ended_after_s=table.whole("ended_after_s", low=0, high=86_400),
    )
    table.finish()
    return rule


def _month_from(table: Reader) -> MonthRule:
    rule = MonthRule(
        required=table.exact("required"),
        min_valid_share=table.exact("min_valid_share"),
        clause=table.text("clause"),
        mark=table.text("mark"),
    )
    for key, share in (("required", rule.required), ("min_valid_share", rule.min_valid_share)):
        if not 0 <= share <= 1:
            table.fault(key, f"must be a share from 0 to 1, got {share}")
    table.finish()
    return rule


def _outlet_from(key: str, table: Reader) -> Outlet:
    mark = table.text("mark")
    limits = table.table("limits")
    outlet = Outlet(
        key=key,
        name=table.text("name"),
        name_zh=table.text("name_zh"),
        base_o2_vol_pct=table.maybe_number("base_o2", low=0, high=20.5),
        limits={p: Limit(pollutant=p, mg_m3=limits.number(p, low=1e-6), mark=mark) for p in limits.names()},
        mark=mark,
    )
    for pollutant in outlet.limits:
        if pollutant not in CHANNELS:
            limits.fault(pollutant, f"is no channel; channels are {', '.join(CHANNELS)}")
    if not outlet.limits:
        table.fault("limits", "is required: at least one pollutant with its limit in mg/m3")
    table.finish()
    return outlet


@cache
def all_packs() -> Mapping[str, Pack]:
    """Every pack that ships with stackwatch, by name."""
    packs = {}
    for entry in sorted(SOURCE.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            pack = parse_pack(entry.read_text(encoding="utf-8"), entry.name)
            if f"{pack.name}.toml" != entry.name:
                raise BadDocument(entry.name, [Fault("name", f"{pack.name!r} is not the name of the file")])
            packs[pack.name] = pack
    return packs


def outlets_by_pack() -> dict[str, frozenset[str]]:
    """The outlets each pack knows: what a register is checked against."""
    return {name: frozenset(pack.outlets) for name, pack in all_packs().items()}


def pack(name: str) -> Pack:
    try:
        return all_packs()[name]
    except KeyError:
        raise NotFound(f"there is no rule pack {name!r}; there are {', '.join(all_packs())}") from None
