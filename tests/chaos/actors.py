"""The processes of a chaos run: ours, the broker and the database, each behind the network of the test's own.

Who is killed stays away until the fault is over. Who ends by itself is started again, as systemd would, and it is
written down: no process of ours has a reason to end, but an edge whose disk is full when it starts.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from chaos import clocks
from chaos.clocks import Clock
from services.waiting import wait_until
from stackwatch.local.logfiles import tail
from stackwatch.local.processes import Child, Command, spawn

TREE: Final = Path(__file__).resolve().parents[2]
INSIDE: Final = Path(__file__).resolve().parent / "inside"  #: what Python imports first in each of them
_PAUSE_S: Final = 0.3
_POLL_S: Final = 0.05
_GONE_S: Final = 60.0


class Actor:
    """One process of ours, kept alive unless it was killed on purpose."""

    def __init__(
        self, name: str, argv: Sequence[str], *, environ: Mapping[str, str], folder: Path, ends: bool = False
    ) -> None:
        self.name = name
        self.clock = Clock(folder, name)
        self.done = False  #: it had nothing more to do, and ended
        self.ended: list[str] = []  #: how it ended by itself, which it should not
        self._ends = ends
        self._away = True
        self._child: Child | None = None
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STACKWATCH_")}
        self._command = Command(
            name=name,
            argv=[sys.executable, "-m", "stackwatch", *argv],
            log=folder / f"{name}.log",
            cwd=folder,
            environ={
                **inherited,
                **environ,
                **self.clock.environ(),
                "PYTHONPATH": os.pathsep.join(map(str, (INSIDE, TREE))),
            },
        )

    @property
    def log(self) -> Path:
        return self._command.log

    @property
    def pid(self) -> int | None:
        """Of the process while it runs."""
        return self._child.identity.pid if self._child is not None and self._child.exit_code is None else None

    def start(self) -> None:
        if not self.done:
            self._away = False
            self._child = spawn(self._command)

    def kill(self) -> None:
        """End it this instant; it stays away until it is started again."""
        self._away = True
        pid, child = self.pid, self._child
        if pid is not None and child is not None:
            child.kill()
            assert wait_until(lambda: child.exit_code is not None, _GONE_S), f"{self.name} does not end"
            clocks.forget(pid)

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def tell_where_it_stands(self) -> None:
        """Into its log: each thread and task. A process that has only begun would end of it, and is left alone."""
        if self.pid is not None and catches(self.pid, signal.SIGUSR2):
            self._send(signal.SIGUSR2)

    async def keep(self) -> None:
        """Start it again whenever it ended by itself, until cancelled or done."""
        while not self.done:
            await asyncio.sleep(_POLL_S)
            child = self._child
            if self._away or child is None or (code := child.exit_code) is None:
                continue
            clocks.forget(child.identity.pid)
            if code == 0 and self._ends:
                self.done = True
                return
            self.ended.append("\n  ".join([f"{self.name} ended ({code})", *tail(self._command.log)]))
            await asyncio.sleep(_PAUSE_S)
            if not self._away:
                self._child = spawn(self._command)

    async def stop(self) -> None:
        self._away = True
        if self._child is not None:
            self.thaw()
            await self._child.stop()
            clocks.forget(self._child.identity.pid)

    def _send(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for that signal."""
    with suppress(OSError):
        caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
    return False
