"""SIGKILL in the middle of a replay changes no verdict: any process, and all of them at once.

The system runs as a person runs it (`stackwatch up`, `stackwatch replay`); what it says in the end is compared with
what a few lines compute from the file.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from alerts.rules.finding import Series, alert_id
from builders import GAS_TURBINE, POWER, gas_turbine_nox
from plant.periods import micros

FIRST_HOUR: Final = "2025-01-01T00:00:00+08:00"
START: Final = datetime.fromisoformat(FIRST_HOUR).astimezone(UTC)
HOURS_PER_SECOND: Final = 200
UP_S: Final = 90.0
DONE_S: Final = 240.0
SEED: Final = 20_111


class System:
    """`up` and `replay` on one folder, and the means to kill them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.register = folder / "power.toml"
        self.register.write_text(POWER)
        self.environ = {**os.environ, "STACKWATCH_TICK_S": "0.5", "STACKWATCH_LOG_LEVEL": "WARNING"}
        self.up: subprocess.Popen[bytes] | None = None
        self.replay: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `up` and wait until it is healthy."""
        args = ["up", "--data", str(self.data), "--http-port", "28080", "--mqtt-port", "28883"]
        self.up = self._run(*args, "--register", str(self.register), log="up.log")
        until(lambda: self._addresses_printed(), UP_S, "up is healthy")

    def start_replay(self) -> None:
        self.replay = self._run(
            *("replay", str(GAS_TURBINE), "--site", "power", "--stack", "GT", "--map", "NOX=nox", "--map", "CO=co"),
            *("--from", FIRST_HOUR, "--step", "1h", "--speed", str(3600 * HOURS_PER_SECOND), "--data", str(self.data)),
            *("--mqtt-url", "mqtt://127.0.0.1:28883"),
            log="replay.log",
        )

    def _run(self, *args: str, log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "stackwatch", *args], stdout=output, stderr=output, env=self.environ
            )

    def _addresses_printed(self) -> bool:
        assert self.up is not None
        assert self.up.poll() is None, (self.folder / "up.log").read_text()
        return self.run_file().get("supervisor", {}).get("pid") == self.up.pid and self._is_healthy()

    def _is_healthy(self) -> bool:
        with (
            suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen("http://127.0.0.1:28080/v1/health", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def run_file(self) -> dict[str, Any]:
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads((self.data / "stackwatch.json").read_text()))
        return {}

    def pids(self) -> dict[str, int]:
        """Processes by name, the supervisor and the replay included."""
        run = self.run_file()
        found = {name: identity["pid"] for name, identity in run["processes"].items()}
        assert self.up is not None
        found["up"] = self.up.pid
        if self.replay is not None and self.replay.poll() is None:
            found["replay"] = self.replay.pid
        return found

    def kill(self, *names: str) -> None:
        pids = self.pids()
        for name in names:
            os.kill(pids[name], signal.SIGKILL)
        for name, process in (("up", self.up), ("replay", self.replay)):
            if name in names and process is not None:
                process.wait(30)
        if "up" in names:
            self.start()
        if "replay" in names:
            self.start_replay()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.run_file()["database_url"], connect_timeout=5) as conn:
            return conn.execute(statement.encode()).fetchall()

    def rows(self) -> int:
        with suppress(psycopg.OperationalError):
            return int(self.query("SELECT count(*) FROM measurement")[0][0])
        return 0

    def stop(self) -> None:
        for process in (self.replay, self.up):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(60)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path)
    try:
        yield running
    finally:
        running.stop()


def until(true: Callable[[], bool], deadline_s: float, what: str) -> None:
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.1)


@pytest.mark.timeout(600)
def test_killing_any_process_and_all_at_once_changes_no_verdict(system: System) -> None:
    rng = random.Random(SEED)
    nox = gas_turbine_nox()
    system.start()
    system.start_replay()
    everything = ("up", "replay", "postgres", "broker", "ingestor", "alerts", "api")
    assert set(system.pids()) == set(everything)
    victims = [("ingestor",), ("alerts",), ("replay",), ("broker",), ("postgres",), ("api",), ("up",), everything]
    rng.shuffle(victims)
    for index, names in enumerate(victims):
        reached = (index + 1) * len(nox) // (len(victims) + 2)
        until(lambda least=reached: system.rows() >= least, DONE_S, f"{reached} rows before killing {names}")  # type: ignore[misc]
        assert system.rows() < len(nox), "the replay is in its middle"
        system.kill(*names)
    assert system.replay is not None
    assert system.replay.wait(DONE_S) == 0, (system.folder / "replay.log").read_text()
    until(lambda: system.query("SELECT count(*) FROM rejudge") == [(0,)], DONE_S, "all hours are judged")

    # What a few lines make of the file.
    starts = [START + timedelta(hours=i) for i in range(len(nox))]
    verdicts = [(start, "breached" if value > 50 else "clear") for start, value in zip(starts, nox, strict=True)]
    series = Series(rule="hour_above_limit", pack="cn-steel-ule-2019", site="power", stack="GT", pollutant="nox")
    alerts = {alert_id(series, micros(start)) for start, verdict in verdicts if verdict == "breached"}
    shares = {}
    for month in range(1, 12):
        values = [v for start, v in zip(starts, nox, strict=True) if (start + timedelta(hours=8)).month == month]
        shares[month] = (len(values), float(Fraction(sum(v <= 50 for v in values), len(values))))

    assert system.query("SELECT count(*), count(DISTINCT sampled_at) FROM measurement") == [(len(nox), len(nox))]
    standing = "pollutant = 'nox' AND superseded_at IS NULL"
    assert system.query(f"SELECT start, verdict FROM hour_verdict WHERE {standing} ORDER BY start") == verdicts
    months = system.query(f"SELECT month, hours_valid, share FROM month_verdict WHERE {standing}")
    assert {month.month: (valid, share) for month, valid, share in months} == shares
    found = system.query("SELECT alert_id FROM alert WHERE rule = 'hour_above_limit' AND state <> 'withdrawn'")
    assert {name for (name,) in found} == alerts
    assert len(found) == len(alerts)
    feed = system.query("SELECT count(*), max(feed_number), count(feed_number) FROM alert_event")[0]
    assert feed[0] == feed[1] == feed[2], "the feed has neither gap nor repeat"
    assert system.query('SELECT count(*) FROM "case"') == [(1,)]
