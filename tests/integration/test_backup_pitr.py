"""What the manual says about losing nothing: a base backup, the archived log, and the last row comes back."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stackwatch.local import binaries, folder
from stackwatch.local.folder import DataFolder
from stackwatch.local.owner import unprivileged
from stackwatch.local.ports import Ports
from stackwatch.local.postgres import Postgres
from store.migrate import migrate

pytestmark = pytest.mark.anyio


@pytest.fixture
def port() -> Iterator[int]:
    with Ports() as ports:
        yield ports.take(35_432)


@pytest.fixture
def new_data() -> Iterator[Callable[[], DataFolder]]:
    """Makes data folders that an unprivileged user can be let into."""
    made: list[Path] = []

    def make() -> DataFolder:
        made.append(folder.resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-"))))
        return DataFolder(made[-1])

    yield make
    for path in made:
        folder.remove(path)


@pytest.fixture
def archive() -> Iterator[Path]:
    """A folder that PostgreSQL's user may write into."""
    with tempfile.TemporaryDirectory(prefix="stackwatch-wal-") as name:
        give(Path(name))
        yield Path(name)


def give(*paths: Path) -> None:
    owner = unprivileged()
    if owner is not None:
        for path in paths:
            owner.give(path)


def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
        cursor = conn.execute(question.encode())
        return cursor.fetchall() if cursor.description else []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a server sets no event of ours
            await asyncio.sleep(0.05)


def write_own_settings(cluster: Path, text: str) -> None:
    (cluster / "own.conf").write_text(text)
    give(cluster / "own.conf")


async def test_rows_that_were_committed_after_the_base_backup_come_back_from_the_archived_log(
    new_data: Callable[[], DataFolder], port: int, archive: Path, tmp_path: Path
) -> None:
    lost, found = new_data(), new_data()
    base = tmp_path / "base"
    with lost.locked():
        postgres = Postgres.on(lost, port=port)
        await (await postgres.start(lambda: None)).stop()
        command = f"test ! -f {archive}/%f && cp %p {archive}/%f"
        write_own_settings(lost.postgres.resolve() / "cluster", f"archive_mode = on\narchive_command = '{command}'\n")
        child = await postgres.start(lambda: None)
        await migrate(postgres.url)
        tool = binaries.postgres().program("pg_basebackup")
        argv = [str(tool), f"--dbname={postgres.url}", f"--pgdata={base}", "--wal-method=stream"]
        await asyncio.to_thread(subprocess.run, argv, check=True, timeout=120)
        ask(postgres.url, "INSERT INTO region (code, document) SELECT n::text, '{}' FROM generate_series(1, 1000) n")
        ((segment,),) = ask(postgres.url, "SELECT pg_walfile_name(pg_current_wal_lsn())")
        ask(postgres.url, "SELECT pg_switch_wal()")
        await until((archive / str(segment)).exists)
        child.kill()
        await child.exited()

    with found.locked():
        shutil.copytree(lost.keys, found.keys, dirs_exist_ok=True)
        restored = Postgres.on(found, port=port)
        cluster = found.postgres.resolve() / "cluster"
        shutil.copytree(base, cluster)
        (cluster / "recovery.signal").touch()
        cluster.chmod(0o700)
        give(cluster, *cluster.rglob("*"))
        write_own_settings(cluster, f"restore_command = 'cp {archive}/%f %p'\n")
        child = await restored.start(lambda: None)
        try:
            await until(lambda: ask(restored.url, "SELECT pg_is_in_recovery()") == [(False,)])
            assert ask(restored.url, "SELECT count(*) FROM region") == [(1_000,)]
            ask(restored.url, "INSERT INTO region (code, document) VALUES ('after', '{}')")
        finally:
            await child.stop()
