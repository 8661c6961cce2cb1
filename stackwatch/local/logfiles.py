"""The logs of the embedded processes: appended to by a child, kept bounded by us, quoted in errors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

MAX_BYTES: Final = 20_000_000
KEPT: Final = 3  # older generations of each log


@contextmanager
def opened(log: Path) -> Iterator[IO[bytes]]:
    """*log*, to be appended to by a child; rotated first if it has grown."""
    rotate(log)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        yield file


def rotate(log: Path, *, max_bytes: int = MAX_BYTES) -> bool:
    """Move what is in *log* to `log.1` if it is too long; works under a running writer.

    The writer's file stays the same one, emptied: it appends, so it goes on at the beginning. What it writes
    between copy and truncation is lost, which a log can bear and a full disk cannot.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    for number in range(KEPT, 1, -1):
        older = _generation(log, number - 1)
        if older.exists():
            older.replace(_generation(log, number))
    shutil.copyfile(log, _generation(log, 1))
    _generation(log, 1).chmod(0o600)
    os.truncate(log, 0)
    return True


def tail(log: Path, *, lines: int = 12, max_bytes: int = 8_192) -> list[str]:
    """The last lines of *log*; none if it is not there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - max_bytes))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def _generation(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
