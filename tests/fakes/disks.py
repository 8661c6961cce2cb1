"""Small disks: file systems in memory, which only root may mount, to be filled, emptied and lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path


class Disk:
    """A file system of its own, to be filled and emptied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def make_room(self) -> None:
        self._ballast.unlink()

    def lose(self) -> None:
        """Delete everything on it."""
        for path in self.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def mount(path: Path, size_mb: int) -> str | None:
    """Mount a small disk on a folder that exists; why it cannot be, where it cannot."""
    if os.geteuid() != 0:
        return "only root may mount a small disk"
    options = f"size={size_mb}m,mode={path.stat().st_mode & 0o777:o},uid={path.stat().st_uid}"
    argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"a small disk cannot be mounted here: {done.stderr.strip()}"


def unmount(path: Path) -> None:
    subprocess.run(["umount", "--lazy", path], check=True)


def why_no_small_disk() -> str | None:
    with tempfile.TemporaryDirectory(prefix="stackwatch-test-") as name:
        why = mount(Path(name), 1)
        if why is None:
            unmount(Path(name))
        return why
