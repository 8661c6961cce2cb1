"""`demo`: start the system and both plants, show what happens, and with `--once` play the story to its end."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from alerts.rules import hour_above_limit
from edge.replay import ReplayProgress
from edge.simulator.run import SimulationProgress
from edge.simulator.scenario import load_scenario
from plant.errors import PlantError, Unavailable
from plant.settings import Settings
from stackwatch import running
from stackwatch.commands.admin import import_file
from stackwatch.demo import story
from stackwatch.demo.client import Client
from stackwatch.demo.sites import WORKS, Plants, now, open_plants
from stackwatch.local.folder import remove, resolved, write_private
from stackwatch.local.supervisor import LocalStack
from store import principals
from store.pool import connect
from store.totals import Totals, totals

ROLES: Final = ("admin", "watch", "investigator", "reviewer", "decider", "operator", "auditor")
HEALTHY_S: Final = 60.0
COUNT_S: Final = 1.0
JUDGED_S: Final = 300.0
TICK_S: Final = 2.0
TOKENS: Final = "demo-tokens.json"
SCENARIO: Final = "demo"  #: the one whose works stands in the demonstration's own register


async def demo(
    *,
    port: int | None,
    data: Path | None,
    scenario: str,
    speed: float,
    headless: bool,
    once: bool,
    as_json: bool,
) -> None:
    """Run until stopped, or with *once* until the story has ended."""
    running.settings(quiet=True)
    begun = time.monotonic()
    folder = resolved(data if data is not None else Path(tempfile.mkdtemp(prefix="stackwatch-demo-")))
    screen = Screen(Console(stderr=as_json, highlight=False), moving=not headless)
    tokens: dict[str, str] = {}

    async def prepare(stack: LocalStack) -> None:
        with resources.as_file(resources.files(__package__) / "register.toml") as register:
            await import_file(stack.database_url, register)
        if scenario != SCENARIO:
            other = folder / "scenario-register.toml"
            write_private(other, load_scenario(scenario).register_toml(WORKS))
            await import_file(stack.database_url, other)
        tokens.update(await _tokens(stack))

    try:
        screen.say("starting PostgreSQL, the broker, ingestor, rule stage and API ...")
        stack = LocalStack(
            folder,
            http_port=port,
            settings_env={"STACKWATCH_TICK_S": f"{TICK_S}"} | running.handed_on(),
            prepare=prepare,
        )
        async with stack:
            await stack.wait_healthy(HEALTHY_S)
            _introduce(stack, tokens, screen)
            settings = Settings(mqtt_url=stack.mqtt_url, order_public_key=stack.order_public_key)
            plants = open_plants(
                settings,
                folder / "edges",
                scenario=scenario,
                speed=speed,
                now=now(),
                on_works=screen.works,
                on_replay=screen.replayed,
            )
            async with plants as opened:
                found = await _run(stack, opened, tokens, screen, once=once)
            if once:
                summary = {**_summary(found), "seconds": round(time.monotonic() - begun, 1)}
                print(json.dumps(summary) if as_json else _sentence(summary), flush=True)
    finally:
        screen.close()
        if data is None:
            with suppress(PlantError, FileNotFoundError):
                remove(folder)
            shutil.rmtree(folder, ignore_errors=True)


async def _run(stack: LocalStack, plants: Plants, tokens: Mapping[str, str], screen: Screen, *, once: bool) -> Totals:
    """Both plants publish, we count; for ever, or until the story and the replay have ended and all is judged."""
    async with asyncio.TaskGroup() as tasks:
        simulation = tasks.create_task(plants.simulation.run(), name="works")
        counting = tasks.create_task(_count(stack, tokens, screen), name="count")
        replaying = tasks.create_task(plants.replay(), name="replay")
        if not once:
            await stack.wait()
        await story.play(stack.http_url, tokens, plants, screen.say)
        await replaying
        simulation.cancel()
        counting.cancel()
        return await _all_judged(stack)


async def _count(stack: LocalStack, tokens: Mapping[str, str], screen: Screen) -> None:
    client = Client(stack.http_url, tokens["watch"])
    async with await connect(stack.database_url, name="demo", autocommit=True) as conn:
        while True:
            found = await totals(conn)
            screen.counts(found)
            with suppress(Unavailable):
                if found.alerts and not screen.told_alert:
                    await _tell_alert(client, screen)
                if found.cases and not screen.told_case:
                    await _tell_case(client, screen)
            await asyncio.sleep(COUNT_S)


async def _tell_alert(client: Client, screen: Screen) -> None:
    for alert in (await client.get(f"/v1/alerts?rule={hour_above_limit.NAME}&limit=1"))["items"]:
        screen.told_alert = True
        screen.say(
            f"first alert: {alert['rule']} at {alert['site']}/{alert['stack']} from {alert['period_start']}:"
            f" {alert['pollutant']} {alert['observed']:.4g} against {alert['limit']:g} ({alert['unit']})"
        )


async def _tell_case(client: Client, screen: Screen) -> None:
    for case in (await client.get("/v1/cases?limit=1"))["items"]:
        screen.told_case = True
        screen.say(
            f"first case: {case['id']} at {case['site']}, units {', '.join(case['units'])}, track {case['track']},"
            f" {case['state']}: people decide what follows"
        )


async def _all_judged(stack: LocalStack) -> Totals:
    """The counts when the queue of hours is empty."""

    async with await connect(stack.database_url, name="demo", autocommit=True) as conn:
        try:
            async with asyncio.timeout(JUDGED_S):
                while (found := await totals(conn)).to_judge:  # noqa: ASYNC110 - asks a database
                    await asyncio.sleep(COUNT_S / 4)
        except TimeoutError:
            raise Unavailable(f"{found.to_judge} hours were not judged within {JUDGED_S:g} s") from None
    return found


async def _tokens(stack: LocalStack) -> dict[str, str]:
    """One token a role, the same again on a folder that was kept."""
    kept = stack.folder / TOKENS
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    made = {}
    async with await connect(stack.database_url, name="demo") as conn:
        for role in ROLES:
            made[role], _ = await principals.create_token(conn, name=f"demo {role}", roles=[role])
    write_private(kept, json.dumps(made))
    return made


def _introduce(stack: LocalStack, tokens: Mapping[str, str], screen: Screen) -> None:
    screen.say("")
    screen.say(f"page     {stack.http_url}/#token={tokens['watch']}")
    screen.say(f"HTTP     {stack.http_url}/v1/openapi.json")
    screen.say(f"MQTT     {stack.mqtt_url}  (topics under ule/v1/)")
    for role, token in tokens.items():
        screen.say(f"token    {role:<13} {token}")
    screen.say(f"try      curl -H 'Authorization: Bearer {tokens['watch']}' {stack.http_url}/v1/alerts?limit=3")
    screen.say("The region, its regulation and both plants are fictional. Ctrl-C stops everything.")
    screen.say("")


def _summary(found: Totals) -> dict[str, int]:
    wanted = ("rows", "hours", "alerts", "cases", "orders", "lifted")
    return {name: value for name, value in asdict(found).items() if name in wanted}


def _sentence(summary: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in summary.items())


class _Bars(Progress):
    """Bars, and below them a line of counts: as a column it would leave a narrow terminal no room for the numbers."""

    counts = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.counts)


class Screen:
    """What a person sees: lines that stay, and below them the bars and the counts."""

    def __init__(self, console: Console, *, moving: bool) -> None:
        self.told_alert = self.told_case = False
        self._console = console
        self._bars = _Bars(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            console=console,
        )
        self._moving = moving and console.is_terminal
        self._replay: TaskID | None = None
        self._works: TaskID | None = None
        self._counts: TaskID | None = None

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def works(self, progress: SimulationProgress) -> None:
        past = (progress.now_ms - progress.begin_ms) // 60_000
        done = (progress.through_ms - progress.begin_ms) // 60_000
        self._works = self._bar(self._works, "works, simulated", max(past, done), done, "minutes")

    def replayed(self, progress: ReplayProgress) -> None:
        self._replay = self._bar(self._replay, "gas turbine year, replayed", progress.total, progress.rows, "hours")

    def counts(self, found: Totals) -> None:
        self._bars.counts = f"{found.rows} rows, {found.alerts} alerts, {found.cases} cases, {found.orders} orders"
        self._counts = self._bar(self._counts, "committed", found.hours + found.to_judge, found.hours, "hours judged")

    def _bar(self, task: TaskID | None, name: str, total: int | None, done: int, unit: str) -> TaskID | None:
        if not self._moving:
            return None
        if task is None:
            self._bars.start()
            task = self._bars.add_task(name, total=total, unit=unit)
        self._bars.update(task, total=total, completed=done, unit=unit)
        return task

    def close(self) -> None:
        self._bars.stop()
