"""`simulate`: a labelled scenario through outboxes of its own onto the broker, or into Parquet files, and its truth."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge.agent import Edge, open_edge
from edge.simulator.control import Control, serve_control
from edge.simulator.run import Simulation, SimulationPlan, SimulationProgress
from edge.simulator.scenario import Scenario, load_scenario
from edge.simulator.truth import Played, truth_of
from edge.stamps import parse_step, parse_time
from plant.errors import BadDocument, Fault
from plant.settings import Settings
from stackwatch.local.folder import default_folder
from stackwatch.reach import reach

OUTBOX: Final = "outbox"
DRAINED_S: Final = 600.0
_MINUTE_MS: Final = 60_000
_FILES_OF_AN_EDGE: Final = 8
_OWN_FILES: Final = 128
_FEW_THREADS: Final = 6
_MOST_THREADS: Final = 64
_CONNECTED_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    speed: float | None
    seed: int | None
    start: str | None
    to: str | None
    duration: str | None
    sites: Sequence[str]
    edge: str
    truth: Path | None
    out: Path | None
    outbox: Path | None
    control_port: int | None
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What is played, from when until when; `until` None: until it is stopped."""

    scenario: Scenario
    sites: tuple[str, ...]
    seed: int
    begin: datetime
    until: datetime | None
    speed: float | None  #: None: the past as fast as receipts come, then as time goes

    @property
    def named(self) -> dict[str, Any]:
        return {"scenario": self.scenario.name, "digest": self.scenario.digest, "seed": self.seed}

    def plan(self, site: str) -> SimulationPlan:
        return SimulationPlan(
            scenario=self.scenario,
            site=site,
            seed=self.seed,
            speed=1.0 if self.speed is None else self.speed,
            begin=self.begin,
            until=self.until,
        )


def write_register(scenario: str, sites: Sequence[str], file: str) -> None:
    """The register that the scenario's works stand in, into *file*, or on stdout for `-`."""
    loaded = load_scenario(scenario)
    text = loaded.register_toml(sites[0] if len(sites) == 1 else None)
    if file == "-":
        print(text, end="")
        return
    _write(Path(file), text)
    print(f"{file}: import it with `stackwatch register {file}`", file=sys.stderr)


async def simulate(scenario: str, options: Options, *, mqtt_url: str | None, data: Path | None) -> None:
    play = _play(load_scenario(scenario), options, now=datetime.now(UTC))
    if options.out is not None:
        await _into_files(play, options.out, options)
        return
    settings = reach(mqtt_url=mqtt_url, data=data, needs=("mqtt_url",))
    folder = options.outbox or (data or default_folder(os.environ)) / OUTBOX
    await _publish(play, settings, folder, options)


def _play(scenario: Scenario, options: Options, *, now: datetime) -> Play:
    begin = scenario.begin(now) if options.start is None else parse_time(options.start)
    if options.to is not None and options.duration is not None:
        raise BadDocument("arguments", [Fault("duration", "says the end in another way than --to: give one of them")])
    until = None if options.to is None else parse_time(options.to, "to")
    if until is None and options.duration is not None:
        until = begin + timedelta(milliseconds=parse_step(options.duration, "duration"))
    elif until is None and scenario.days is not None:
        until = begin + timedelta(days=scenario.days)
    if until is not None and until <= begin:
        raise BadDocument("arguments", [Fault("to", f"must come after {begin.isoformat()}, got {until.isoformat()}")])
    sites = tuple(options.sites) or tuple(plan.code for plan in scenario.sites)
    for site in sites:
        scenario.at(site)
    seed = scenario.seed if options.seed is None else options.seed
    return Play(scenario=scenario, sites=sites, seed=seed, begin=begin, until=until, speed=options.speed)


async def _publish(play: Play, settings: Settings, folder: Path, options: Options) -> None:
    """Each works at an edge of its own, until all have come to the end and have their receipts."""
    now = play.begin if play.speed is not None else play.until or datetime.now(UTC)
    _allow_open_files(_FILES_OF_AN_EDGE * len(play.sites))
    threads = ThreadPoolExecutor(min(_MOST_THREADS, _FEW_THREADS + len(play.sites)), thread_name_prefix="works")
    asyncio.get_running_loop().set_default_executor(threads)  # disks and brokers wait in it, works reckon in it
    simulations: dict[str, Simulation] = {}
    edges: dict[str, Edge] = {}
    try:
        async with AsyncExitStack() as opened:
            shown = opened.enter_context(_progress(play, simulations, as_json=options.as_json))
            for site in play.sites:
                edge = edges[site] = await opened.enter_async_context(
                    open_edge(settings, site=site, edge=options.edge, folder=folder)
                )
                await _connected(edge)
                simulations[site] = Simulation(play.plan(site), edge.publisher, now=now, on_progress=shown)
                if edge.orders is not None:
                    opened.callback(edge.orders.follow(simulations[site].obey))
            if options.control_port is not None:
                control = Control(simulations, **play.named)
                port = await opened.enter_async_context(serve_control(control, options.control_port))
                print(f"control  http://127.0.0.1:{port}/", file=sys.stderr, flush=True)
            async with asyncio.TaskGroup() as tasks:
                for site, simulation in simulations.items():
                    tasks.create_task(_to_the_end(simulation, edges[site]), name=f"works {site}")
    finally:
        if simulations:
            await _tell(play, options, list(simulations.values()), edges)


