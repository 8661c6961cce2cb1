"""A scenario as a person writes it: which stacks an imaginary works has, and what goes wrong when.

Read from TOML with every fault named. What the works then does is `edge.simulator.works`.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge.simulator.works import MODELS, Breakdown, StackModel, Works
from plant.channels import POLLUTANTS
from plant.errors import BadDocument, Fault
from plant.reading import Reader

HOUR_MS: Final = 3_600_000
DEFAULT_SEED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBreakdown:
    """An abatement that works worse, at a day and hour of the scenario's first month."""

    stack: str
    pollutant: str
    day: int
    hour: int
    hours: float
    efficiency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    title: str
    timezone: str
    seed: int
    stacks: tuple[StackModel, ...]
    breakdowns: tuple[PlannedBreakdown, ...]
    digest: str  #: of its text: another text is another past

    def begin(self, now: datetime) -> datetime:
        """When its past begins: the first instant of last month, in the works' own zone."""
        local = now.astimezone(ZoneInfo(self.timezone))
        this_month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
        return (this_month - timedelta(days=1)).replace(day=1)

    def works(self, begin_ms: int, seed: int | None = None) -> Works:
        """The works whose breakdowns count from *begin_ms*."""
        return Works(
            seed=self.seed if seed is None else seed,
            stacks=self.stacks,
            breakdowns=tuple(_placed(planned, begin_ms) for planned in self.breakdowns),
            timezone=self.timezone,
        )


def load_scenario(name: str) -> Scenario:
    """The packaged scenario *name*, or the one in the file of that path.

    Raises
    ------
    BadDocument
        With every fault, or with the names there are.
    """
    packaged = resources.files("edge.simulator") / "scenarios"
    if Path(name).suffix == ".toml":
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadDocument(name, [Fault("", f"cannot be read: {error}")]) from error
        return parse_scenario(text, name)
    names = sorted(item.name.removesuffix(".toml") for item in packaged.iterdir() if item.name.endswith(".toml"))
    if name not in names:
        raise BadDocument(name, [Fault("", f"is no scenario; there are {', '.join(names)}, or give a .toml file")])
    return parse_scenario((packaged / f"{name}.toml").read_text(encoding="utf-8"), f"scenario {name}")


def parse_scenario(text: str, source: str) -> Scenario:
    """The scenario in a TOML *text*; `BadDocument` with every fault."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadDocument(source, [Fault("", f"is no TOML: {error}")]) from error
    faults: list[Fault] = []
    top = Reader(tables, "", faults)
    timezone = top.text("timezone")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if timezone != "?":
            top.fault("timezone", f"{timezone!r} is no time zone, write one such as Asia/Shanghai")
    stacks = tuple(_stack_from(table) for table in top.tables("stack"))
    codes = [stack.code for stack in stacks]
    if not codes:
        top.fault("stack", "is required: at least one [[stack]]")
    for code in sorted({code for code in codes if codes.count(code) > 1}):
        top.fault("stack", f"{code!r} stands twice")
    breakdowns = tuple(_breakdown_from(table, {stack.code: stack for stack in stacks}) for table in top.tables("fault"))
    scenario = Scenario(
        name=top.identifier("name"),
        title=top.text("title", ""),
        timezone=timezone,
        seed=top.whole("seed", DEFAULT_SEED, low=0, high=2**63 - 1),
        stacks=stacks,
        breakdowns=breakdowns,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
    )
    top.finish()
    if faults:
        raise BadDocument(source, faults)
    return scenario


def _stack_from(table: Reader) -> StackModel:
    stack = StackModel(
        code=table.identifier("code"),
        process=table.one_of("process", MODELS),
        units=table.texts("units", ()),
        calibration_minute=table.whole("calibration_minute", 200, low=0, high=1439),
        calibration_minutes=table.whole("calibration_minutes", 6, low=0, high=60),
    )
    table.finish()
    return stack


def _breakdown_from(table: Reader, stacks: dict[str, StackModel]) -> PlannedBreakdown:
    table.one_of("kind", ("abatement_loss",))
    breakdown = PlannedBreakdown(
        stack=table.one_of("stack", stacks or ("?",)),
        pollutant=table.one_of("pollutant", POLLUTANTS),
        day=table.whole("day", low=1, high=28),
        hour=table.whole("hour", 0, low=0, high=23),
        hours=table.number("hours", low=0.1, high=24 * 366),
        efficiency=table.number("efficiency", low=0, high=1),
    )
    table.finish()
    return breakdown


def _placed(planned: PlannedBreakdown, begin_ms: int) -> Breakdown:
    since_ms = begin_ms + ((planned.day - 1) * 24 + planned.hour) * HOUR_MS
    return Breakdown(
        stack=planned.stack,
        pollutant=planned.pollutant,
        since_ms=since_ms,
        until_ms=since_ms + round(planned.hours * HOUR_MS),
        efficiency=planned.efficiency,
    )
