"""The script that gives a Debian machine a TimescaleDB: what it says, starts and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from services.offers import root_of_debian
from services.waiting import wait_until
from stackwatch.local.ports import Ports

SCRIPT: Final = Path(__file__).resolve().parents[2] / "deploy/local/timescaledb.sh"
on_debian: Final = pytest.mark.skipif(not root_of_debian(), reason="makes a tree of Debian, as root on a Debian")


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=250, check=False)


@pytest.fixture
def port() -> Iterator[int]:
    with Ports() as ports:
        yield ports.take(25_632)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "a folder"  # with a space in its name, as people's have
    yield str(folder)
    script("stop", "--data", str(folder))


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
        row = conn.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def answers(url: str) -> bool:
    try:
        return ask(url, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="no_command"),
        pytest.param(("dance",), id="unknown_command"),
        pytest.param(("start", "--port", "99999"), id="no_such_port"),
        pytest.param(("start", "--port", "x"), id="no_number"),
        pytest.param(("start", "--data"), id="no_value"),
        pytest.param(("start", "--speed", "9"), id="unknown_option"),
    ],
)
def test_a_misused_script_says_so_in_one_line_and_ends_with_two(arguments: tuple[str, ...]) -> None:
    done = script(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_where_no_server_was_started_there_is_no_address(tmp_path: Path) -> None:
    done = script("url", "--data", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no server was ever started" in done.stderr


@on_debian
def test_a_server_is_started_once_and_stopped_once_and_keeps_its_data(data: str, port: int) -> None:
    started = script("start", "--data", data, "--port", str(port), "--set", "fsync=off")
    url = started.stdout.strip()
    assert started.returncode == 0, started.stderr
    assert ask(url, "SHOW fsync") == "off"
    assert str(ask(url, "SELECT version()")).startswith("PostgreSQL 17")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION timescaledb")
        conn.execute("CREATE TABLE kept AS SELECT 7 AS n")
    again = script("start", "--data", data, "--port", str(port))
    assert (again.returncode, again.stdout.strip()) == (0, url)
    elsewhere = script("start", "--data", data, "--port", str(port + 1))
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert "already runs" in elsewhere.stderr
    for _ in range(2):
        assert script("stop", "--data", data).returncode == 0
        assert not answers(url)
    assert script("start", "--data", data).stdout.strip() == url, "on the port that it had"
    assert ask(url, "SELECT n FROM kept") == 7
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert "stackwatch/trixie" not in mounts, "what is mounted for the server is mounted for it alone"


@on_debian
def test_a_taken_port_is_said_and_nothing_is_left_running(data: str, tmp_path: Path, port: int) -> None:
    assert script("start", "--data", data, "--port", str(port)).returncode == 0
    second = str(tmp_path / "second")
    done = script("start", "--data", second, "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert "did not start" in done.stderr
    assert not (tmp_path / "second/server/cluster/postmaster.pid").exists()
    assert script("stop", "--data", second).returncode == 0


_PARENT: Final = """
import subprocess, sys, time
subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(600)
"""


@on_debian
def test_a_server_in_the_foreground_ends_with_whoever_called(data: str, port: int) -> None:
    command = [sys.executable, "-c", _PARENT, str(SCRIPT), "run", "--data", data, "--port", str(port)]
    with subprocess.Popen(command) as parent:
        try:
            assert wait_until(lambda: answers(script("url", "--data", data).stdout.strip() or "host=/none"), 60)
            url = script("url", "--data", data).stdout.strip()
        finally:
            os.kill(parent.pid, signal.SIGKILL)
    assert wait_until(lambda: not answers(url), 30)