def _allow_open_files(wanted: int) -> None:
    """As far as this process may decide it: a country of works holds an outbox and a connection for each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted += _OWN_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        fault = Fault("site", f"{wanted} open files are needed and {hard} allowed: play fewer works at once")
        raise BadDocument("arguments", [fault])
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _connected(edge: Edge) -> None:
    """One after the other: hundreds of connections at once are more than a broker takes. It may be away, though."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CONNECTED_S):
            while not edge.publisher.stats.connected:  # noqa: ASYNC110 - a link tells its publisher only
                await asyncio.sleep(0.01)


async def _to_the_end(simulation: Simulation, edge: Edge) -> None:
    await simulation.run()
    await edge.publisher.drained(DRAINED_S)


async def _tell(play: Play, options: Options, simulations: list[Simulation], edges: dict[str, Edge]) -> None:
    """The truth and a summary, also where the play was stopped early."""
    played = [simulation.played for simulation in simulations]
    faults = await _write_truth(play, played, options.truth)
    rows = sum(simulation.progress.rows for simulation in simulations)
    refused = sum(edge.publisher.stats.refused_rows for edge in edges.values())
    _say(_summary(play, played, rows=rows, refused=refused, faults=faults), options)


async def _into_files(play: Play, folder: Path, options: Options) -> None:
    """One Parquet file a works, the register and the truth beside them."""
    from edge.simulator.parquet import write_works

    if play.until is None:
        raise BadDocument("arguments", [Fault("to", "is needed with --out: give --to or --duration")])
    _write(folder / "register.toml", play.scenario.register_toml(play.sites[0] if len(play.sites) == 1 else None))
    begin_ms, until_ms = (round(moment.timestamp() * 1000) for moment in (play.begin, play.until))
    played = [Played(works=play.scenario.works(site, begin_ms, play.seed), until_ms=until_ms) for site in play.sites]
    total = 0
    with _bar(options.as_json) as bar:
        task = bar.add_task(play.scenario.name, total=len(played))
        for one in played:
            total += await asyncio.to_thread(write_works, one.works, until_ms, folder / f"{one.works.code}.parquet")
            bar.advance(task)
    faults = await _write_truth(play, played, options.truth or folder / "truth.json")
    _say(_summary(play, played, rows=total, refused=0, faults=faults), options)


async def _write_truth(play: Play, played: Sequence[Played], file: Path | None) -> int | None:
    """The truth into *file*; how many faults it names, None where it is not wanted."""
    if file is None:
        return None
    document = await asyncio.to_thread(truth_of, played, **play.named)
    _write(file, json.dumps(document, indent=1) + "\n")
    return len(document["faults"])


def _summary(play: Play, played: Sequence[Played], *, rows: int, refused: int, faults: int | None) -> dict[str, Any]:
    return {
        "rows": rows,
        "sites": len(played),
        "stacks": sum(len(one.works.stacks) for one in played),
        "from": play.begin.isoformat(),
        "to": datetime.fromtimestamp(max(one.until_ms for one in played) / 1000, play.begin.tzinfo).isoformat(),
        "refused": refused,
        "faults": faults,
    }


def _say(summary: dict[str, Any], options: Options) -> None:
    if options.as_json:
        print(json.dumps(summary), flush=True)
        return
    print(f"{summary['rows']} rows of {summary['stacks']} stacks, from {summary['from']} to {summary['to']}")
    if summary["faults"] is not None:
        print(f"{summary['faults']} faults are in the truth file")
    if summary["refused"]:
        print(f"{summary['refused']} rows were refused: are the works registered? `stackwatch simulate --register`")


@contextmanager
def _progress(play: Play, simulations: dict[str, Simulation], *, as_json: bool) -> Iterator[Any]:
    """A bar over the simulated minutes of all works; what it gives is told of each piece."""
    with _bar(as_json) as bar:
        task = bar.add_task(play.scenario.name, total=None)

        def shown(_: SimulationProgress) -> None:
            done = [simulation.progress for simulation in simulations.values()]
            end_ms = None if play.until is None else round(play.until.timestamp() * 1000)
            whole = sum((end_ms or one.now_ms) - one.begin_ms for one in done) // _MINUTE_MS
            bar.update(task, total=whole, completed=sum(one.through_ms - one.begin_ms for one in done) // _MINUTE_MS)

        yield shown


@contextmanager
def _bar(as_json: bool) -> Iterator[Progress]:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total} simulated minutes"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=as_json or not sys.stderr.isatty(),
    )
    with bar:
        yield bar


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadDocument(str(file), [Fault("", f"cannot be written: {error}")]) from error
