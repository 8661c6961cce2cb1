"""Services that are started again when they die, with a delay that grows over deaths in a row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

import psycopg

from plant import retry
from plant.errors import PlantError
from stackwatch.local.processes import Child
from stackwatch.local.services import Service

logger = logging.getLogger(__name__)

STEADY_S: Final = 30.0  # who lived this long and dies is on its first death again


class Keepers:
    """The tasks that keep a stack alive. Must be made where a loop runs."""

    def __init__(self, rng: Random, *, spawned: Callable[[], None]) -> None:
        self._rng = rng
        self._spawned = spawned
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def keep(self, service: Service, child: Child) -> None:
        """Start *service* again whenever its *child* dies."""
        self.also(self._keep(service, child), name=f"keep_{service.name}")

    def also(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Do *work* beside the keeping, until the end."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    async def failure(self) -> None:
        """Wait until the keeping itself breaks down, and raise what broke it; until then, for ever."""
        await asyncio.shield(self._failed)

    async def stop(self) -> None:
        """Keep nothing alive any more: from now on who dies stays dead."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._failed.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failed.done():
            return
        if (error := task.exception()) is not None:
            self._failed.set_exception(error)

    async def _keep(self, service: Service, child: Child) -> None:
        clock = asyncio.get_running_loop().time
        deaths = 0
        while True:
            since = clock()
            code = await child.exited()
            deaths = 1 if clock() - since >= STEADY_S else deaths + 1
            logger.warning("process_ended", extra={"program": service.name, "code": code, "deaths": deaths})
            child, deaths = await self._again(service, deaths)

    async def _again(self, service: Service, deaths: int) -> tuple[Child, int]:
        while True:
            await asyncio.sleep(retry.delay_s(deaths - 1, self._rng))
            try:
                return await service.start(self._spawned), deaths
            except (PlantError, psycopg.Error, OSError) as error:
                deaths += 1
                logger.error("process_not_started", extra={"program": service.name, "error": str(error)})
            if service.child is not None:
                await service.child.stop()
