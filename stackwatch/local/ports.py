"""Ports on the loopback interface: the one wished for or the next free one, never the same for two stacks.

A free port is no more than a guess until somebody listens; between guess and listening a lock file of the
user holds it, so that two commands started together do not meet on one port.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from itertools import chain
from pathlib import Path
from typing import Final, Self

from plant.errors import PlantError

LOOPBACK: Final = "127.0.0.1"
TRIED: Final = 200
HIGHEST: Final = 65_535


class NoPort(PlantError):
    """No port could be had. Name another one, or end what listens there."""


class Ports:
    """Ports that are ours until the end of the `with`."""

    def __init__(self) -> None:
        self._held: dict[int, int | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._held.values():
            if descriptor is not None:
                os.close(descriptor)
        self._held.clear()

    def take(self, *candidates: int | None, tried: int = TRIED) -> int:
        """The first free port of *candidates* and of the *tried* after the last one; None is passed over."""
        wished = [port for port in candidates if port is not None]
        for port in chain(wished, range(wished[-1] + 1, min(wished[-1] + tried, HIGHEST + 1))):
            if self._hold(port):
                return port
        raise NoPort(f"no free port from {wished[0]} on" if tried > 1 else f"port {wished[0]} is in use")

    def exactly(self, port: int) -> int:
        """*port* itself, or `NoPort`."""
        return self.take(port, tried=1)

    def _hold(self, port: int) -> bool:
        if port in self._held:
            return False
        descriptor = _lock(port)
        if descriptor == -1:
            return False
        if not is_free(port):
            if descriptor is not None:
                os.close(descriptor)
            return False
        self._held[port] = descriptor
        return True


def is_free(port: int) -> bool:
    """Whether one could listen on *port* now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: old connections do not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _lock(port: int) -> int | None:
    """A descriptor that holds *port*; -1 if another of our commands does; None if it cannot be said."""
    shared = Path(tempfile.gettempdir()) / f"stackwatch-ports-{os.geteuid()}"
    try:
        shared.mkdir(mode=0o700, exist_ok=True)
        if shared.is_symlink() or shared.stat().st_uid != os.geteuid():
            return None  # somebody else's: not to be trusted
        descriptor = os.open(shared / str(port), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor
