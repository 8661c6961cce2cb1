"""`import`: recorded history into the database, without a broker, by the rules of what edges send."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.trace import Reading, ReplayPlan, read_rows
from ingestor import bulk
from ingestor.bulk import Chunk
from ingestor.intake import Intake
from plant import wire
from plant.errors import BadDocument, Fault, Unavailable
from stackwatch.commands.traces import TraceOptions, plan_of
from stackwatch.reach import reach
from store.pool import open_pool

#: Rows of the file in one transaction: large enough that the commit costs nothing, small enough to hold in memory.
CHUNK_ROWS: Final = 10_000


async def import_history(
    file: Path,
    *,
    site: str,
    stack: str,
    trace: TraceOptions,
    database_url: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    settings = reach(database_url=database_url, data=data)
    plan = await plan_of(file, trace, site=site, stack=stack)
    async with open_pool(settings.database_url, name="import") as pool:
        intake = Intake(pool, settings.topic_root, "import")
        chunks = -(-plan.rows // CHUNK_ROWS)
        place = await bulk.begin(intake, site=site, what=f"{plan.source}:{CHUNK_ROWS}", chunks=chunks)
        if stack not in intake.known.sites[site].stacks:
            raise BadDocument("arguments", [Fault("--stack", f"site {site!r} has no stack {stack!r}")])
        reading, began = Reading(), time.monotonic()
        with _bar(f"{site}/{stack}", plan.rows, shown=sys.stderr.isatty() and not as_json) as shown:
            try:
                await bulk.commit_chunks(
                    intake,
                    place,
                    _chunks(plan, reading),
                    lambda chunk: shown(min(chunk.number * CHUNK_ROWS, plan.rows)),
                )
            except Unavailable as error:
                raise Unavailable(f"{error}. What is committed stays: the same command goes on behind it") from error
        seconds = time.monotonic() - began
        totals = await bulk.totals(intake, place)
    resumed_at = min(place.through * CHUNK_ROWS, plan.rows)
    told = {
        "rows": reading.rows,
        "resumed_at": resumed_at,
        **asdict(totals),
        "not_numbers": reading.not_numbers,
        "not_stamped": reading.not_stamped,
        "seconds": round(seconds, 3),
    }
    if as_json:
        print(json.dumps(told))
        return
    _tell(told, seconds)


async def _chunks(plan: ReplayPlan, reading: Reading) -> AsyncIterator[Chunk]:
    """The chunks of a file, the next one being read while one is committed."""
    with closing(_read(plan, reading)) as reader:
        ahead = asyncio.create_task(asyncio.to_thread(next, reader, None), name="read ahead")
        try:
            while (chunk := await ahead) is not None:
                ahead = asyncio.create_task(asyncio.to_thread(next, reader, None), name="read ahead")
                yield chunk
        finally:
            await asyncio.wait([ahead])  # its thread is inside the generator that is about to be closed


def _read(plan: ReplayPlan, reading: Reading) -> Generator[Chunk, None, None]:
    """Every `CHUNK_ROWS` rows of the file as one chunk; rows whose time cannot be read are left out of theirs."""
    held: list[wire.Row] = []
    rows_before = 0
    with closing(read_rows(plan, reading)) as rows:
        for row in rows:
            if row is not None:
                held.append(row)
            if reading.rows % CHUNK_ROWS == 0 or reading.rows == plan.rows:
                if held:
                    number = -(-reading.rows // CHUNK_ROWS)
                    yield Chunk(number, wire.columns(held), len(held), rows_before)
                rows_before += len(held)
                held = []


@contextmanager
def _bar(label: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A function that moves a progress bar, if one is shown."""
    if not shown:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda rows: bar.update(task, completed=rows)


def _tell(told: dict[str, int | float], seconds: float) -> None:
    new = told["rows"] - told["resumed_at"]
    resumed = f", going on from row {told['resumed_at']}" if told["resumed_at"] else ""
    print(f"{told['rows']} rows read{resumed}, {new / max(seconds, 1e-3):.0f} a second")
    names = ("stored", "duplicate", "conflict", "quarantined")
    print("  ".join(f"{name} {told[name]}" for name in names))
    if told["quarantined"]:
        print("why rows were refused: GET /v1/quarantine")
    if told["not_stamped"] or told["not_numbers"]:
        print(f"{told['not_stamped']} rows had no readable time, {told['not_numbers']} values were no numbers")
