"""`replay`: a recorded trace through an outbox of its own, onto the broker."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.agent import open_edge
from edge.publisher import PublisherStats
from edge.replay import ReplayProgress
from edge.replay import replay as replay_trace
from stackwatch.commands.traces import TraceOptions, plan_of
from stackwatch.local.folder import default_folder
from stackwatch.reach import reach

OUTBOX: Final = "outbox"
QUIET_S: Final = 15.0  #: without a receipt: then a person is told what may be missing


async def replay(
    file: Path,
    *,
    site: str,
    stack: str,
    edge: str,
    speed: float | None,
    trace: TraceOptions,
    outbox: Path | None,
    mqtt_url: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    settings = reach(mqtt_url=mqtt_url, data=data, needs=("mqtt_url",))
    plan = await plan_of(file, trace, site=site, stack=stack, speed=speed)
    folder = outbox or (data or default_folder(os.environ)) / OUTBOX
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    async with open_edge(settings, site=site, edge=edge, folder=folder) as opened:
        with bar if sys.stderr.isatty() and not as_json else nullcontext():
            task = bar.add_task(f"{site}/{stack}", total=plan.rows)

            def shown(progress: ReplayProgress) -> None:
                bar.update(task, completed=progress.rows)

            wondering = asyncio.get_running_loop().call_later(QUIET_S, lambda: _wonder(opened.publisher.stats, site))
            try:
                done = await replay_trace(plan, opened.outbox, opened.publisher, shown)
            finally:
                wondering.cancel()
        refused = opened.publisher.stats.refused_rows
    if as_json:
        print(
            json.dumps(
                {
                    "rows": done.rows,
                    "resumed_at": done.resumed_at,
                    "refused": refused,
                    "not_numbers": done.not_numbers,
                    "not_stamped": done.not_stamped,
                }
            )
        )
        return
    resumed = f", going on from row {done.resumed_at}" if done.resumed_at else ""
    print(f"{done.rows} rows were read, and what was sent has its receipt{resumed}")
    if done.not_stamped:
        print(f"{done.not_stamped} rows had no readable time and were left out")
    if refused:
        print(f"{refused} rows were refused: see GET /v1/quarantine")


def _wonder(stats: PublisherStats, site: str) -> None:
    """Say why it may not come to an end: it would wait for days without a word. Of a broker that is away logs tell."""
    if stats.connected and stats.receipt_age_s is None:
        asked = f"is site {site!r} registered, and does an ingestor run?"
        print(f"waiting: no receipt has come in {QUIET_S:g} s: {asked}", file=sys.stderr, flush=True)
