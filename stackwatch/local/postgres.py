"""The embedded PostgreSQL: made once, started as our own child, ended with us."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import psycopg

from stackwatch.local import binaries, cluster, keys, upgrade
from stackwatch.local.folder import DataFolder
from stackwatch.local.owner import HOME, Owner, unprivileged
from stackwatch.local.ports import LOOPBACK
from stackwatch.local.processes import (
    POLL_S,
    Child,
    Command,
    StartFailed,
    Steps,
    end_left_behind,
    last_words,
    run,
    spawn,
    with_argument,
    working_in,
)

logger = logging.getLogger(__name__)

DATABASE: Final = "stackwatch"
USER: Final = cluster.USER
READY_WITHIN_S: Final = 60.0
MADE_WITHIN_S: Final = 120.0  # initdb writes 40 MB, on a slow disk too

#: Fast shutdown first (a checkpoint, nothing to recover); then immediate, which the next start recovers from.
STOP: Final[Steps] = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0))
STOP_LEFT_BEHIND: Final[Steps] = ((signal.SIGQUIT, 10.0),)

#: What the server says while a killed run's backends still hold its shared memory: they end, try again.
_STILL_ENDING: Final = ("pre-existing shared memory block", "lock file")


class Postgres:
    """One database server on one data folder. `start` again after it died: same port, same data."""

    name = "postgres"

    def __init__(
        self,
        *,
        home: Path,
        install: binaries.PostgresInstall,
        owner: Owner | None,
        port: int,
        password: str,
        log: Path,
        settings: Mapping[str, str] | None = None,
        older: binaries.PostgresInstall | None = None,
    ) -> None:
        self._home = home
        self._cluster = home / upgrade.CLUSTER
        self._install = install
        self._older = older  #: what the database still belongs to; `start` carries it over
        self._owner = owner
        self._port = port
        self._password = password
        self._log = log
        self._settings = {**cluster.SETTINGS, **(settings or {}), "port": str(port)}
        self.child: Child | None = None

    @classmethod
    def on(cls, folder: DataFolder, *, port: int, settings: Mapping[str, str] | None = None) -> Postgres:
        """The server of *folder*. Blocks: it may have to make a system user and to copy programs."""
        owner = unprivileged()
        home = cluster.place(folder, owner)
        install = binaries.postgres()
        if owner is not None:
            cluster.let_through(HOME, owner)
            install = binaries.readable_by(owner, install)
        upgrade.settle(home)
        major = cluster.major_version(home / upgrade.CLUSTER)
        older = None if major in (None, install.major) else upgrade.install_of(major, home, owner)
        password = keys.password(folder.keys / "database.password")
        log = folder.log(cls.name)
        return cls(
            home=home,
            install=install,
            owner=owner,
            port=port,
            password=password,
            log=log,
            settings=settings,
            older=older,
        )

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    async def start(self, spawned: Callable[[], None]) -> Child:
        """Start it and wait until it answers; *spawned* is called once there is a process."""
        await self._end_left_behind()
        if self._older is not None:
            await self._upgrade(self._older)
            self._older = None
        if not self._cluster.exists():
            await self._make()
        cluster.write_configuration(self._cluster, self._settings, self._owner)
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                child = await self._start_until_ready(spawned, self._install)
                await self._make_database()
                return child
        except TimeoutError:
            raise StartFailed(
                f"PostgreSQL does not answer after {READY_WITHIN_S:g} s{last_words(self._command(self._install))}"
            ) from None

    async def _start_until_ready(self, spawned: Callable[[], None], install: binaries.PostgresInstall) -> Child:
        while True:
            child = self.child = spawn(self._command(install))
            spawned()
            while child.exit_code is None:
                if await self._answers():
                    return child
                await asyncio.sleep(POLL_S)
            words = last_words(child.command)
            if not any(phrase in words for phrase in _STILL_ENDING):
                raise StartFailed(f"PostgreSQL ended at once ({child.exit_code}){words}")
            await asyncio.sleep(10 * POLL_S)

    async def _answers(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self._url("postgres"), connect_timeout=5) as conn:
                await conn.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    async def _make_database(self) -> None:
        url = self._url("postgres")
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=10, autocommit=True) as conn:
            cursor = await conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if await cursor.fetchone() is None:
                await conn.execute(f"CREATE DATABASE {DATABASE}")

    async def _end_left_behind(self) -> None:
        """End what a killed run left on this cluster, backends too: none may write beside a new server."""
        draft = self._home / upgrade.DRAFT
        while left := [found for path in (self._cluster, draft) for found in (*with_argument(path), *working_in(path))]:
            if self.child is not None and self.child.exit_code is None:
                await self.child.stop()
            for identity in left:
                if await end_left_behind(identity, STOP_LEFT_BEHIND):
                    logger.warning("left_behind_ended", extra={"program": self.name, "pid": identity.pid})
        if sys.platform == "linux":
            # nobody is left, seen by working directory: the pid in the file may by now be anybody's
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    async def _make(self) -> None:
        """Make the cluster under another name first: an interrupted initdb leaves nothing that looks done."""
        draft = self._home / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        await self._make_in(draft)
        draft.rename(self._cluster)

    async def _make_in(self, target: Path) -> None:
        secret = self._home / "initdb.password"
        try:
            _write_secret(secret, self._password, self._owner)
            await run(self._initdb(target, secret), deadline_s=MADE_WITHIN_S)
        finally:
            secret.unlink(missing_ok=True)

    async def _upgrade(self, older: binaries.PostgresInstall) -> None:
        """Carry the database of *older* over to our PostgreSQL; the old one is kept until `forget_old`."""

        async def recover() -> None:
            cluster.write_configuration(self._cluster, self._settings, self._owner)
            child = self.child = await self._started(older)
            await child.stop()

        await upgrade.upgrade(
            self._home,
            old=older,
            new=self._install,
            owner=self._owner,
            password=self._password,
            recover=recover,
            make=self._make_in,
            as_owner=self._as_owner,
        )

    async def _started(self, install: binaries.PostgresInstall) -> Child:
        """A server of *install* that is ready, however long it recovers from a crash."""
        async with asyncio.timeout(upgrade.DONE_WITHIN_S):
            return await self._start_until_ready(lambda: None, install)

    def forget_old(self) -> None:
        """Delete the database of an older PostgreSQL that an upgrade put aside."""
        upgrade.forget_old(self._home)

    def _initdb(self, target: Path, secret: Path) -> Command:
        # the locale travels with PostgreSQL, not with the machine: an upgrade of libc cannot break an index
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self._install.major >= 17 else []
        argv = [
            str(self._install.program("initdb")),
            f"--pgdata={target}",
            f"--username={USER}",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
            *builtin,
            "--auth=scram-sha-256",
            "--data-checksums",
        ]
        return self._as_owner("initdb", argv)

    def _command(self, install: binaries.PostgresInstall) -> Command:
        return self._as_owner(self.name, [str(install.program("postgres")), "-D", str(self._cluster)])

    def _as_owner(self, name: str, argv: list[str]) -> Command:
        return Command(
            name=name,
            argv=argv,
            log=self._log,
            cwd=self._home,
            environ={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            owner=self._owner,
            death_signal=signal.SIGQUIT,  # takes its backends along at once; the next start recovers
            steps=STOP,
        )

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"


def _write_secret(path: Path, text: str, owner: Owner | None) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
    if owner is not None:
        owner.give(path)
