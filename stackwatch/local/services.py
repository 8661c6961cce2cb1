"""What the supervisor keeps alive: anything that can be started until it is ready, and started again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from stackwatch.local.processes import Child, Command, Steps, spawn

STOP: Final[Steps] = ((signal.SIGTERM, 8.0),)


class Service(Protocol):
    """The database, the broker, or one of our own processes."""

    child: Child | None  #: the latest one; set before anything is awaited, so that it is never lost

    @property
    def name(self) -> str: ...

    async def start(self, spawned: Callable[[], None]) -> Child: ...


class Program:
    """A process that is ready when it runs; whether it is well is the health call's business."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environ: Callable[[], Mapping[str, str]],
        log: Path,
        cwd: Path,
    ) -> None:
        self._name = name
        self._argv = tuple(argv)
        self._environ = environ
        self._log = log
        self._cwd = cwd
        self.child: Child | None = None

    @property
    def name(self) -> str:
        return self._name

    async def start(self, spawned: Callable[[], None]) -> Child:
        command = Command(
            name=self._name,
            argv=self._argv,
            log=self._log,
            cwd=self._cwd,
            environ=self._environ(),
            death_signal=signal.SIGKILL,  # ours may be killed at any instant; this cannot be ignored
            steps=STOP,
        )
        child = self.child = spawn(command)
        spawned()
        return child
