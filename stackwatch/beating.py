"""`python -m stackwatch.beating COMPONENT...`: whether this process beats and is well, for a container's health check.

It asks the database for the beats of the instance that the environment names, as `GET /v1/health` asks for those of
all. Exit code 0 or 1, a sentence on stdout. It is no reason to restart anything: a process that waits for its broker
or its database is right to wait.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from api.routes.health import COMPONENTS, judge
from plant.errors import PlantError
from plant.settings import Settings
from stackwatch import running
from store.health import Beat, beats
from store.pool import connect

DEADLINE_S: Final = 5.0


async def ask(settings: Settings, components: Sequence[str]) -> list[str]:
    """What is wrong with *components* of this instance, in sentences."""
    instances = {settings.ingestor_id, settings.stage_id}
    async with asyncio.timeout(DEADLINE_S), await connect(settings.database_url, name="beating") as conn:
        own = [beat for beat in await beats(conn) if beat.instance in instances]
    return _wrong(own, components)


def _wrong(own: Sequence[Beat], components: Sequence[str]) -> list[str]:
    checks = [judge(component, COMPONENTS[component], own) for component in components]
    return [str(check["detail"]) for check in checks if not check["ok"]]


def main(arguments: Sequence[str]) -> int:
    unknown = [name for name in arguments if name not in COMPONENTS]
    if unknown or not arguments:
        print(f"usage: python -m stackwatch.beating COMPONENT..., of {', '.join(COMPONENTS)}", file=sys.stderr)
        return running.MISUSED
    try:
        settings = running.settings(quiet=True)
        settings.require("database_url")
        wrong = asyncio.run(ask(settings, arguments))
    except (PlantError, TimeoutError) as error:
        wrong = [str(error) or "the database does not answer"]
    print("; ".join(wrong) or "well")
    return running.FAILED if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
