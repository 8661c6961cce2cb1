"""`stackwatch backup` and `restore` on databases: what goes in comes out, and nothing is overwritten."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import stat
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alerts.enforcement.commands import act
from builders import WORKS, Pipe, a_frame, a_pipe, minutes
from case_builders import ALL_AGENCY
from stackwatch import archive
from stackwatch.archive import BadArchive, Manifest
from stackwatch.commands.backup import write_backup
from stackwatch.commands.restore import VERSION_LEAP, NotRestored, restore_database
from store import snapshot
from store.migrate import migrate
from store.pool import connect, open_pool, transaction
from store.snapshot import FEED_LEAP

pytestmark = pytest.mark.anyio

MADE_AT = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
MONTH = "2026-10-01T00:00:00+08:00"
LATER = "2026-11-20T00:00:00Z"


@pytest.fixture
def empty_url(admin_database_url: str) -> Iterator[Callable[[], str]]:
    """Makes databases with nothing in them."""
    made: list[str] = []

    def make() -> str:
        name = f"empty_{secrets.token_hex(6)}"
        with psycopg.connect(admin_database_url, autocommit=True, connect_timeout=10) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return f"{admin_database_url.rpartition('/')[0]}/{name}"

    yield make
    with psycopg.connect(admin_database_url, autocommit=True, connect_timeout=10) as conn:
        for name in made:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def lived(database_url: str) -> AsyncIterator[Pipe]:
    """A database with everything in it: a breached month, its case with an order, quarantine, conflicts, books."""
    async with a_pipe(database_url, WORKS) as pipe:
        first = datetime.fromisoformat(MONTH)
        for day in range(31):
            start = (first + timedelta(days=day)).isoformat()
            rows = minutes(start, 1440, so2=80.0, nox=20.0, pm=3.0, o2=15.0)
            await pipe.publish(a_frame(rows, session="s", seq=day + 1, rows_before=1440 * day))
        await pipe.publish(a_frame([{"stack": "DA001", "sampled_at": MONTH, "so2": 1.0}], session="t", seq=1))
        await pipe.publish(b"no measurement")
        await pipe.tick(LATER)
        (case_id,) = (await pipe.rows('SELECT case_id FROM "case"'))[0]
        for action in ("verify", "decide", "serve"):
            async with transaction(pipe.pool) as conn:
                now = datetime.fromisoformat(LATER)
                await act(conn, case_id=case_id, actor="Li", roles=ALL_AGENCY, action=action, reason="x", now=now)
        yield pipe


async def backed_up(url: str, folder: Path) -> tuple[Path, Manifest]:
    path = folder / "one.backup"
    return path, await write_backup(url, None, path, made_at=MADE_AT)


async def everything_in(url: str) -> dict[str, list[str]]:
    """Every row of every table as text, without our own code; what a restore makes leap is left out."""
    found = {}
    async with await connect(url, name="test") as conn:
        cursor = await conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'order_list'"
        )
        for (table,) in await cursor.fetchall():
            what = sql.SQL("to_jsonb(t) - 'feed_number'") if table == "alert_event" else sql.SQL("to_jsonb(t)")
            query = sql.SQL("SELECT ({})::text FROM {} t ORDER BY 1").format(what, sql.Identifier(table))
            found[table] = [text for (text,) in await (await conn.execute(query)).fetchall()]
    return found


@pytest.mark.both_databases
async def test_a_restored_database_holds_every_row_of_every_table(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path
) -> None:
    path, manifest = await backed_up(database_url, tmp_path)
    target = empty_url()
    assert archive.check(path) == manifest
    await restore_database(path, manifest, target, reissue_orders=True)
    before = await everything_in(database_url)
    assert await everything_in(target) == before
    assert {name: len(rows) for name, rows in before.items()} == {
        name: count for name, count in manifest.counts.items() if name != "order_list"
    }
    assert manifest.counts["measurement"] == 31 * 1440
    assert set(manifest.chains) == {case for (case,) in await lived.rows('SELECT case_id FROM "case"')}
    assert manifest.books["published"] == sum(
        manifest.books[fate]
        for fate in ("stored", "duplicate", "conflict", "quarantined", "dropped", "in_flight", "unexplained")
    )
    assert await migrate(target) == [], "it needs no migration and takes none twice"
    async with a_pipe(target, WORKS) as restored:
        await restored.publish(a_frame(minutes("2026-11-01T00:00:00+08:00", 60, so2=80.0, o2=15.0)))
        await restored.tick(LATER)
        assert await restored.rows("SELECT count(*) FROM measurement") == [(31 * 1440 + 60,)]


async def test_the_snapshot_is_one_instant_while_rows_are_written(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path
) -> None:
    """Rows, books and batches of a message are in the backup together or not at all."""
    stop = asyncio.Event()

    async def write() -> int:
        written = 0
        while not stop.is_set():
            at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=10 * written)
            await lived.publish(
                a_frame(minutes(at.isoformat(), 10, so2=5.0), session="u", seq=written + 1, rows_before=10 * written)
            )
            written += 1
        return written

    writing = asyncio.create_task(write(), name="write")
    path, manifest = await backed_up(database_url, tmp_path)
    stop.set()
    written = await writing
    assert manifest.counts["measurement"] < 31 * 1440 + 10 * written, "it was written meanwhile"
    target = empty_url()
    await restore_database(path, manifest, target, reissue_orders=False)
    async with open_pool(target, name="test") as pool, transaction(pool) as conn:
        whole = await (
            await conn.execute(
                "SELECT count(*) FROM batch b WHERE session = 'u' AND rows <>"
                " (SELECT count(*) FROM measurement m WHERE m.batch_id = b.batch_id)"
            )
        ).fetchone()
        assert whole == (0,)
    assert manifest.books["unexplained"] == manifest.books["in_flight"] == 0


async def test_numbers_given_after_the_backup_are_not_given_again(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path
) -> None:
    path, manifest = await backed_up(database_url, tmp_path)
    target = empty_url()
    reissued = await restore_database(path, manifest, target, reissue_orders=True)
    (head,) = (await lived.rows("SELECT max(feed_number) FROM alert_event"))[0]
    (version,) = (await lived.rows("SELECT max(version) FROM order_list"))[0]
    assert reissued == {"works": version + VERSION_LEAP}
    async with a_pipe(target, WORKS) as restored:
        newest = (await restored.rows("SELECT version, body FROM order_list ORDER BY version DESC LIMIT 1"))[0]
        older = (await lived.rows("SELECT body FROM order_list ORDER BY version DESC LIMIT 1"))[0][0]
        assert json.loads(newest[1])["orders"] == json.loads(older)["orders"]
        assert json.loads(newest[1])["version"] == newest[0] == version + VERSION_LEAP
        await restored.rows("INSERT INTO alert_event (alert_id, event, document) SELECT alert_id, 'changed', '{}'"
                            " FROM alert LIMIT 1 RETURNING 1")  # fmt: skip
        while await restored.stage.number_some():
            pass
        after = await restored.rows("SELECT feed_number FROM alert_event WHERE feed_number > %s ORDER BY 1", head)
        # A reader that had been told 50 events which are lost now comes back with head + 50, and misses nothing.
        assert after == [(head + FEED_LEAP,), (head + FEED_LEAP + 1,)]


async def test_a_database_with_anything_in_it_is_never_overwritten(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path
) -> None:
    path, manifest = await backed_up(database_url, tmp_path)
    before = await everything_in(database_url)
    with pytest.raises(Exception, match="the database is not empty"):
        await restore_database(path, manifest, database_url, reissue_orders=True)
    assert await everything_in(database_url) == before
    for statement in ("CREATE TABLE notes (text text)", "CREATE SCHEMA other; CREATE VIEW other.one AS SELECT 1"):
        target = empty_url()
        with psycopg.connect(target, autocommit=True, connect_timeout=10) as conn:
            conn.execute(statement.encode())
        with pytest.raises(Exception, match="the database is not empty"):
            await restore_database(path, manifest, target, reissue_orders=True)


@pytest.mark.both_databases
async def test_a_restore_that_fails_leaves_the_database_empty(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, manifest = await backed_up(database_url, tmp_path)
    target = empty_url()
    dump = archive.dump_of

    def cut(file: Path) -> Any:
        opened = dump(file)
        inner = opened.__enter__

        class Short:
            def __enter__(self) -> Any:
                source, left = inner(), [manifest.members[archive.DUMP].bytes // 2]

                class Half:
                    def read(self, n: int) -> bytes:
                        block = source.read(min(n, left[0]))
                        left[0] -= len(block)
                        return block

                return Half()

            def __exit__(self, *error: Any) -> None:
                opened.__exit__(*error)

        return Short()

    with monkeypatch.context() as patched:
        patched.setattr(archive, "dump_of", cut)
        with pytest.raises(Exception, match=r"pg_restore ended with 1"):
            await restore_database(path, manifest, target, reissue_orders=True)
    async with await connect(target, name="test") as conn:
        assert await snapshot.anything_in(conn) is None
    await restore_database(path, manifest, target, reissue_orders=True)


async def test_a_restore_that_differs_from_its_backup_is_refused_with_every_difference(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path
) -> None:
    path, manifest = await backed_up(database_url, tmp_path)
    case = next(iter(manifest.chains))
    wrong = Manifest(
        **{
            **{name: getattr(manifest, name) for name in Manifest.__slots__},
            "counts": {**manifest.counts, "measurement": 7},
            "chains": {case: "00"},
            "books": {**manifest.books, "stored": 0},
        }
    )
    with pytest.raises(NotRestored) as told:
        await restore_database(path, wrong, empty_url(), reissue_orders=True)
    assert "rows of table measurement: 7 in the backup, 44640 restored" in str(told.value)
    assert f"history of case {case}: 00 in the backup" in str(told.value)
    assert "books, stored: 0 in the backup" in str(told.value)


def altered(path: Path, to: Path, change: Callable[[str, bytes], bytes | None], **more: bytes) -> Path:
    """The archive again, with its members changed, left out (None) or added."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in more.items():
            new.writestr(name, content)
    return to


