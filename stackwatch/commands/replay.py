"""`replay`: a recorded trace through an outbox of its own, onto the broker."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.agent import open_edge
from edge.replay import ReplayProgress
from edge.replay import replay as replay_trace
from stackwatch.commands.traces import TraceOptions, plan_of
from stackwatch.local.folder import default_folder
from stackwatch.reach import reach

OUTBOX: Final = "outbox"


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

            done = await replay_trace(plan, opened.outbox, opened.publisher, shown)
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
    print(f"{done.rows} rows are committed{resumed}")
    if refused:
        print(f"{refused} rows were refused: see GET /v1/quarantine")
