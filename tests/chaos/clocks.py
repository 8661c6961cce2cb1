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
#: libfaketime 0.9.10 refuses a sleep until an instant of the monotonic clock, which is how Python sleeps.
_SLEEPS: Final = """\
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


def library() -> Path | None:
    """libfaketime for programs with threads; None where it is not installed (Debian: `faketime`)."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


class Clock:
    """The time of day of one process."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.clock"
        self._library = library()
        self._python = folder / "python"
        self._python.mkdir(exist_ok=True)
        (self._python / "sitecustomize.py").write_text(_SLEEPS, encoding="ascii")
        self.step(0.0)

    def step(self, seconds: float) -> None:
        """Be *seconds* off the machine's clock from now on; 0 is right."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+.3f}\n", encoding="ascii")
        draft.replace(self._file)

    def environ(self, python_path: Path) -> Mapping[str, str]:
        """What a Python that goes by this clock, with modules at *python_path*, is started with."""
        if self._library is None:
            return {"PYTHONPATH": str(python_path)}
        return {
            "PYTHONPATH": f"{self._python}{os.pathsep}{python_path}",
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
