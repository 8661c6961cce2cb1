"""What a chaos run notes for the day it fails, and its network, which nothing that the test does may hold up."""

from __future__ import annotations

import asyncio
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from chaos import actors
from chaos.actors import catches
from chaos.evidence import HELD_UP_S, held_up
from chaos.proxy import Proxy, network
from fakes.polling import until
from services.waiting import wait_until
from stackwatch.local.ports import LOOPBACK, Ports

_IN_TIME_S: Final = 30.0
_WAITS: Final = """
import asyncio
async def hearken():
    await asyncio.Event().wait()
async def main():
    await asyncio.create_task(hearken(), name="ear")
asyncio.run(main())
"""


@pytest.mark.anyio
async def test_a_loop_that_was_held_up_is_noted_with_the_place_and_how_long(tmp_path: Path) -> None:
    log = tmp_path / "chaos.log"
    log.touch()

    async with held_up(log) as found:
        await asyncio.sleep(0)
        _hold_up(HELD_UP_S * 1.8)
        await until(lambda: "it stood still for" in log.read_text(encoding="utf-8"))

    assert "_hold_up" in log.read_text(encoding="utf-8")
    assert max(found) >= HELD_UP_S


def test_a_process_that_is_asked_tells_where_its_threads_and_tasks_stand_and_lives_on(tmp_path: Path) -> None:
    log = tmp_path / "process.log"
    with log.open("wb") as file:
        environ = {"PYTHONPATH": str(actors.INSIDE)}
        process = subprocess.Popen([sys.executable, "-c", _WAITS], stdout=file, stderr=file, env=environ)
    try:
        assert wait_until(lambda: catches(process.pid, signal.SIGUSR2), _IN_TIME_S)

        def told() -> bool:  # asked before its loop runs, it has no tasks yet
            process.send_signal(signal.SIGUSR2)
            return "in hearken" in log.read_text(encoding="utf-8")

        assert wait_until(told, _IN_TIME_S)
        assert "Task ear:" in log.read_text(encoding="utf-8")
        assert "most recent call first" in log.read_text(encoding="utf-8")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(_IN_TIME_S)


@pytest.mark.anyio
async def test_the_network_carries_and_heals_while_the_loop_of_the_test_stands_still() -> None:
    with _echo() as port, Ports() as ports, network({"line": (ports.take(28_000), port)}) as proxies:
        line = proxies["line"]
        assert _said(line) == b"hello"
        line.silence()
        with pytest.raises(TimeoutError):
            _said(line, within_s=0.3)
        line.heal()
        assert _said(line) == b"hello"
        line.cut()
        with pytest.raises(ConnectionError):
            _said(line)
        line.heal()
        assert _said(line) == b"hello"


def _hold_up(seconds: float) -> None:
    threading.Event().wait(seconds)


def _said(line: Proxy, *, within_s: float = _IN_TIME_S) -> bytes:
    """What comes back of a word, without any event loop of ours."""
    with socket.create_connection((LOOPBACK, line.port), timeout=within_s) as conn:
        conn.sendall(b"hello")
        found = conn.recv(16)
        if not found:
            raise ConnectionResetError
        return found


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while word := self.request.recv(16):
            self.request.sendall(word)


@contextmanager
def _echo() -> Iterator[int]:
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), _Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, name="echo")
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
