"""The process behind `stackwatch edge`: one agent file, its sources as named tasks, until cancelled.

agent file ── checked ──▶ sources ── rows ──▶ feed ──▶ outbox ──▶ broker
changed file ── checked first ──▶ only what differs is stopped and started
orders ── signature, version ──▶ shown on the status page, told to the hook; nothing is driven
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from edge.agent import Edge, open_edge
from edge.agent_file import AgentPlan, read_agent_file
from edge.agent_watch import AgentFileWatch
from edge.feeding import OutboxFeed
from edge.hook import OrderHook
from edge.orders import public_key_from
from edge.status import status_of
from edge.status_page import StatusPage
from edge.supervision import Supervisor
from edge.systemd import WATCH_EVERY_S, notify
from plant.broker import broker_of
from plant.retry import delay_s
from plant.settings import Settings

logger = logging.getLogger(__name__)

_PAGE_CEILING_S: Final = 60.0


async def serve(settings: Settings, agent_file: Path, *, rng: Random | None = None) -> None:
    """Feed and publish until every source is done, which live ones never are, or until cancelled."""
    plan = await asyncio.to_thread(read_agent_file, agent_file)
    chance = rng or Random()
    opened = open_edge(
        settings,
        site=plan.site,
        edge=plan.edge,
        folder=plan.folder,
        max_bytes=plan.max_bytes,
        max_age_s=plan.max_age_s,
        policy=plan.policy,
        drain_rows_per_s=plan.drain_rows_per_s,
        rng=chance,
    )
    async with opened as edge, OutboxFeed(edge.publisher, edge.orders) as feed:
        logger.info("edge_started", extra={"site": plan.site, "edge": plan.edge, "session": edge.outbox.session})
        if edge.orders is None:
            logger.warning("orders_not_followed", extra={"reason": "STACKWATCH_ORDER_PUBLIC_KEY is not set"})
        await Agent(settings, agent_file, plan, edge, feed, rng=chance).run()


def check(settings: Settings, agent_file: Path) -> str:
    """One line on what the agent would do; `BadDocument` with every fault."""
    settings.require("mqtt_url")
    broker_of(settings)
    if settings.order_public_key:
        public_key_from(settings.order_public_key)
    plan = read_agent_file(agent_file)
    kinds = Counter(declared.source.kind for declared in plan.sources)
    sources = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    page = "no status page" if plan.status_port is None else f"status page on 127.0.0.1:{plan.status_port}"
    hook = "" if plan.hook is None else f", hook {plan.hook.command[0]}"
    return f"edge {plan.edge} of site {plan.site}: {sources}, outbox in {plan.folder}, {page}{hook}"


class Agent:
    """What runs on one open edge."""

    def __init__(
        self, settings: Settings, agent_file: Path, plan: AgentPlan, edge: Edge, feed: OutboxFeed, *, rng: Random
    ) -> None:
        self.page_port: int | None = None  #: where the status page is, while it is
        self._settings = settings
        self._plan = plan
        self._edge = edge
        self._feed = feed
        self._rng = rng
        tell = edge.publisher.tell_state
        self._supervisor = Supervisor(feed, rng=rng, on_change=tell)
        self._hook = OrderHook(plan.folder / f"{plan.site}.{plan.edge}.hook.json", rng=rng, hook=plan.hook)
        self._watch = AgentFileWatch(agent_file, plan, on_trouble=tell)
        self._page_trouble: str | None = None
        self._page_moves = asyncio.Event()

    async def run(self) -> None:
        """Work until every source is done, or until cancelled."""
        self._edge.publisher.describe = self._described
        if self._edge.orders is not None:
            self._edge.orders.follow(self._hook.orders_came)
        async with self._supervisor, self._beside(), _hangups(self._watch):
            await self._supervisor.declare(self._plan.sources)
            notify("READY=1")
            await self._supervisor.finished()
            notify("STOPPING=1")

    async def status(self) -> dict[str, Any]:
        """What the status page shows."""
        outbox = await asyncio.to_thread(self._edge.outbox.stats)  # it waits for the disk
        return status_of(
            self._plan,
            self._edge,
            broker_of(self._settings),
            outbox=outbox,
            now=datetime.now(UTC),
            sources=self._supervisor.states(),
            agent_file=self._file_state(),
            hook=None if self._hook.hook is None else self._hook.state(),
        )

    @asynccontextmanager
    async def _beside(self) -> AsyncIterator[None]:
        """What runs beside the sources; the end of one of these by an error is the end of the process."""
        work = {
            "hook": self._hook.run,
            "agent file": self._reload,
            "status page": self._serve_page,
            "watch": self._look,
        }
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(), name=f"edge {name}") for name, run in work.items()]
            yield
            for task in tasks:
                task.cancel()

    async def _reload(self) -> None:
        while True:
            plan = await self._watch.next_plan()
            moved = plan.status_port != self._plan.status_port
            self._plan = plan
            self._edge.outbox.max_bytes, self._edge.outbox.policy = plan.max_bytes, plan.policy
            self._edge.outbox.max_age_s = plan.max_age_s
            self._edge.publisher.drain_at(plan.drain_rows_per_s)
            self._hook.replace(plan.hook)
            if moved:
                self._page_moves.set()
            change = await self._supervisor.declare(plan.sources)
            logger.info(
                "agent_file_taken_over",
                extra={"started": change.started, "stopped": change.stopped, "kept": len(change.kept)},
            )
            self._edge.publisher.tell_state()

    async def _serve_page(self) -> None:
        """The page at its port, and again when the port was taken; without it the edge works all the same."""
        attempt = 0
        while True:
            port = self._plan.status_port
            self._page_moves.clear()
            if port is None:
                await self._page_moves.wait()
                continue
            try:
                async with StatusPage(self.status, port=port) as page:
                    self._page_trouble, self.page_port, attempt = None, page.port, 0
                    await self._page_moves.wait()
            except OSError as error:
                self._page_trouble = f"the status page cannot be served at port {port}: {error.strerror}"
                logger.error("status_page_failed", extra={"port": port, "reason": str(error)})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s(attempt, self._rng, ceiling_s=_PAGE_CEILING_S)):
                        await self._page_moves.wait()
                attempt += 1
            finally:
                self.page_port = None

    async def _look(self) -> None:
        """End by what ended the publisher, its link or the feed: an edge that sends nothing must not seem to run."""
        while True:
            self._edge.publisher.check()
            self._feed.check()
            notify("WATCHDOG=1")
            await asyncio.sleep(WATCH_EVERY_S)

    def _file_state(self) -> dict[str, Any]:
        trouble = self._watch.trouble or self._page_trouble
        return {"ok": trouble is None, "detail": trouble or "in use", "reloads": self._watch.reloads}

    def _described(self) -> Mapping[str, Any]:
        hook = self._hook.state()
        return {
            "sources": self._supervisor.states(),
            "agent_file": {"ok": self._file_state()["ok"], "detail": str(self._file_state()["detail"])[:1_000]},
            **({} if self._hook.hook is None else {"hook": {"ok": hook["ok"], "detail": hook["detail"]}}),
        }


@asynccontextmanager
async def _hangups(watch: AgentFileWatch) -> AsyncIterator[None]:
    """SIGHUP asks for the agent file to be read again, where there are signals and we may have them."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, watch.ask)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
