"""The two plants of the demonstration: a simulated works and a replayed trace, each behind an edge of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from edge.agent import Edge, open_edge
from edge.replay import ReplayProgress, replay
from edge.simulator.run import Simulation, SimulationPlan, SimulationProgress
from edge.simulator.scenario import load_scenario
from edge.trace import ReplayPlan, plan_replay
from plant.errors import BadDocument, Fault
from plant.settings import Settings

WORKS: Final = "demo-works"
POWER: Final = "demo-power"
ZONE: Final = ZoneInfo("Asia/Shanghai")
TRACE: Final = Path("tests/data/gas_turbine_gt_2011.csv")


@dataclass(frozen=True, slots=True)
class Plants:
    works: Edge
    simulation: Simulation
    power: Edge
    trace: ReplayPlan
    on_replay: Callable[[ReplayProgress], None]

    async def replay(self) -> None:
        await replay(self.trace, self.power.outbox, self.power.publisher, self.on_replay)


@asynccontextmanager
async def open_plants(
    settings: Settings,
    folder: Path,
    *,
    scenario: str,
    speed: float,
    now: datetime,
    on_works: Callable[[SimulationProgress], None],
    on_replay: Callable[[ReplayProgress], None],
) -> AsyncIterator[Plants]:
    """Both edges connected, with the works listening to its orders; nothing is published yet."""
    plan = SimulationPlan(scenario=load_scenario(scenario), site=WORKS, speed=speed)
    trace = gas_turbine_year(now)
    async with (
        open_edge(settings, site=WORKS, edge="gateway-1", folder=folder) as works,
        open_edge(settings, site=POWER, edge="gateway-1", folder=folder) as power,
    ):
        simulation = Simulation(plan, works.publisher, now=now, on_progress=on_works)
        if works.orders is not None:
            works.orders.follow(simulation.obey)
        yield Plants(works, simulation, power, trace, on_replay)


def gas_turbine_year(now: datetime) -> ReplayPlan:
    """The trace restamped hour by hour into last year: it has no time stamps of its own."""
    start = datetime(now.astimezone(ZONE).year - 1, 1, 1, tzinfo=ZONE)
    return plan_replay(
        find_trace(),
        site=POWER,
        stack="GT",
        mapping={"NOX": "nox", "CO": "co", "TAT": "temperature"},
        start=start,
        step_ms=round(timedelta(hours=1).total_seconds() * 1000),
    )


def find_trace() -> Path:
    """The trace in the checkout that this package runs from."""
    root = Path(__file__).resolve().parents[2]
    for base in (root, Path.cwd()):
        if (base / TRACE).is_file():
            return base / TRACE
    fault = Fault("", f"is not there: run the demonstration from a checkout of stackwatch, which has {TRACE}")
    raise BadDocument(str(TRACE), [fault])


def now() -> datetime:
    return datetime.now(UTC)
