"""The unprivileged system user under which PostgreSQL runs when we are root: PostgreSQL refuses to be root.

Where that user cannot reach a folder, nothing is loosened: what it needs goes where it can (`postgres.py`).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plant.errors import PlantError

NAME: Final = "stackwatch"
HOME: Final = Path("/var/lib/stackwatch")
_DEADLINE_S: Final = 30.0


class NoOwner(PlantError):
    """The system user is missing and cannot be made. Make it by hand, or do not run as root."""


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int
    gid: int

    def may(self, test: str, path: Path) -> bool:
        """Whether this user passes `test` (-r, -x) on *path*, asked of the system itself, as that user."""
        return self.can_run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)])

    def can_run(self, argv: Sequence[str]) -> bool:
        try:
            done = subprocess.run(
                argv,
                user=self.uid,
                group=self.gid,
                extra_groups=[],
                cwd="/",
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_DEADLINE_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def give(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)


def unprivileged() -> Owner | None:
    """The user to run PostgreSQL as; None where we are not root and run it ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _make()
        try:
            entry = pwd.getpwnam(NAME)
        except KeyError:
            raise NoOwner(_advice("it is not there after useradd")) from None
    if entry.pw_uid == 0:
        raise NoOwner(f"the system user {NAME!r} is root itself")
    return Owner(entry.pw_uid, entry.pw_gid)


def _make() -> None:
    useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if useradd is None:
        raise NoOwner(_advice("there is no useradd"))
    argv = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", str(HOME)]
    argv += ["--shell", "/usr/sbin/nologin", NAME]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_DEADLINE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoOwner(_advice(str(error))) from error
    already_there = 9  # another stackwatch made it meanwhile
    if done.returncode not in (0, already_there):
        raise NoOwner(_advice(done.stderr.strip() or f"useradd ended with {done.returncode}"))


def _advice(why: str) -> str:
    return (
        f"PostgreSQL may not run as root, and the system user {NAME!r} cannot be made: {why}. "
        f"Make it (useradd --system {NAME}), or run stackwatch as an ordinary user."
    )
