"""`[[simulation]]`: an imaginary works as a source of an edge. The works itself is `edge.simulator`'s (extra `sim`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from edge.simulator.run import Simulation, SimulationPlan
from edge.simulator.scenario import load_scenario
from edge.sources import Context, Feed, Source
from plant.errors import BadDocument
from plant.reading import Reader

KIND: Final = "simulation"


class SimulationSource:
    """Makes what *plan* says until it is cancelled, obeying orders."""

    kind: Final = KIND

    def __init__(self, name: str, plan: SimulationPlan) -> None:
        self.name: Final = name
        self.plan: Final = plan
        self._simulation: Simulation | None = None

    async def run(self, feed: Feed) -> None:
        simulation = self._simulation = Simulation(self.plan, feed.publisher, now=datetime.now(UTC))
        if feed.orders is None:
            await simulation.run()
            return
        stop_following = feed.orders.follow(simulation.obey)
        try:
            await simulation.run()
        finally:
            stop_following()

    def state(self) -> Mapping[str, Any]:
        through = "nothing yet" if self._simulation is None else _text(self._simulation.through_ms)
        return {
            "ok": True,
            "detail": f"scenario {self.plan.scenario.name}, rows before {through}",
            "tolerated": {},
        }


def read_source(table: Reader, context: Context) -> Source | None:
    name = table.text("scenario")
    speed = table.number("speed", 1.0, low=1e-6)
    seed = table.whole("seed", low=0, high=2**63 - 1) if "seed" in table else None
    if name == "?":
        return None
    try:
        scenario = load_scenario(str(context.file(name)) if name.endswith(".toml") else name)
    except BadDocument as error:
        for fault in error.faults:
            table.fault("scenario", str(fault))
        return None
    plan = SimulationPlan(scenario=scenario, site=context.site, seed=seed, speed=speed)
    return SimulationSource(context.name, plan)


def _text(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
