"""The outbox of an edge: rows per second onto the disk and out again, bytes a row, and a week without a network.

*Append* is what a live edge does: a frame of 50 rows, on disk when the call returns. *Drain* is from disk through
settle: read, published through a real broker by a real edge, receipted, deleted. The receipts come from a stand-in,
twenty times a second; the rate at which a backlog may leave is lifted for it, and then measured at its default.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import servers
from benchmarks.edging import STACKS
from benchmarks.receipter import receipting
from benchmarks.report import arguments, publish
from benchmarks.shape import EDGE, INTERVAL_S, ROOT, site_code
from edge.window import DEFAULT_DRAIN_ROWS_PER_S

_UNBOUNDED: Final = 1e9
_PACED_DAYS: Final = 0.5
_DEADLINE_S: Final = 3600.0


@contextmanager
def edging(mode: str, *given: object) -> Iterator[subprocess.Popen[str]]:
    """A process of `benchmarks.edging`; killed at the end if it is still there."""
    command = [sys.executable, "-m", "benchmarks.edging", mode, *map(str, given)]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str], line: str = "") -> dict[str, Any]:
    """What the process says at its end; *line* lets it begin."""
    out, _ = process.communicate(line, timeout=_DEADLINE_S)
    if process.returncode != 0:
        raise AssertionError(f"an edge ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def run(mode: str, *given: object) -> dict[str, Any]:
    with edging(mode, *given) as process:
        return told(process)


def drained(folder: Path, url: str, rows_per_s: float) -> dict[str, Any]:
    with (
        receipting(url, root=ROOT, site=site_code(0), edge=EDGE) as receipter,
        edging("drain", folder, url, rows_per_s) as process,
    ):
        figures = told(process, "\n")
        if receipter.frames * STACKS < figures["rows"]:
            raise AssertionError(f"{receipter.frames} frames came of {figures['rows']} rows")
    return figures


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="stackwatch-bench-") as name:
        appended, backlog, paced = (Path(name) / part for part in ("append", "backlog", "paced"))
        append = run("append", appended, options.appends)
        fill = run("fill", backlog, options.days)
        size = sum(file.stat().st_size for file in backlog.iterdir() if not file.name.endswith(".reserve"))
        run("fill", paced, _PACED_DAYS)
        with servers.broker(options.broker) as broker:
            drain = drained(backlog, broker.url, _UNBOUNDED)
            slowly = drained(paced, broker.url, DEFAULT_DRAIN_ROWS_PER_S)
    return {
        "append_rows_per_s": round(append["rows"] / append["seconds"]),
        "appends_per_s": round(append["rows"] / append["seconds"] / STACKS),
        "drain_rows_per_s": round(drain["rows"] / drain["seconds"]),
        "drain_at_default_rows_per_s": round(slowly["rows"] / slowly["seconds"]),
        "default_drain_rows_per_s": DEFAULT_DRAIN_ROWS_PER_S,
        "drain_cpu_us_per_row": round(drain["cpu_s"] * 1e6 / drain["rows"], 2),
        "bytes_per_row": round(size / fill["rows"], 1),
        "backlog": {
            "stacks": STACKS,
            "interval_s": INTERVAL_S,
            "days": options.days,
            "rows": fill["rows"],
            "disk_mb": round(size / 2**20, 1),
            "fill_rows_per_s": round(fill["rows"] / fill["seconds"]),
            "drain_seconds": round(drain["seconds"], 1),
        },
        "rss_mb": {"append": append["rss_mb"], "fill": fill["rss_mb"], "drain": drain["rss_mb"]},
        "frame_rows": STACKS,
        "broker": options.broker,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--appends", type=int, default=2_000, help="frames of 50 rows, each synced to the disk")
    parser.add_argument("--days", type=float, default=7.0, help=f"of {STACKS} stacks each {INTERVAL_S} s")
    parser.add_argument("--broker", choices=(servers.NATS, servers.MOSQUITTO), default=servers.NATS)
    options = parser.parse_args()
    publish(measure(options), as_json=options.json)


if __name__ == "__main__":
    main()
