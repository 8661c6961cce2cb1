"""The process behind `stackwatch edge`: one agent file, its sources as named tasks, until cancelled."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge.agent import Edge, open_edge, read_agent_file
from edge.orders import public_key_from
from edge.replay import replay
from edge.trace import ReplayPlan
from plant.broker import broker_of
from plant.settings import Settings

if TYPE_CHECKING:
    from edge.simulator.run import SimulationPlan

logger = logging.getLogger(__name__)


async def serve(settings: Settings, agent_file: Path) -> None:
    """Feed and publish until every trace has its receipts, or, with a simulation, until cancelled."""
    plan = read_agent_file(agent_file)
    opened = open_edge(
        settings,
        site=plan.site,
        edge=plan.edge,
        folder=plan.folder,
        max_bytes=plan.max_bytes,
        policy=plan.policy,
    )
    async with opened as edge:
        logger.info("edge_started", extra={"site": plan.site, "edge": plan.edge, "session": edge.outbox.session})
        if edge.orders is None:
            logger.warning("orders_not_followed", extra={"reason": "STACKWATCH_ORDER_PUBLIC_KEY is not set"})
        async with asyncio.TaskGroup() as sources:
            for trace in plan.traces:
                sources.create_task(_replay(trace, edge), name=f"trace {trace.file.name}")
            for simulation in plan.simulations:
                sources.create_task(_simulate(simulation, edge), name=f"simulation {simulation.scenario.name}")


def check(settings: Settings, agent_file: Path) -> str:
    """One line on what the agent would do; `BadDocument` with every fault."""
    settings.require("mqtt_url")
    broker_of(settings)
    if settings.order_public_key:
        public_key_from(settings.order_public_key)
    plan = read_agent_file(agent_file)
    rows = sum(trace.rows for trace in plan.traces)
    return (
        f"edge {plan.edge} of site {plan.site}: {len(plan.traces)} traces with {rows} rows,"
        f" {len(plan.simulations)} simulations, outbox in {plan.folder}"
    )


async def _replay(plan: ReplayPlan, edge: Edge) -> None:
    progress = await replay(plan, edge.outbox, edge.publisher)
    logger.info("trace_replayed", extra={"file": plan.file.name, "rows": progress.rows, "stack": plan.stack})


async def _simulate(plan: SimulationPlan, edge: Edge) -> None:
    from edge.simulator.run import Simulation

    simulation = Simulation(plan, edge.publisher, now=datetime.now(UTC))
    if edge.orders is not None:
        edge.orders.follow(simulation.obey)
    await simulation.run()
