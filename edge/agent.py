"""One edge put together: outbox, connection, publisher and orders, in a folder of its own.

The agent file (TOML) says which edge this is and what feeds it; `read_agent_file` checks it. The simulator
is loaded only by an edge that runs one: the rest needs no numpy.
"""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from edge.link import Link
from edge.orders import Orders
from edge.outbox import DEFAULT_MAX_BYTES, POLICIES, Outbox, Policy
from edge.publisher import Publisher, will
from edge.trace import ReplayPlan, parse_step, parse_time, plan_replay
from edge.window import DEFAULT_SIZE
from plant.broker import broker_of
from plant.errors import BadDocument, Fault
from plant.reading import Reader
from plant.settings import Settings

if TYPE_CHECKING:
    from edge.simulator.run import SimulationPlan

_MB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """What an agent file says."""

    site: str
    edge: str
    folder: Path
    max_bytes: int = DEFAULT_MAX_BYTES
    policy: Policy = "drop_oldest"
    traces: tuple[ReplayPlan, ...] = ()
    simulations: tuple[SimulationPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """What `open_edge` opened. `orders` is None where no key to check them with is known."""

    outbox: Outbox
    publisher: Publisher
    orders: Orders | None


@asynccontextmanager
async def open_edge(
    settings: Settings,
    *,
    site: str,
    edge: str,
    folder: Path,
    max_bytes: int = DEFAULT_MAX_BYTES,
    policy: Policy = "drop_oldest",
    window: int = DEFAULT_SIZE,
    rng: Random | None = None,
) -> AsyncIterator[Edge]:
    """The edge *edge* of *site*, connecting by itself for as long as it is open. *folder* keeps its memory."""
    settings.require("mqtt_url")
    address = broker_of(settings)
    version, root = installed_version(), settings.topic_root
    with Outbox(folder / f"{site}.{edge}.sqlite", max_bytes=max_bytes, policy=policy) as outbox:
        link = Link(
            address,
            client_id=f"stackwatch-edge-{site}-{edge}",
            rng=rng or Random(),
            will=will(root, site, edge, version),
        )
        publisher = Publisher(link, outbox, root=root, site=site, edge=edge, version=version, window=window)
        orders = None
        if settings.order_public_key:
            orders = Orders(
                link,
                root=root,
                site=site,
                edge=edge,
                public_key=settings.order_public_key,
                memory=folder / f"{site}.{edge}.orders.json",
            )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(link)
            await stack.enter_async_context(publisher)
            if orders is not None:
                await stack.enter_async_context(orders)
            yield Edge(outbox, publisher, orders)


def installed_version() -> str:
    try:
        return metadata.version("stackwatch")
    except metadata.PackageNotFoundError:
        return "unknown"


def read_agent_file(path: Path) -> AgentPlan:
    """What the agent file *path* says; paths in it are relative to it.

    Raises
    ------
    BadDocument
        With every fault, those of its traces and scenarios included.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadDocument(str(path), [Fault("", f"cannot be read: {error}")]) from error
    faults: list[Fault] = []
    top = Reader(tables, "", faults)
    site, edge = top.identifier("site"), top.identifier("edge")
    folder = path.parent / top.text("outbox", "outbox")
    max_bytes = top.whole("max_mb", DEFAULT_MAX_BYTES // _MB, low=1, high=1 << 20) * _MB
    policy: Policy = "refuse" if top.one_of("policy", POLICIES, "drop_oldest") == "refuse" else "drop_oldest"
    traces = [_trace_from(table, site, path.parent) for table in top.tables("trace")]
    simulations = [_simulation_from(table, site, path.parent) for table in top.tables("simulation")]
    top.finish()
    if not traces and not simulations and not faults:
        faults.append(Fault("", "has no source: write a [[trace]] or a [[simulation]]"))
    if faults:
        raise BadDocument(str(path), faults)
    return AgentPlan(
        site=site,
        edge=edge,
        folder=folder,
        max_bytes=max_bytes,
        policy=policy,
        traces=tuple(plan for plan in traces if plan is not None),
        simulations=tuple(plan for plan in simulations if plan is not None),
    )


def _trace_from(table: Reader, site: str, beside: Path) -> ReplayPlan | None:
    columns = table.table("map")
    mapping = {column: columns.identifier(column) for column in columns.names()}
    start, step = table.raw("from"), table.text("step", "") if "step" in table else None
    file, stack = table.text("file"), table.identifier("stack")
    speed = table.maybe_number("speed", low=1e-6)
    interval_s = table.whole("interval_s", low=1, high=3600) if "interval_s" in table else None
    instrument = table.identifier("instrument") if "instrument" in table else None
    before = len(table.faults)
    table.finish()
    if len(table.faults) > before or file == "?":
        return None
    try:
        return plan_replay(
            beside / file,
            site=site,
            stack=stack,
            mapping=mapping,
            start=parse_time(_time_text(start)) if start is not None else None,
            step_ms=parse_step(step) if step is not None else None,
            speed=speed,
            interval_s=interval_s,
            instrument=instrument,
        )
    except BadDocument as error:
        for fault in error.faults:
            table.fault(fault.path, fault.message)
        return None


def _simulation_from(table: Reader, site: str, beside: Path) -> SimulationPlan | None:
    name = table.text("scenario")
    speed = table.number("speed", 1.0, low=1e-6)
    seed = table.whole("seed", low=0, high=2**63 - 1) if "seed" in table else None
    table.finish()
    if name == "?":
        return None
    try:
        from edge.simulator.run import SimulationPlan
        from edge.simulator.scenario import load_scenario

        scenario = load_scenario(str(beside / name) if name.endswith(".toml") else name)
    except ModuleNotFoundError as error:
        table.fault("scenario", f"needs the extra: pip install 'stackwatch[sim]' ({error.name} is missing)")
        return None
    except BadDocument as error:
        for fault in error.faults:
            table.fault("scenario", str(fault))
        return None
    return SimulationPlan(scenario=scenario, site=site, seed=seed, speed=speed)


def _time_text(value: Any) -> str:
    """TOML has times of its own; both ways of writing one are taken."""
    return str(value.isoformat() if hasattr(value, "isoformat") else value)