async def test_every_kind_of_damage_is_found_before_anything_is_restored(
    lived: Pipe, database_url: str, tmp_path: Path
) -> None:
    path, _ = await backed_up(database_url, tmp_path)
    flipped = altered(path, tmp_path / "1", lambda n, c: c[:-1] + bytes([c[-1] ^ 1]) if n == archive.DUMP else c)
    without = altered(path, tmp_path / "2", lambda n, c: None if n == archive.DUMP else c)
    added = altered(path, tmp_path / "3", lambda _, c: c, stranger=b"x")
    unfinished = altered(path, tmp_path / "4", lambda n, c: None if n == archive.MANIFEST else c)
    escaping = altered(path, tmp_path / "5", lambda _, c: c.replace(b'"database.dump"', b'"keys/../../x"'))
    newer = altered(path, tmp_path / "6", lambda _, c: c.replace(b"stackwatch-backup/1", b"stackwatch-backup/2"))
    cut = tmp_path / "7"
    cut.write_bytes(path.read_bytes()[:-100])
    bits = tmp_path / "8"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    bits.write_bytes(whole)
    for file, why in (
        (flipped, "SHA-256"),
        (without, "holds other files"),
        (added, "holds other files"),
        (unfinished, "no manifest"),
        (escaping, "a file that no backup has"),
        (newer, "another format"),
        (cut, "damaged"),
        (bits, "damaged"),
        (tmp_path / "nothing", "cannot be read"),
    ):
        with pytest.raises(BadArchive, match=why):
            archive.check(file)


