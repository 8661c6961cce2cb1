"""One edge put together: outbox, connection, publisher and orders, in a folder of its own.

What fills the outbox is not known here: `edge.serve` runs an agent file's sources on it, `stackwatch replay` one trace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from random import Random

from edge.link import Link
from edge.orders import Orders
from edge.outbox import DEFAULT_MAX_AGE_S, DEFAULT_MAX_BYTES, Outbox, Policy
from edge.publisher import Publisher, will
from edge.window import DEFAULT_DRAIN_ROWS_PER_S, DEFAULT_SIZE
from plant.broker import broker_of
from plant.settings import Settings


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
    max_age_s: float = DEFAULT_MAX_AGE_S,
    policy: Policy = "drop_oldest",
    window: int = DEFAULT_SIZE,
    drain_rows_per_s: float = DEFAULT_DRAIN_ROWS_PER_S,
    rng: Random | None = None,
) -> AsyncIterator[Edge]:
    """The edge *edge* of *site*, connecting by itself for as long as it is open. *folder* keeps its memory."""
    settings.require("mqtt_url")
    address = broker_of(settings)
    version, root = installed_version(), settings.topic_root
    file = folder / f"{site}.{edge}.sqlite"
    with Outbox(file, max_bytes=max_bytes, max_age_s=max_age_s, policy=policy) as outbox:
        link = Link(
            address,
            client_id=f"stackwatch-edge-{site}-{edge}",
            rng=rng or Random(),
            will=will(root, site, edge, version),
        )
        publisher = Publisher(
            link,
            outbox,
            root=root,
            site=site,
            edge=edge,
            version=version,
            window=window,
            drain_rows_per_s=drain_rows_per_s,
        )
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
