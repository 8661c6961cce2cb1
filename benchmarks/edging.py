"""An edge of a benchmark, in a process of its own that imports what an edge imports and nothing else.

    python -m benchmarks.edging append FOLDER APPENDS          one frame an append, each on disk when it returns
    python -m benchmarks.edging fill FOLDER DAYS               a backlog: so many days of all stacks
    python -m benchmarks.edging drain FOLDER MQTT_URL RATE     publish what waits until its receipts are there
    python -m benchmarks.edging live FOLDER MQTT_URL WORKS ROWS_PER_S SECONDS

`drain` and `live` say `ready` and begin at a line on their input; each ends with one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from benchmarks.shape import EDGE, INTERVAL_S, MEANS, ROOT, STATE, site_code, stack_code
from benchmarks.usage import cpu_s, peak_rss_mb
from edge.agent import Edge, open_edge
from edge.outbox import Outbox
from plant.settings import Settings

STACKS: Final = 50
DAY_S: Final = 86_400
_SHAPES: Final = 50  # frames with values of their own, used in turn: drawing millions would be what is measured
_FRAMES_A_COMMIT: Final = 60
_MAX_BYTES: Final = 16 << 30
_DEADLINE_S: Final = 3600.0

Frame = tuple[dict[str, Any], int]


def instants(start_ms: int, seed: int) -> Iterator[Frame]:
    """A frame for each instant: one row of each stack, 8 channels of full precision, without end."""
    rng = Random(seed)
    shapes = [
        {name: [rng.gauss(mean, abs(mean) / 40) for _ in range(STACKS)] for name, mean in MEANS.items()}
        for _ in range(_SHAPES)
    ]
    head = {"stack": [stack_code(n) for n in range(STACKS)], "interval_s": INTERVAL_S, "state": STATE, "flag": "N"}
    number = 0
    while True:
        at_ms = start_ms + number * INTERVAL_S * 1000
        yield {**head, "sampled_at": [at_ms] * STACKS, **shapes[number % _SHAPES]}, STACKS
        number += 1


def outbox_in(folder: Path) -> Outbox:
    return Outbox(folder / f"{site_code(0)}.{EDGE}.sqlite", max_bytes=_MAX_BYTES)


def append(folder: Path, appends: int) -> dict[str, Any]:
    source = instants(_days_ago(1), 0)
    with outbox_in(folder) as outbox:
        begun = time.monotonic()
        for _ in range(appends):
            outbox.append(*next(source))
        seconds = time.monotonic() - begun
    return {"rows": appends * STACKS, "seconds": seconds}


def fill(folder: Path, days: float) -> dict[str, Any]:
    source = instants(_days_ago(days), 0)
    frames = int(days * DAY_S / INTERVAL_S)
    with outbox_in(folder) as outbox:
        begun = time.monotonic()
        for first in range(0, frames, _FRAMES_A_COMMIT):
            outbox.append_many([next(source) for _ in range(min(_FRAMES_A_COMMIT, frames - first))])
        seconds = time.monotonic() - begun
        rows = outbox.stats().rows
    return {"rows": rows, "seconds": seconds}


async def drain(folder: Path, mqtt_url: str, rows_per_s: float) -> dict[str, Any]:
    async with _edge(folder, mqtt_url, site_code(0), rows_per_s) as edge:
        rows = edge.outbox.stats().rows
        begun = time.monotonic()
        await edge.publisher.drained(_DEADLINE_S)
        return {"rows": rows, "seconds": time.monotonic() - begun}


async def live(folder: Path, mqtt_url: str, works: int, rows_per_s: int, seconds: int) -> dict[str, Any]:
    """Keep *rows_per_s* for so long as an edge does, once a second; then wait for the last receipt."""
    source = instants(_days_ago(10), works)
    async with _edge(folder, mqtt_url, site_code(works), None) as edge:
        begun, most = time.monotonic(), 0
        for second in range(seconds):
            frames = [next(source) for _ in range(rows_per_s // STACKS)]
            await asyncio.to_thread(edge.outbox.append_many, frames)
            most = max(most, edge.outbox.stats().rows)
            await asyncio.sleep(max(0.0, begun + second + 1 - time.monotonic()))
        ended = time.monotonic()
        await edge.publisher.drained(_DEADLINE_S)
        stats = edge.outbox.stats()
        return {
            "rows": stats.made,
            "dropped": stats.dropped,
            "refused": stats.refused,
            "most_waiting_rows": most,
            "sum": _sum(seconds * (rows_per_s // STACKS), works),
            "resent_frames": edge.publisher.stats.resent,
            "connections": edge.publisher.stats.connections,
            "sent_frames": edge.publisher.stats.sent,
            "drained_after_s": time.monotonic() - ended,
        }


@asynccontextmanager
async def _edge(folder: Path, mqtt_url: str, site: str, rows_per_s: float | None) -> AsyncIterator[Edge]:
    settings = Settings(mqtt_url=mqtt_url, topic_root=ROOT)
    async with open_edge(settings, site=site, edge=EDGE, folder=folder, max_bytes=_MAX_BYTES) as edge:
        if rows_per_s is not None:
            edge.publisher.drain_at(rows_per_s)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        yield edge


def _sum(frames: int, seed: int) -> float:
    """Of the first channel over all rows: what the database must have."""
    source = instants(0, seed)
    return sum(sum(next(source)[0]["so2"]) for _ in range(frames))


def _days_ago(days: float) -> int:
    """A whole interval, in milliseconds."""
    return int((time.time() - days * DAY_S) // INTERVAL_S) * INTERVAL_S * 1000


def main() -> None:
    mode, folder, *rest = sys.argv[1:]
    path = Path(folder)
    if mode == "append":
        told = append(path, int(rest[0]))
    elif mode == "fill":
        told = fill(path, float(rest[0]))
    elif mode == "drain":
        told = asyncio.run(drain(path, rest[0], float(rest[1])))
    else:
        told = asyncio.run(live(path, rest[0], *map(int, rest[1:])))
    own = {"rss_mb": round(peak_rss_mb(os.getpid()), 1), "cpu_s": round(cpu_s(os.getpid()), 2)}
    print(json.dumps(told | own), flush=True)


if __name__ == "__main__":
    main()
