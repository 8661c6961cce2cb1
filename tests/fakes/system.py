"""The system as a person runs it: `stackwatch up` in a process of its own, on a folder of the test's."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg

UP_S: Final = 90.0


class System:
    """`up` on `folder/data`, with the register given; other commands beside it."""

    def __init__(self, folder: Path, register: str) -> None:
        http_port, mqtt_port = free_port(), free_port()
        self.folder = folder
        self.data = folder / "data"
        self.http_url = f"http://127.0.0.1:{http_port}"
        self.mqtt_url = f"mqtt://127.0.0.1:{mqtt_port}"
        self.mqtt_port = mqtt_port
        self.register = folder / "register.toml"
        self.register.write_text(register)
        self.environ = {**os.environ, "STACKWATCH_TICK_S": "0.5", "STACKWATCH_LOG_LEVEL": "WARNING"}
        self._ports = ("--http-port", str(http_port), "--mqtt-port", str(mqtt_port))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `up` and wait until it is healthy."""
        self.up = self.run("up", "--data", str(self.data), *self._ports, "--register", str(self.register))
        until(self._is_healthy, UP_S, "up is healthy")

    def run(self, *args: str) -> subprocess.Popen[bytes]:
        """A command of ours beside the system; its output goes to a file named after it."""
        with self.log(args[0]).open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "stackwatch", *args], stdout=output, stderr=output, env=self.environ
            )
        self._processes.append(process)
        return process

    def say(self, *args: str) -> str:
        """What a command that ends says on stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "stackwatch", *args],
            capture_output=True,
            text=True,
            env=self.environ,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def run_file(self) -> dict[str, Any]:
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads((self.data / "stackwatch.json").read_text()))
        return {}

    def pids(self) -> dict[str, int]:
        """The processes of `up` by name, itself included."""
        assert self.up is not None
        return {name: identity["pid"] for name, identity in self.run_file()["processes"].items()} | {"up": self.up.pid}

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.run_file()["database_url"], connect_timeout=5) as conn:
            return conn.execute(statement.encode()).fetchall()

    def stop(self) -> None:
        """End what runs, and delete the database, which for root lies outside of the test's folder. Logs stay."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                process.wait(60)
        shutil.rmtree((self.data / "postgres").resolve(), ignore_errors=True)

    def _is_healthy(self) -> bool:
        assert self.up is not None
        assert self.up.poll() is None, self.log("up").read_text()
        if (self.run_file().get("supervisor") or {}).get("pid") != self.up.pid:
            return False  # what is written there is of the run before
        with (
            suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{self.http_url}/v1/health", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False


def free_port() -> int:
    """A port that nobody has, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


def until(true: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Return once *true* is; fail with *what* was waited for when it is not in time."""
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.1)
