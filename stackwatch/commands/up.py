"""`up`: the embedded system, persistent, for a first installation and for a laptop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stackwatch import running
from stackwatch.commands.admin import import_file
from stackwatch.local.folder import default_folder
from stackwatch.local.supervisor import LocalStack
from store.notify import wake_ups
from store.pool import connect
from store.register import load_register

HEALTHY_S: Final = 60.0
REGISTER_POLL_S: Final = 30.0


async def up(
    data: Path | None, *, http_port: int | None, mqtt_port: int | None, register: Path | None, mqtt_auth: bool
) -> None:
    """Run until stopped."""
    running.settings(quiet=True)
    folder = data if data is not None else default_folder(os.environ)

    async def prepare(stack: LocalStack) -> None:
        if register is not None:
            for change in await import_file(stack.database_url, register):
                print(change, flush=True)
        await stack.set_sites(await _sites(stack.database_url))

    stack = LocalStack(
        folder,
        http_port=http_port,
        mqtt_port=mqtt_port,
        mqtt_auth=mqtt_auth,
        settings_env=running.handed_on(),
        prepare=prepare,
    )
    async with stack:
        await stack.wait_healthy(HEALTHY_S)
        print(f"HTTP      {stack.http_url}", flush=True)
        print(f"MQTT      {stack.mqtt_url.split('@')[-1] if mqtt_auth else stack.mqtt_url}", flush=True)
        print(f"data      {stack.folder}", flush=True)
        print(f"next      stackwatch register FILE --data {stack.folder}", flush=True)
        print(f"          stackwatch token create --role watch --data {stack.folder}", flush=True)
        if mqtt_auth:
            await _follow_register(stack)
        else:
            await stack.wait()


async def _follow_register(stack: LocalStack) -> None:
    """Let each registered site speak on the broker, and say what its edges log in with."""
    told: set[str] = set()
    async with wake_ups(stack.database_url, "register", poll_s=REGISTER_POLL_S) as woken:
        async for _ in woken:
            sites = await _sites(stack.database_url)
            await stack.set_sites(sites)
            for site in sites:
                if site not in told:
                    told.add(site)
                    print(f"edges of {site} log in as {site} with {stack.site_password(site)}", flush=True)


async def _sites(database_url: str) -> Sequence[str]:
    async with await connect(database_url, name="up") as conn:
        return sorted(await load_register(conn))
