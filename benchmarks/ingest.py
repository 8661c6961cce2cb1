"""Rows per second from publisher to committed row and receipt, beside bare COPY of the same rows in the same run.

    publishers ──▶ broker ──▶ stackwatch ingestor ──▶ database        all on this machine, each a process of its own

Timed from the first publish to the last receipt. A run that lost or doubled a row, or whose books do not balance, is
a failure and no figure.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks import frames, nodered, servers
from benchmarks.copying import Copied, copy
from benchmarks.frames import Load
from benchmarks.publishing import WINDOW, Prepared, filled, prepared, publishers
from benchmarks.report import arguments, publish
from benchmarks.servers import Server
from benchmarks.shape import MEANS, ROOT
from benchmarks.usage import cpu_of, peak_rss_mb
from store.books import book_totals
from store.pool import connect
from store.scope import EVERYWHERE

ROWS_A_COPY: Final = 10_000


def copied(database: Server, load: Load) -> Copied:
    with filled(database, load) as (url, ids):
        return copy(url, frames.copy_blocks(load, ids, rows_a_block=ROWS_A_COPY), load.total_rows, database)


def ingested(
    database: Server, ready: Prepared, *, broker_kind: str, window: int, profile: Path | None
) -> dict[str, Any]:
    """Figures of one run through broker and ingestor; `AssertionError` where a row is missing."""
    load = ready.load
    with ExitStack() as stack:
        url, _ = stack.enter_context(filled(database, load))
        broker = stack.enter_context(servers.broker(broker_kind))
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CHECKPOINT")
        ingestor = stack.enter_context(
            servers.ingestor(database_url=url, mqtt_url=broker.url, root=ROOT, name="bench", profile=profile)
        )
        pids = {"ingestor": ingestor.pid, "broker": broker.pid, "database": database.pid}
        run = stack.enter_context(publishers(ready, broker, window=window))
        before = cpu_of(pids)
        done = run()
        after = cpu_of(pids)
        peak = peak_rss_mb(ingestor.pid)
        redelivered = check(url, ready)
    used = {name: after[name] - before[name] for name in pids} | {"publishers": done.cpu_s}
    return {
        "rows": load.total_rows,
        "frame_rows": load.frame_rows,
        "seconds": round(done.seconds, 2),
        "rows_per_s": round(load.total_rows / done.seconds),
        "steady_rows_per_s": round(done.steady_frames_per_s() * load.frame_rows),
        "ingestor_rss_mb": round(peak, 1),
        "cpu_us_per_row": {name: round(seconds * 1e6 / load.total_rows, 2) for name, seconds in used.items()},
        "payload_bytes_per_row": round(ready.payload_bytes / load.total_rows, 1),
        "redelivered": redelivered,
    }


def check(url: str, ready: Prepared) -> int:
    """Every row is there once with its values, and the books say so; how many rows were delivered again."""
    load = ready.load
    expected = sum(float(load.values(edge)[:, 0].sum()) for edge in range(load.edges))
    with psycopg.connect(url) as conn:
        # The primary key has it that none is there twice.
        found = conn.execute("SELECT count(*), sum(so2), max(versions) FROM measurement").fetchone()
    assert found is not None
    rows, total, versions = found
    if (rows, versions) != (load.total_rows, 1) or abs(total - expected) > 1e-9 * expected:
        raise AssertionError(f"{rows} rows with sum {total} and {versions} versions, not {load.total_rows}, {expected}")
    books = asyncio.run(_books(url))
    wanted = {"published": rows, "stored": rows} | dict.fromkeys(("unexplained", "in_flight", "dropped"), 0)
    wanted |= dict.fromkeys(("duplicate", "conflict", "quarantined"), 0)
    if any(books[name] != value for name, value in wanted.items()):
        raise AssertionError(f"the books do not balance: {books}")
    return books["redelivered"]


async def _books(url: str) -> Mapping[str, int]:
    async with await connect(url, name="bench") as conn:
        return await book_totals(conn, EVERYWHERE)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    loads = [
        Load(rows=options.rows, frame_rows=size, edges=options.edges, stacks=options.stacks)
        for size in options.frame_rows
    ]
    with servers.database_server(options.database, servers.DURABLE) as database:
        copies = [copied(database, loads[0])]
        runs = []
        for load in loads:
            with prepared(load) as ready:
                profile = options.profile if load is loads[0] else None
                runs.append(
                    ingested(database, ready, broker_kind=options.broker, window=options.window, profile=profile)
                )
            copies.append(copied(database, load))
            bare = (copies[-2].rows_per_s + copies[-1].rows_per_s) / 2
            runs[-1] |= {"copy_rows_per_s": round(bare), "ratio": round(runs[-1]["rows_per_s"] / bare, 3)}
        peer = nodered.measure(database, loads[0], broker_kind=options.broker) if options.nodered else None
        return {
            **runs[0],
            "nodered_rows_per_s": None if peer is None else peer["rows_per_s"],
            "nodered": peer,
            "copy_before_after": [round(copy.rows_per_s) for copy in copies],
            "copy_database_cpu_us_per_row": round(copies[0].database_cpu_us_per_row, 2),
            "edges": options.edges,
            "stacks": options.edges * options.stacks,
            "channels": len(MEANS),
            "window_frames": options.window,
            "database": servers.version_of(database.url),
            "broker": options.broker,
            "others": runs[1:],
        }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--frame-rows", type=int, nargs="+", default=[250], help="one run each; the first is told")
    parser.add_argument("--edges", type=int, default=4, help="each of a site of its own")
    parser.add_argument("--stacks", type=int, default=50, help="of each edge")
    parser.add_argument("--window", type=int, default=WINDOW, help="frames an edge sends ahead of its receipts")
    parser.add_argument(
        "--database", default=servers.default_database(), help="timescaledb, postgresql, or the address of one"
    )
    parser.add_argument("--broker", choices=(servers.NATS, servers.MOSQUITTO), default=servers.NATS)
    parser.add_argument(
        "--nodered",
        action=argparse.BooleanOptionalAction,
        default=nodered.is_installed(),
        help="measure a Node-RED flow too; where it is not installed yet npm does that once",
    )
    parser.add_argument("--profile", type=Path, help="where cProfile writes what the ingestor's main thread did")
    options = parser.parse_args()
    publish(measure(options), as_json=options.json)


if __name__ == "__main__":
    main()
