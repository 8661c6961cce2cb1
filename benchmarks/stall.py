"""The database stands still for two minutes under load: what memory does, where the rows wait, and that all arrive.

    edges, each a process with its outbox ──▶ broker ──▶ stackwatch ingestor ──▶ database, every process of it stopped

Stopped is SIGSTOP, which looks like a disk that no longer answers: connections stay open and nothing comes back. A run
in which a row is lost, is there twice, or is missing in the books is a failure and no figure.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks import servers
from benchmarks.edging import STACKS
from benchmarks.frames import Load
from benchmarks.outbox import edging, told
from benchmarks.publishing import filled
from benchmarks.report import arguments, publish
from benchmarks.servers import Server
from benchmarks.shape import ROOT
from benchmarks.usage import family, rss_mb, send
from store.books import book_totals
from store.pool import connect
from store.scope import EVERYWHERE

_SAMPLE_S: Final = 0.25


@dataclass(slots=True)
class Memory:
    """What a program and its children hold, watched while time passes."""

    samples: list[tuple[float, float]] = field(default_factory=list)  #: (monotonic seconds, MB)

    def most(self, since_s: float, until_s: float) -> float:
        return round(max(mb for at, mb in self.samples if since_s <= at <= until_s), 1)


@contextmanager
def watched(pids: dict[str, int]) -> Iterator[dict[str, Memory]]:
    found, ended = {name: Memory() for name in pids}, threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_S):
            for name, pid in pids.items():
                found[name].samples.append((time.monotonic(), rss_mb(pid)))

    thread = threading.Thread(target=watch, name="memory")
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def freeze(database: Server, seconds: float) -> None:
    """Stop every process of *database* for so long."""
    stopped = family(database.pid)
    send(stopped, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        send(reversed(stopped), signal.SIGCONT)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    each = options.rows_per_s // options.edges // STACKS * STACKS
    length = round(2 * options.around + options.seconds)
    load = Load(rows=1, frame_rows=1, edges=options.edges, stacks=STACKS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stackwatch-bench-")))
        database = stack.enter_context(servers.database_server(options.database, servers.DURABLE))
        url, _ = stack.enter_context(filled(database, load))
        broker = stack.enter_context(servers.broker(options.broker))
        ingestor = stack.enter_context(servers.ingestor(database_url=url, mqtt_url=broker.url, root=ROOT, name="bench"))
        edges = [
            stack.enter_context(edging("live", folder / str(works), broker.url, works, each, length))
            for works in range(options.edges)
        ]
        pids = {"ingestor": ingestor.pid, "broker": broker.pid} | {f"edge-{n}": e.pid for n, e in enumerate(edges)}
        memory = stack.enter_context(watched(pids))
        for edge in edges:
            assert edge.stdin is not None
            edge.stdin.write("\n")
            edge.stdin.flush()
        begun = time.monotonic()
        time.sleep(options.around)
        frozen = time.monotonic()
        freeze(database, options.seconds)
        thawed = time.monotonic()
        ends = [told(edge) for edge in edges]
        ended = time.monotonic()
        counts = check(url, ends)
        recovered = max(end["drained_after_s"] for end in ends)
    held = memory["ingestor"]
    return {
        "seconds": round(thawed - frozen, 1),
        "rows": counts["rows"],
        "load_rows_per_s": each * options.edges,
        "rss_before_mb": held.most(begun, frozen),
        "rss_peak_mb": held.most(frozen, ended),
        "rows_lost": counts["lost"],
        "rows_doubled": counts["doubled"],
        "redelivered": counts["redelivered"],
        "resent_frames": sum(end["resent_frames"] for end in ends),
        "edge_connections": max(end["connections"] for end in ends),
        "sent_frames": sum(end["sent_frames"] for end in ends),
        "outbox_most_rows": sum(end["most_waiting_rows"] for end in ends),
        "drained_after_load_s": round(recovered, 1),
        "edge_rss_peak_mb": max(held.most(begun, ended) for name, held in memory.items() if name.startswith("edge")),
        "broker_rss_before_mb": memory["broker"].most(begun, frozen),
        "broker_rss_peak_mb": memory["broker"].most(frozen, ended),
        "edges": options.edges,
        "database": options.database,
        "broker": options.broker,
    }


def check(url: str, ends: list[dict[str, Any]]) -> dict[str, int]:
    """Rows lost and doubled, which must be none, and what was delivered again."""
    made, total = sum(end["rows"] for end in ends), sum(end["sum"] for end in ends)
    if any(end["dropped"] or end["refused"] for end in ends):
        raise AssertionError(f"rows were dropped or refused: {ends}")
    with psycopg.connect(url) as conn:
        found = conn.execute(
            "SELECT count(DISTINCT (stack_id, sampled_at)), count(*) + coalesce(sum(versions - 1), 0), sum(so2)"
            " FROM measurement"
        ).fetchone()
    assert found is not None
    different, stored, summed = found
    if different != made or stored != made or abs(summed - total) > 1e-9 * total:
        raise AssertionError(f"{made} rows with sum {total} were made; {different} are there, {stored} with {summed}")
    books = asyncio.run(_books(url))
    if (books["published"], books["stored"], books["unexplained"], books["in_flight"]) != (made, made, 0, 0):
        raise AssertionError(f"the books do not balance: {books}")
    return {
        "rows": made,
        "lost": made - different,
        "doubled": int(stored) - different,
        "redelivered": books["redelivered"],
    }


async def _books(url: str) -> dict[str, int]:
    async with await connect(url, name="bench") as conn:
        return dict(await book_totals(conn, EVERYWHERE))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the database stands still")
    parser.add_argument("--around", type=float, default=20.0, help="seconds of load before it and after it")
    parser.add_argument("--rows-per-s", type=int, default=5_000)
    parser.add_argument("--edges", type=int, default=4, help="each of a site of its own, with 50 stacks")
    parser.add_argument(
        "--database", default=servers.default_database(), help="timescaledb, postgresql, or the address of one"
    )
    parser.add_argument("--broker", choices=(servers.NATS, servers.MOSQUITTO), default=servers.NATS)
    options = parser.parse_args()
    publish(measure(options), as_json=options.json)


if __name__ == "__main__":
    main()
