"""Room on a disk that is set aside, to be given up when there is none left.

Deleting from a database on a full disk needs room first. What the reserve is given up for is its owner's business.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

#: Twice what the write-ahead log of an outbox holds: it can then be folded into the database, whatever is in it.
SIZE: Final = 8 << 20
_BLOCK: Final = bytes(1 << 16)


class Reserve:
    """A file of zeros at *path*."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self._path = path
        self._size = size

    def keep(self) -> bool:
        """Set the room aside, if it is not yet; whether it is. Never takes the last of a disk."""
        try:
            if self._path.stat().st_size == self._size:
                return True
        except OSError:
            pass
        if shutil.disk_usage(self._path.parent).free < 2 * self._size:
            return False
        try:
            with self._path.open("wb", buffering=0) as file:
                _allocate(file.fileno(), self._size)
        except OSError:
            self.give_up()
            return False
        return True

    def give_up(self) -> bool:
        """Let go of the room; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for _ in range(size // len(_BLOCK)):  # macOS
        os.write(descriptor, _BLOCK)
    os.fsync(descriptor)
