"""The data folder of one embedded stack: what lies where, private to its owner, used by one `up` at a time.

DIR/stackwatch.lock    held (flock) while a stackwatch runs on DIR
DIR/stackwatch.json    the run file: addresses, and the processes by pid and start time
DIR/keys/              generated secrets, kept across restarts
DIR/postgres/          the database cluster (a link, where its user cannot reach DIR)
DIR/broker/            the broker's configuration and store
DIR/logs/              a log a process
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from plant.errors import PlantError
from stackwatch.local.owner import HOME
from stackwatch.local.processes import Identity

_SCHEMA: Final = 1


class FolderUnusable(PlantError):
    """The data folder cannot be used; the text says why. Choose another one, or end what uses it."""


class NotRunning(PlantError):
    """No stackwatch runs on the folder. Start one: `stackwatch up --data DIR`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """What a running `up` says about itself, and what a killed one left behind."""

    supervisor: Identity | None = None  #: None after an orderly end
    database_url: str = ""
    mqtt_url: str = ""
    http_url: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    processes: Mapping[str, Identity] = field(default_factory=dict)


class DataFolder:
    """The layout; every part is private (0700, files 0600)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_file = path / "stackwatch.lock"
        self.run_file = path / "stackwatch.json"
        self.keys = path / "keys"
        self.postgres = path / "postgres"
        self.broker = path / "broker"
        self.logs = path / "logs"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Have the folder to oneself; `FolderUnusable` if another stackwatch runs on it.

        The kernel lets go of the lock when its holder dies, so a killed one is in nobody's way.
        """
        self._prepare()
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = lock.read().strip() or "?"
                raise FolderUnusable(f"another stackwatch (pid {holder}) runs on {self.path}") from None
            lock.seek(0)
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            for part in (self.keys, self.broker, self.logs):
                part.mkdir(mode=0o700, exist_ok=True)
            yield

    def _prepare(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.path.stat()
            foreign = not self.lock_file.exists() and any(self.path.iterdir())
        except (FileExistsError, NotADirectoryError):
            raise FolderUnusable(f"{self.path} is no folder") from None
        except OSError as error:
            raise FolderUnusable(f"{self.path} cannot be used: {error.strerror}") from error
        if status.st_uid != os.geteuid():
            raise FolderUnusable(
                f"{self.path} belongs to user {status.st_uid}, we are {os.geteuid()}: run as that user"
            )
        # HOME also holds the databases of other folders, whose user has to get through
        if foreign and self.path != HOME:
            raise FolderUnusable(f"{self.path} is not empty and no stackwatch made it: name another folder")
        if status.st_mode & 0o067:
            self.path.chmod(0o700 | status.st_mode & 0o010)

    def write_run_file(self, run: RunFile) -> None:
        """Replace the run file atomically: a reader sees the old one or the new one."""
        write_private(self.run_file, json.dumps({"schema": _SCHEMA, **asdict(run)}, indent=1) + "\n")

    def last_run(self) -> RunFile:
        """What the run before wrote; empty if there was none or a crash of the machine spoilt it."""
        try:
            return _run_from(json.loads(self.run_file.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return RunFile()


def read_run_file(path: Path) -> RunFile:
    """The addresses of the `up` that runs on *path*; `NotRunning` if none does."""
    folder = DataFolder(resolved(path))
    try:
        run = folder.last_run()
    except PermissionError:
        raise NotRunning(f"{folder.run_file} belongs to another user") from None
    if run.supervisor is None or not run.supervisor.alive():
        raise NotRunning(f"no stackwatch runs on {folder.path} (start it: stackwatch up --data {folder.path})")
    return run


def default_folder(environ: Mapping[str, str]) -> Path:
    """The user's data folder; for root, the machine's."""
    if os.geteuid() == 0:
        return HOME
    data_home = environ.get("XDG_DATA_HOME", "")
    base = Path(data_home) if Path(data_home).is_absolute() else Path.home() / ".local" / "share"
    return base / "stackwatch"


def remove(path: Path) -> None:
    """Delete a data folder that nobody uses, its database included wherever that lies."""
    folder = DataFolder(resolved(path))
    if not folder.lock_file.exists():
        raise FolderUnusable(f"{folder.path} is no data folder of stackwatch")
    if folder.path == HOME and any((HOME / "clusters").glob("*")):
        raise FolderUnusable(f"{HOME} also holds the databases of other data folders: remove those first")
    with folder.locked():
        if folder.postgres.is_symlink():
            shutil.rmtree(folder.postgres.resolve(), ignore_errors=True)
        shutil.rmtree(folder.path)


def resolved(path: Path) -> Path:
    """One name for one folder, whatever links and relative steps led to it."""
    return path.expanduser().resolve()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, atomically and durably."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _run_from(document: Mapping[str, Any]) -> RunFile:
    supervisor = document["supervisor"]
    return RunFile(
        supervisor=Identity(**supervisor) if supervisor else None,
        database_url=document["database_url"],
        mqtt_url=document["mqtt_url"],
        http_url=document["http_url"],
        ports=dict(document["ports"]),
        processes={name: Identity(**identity) for name, identity in document["processes"].items()},
    )
