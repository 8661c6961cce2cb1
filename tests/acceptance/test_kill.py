"""SIGKILL in the middle of a replay changes no verdict: any process, and all of them at once.

The system runs as a person runs it (`stackwatch up`, `stackwatch replay`); what it says in the end is compared with
what a few lines compute from the file.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import pytest

from alerts.rules.finding import Series, alert_id
from builders import GAS_TURBINE, POWER, gas_turbine_nox
from fakes.system import System, until
from plant.periods import micros

FIRST_HOUR: Final = "2025-01-01T00:00:00+08:00"
START: Final = datetime.fromisoformat(FIRST_HOUR).astimezone(UTC)
HOURS_PER_SECOND: Final = 80
DONE_S: Final = 240.0
SEED: Final = 20_111
EVERYTHING: Final = ("up", "replay", "postgres", "broker", "ingestor", "alerts", "api")


class Replayed(System):
    """A system with a replay beside it, and the means to kill both."""

    replay: subprocess.Popen[bytes]

    def start_replay(self) -> None:
        self.replay = self.run(
            *("replay", str(GAS_TURBINE), "--site", "power", "--stack", "GT", "--map", "NOX=nox", "--map", "CO=co"),
            *("--from", FIRST_HOUR, "--step", "1h", "--speed", str(3600 * HOURS_PER_SECOND), "--data", str(self.data)),
            *("--mqtt-url", self.mqtt_url),
        )

    def kill(self, *names: str) -> None:
        pids = self.pids() | {"replay": self.replay.pid}
        for name in names:
            os.kill(pids[name], signal.SIGKILL)
        if "up" in names:
            assert self.up is not None
            self.up.wait(30)
            self.start()
        if "replay" in names:
            self.replay.wait(30)
            self.start_replay()

    def rows(self) -> int:
        with suppress(psycopg.OperationalError):
            return int(self.query("SELECT count(*) FROM measurement")[0][0])
        return 0

    def has_rows(self, least: int) -> bool:
        return self.rows() >= least


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Replayed]:
    running = Replayed(tmp_path, POWER)
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.timeout(600)
def test_killing_any_process_and_all_at_once_changes_no_verdict(system: Replayed) -> None:
    rng = random.Random(SEED)
    nox = gas_turbine_nox()
    system.start()
    system.start_replay()
    assert {*system.pids(), "replay"} == set(EVERYTHING)
    victims: list[tuple[str, ...]] = [*((name,) for name in EVERYTHING), EVERYTHING]
    rng.shuffle(victims)
    for index, names in enumerate(victims):
        reached = (index + 1) * len(nox) // (2 * len(victims))
        until(partial(system.has_rows, reached), DONE_S, f"{reached} rows before killing {names}")
        assert system.rows() < len(nox), "the replay is in its middle"
        system.kill(*names)
    assert system.replay.wait(DONE_S) == 0, system.log("replay").read_text()
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
