"""The edge agent as a plant runs it: its memory, and how fast a week's backlog of 50 stacks leaves it.

The process is `stackwatch edge` with an agent file, a status page and a source beside the backlog; the broker is
real. The receipts come from a stand-in that stores nothing, so the figures are the agent's own. `--rows-per-s` bounds
the drain as the agent file does; here it is open by default.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.outbox import run
from benchmarks.receipter import receipting
from benchmarks.report import arguments, publish
from benchmarks.servers import MOSQUITTO, NATS, Server, broker
from benchmarks.shape import EDGE, ROOT, site_code
from benchmarks.usage import cpu_s, peak_rss_mb, rss_mb
from stackwatch.local.ports import Ports

SITE: Final = site_code(0)
_WEEK_DAYS: Final = 7.0
_DEADLINE_S: Final = 1800.0
_POLL_S: Final = 0.2
_FAR: Final = "time,so2\n2026-01-01T00:00:00Z,1\n2036-01-01T00:00:00Z,1\n"


@contextmanager
def agent(folder: Path, served: Server, port: int, rows_per_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """`stackwatch edge` on the outbox in *folder*, with a source that stays and the status page at *port*."""
    (folder / "far.csv").write_text(_FAR)
    (folder / "edge.toml").write_text(
        f'site = "{SITE}"\nedge = "{EDGE}"\noutbox = "."\nmax_mb = 16384\ndrain_rows_per_s = {rows_per_s}\n'
        f'[status]\nport = {port}\n[[trace]]\nfile = "far.csv"\nstack = "DA000"\nspeed = 1.0\n'
    )
    command = [sys.executable, "-m", "stackwatch", "edge", str(folder / "edge.toml"), "--mqtt-url", served.url]
    environ = {"STACKWATCH_TOPIC_ROOT": ROOT, "STACKWATCH_LOG_LEVEL": "ERROR", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, env=environ, cwd=Path(__file__).resolve().parents[1]) as process:
        try:
            yield process
        finally:
            process.terminate()


def status(port: int) -> dict[str, Any] | None:
    """What the agent's status page says; None while there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=10) as answered:
            document: dict[str, Any] = json.load(answered)
            return document
    except (OSError, urllib.error.URLError):
        return None


def drained(process: subprocess.Popen[bytes], port: int) -> tuple[int, float]:
    """Rows that got their receipt, and how long that took from the first status to the last."""
    end = time.monotonic() + _DEADLINE_S
    first: tuple[int, float] | None = None
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the agent ended with {process.returncode}")
        document = status(port)
        now = time.monotonic()
        if document is not None:
            rows = int(document["receipt"]["settled_rows"])
            first = first or (rows, now)
            if document["outbox"]["frames"] == 0 and rows:
                return rows - first[0], now - first[1]
        time.sleep(_POLL_S)
    raise TimeoutError(f"the backlog had not left after {_DEADLINE_S:g} s")


def measure(*, days: float, rows_per_s: float, kind: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="stackwatch-bench-") as name, Ports() as ports, broker(kind) as served:
        folder = Path(name)
        filled = run("fill", folder, days)
        size = sum(file.stat().st_size for file in folder.iterdir())
        port = ports.take(28_090)
        receipts = receipting(served.url, root=ROOT, site=SITE, edge=EDGE)
        with receipts, agent(folder, served, port, rows_per_s) as process:
            rows, seconds = drained(process, port)
            return {
                "rss_mb": round(peak_rss_mb(process.pid), 1),
                "rss_after_mb": round(rss_mb(process.pid), 1),
                "drain_rows_per_s": round(rows / seconds),
                "cpu_us_per_row": round(cpu_s(process.pid) / filled["rows"] * 1e6, 2),
                "backlog_rows": filled["rows"],
                "backlog_mb": round(size / 1e6),
                "seconds": round(seconds, 1),
                "broker": kind,
            }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--days", type=float, default=_WEEK_DAYS, help="backlog of 50 stacks at 10 s")
    parser.add_argument("--rows-per-s", type=float, default=1e7, help="drain_rows_per_s of the agent file")
    parser.add_argument("--broker", choices=(NATS, MOSQUITTO), default=NATS)
    options = parser.parse_args()
    figures = measure(days=options.days, rows_per_s=options.rows_per_s, kind=options.broker)
    publish(figures, as_json=options.json)


if __name__ == "__main__":
    main()
