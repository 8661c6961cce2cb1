"""The edge agent as a plant runs it: its memory, and how fast a week's backlog of 50 stacks leaves it.

The process is `stackwatch edge` with an agent file, a status page and, beside the backlog, an HJ 212 server to which 50
loggers push, an uplink whose platform is away, and a trace; the broker is real. The receipts come from a stand-in that
stores nothing, so the figures are the agent's own. `--rows-per-s` bounds the drain as the agent file does; here it is
open by default.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.outbox import run
from benchmarks.receipter import receipting
from benchmarks.report import arguments, publish
from benchmarks.servers import MOSQUITTO, NATS, Server, broker
from benchmarks.shape import EDGE, ROOT, site_code
from benchmarks.usage import cpu_s, peak_rss_mb, rss_mb
from edge.hj212.codes import CODES
from edge.hj212.commands import Command
from edge.hj212.encoder import encode
from edge.hj212.messages import build
from edge.hj212.times import qn
from stackwatch.local.ports import Ports

SITE: Final = site_code(0)
_WEEK_DAYS: Final = 7.0
_DEADLINE_S: Final = 1800.0
_POLL_S: Final = 0.2
_FEW_FRAMES: Final = 50
_BEGAN_MS: Final = 1_767_225_600_000
LOGGERS: Final = 50
MN: Final = "010000A8900016F0001600"
PASSWORD: Final = "123456"
_FAR: Final = "time,so2\n2026-01-01T00:00:00Z,1\n2036-01-01T00:00:00Z,1\n"


@contextmanager
def agent(folder: Path, served: Server, ports: Sequence[int], rows_per_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """`stackwatch edge` on the outbox in *folder*; *ports*: of the status page, of HJ 212, and one where nobody is."""
    port, loggers, nobody = ports
    (folder / "far.csv").write_text(_FAR)
    (folder / "edge.toml").write_text(
        f'site = "{SITE}"\nedge = "{EDGE}"\noutbox = "."\nmax_mb = 16384\ndrain_rows_per_s = {rows_per_s}\n'
        f'[status]\nport = {port}\n[[trace]]\nfile = "far.csv"\nstack = "DA000"\nspeed = 1.0\n'
        f'[[hj212.uplink]]\nhost = "127.0.0.1"\nport = {nobody}\nmn = "{MN}0"\n'
        f'password = "{PASSWORD}"\nstack = "DA000"\n'
        f'[[hj212.listen]]\nhost = "127.0.0.1"\nport = {loggers}\n'
        + "".join(
            f'[[hj212.listen.logger]]\nmn = "{MN}{n}"\npassword = "{PASSWORD}"\nstack = "DA{n:03d}"\n'
            for n in range(LOGGERS)
        )
    )
    command = [sys.executable, "-m", "stackwatch", "edge", str(folder / "edge.toml"), "--mqtt-url", served.url]
    environ = {"STACKWATCH_TOPIC_ROOT": ROOT, "STACKWATCH_LOG_LEVEL": "ERROR", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, env=environ, cwd=Path(__file__).resolve().parents[1]) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def pushing(port: int) -> Iterator[Counter[str]]:
    """Loggers that push real-time data and hours as fast as they are acknowledged; counts what was."""
    counted: Counter[str] = Counter()
    ended = threading.Event()

    def push(n: int) -> None:
        for again in itertools.count():
            if ended.wait(0.5):
                return
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as line:
                for number in itertools.count(again * 1_000_000):
                    line.sendall(_packet(n, number))
                    if not line.recv(4096) or ended.wait(0.1):
                        break
                    counted["packets"] += 1

    threads = [threading.Thread(target=push, args=[n], name=f"logger {n}") for n in range(LOGGERS)]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _packet(n: int, number: int) -> bytes:
    """The upload *number* of the logger *n*: an hour in sixty, real-time data otherwise."""
    at_ms = _BEGAN_MS + number * 60_000
    hour = number % 60 == 0
    suffix = "Avg" if hour else "Rtd"
    groups = [{f"{code}-{suffix}": "12.5", f"{code}-Zs{suffix}": "17.5", f"{code}-Flag": "N"} for code in CODES]
    command = Command.HOUR_DATA if hour else Command.REALTIME_DATA
    parameters = {"DataTime": at_ms - at_ms % 3_600_000 if hour else at_ms}
    return encode(
        build(command, qn=qn(at_ms), st="31", mn=f"{MN}{n}", pw=PASSWORD, parameters=parameters, records=groups[:8])
    )


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
            if document["outbox"]["frames"] < _FEW_FRAMES and rows:  # loggers go on pushing
                return rows - first[0], now - first[1]
        time.sleep(_POLL_S)
    raise TimeoutError(f"the backlog had not left after {_DEADLINE_S:g} s")


def measure(*, days: float, rows_per_s: float, kind: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="stackwatch-bench-") as name, Ports() as ports, broker(kind) as served:
        folder = Path(name)
        filled = run("fill", folder, days)
        size = sum(file.stat().st_size for file in folder.iterdir())
        port, loggers, nobody = (ports.take(first) for first in (28_090, 28_212, 28_312))
        receipts = receipting(served.url, root=ROOT, site=SITE, edge=EDGE)
        with (
            receipts,
            agent(folder, served, (port, loggers, nobody), rows_per_s) as process,
            pushing(loggers) as pushed,
        ):
            rows, seconds = drained(process, port)
            return {
                "rss_mb": round(peak_rss_mb(process.pid), 1),
                "rss_after_mb": round(rss_mb(process.pid), 1),
                "drain_rows_per_s": round(rows / seconds),
                "cpu_us_per_row": round(cpu_s(process.pid) / filled["rows"] * 1e6, 2),
                "backlog_rows": filled["rows"],
                "hj212_loggers": LOGGERS,
                "hj212_packets": pushed["packets"],
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
