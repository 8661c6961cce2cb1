"""A scenario: which works are imagined, what befalls them when, and how they are registered.

How it is written is `edge.simulator.scenario_file`'s; what a works then does is `edge.simulator.works`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from edge.simulator.activity import Effect
from edge.simulator.faults import Fault
from edge.simulator.toml_text import toml_text
from edge.simulator.works import StackPlan, Works
from plant.errors import BadDocument
from plant.errors import Fault as Wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """One works of a scenario."""

    code: str
    table: Mapping[str, Any]  #: as a register has it
    timezone: str
    step_s: int
    stacks: tuple[StackPlan, ...]
    faults: tuple[Fault, ...] = ()  #: their times counted from the beginning, as those of the stops
    stops: tuple[Effect, ...] = ()

    def works(self, begin_ms: int, seed: int) -> Works:
        """The works itself, its faults and stops counted from *begin_ms*."""
        return Works(
            code=self.code,
            seed=seed,
            stacks=self.stacks,
            begin_ms=begin_ms,
            step_s=self.step_s,
            timezone=self.timezone,
            faults=tuple(fault.later(begin_ms) for fault in self.faults),
            stops=tuple(stop.later(begin_ms) for stop in self.stops),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    title: str
    timezone: str
    seed: int
    days: float | None  #: after which its story is over; None: it goes on
    region: Mapping[str, Any]
    sites: tuple[SitePlan, ...]
    digest: str  #: of its text: another text is another past

    def begin(self, now: datetime) -> datetime:
        """When its past begins: the first instant of last month, in its own zone."""
        local = now.astimezone(ZoneInfo(self.timezone))
        this_month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
        return (this_month - timedelta(days=1)).replace(day=1)

    def at(self, site: str) -> SitePlan:
        """The works *site*; a scenario of a single works can be played at any site.

        Raises
        ------
        BadDocument
            If it has several works, none of them called so.
        """
        found = next((plan for plan in self.sites if plan.code == site), None)
        if found is None and len(self.sites) == 1:
            (only,) = self.sites
            found = replace(only, code=site, table={**only.table, "code": site})
        if found is None:
            some = ", ".join(plan.code for plan in self.sites[:5])
            raise BadDocument(f"scenario {self.name}", [Wrong("works", f"{site!r} is none of {some}, ...")])
        return found

    def works(self, site: str, begin_ms: int, seed: int | None = None) -> Works:
        """The works *site*, its faults counted from *begin_ms*."""
        return self.at(site).works(begin_ms, self.seed if seed is None else seed)

    def register_toml(self, site: str | None = None) -> str:
        """The register of all its works, or of one that is played at *site*, for `stackwatch register`."""
        plans = self.sites if site is None else (self.at(site),)
        head = f"# Register of the scenario {self.name}. Nothing in it exists.\n\n"
        return head + toml_text({"region": [self.region], "site": [plan.table for plan in plans]})


def load_scenario(name: str) -> Scenario:
    """The packaged scenario *name*, or the one in the file of that path.

    Raises
    ------
    BadDocument
        With every fault, or with the names there are.
    """
    from edge.simulator.scenario_file import parse_scenario

    packaged = resources.files("edge.simulator") / "scenarios"
    if Path(name).suffix == ".toml":
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadDocument(name, [Wrong("", f"cannot be read: {error}")]) from error
        return parse_scenario(text, name)
    names = sorted(item.name.removesuffix(".toml") for item in packaged.iterdir() if item.name.endswith(".toml"))
    if name not in names:
        raise BadDocument(name, [Wrong("", f"is no scenario; there are {', '.join(names)}, or give a .toml file")])
    return parse_scenario((packaged / f"{name}.toml").read_text(encoding="utf-8"), f"scenario {name}")
