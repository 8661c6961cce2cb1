"""A data folder of an older PostgreSQL: carried over as a copy, or left alone with a sentence that says what to do."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from stackwatch.local import binaries, folder, upgrade
from stackwatch.local.binaries import PostgresInstall
from stackwatch.local.cluster import major_version
from stackwatch.local.folder import DataFolder
from stackwatch.local.ports import Ports
from stackwatch.local.postgres import Postgres
from stackwatch.local.processes import working_in
from stackwatch.local.supervisor import LocalStack
from stackwatch.local.upgrade import NoUpgrade
from store.migrate import migrate

pytestmark = pytest.mark.anyio

NEWEST: Final = binaries.postgres()
DEBIAN: Final = [
    PostgresInstall(path, binaries.version_of(path / "bin/postgres"))
    for path in sorted(Path("/usr/lib/postgresql").glob("*"))
    if (path / "bin/postgres").exists()
]
OLDER: Final = [install for install in (*binaries.postgres_installs(), *DEBIAN) if 15 <= install.major < NEWEST.major]
#: The wheel itself has an older one beside the newest.
OLD: Final = next(install for install in OLDER if install not in DEBIAN)


@pytest.fixture
def port() -> Iterator[int]:
    with Ports() as ports:
        yield ports.take(35_432)


@pytest.fixture
def data() -> Iterator[DataFolder]:
    path = folder.resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-")))
    data = DataFolder(path)
    with data.locked():
        yield data
    folder.remove(path)


class Killed(Exception):
    """The process ends here."""


def nothing() -> None:
    """No list of processes is kept here."""


async def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as conn:
        cursor = await conn.execute(question.encode())
        return await cursor.fetchall() if cursor.description else []


@pytest.fixture
def old_server(monkeypatch: pytest.MonkeyPatch, data: DataFolder, port: int) -> Callable[[PostgresInstall], Postgres]:
    """The server of *data* as a stackwatch would start it whose newest PostgreSQL is another."""

    def make(install: PostgresInstall) -> Postgres:
        with monkeypatch.context() as patched:
            patched.setattr(binaries, "postgres", lambda _major=None: install)
            if install in DEBIAN:
                patched.setattr(binaries, "readable_by", lambda _owner, found: found)
            return Postgres.on(data, port=port)

    return make


async def fill(postgres: Postgres) -> None:
    """A schema of ours, and rows of every kind of type that an upgrade could spoil."""
    await migrate(postgres.url)
    await ask(
        postgres.url,
        "INSERT INTO region (code, document) SELECT 'r' || n, jsonb_build_object('name', '河北 ' || n)"
        " FROM generate_series(1, 500) n",
    )
    await ask(
        postgres.url,
        "INSERT INTO measurement (stack_id, instrument, sampled_at, interval_s, flag, revision, received_at,"
        " batch_id, so2) SELECT 1, 'main', '2026-01-01'::timestamptz + n * interval '1 min', 60, 'N', 0, now(), 1,"
        " 0.1 * n FROM generate_series(1, 5000) n",
    )


async def content(url: str) -> list[Any]:
    return [
        await ask(url, "SELECT region_id, code, document::text FROM region ORDER BY 1"),
        await ask(url, "SELECT sampled_at, so2, received_at FROM measurement ORDER BY 1"),
        await ask(url, "SELECT number, name FROM schema_migration ORDER BY 1"),
        await ask(url, "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"),
        await ask(url, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"),
    ]


def tree(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("old", [pytest.param(install, id=install.version) for install in OLDER])
async def test_a_database_is_carried_over_and_the_old_one_kept_until_it_is_forgotten(
    data: DataFolder, port: int, old_server: Callable[[PostgresInstall], Postgres], old: PostgresInstall
) -> None:
    before = old_server(old)
    child = await before.start(nothing)
    await fill(before)
    expected = await content(before.url)
    await child.stop()
    home = data.postgres.resolve()
    (home / "cluster" / "own.conf").write_text("work_mem = '21MB'\n")
    (home / "cluster" / "own.conf").chmod(0o644)

    after = Postgres.on(data, port=port)
    child = await after.start(nothing)
    try:
        assert await ask(after.url, "SELECT current_setting('server_version_num')::int / 10000") == [(NEWEST.major,)]
        assert await content(after.url) == expected
        assert await ask(after.url, "SHOW work_mem") == [("21MB",)], "an operator's own settings came along"
        assert await ask(after.url, "SHOW data_checksums") == [("on",)]
        assert await migrate(after.url) == []
        await ask(after.url, "INSERT INTO region (code, document) VALUES ('new', '{}')")
        kept = home / f"cluster.{old.major}"
        assert major_version(kept) == old.major
        after.forget_old()
        assert not kept.exists()
        assert not (home / upgrade.DRAFT).exists()
    finally:
        await child.stop()
    again = Postgres.on(data, port=port)
    child = await again.start(nothing)
    await child.stop()
    assert major_version(home / "cluster") == NEWEST.major


async def test_up_carries_a_folder_over_and_deletes_the_old_database_once_it_is_healthy(
    data: DataFolder, old_server: Callable[[PostgresInstall], Postgres]
) -> None:
    before = old_server(OLD)
    child = await before.start(nothing)
    await fill(before)
    expected = (await content(before.url))[:2]
    await child.stop()
    home = data.postgres.resolve()
    # the fixture holds the lock of the folder: another name for the same one, as after a move
    moved = folder.resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-")))
    stack_data = DataFolder(moved)
    with stack_data.locked():
        pass
    shutil.copytree(data.keys, stack_data.keys, dirs_exist_ok=True)
    stack_data.postgres.symlink_to(home)
    try:
        async with LocalStack(moved, settings_env={"STACKWATCH_LOG_LEVEL": "WARNING"}) as stack:
            assert (home / f"cluster.{OLD.major}").exists()
            await stack.wait_healthy(60)
            assert not (home / f"cluster.{OLD.major}").exists()
            assert (await content(stack.database_url))[:2] == expected
    finally:
        stack_data.postgres.unlink()
        folder.remove(moved)


async def test_a_database_that_was_killed_is_made_whole_by_its_own_programs_first(
    data: DataFolder, port: int, old_server: Callable[[PostgresInstall], Postgres]
) -> None:
    before = old_server(OLD)
    child = await before.start(nothing)
    await fill(before)
    expected = await content(before.url)
    child.kill()
    await child.exited()
    after = Postgres.on(data, port=port)
    child = await after.start(nothing)
    try:
        # a sequence may have skipped the values it had logged ahead; rows may not differ
        assert (await content(after.url))[:3] == expected[:3]
    finally:
        await child.stop()


@pytest.mark.parametrize("when", ["while the new one is made", "while it is copied", "between the renames"])
async def test_an_interrupted_upgrade_is_begun_anew_and_loses_nothing(
    data: DataFolder,
    port: int,
    old_server: Callable[[PostgresInstall], Postgres],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    before = old_server(OLD)
    child = await before.start(nothing)
    await fill(before)
    expected = await content(before.url)
    await child.stop()
    home = data.postgres.resolve()
    cut = Postgres.on(data, port=port)
    if when == "between the renames":
        rename = Path.rename

        def second_fails(path: Path, target: Path) -> Path:
            if path.name == upgrade.DRAFT:
                raise Killed
            return rename(path, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", second_fails)
            with pytest.raises(Killed):
                await cut.start(nothing)
        assert not (home / "cluster").exists(), "neither the one nor the other has its name"
    else:
        task = asyncio.create_task(cut.start(nothing), name="start")
        seen = home / upgrade.DRAFT / ("PG_VERSION" if when.startswith("while the new") else "pg_upgrade_output.d")
        async with asyncio.timeout(60):
            while not seen.exists():  # noqa: ASYNC110 - programs set no event of ours
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert major_version(home / "cluster") == OLD.major
    after = Postgres.on(data, port=port)
    child = await after.start(nothing)
    try:
        assert await ask(after.url, "SELECT current_setting('server_version_num')::int / 10000") == [(NEWEST.major,)]
        assert await content(after.url) == expected
    finally:
        await child.stop()
    assert working_in(home / upgrade.DRAFT) == []


async def test_without_the_old_programs_nothing_is_changed_and_it_says_what_to_do(
    data: DataFolder, port: int, old_server: Callable[[PostgresInstall], Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = await old_server(OLD).start(nothing)
    await child.stop()
    home = data.postgres.resolve()
    before = tree(home)
    monkeypatch.setattr(binaries, "postgres_installs", lambda: [NEWEST])
    monkeypatch.setattr(upgrade, "_SYSTEM", Path("/nonexistent"))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NoUpgrade) as told:
        Postgres.on(data, port=port)
    for word in (f"PostgreSQL {OLD.major}", f"postgresql-{OLD.major}", "stackwatch backup", "stackwatch restore"):
        assert word in str(told.value)
    assert tree(home) == before


async def test_a_database_of_a_newer_postgresql_is_left_alone(data: DataFolder, port: int) -> None:
    child = await Postgres.on(data, port=port).start(nothing)
    await child.stop()
    version = data.postgres.resolve() / "cluster" / "PG_VERSION"
    version.write_text(f"{NEWEST.major + 1}\n")
    with pytest.raises(NoUpgrade, match=f"is of PostgreSQL {NEWEST.major + 1}.*use the stackwatch that made it"):
        Postgres.on(data, port=port)


async def test_an_upgrade_that_would_not_fit_on_the_disk_is_not_begun(
    data: DataFolder, port: int, old_server: Callable[[PostgresInstall], Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = await old_server(OLD).start(nothing)
    await child.stop()
    home = data.postgres.resolve()
    before = tree(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(NoUpgrade, match=r"0\.3 GB are needed, 0\.0 GB are free"):
        await Postgres.on(data, port=port).start(nothing)
    assert tree(home) == before
