"""A rule stage in a process of its own, to be killed: its clock stands still, so that what is judged is known."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime

from alerts.stage import Stage
from plant.settings import Settings
from store.pool import open_pool


async def _serve(settings: Settings) -> None:
    async with open_pool(settings.database_url, name="stage", size=8) as pool:
        await Stage(settings, pool, wall_clock=lambda: datetime(2026, 11, 10, tzinfo=UTC)).run()


def main() -> None:
    url = os.environ["STAGE_DATABASE_URL"]
    asyncio.run(_serve(Settings(database_url=url, mqtt_url="mqtt://127.0.0.1:1", tick_s=0.2, stage_lease_s=1.0)))
