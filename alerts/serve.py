"""The alerts process: the rule stage, and the delivery of what we owe others."""

from __future__ import annotations

import asyncio
from typing import Final

from alerts.notify.serve import tell
from alerts.outgoing import deliver
from alerts.stage import Stage
from plant.settings import Settings
from store.pool import open_pool

OTHERS: Final = 8
"""Connections beside those that judge: gather, shards, sequencer, beats, questions (two), chores, orders."""
STILL_S: Final = 60.0
"""A transaction in which nothing happens for so long is of a process that stands still: nothing takes so long here."""


async def serve(settings: Settings) -> None:
    """Run until cancelled."""
    settings.require("database_url", "mqtt_url", "order_key_file")
    size = settings.stage_workers + OTHERS
    async with (
        open_pool(settings.database_url, name=settings.stage_id, size=size, idle_s=STILL_S) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(Stage(settings, pool).run(), name="stage")
        tasks.create_task(deliver(pool, settings), name="outgoing")
        tasks.create_task(tell(settings), name="notify")
