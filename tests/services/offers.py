"""What a machine has to offer: which server of which kind, from where, or why there is none.

Looking costs little and starts nothing; only `Offer.prepare` may install, and only when a test asks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stackwatch.local.folder import DataFolder
from stackwatch.local.ports import Ports

INSTALLED_WITHIN_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where servers of this session keep their data, and the ports they hold."""

    folder: DataFolder
    ports: Ports


class NotToBeHad(Exception):
    """A server cannot be had here after all; the text says why."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A server that can be had."""

    source: str  #: where from, in a few words
    version: str  #: as far as known without starting it
    start: Callable[[Scratch], AbstractContextManager[str]]  #: gives its address
    prepare: Callable[[], None] = lambda: None  #: install what is missing; `NotToBeHad` if it cannot be


@dataclass(frozen=True, slots=True)
class Missing:
    """No server of this kind, and why."""

    reason: str
    required: bool = True  #: whether CI must have it


Offers = Mapping[str, Offer | Missing]


def root_of_debian() -> bool:
    """Whether packages may be installed here."""
    return os.name == "posix" and os.geteuid() == 0 and Path("/etc/debian_version").exists() and has("apt-get")


def has(program: str) -> bool:
    return find_program(program) is not None


def find_program(name: str) -> str | None:
    """Also where only root's PATH leads: /usr/sbin."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def told(*argv: str, deadline_s: float = 30.0, environ: Mapping[str, str] | None = None) -> str:
    """What a program says; `NotToBeHad` with its last words if it fails."""
    try:
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline_s,
            check=False,
            env=environ,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(str(error)) from error
    if done.returncode != 0:
        raise NotToBeHad(f"{' '.join(argv)} failed ({done.returncode}): {done.stdout.strip()[-500:]}")
    return done.stdout.strip()


def apt_install(*packages: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    told("apt-get", "update", "-qq", deadline_s=INSTALLED_WITHIN_S, environ=quiet)
    told(
        "apt-get",
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        *packages,
        deadline_s=INSTALLED_WITHIN_S,
        environ=quiet,
    )
