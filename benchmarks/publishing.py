"""The rows of a load, made ready and published: works in a database, frames in files, publishers in a process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from benchmarks import frames, servers
from benchmarks.frames import Load
from benchmarks.servers import Server
from benchmarks.shape import EDGE, ROOT, site_code
from plant import topics
from plant.broker import broker_address
from store.migrate import migrate
from store.pool import connect
from store.register import import_register

WINDOW: Final = 64  # frames without receipt, as `edge.window` has it
_ENDED_WITHIN_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Published:
    """What the publishers say of a run."""

    seconds: float
    cpu_s: float
    curve: Sequence[tuple[float, int]]  #: (seconds, frames settled)

    def steady_frames_per_s(self) -> float:
        """Without the first and the last tenth."""
        total = self.curve[-1][1]
        inner = [(at, frames) for at, frames in self.curve if 0.1 * total <= frames <= 0.9 * total]
        (begun, first), (ended, last) = inner[0], inner[-1]
        return (last - first) / (ended - begun) if ended > begun else 0.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """The frames of a load, by edge, ready to be sent."""

    load: Load
    packets: Sequence[Path]
    payload_bytes: int


@contextmanager
def prepared(load: Load) -> Iterator[Prepared]:
    with tempfile.TemporaryDirectory(prefix="stackwatch-bench-") as name:
        files = [Path(name) / f"{edge}.packets" for edge in range(load.edges)]
        sizes = [frames.write_packets(load, ROOT, edge, file) for edge, file in enumerate(files)]
        yield Prepared(load, files, sum(sizes))


@contextmanager
def filled(database: Server, load: Load) -> Iterator[tuple[str, dict[tuple[int, str], int]]]:
    """A migrated database that knows the works of *load*; (address, ids of the stacks by edge and code)."""
    with servers.a_database(database.url) as url:
        ids = asyncio.run(_set_up(url, load))
        yield url, ids


async def _set_up(url: str, load: Load) -> dict[tuple[int, str], int]:
    await migrate(url)
    async with await connect(url, name="bench") as conn:
        await import_register(conn, tomllib.loads(frames.register(load), parse_float=Decimal), by="bench")
        found = await conn.execute("SELECT s.code, t.code, t.stack_id FROM stack t JOIN site s USING (site_id)")
        edges = {site_code(edge): edge for edge in range(load.edges)}
        return {(edges[site], code): stack_id for site, code, stack_id in await found.fetchall()}


@contextmanager
def publishers(
    ready: Prepared, broker: Server, *, window: int, by_receipts: bool = True
) -> Iterator[Callable[[], Published]]:
    """Everything connected and nothing sent; calling what is given publishes it all and waits for its end."""
    address = broker_address(broker.url)
    sources = [f"{file}={topics.receipt(ROOT, site_code(edge), EDGE)}" for edge, file in enumerate(ready.packets)]
    settled_by = "receipts" if by_receipts else "acks"
    command = [sys.executable, "-m", "benchmarks.load", address.host, str(address.port), str(window), settled_by]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(
        [*command, *sources], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:

        def run() -> Published:
            told, _ = process.communicate("go\n", timeout=_ENDED_WITHIN_S)
            if process.returncode != 0:
                raise AssertionError("the publishers did not get every receipt")
            last = json.loads(told.splitlines()[-1])
            return Published(last["seconds"], last["cpu_s"], last["curve"])

        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise servers.NotToBeHad("the publishers cannot connect")
            yield run
        finally:
            process.kill()
