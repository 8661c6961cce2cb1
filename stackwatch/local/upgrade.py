"""A database of an older PostgreSQL is carried over to the one that is installed now, by pg_upgrade, as a copy.

    cluster (old) ──started and ended once, by its own programs──▶ clean
    cluster.upgrade (new, empty) ──pg_upgrade copies──▶ filled
    cluster ──▶ cluster.OLD        cluster.upgrade ──▶ cluster        ... healthy ...        cluster.OLD goes

Until the two renames nothing of the old database has changed, and an interruption begins anew. Between them, and until
the system on the new one was healthy once, the old one is kept. Starting servers is left to `postgres`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from plant.errors import PlantError
from stackwatch.local import binaries, cluster
from stackwatch.local.binaries import PostgresInstall
from stackwatch.local.owner import Owner
from stackwatch.local.processes import Command, run

logger = logging.getLogger(__name__)

CLUSTER: Final = "cluster"
DRAFT: Final = "cluster.upgrade"
DONE_WITHIN_S: Final = 6 * 3600.0  # it copies the whole database
_SPARE_BYTES: Final = 256 << 20
_KEPT: Final = re.compile(r"cluster\.(\d+)")
_SYSTEM: Final = Path("/usr/lib/postgresql")
_HBA: Final = "# Written by stackwatch for the time of an upgrade.\nlocal all all scram-sha-256\n"


class NoUpgrade(PlantError):
    """The database cannot be carried over; it is as it was. The text says what to do."""


def settle(home: Path) -> None:
    """Undo an upgrade that was killed between its two renames: no server has run on its copy yet."""
    current = home / CLUSTER
    if not current.exists() and (old := newest_kept(home)) is not None:
        old.rename(current)
        logger.warning("upgrade_undone", extra={"folder": str(home)})


def newest_kept(home: Path) -> Path | None:
    """The old database that an upgrade has put aside."""
    return max(_kept(home), key=lambda path: int(path.suffix[1:]), default=None)


def forget_old(home: Path) -> None:
    """Delete what was put aside: the system was healthy on the new one."""
    for path in _kept(home):
        shutil.rmtree(path, ignore_errors=True)
        logger.info("old_database_deleted", extra={"folder": str(path)})


def install_of(major: int, home: Path, owner: Owner | None) -> PostgresInstall:
    """The programs of PostgreSQL *major*, to which the database in *home* belongs; `NoUpgrade` where they are gone."""
    installs = binaries.postgres_installs()
    for install in installs:
        if install.major == major:
            return install if owner is None else binaries.readable_by(owner, install)
    newest = max(installs, key=lambda install: install.major)
    if major > newest.major:
        raise NoUpgrade(
            f"the database in {home} is of PostgreSQL {major}, this stackwatch brings {newest.major}: "
            "use the stackwatch that made it, or a newer one"
        )
    for folder in (_SYSTEM / str(major) / "bin", *map(Path, os.environ.get("PATH", "").split(os.pathsep))):
        found = _system_install(folder, major)
        if found is not None and (owner is None or owner.can_run([str(found.program("postgres")), "--version"])):
            return found
    raise NoUpgrade(
        f"the database in {home} is of PostgreSQL {major}; this stackwatch brings {newest.major} and would carry it "
        f"over, for which it needs the programs of {major} too. Either install them (Debian: postgresql-{major}; "
        f"elsewhere: on PATH) and start again, or go back to the stackwatch that made it, `stackwatch backup FILE`, "
        "and with this one `stackwatch restore FILE --data NEWDIR`. Nothing was changed"
    )


async def upgrade(
    home: Path,
    *,
    old: PostgresInstall,
    new: PostgresInstall,
    owner: Owner | None,
    password: str,
    recover: Callable[[], Awaitable[None]],
    make: Callable[[Path], Awaitable[None]],
    as_owner: Callable[[str, list[str]], Command],
) -> None:
    """Put a copy of the database of *old*, made by *new*, in its place.

    Parameters
    ----------
    recover
        Starts and ends the old server: a database that was killed must be made whole by its own programs.
    make
        Makes an empty database of *new* in the folder that it is given.
    as_owner
        A command, run as the database's user.
    """
    current, draft = home / CLUSTER, home / DRAFT
    _check_room(home)
    logger.warning("upgrade_started", extra={"from": old.version, "to": new.version})
    await recover()
    shutil.rmtree(draft, ignore_errors=True)
    await make(draft)
    access = (current / "pg_hba.conf").read_bytes()
    try:
        for path in (current, draft):
            _write(path / "pg_hba.conf", _HBA.encode(), owner)
        with _socket_folder(owner) as sockets:
            await run(
                _with_password(as_owner("upgrade", _argv(current, draft, old, new, sockets)), password),
                deadline_s=DONE_WITHIN_S,
            )
    finally:
        _write(current / "pg_hba.conf", access, owner)
    own = current / cluster.OWN_SETTINGS
    if own.exists():
        _write(draft / cluster.OWN_SETTINGS, own.read_bytes(), owner)
    current.rename(home / f"{CLUSTER}.{old.major}")
    draft.rename(current)
    logger.warning("upgrade_done", extra={"from": old.version, "to": new.version})


def _argv(current: Path, draft: Path, old: PostgresInstall, new: PostgresInstall, sockets: Path) -> list[str]:
    return [
        str(new.program("pg_upgrade")),
        f"--old-bindir={old.root / 'bin'}",
        f"--new-bindir={new.root / 'bin'}",
        f"--old-datadir={current}",
        f"--new-datadir={draft}",
        f"--socketdir={sockets}",
        f"--username={cluster.USER}",
    ]


def _with_password(command: Command, password: str) -> Command:
    return Command(
        name=command.name,
        argv=command.argv,
        log=command.log,
        cwd=command.cwd,
        environ={**command.environ, "PGPASSWORD": password},
        owner=command.owner,
        death_signal=command.death_signal,
        steps=command.steps,
    )


@contextmanager
def _socket_folder(owner: Owner | None) -> Iterator[Path]:
    """A folder for the sockets of both servers: a data folder's path may be too long for one."""
    with tempfile.TemporaryDirectory(prefix="stackwatch-") as name:
        path = Path(name)
        if owner is not None:
            owner.give(path)
        yield path


def _check_room(home: Path) -> None:
    wanted = sum(file.lstat().st_size for file in (home / CLUSTER).rglob("*")) + _SPARE_BYTES
    free = shutil.disk_usage(home).free
    if free < wanted:
        raise NoUpgrade(
            f"carrying the database in {home} over to a newer PostgreSQL makes a copy of it: "
            f"{wanted / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free. Nothing was changed"
        )


def _system_install(folder: Path, major: int) -> PostgresInstall | None:
    if not (folder / "postgres").exists() or not (folder / "pg_ctl").exists():
        return None
    try:
        version = binaries.version_of(folder / "postgres")
    except binaries.NoBinaries:
        return None
    install = PostgresInstall(folder.parent, version)
    return install if install.major == major and folder.name == "bin" else None


def _kept(home: Path) -> list[Path]:
    return [path for path in home.iterdir() if _KEPT.fullmatch(path.name)]


def _write(path: Path, content: bytes, owner: Owner | None) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    if owner is not None:
        owner.give(path)
