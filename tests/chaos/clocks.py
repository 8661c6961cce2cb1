"""Clocks that can be stepped while their process runs: libfaketime, told by a file what to add to the machine's time.

Only the time of day is stepped. The monotonic clock, which deadlines are measured with, runs on, as on a real machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_SHARED: Final = Path("/dev/shm")


def library() -> Path | None:
    """libfaketime for programs with threads; None where it is not installed (Debian: `faketime`)."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


class Clock:
    """The time of day of one process."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.clock"
        self._library = library()
        self.step(0.0)

    def step(self, seconds: float) -> None:
        """Be *seconds* off the machine's clock from now on; 0 is right."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+.3f}\n", encoding="ascii")
        draft.replace(self._file)

    def environ(self) -> Mapping[str, str]:
        """What a process that goes by this clock is started with; a Python sleeps as `inside/sitecustomize.py` says."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def forget(pid: int) -> None:
    """Remove what libfaketime leaves behind in memory when its process is killed."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        with suppress(OSError):
            os.unlink(_SHARED / name)