async def test_a_backup_is_for_its_owner_only_and_overwrites_nothing(
    lived: Pipe, database_url: str, tmp_path: Path
) -> None:
    path, _ = await backed_up(database_url, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(Exception, match="never overwritten"):
        await backed_up(database_url, tmp_path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["one.backup"], "no draft is left"


async def test_a_backup_of_a_newer_stackwatch_is_refused(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path
) -> None:
    path, manifest = await backed_up(database_url, tmp_path)
    text = json.dumps([*manifest.migrations, "9999_future.sql"]).encode()

    def change(name: str, content: bytes) -> bytes:
        if name != archive.MANIFEST:
            return content
        return json.dumps({**json.loads(content), "migrations": json.loads(text)}).encode()

    newer = altered(path, tmp_path / "newer.backup", change)
    done = command("restore", str(newer), "--database-url", empty_url())
    assert done.returncode == 1
    assert "made by a newer stackwatch" in done.stderr


def command(*args: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("STACKWATCH_")}
    return subprocess.run(
        [sys.executable, "-m", "stackwatch", *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**plain, "XDG_DATA_HOME": "/nonexistent"},
    )


async def test_the_commands_say_what_they_did(
    lived: Pipe, database_url: str, empty_url: Callable[[], str], tmp_path: Path
) -> None:
    made = await asyncio.to_thread(command, "backup", str(tmp_path), "--database-url", database_url, "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["counts"]["measurement"], told["keys"]) == (31 * 1440, [])
    assert len(await asyncio.to_thread(Path(told["file"]).read_bytes)) == told["bytes"]
    target = empty_url()
    done = await asyncio.to_thread(command, "restore", told["file"], "--database-url", target)
    assert done.returncode == 0, done.stderr
    assert f"{31 * 1440} rows, 1 cases" in done.stdout
    assert "orders of works are given again as version" in done.stdout
    again = await asyncio.to_thread(command, "restore", told["file"], "--database-url", target)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    nowhere = await asyncio.to_thread(command, "restore", told["file"])
    assert nowhere.returncode == 2
    assert "--data NEWDIR" in nowhere.stderr
    password = database_url.split("@")[0].rsplit(":", 1)[1]
    assert not any(password in text for text in (made.stdout, made.stderr, done.stdout, done.stderr))
