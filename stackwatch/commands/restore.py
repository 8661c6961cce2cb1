"""`restore`: a backup into an empty place, and proof that it is all there.

    checksums -> an empty database -> pg_restore -> the same rows, histories and books? -> numbers leap ahead

Nothing that exists is overwritten. Where anything fails a new data folder is taken away again, and a database is left
empty: pg_restore works in one transaction.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from alerts.enforcement.chain import canonical, utc_text
from plant.errors import BadDocument, Fault, PlantError, Refused
from stackwatch import archive, postgres_tools, running
from stackwatch.archive import BLOCK, Manifest
from stackwatch.commands.figures import differences, frozen_figures
from stackwatch.local.folder import DataFolder, FolderUnusable, resolved
from stackwatch.local.ports import Ports
from stackwatch.local.postgres import Postgres
from stackwatch.local.supervisor import POSTGRES_PORT
from store import orders, snapshot
from store.migrate import migrations as known_migrations
from store.pool import Connection, connect
from store.register import load_register

VERSION_LEAP: Final = 1_000  #: more lists of orders than a site is sent between a backup and a crash
_ARGUMENTS: Final = ("--single-transaction", "--no-owner", "--no-privileges", "--no-comments")


class NotRestored(PlantError):
    """The restored database is not what was backed up. Do not use it; take another backup."""


async def restore(
    file: Path, database_url: str | None, data: Path | None, *, reissue_orders: bool, as_json: bool
) -> None:
    running.settings(quiet=True)
    if (data is None) == (database_url is None):
        fault = Fault("", "say where: --data NEWDIR, or --database-url of an empty database")
        raise BadDocument("arguments", [fault])
    manifest = await asyncio.to_thread(archive.check, file)
    _refuse_newer(manifest)
    if data is not None:
        reissued = await restore_folder(file, manifest, resolved(data), reissue_orders=reissue_orders)
    else:
        assert database_url is not None
        reissued = await restore_database(file, manifest, database_url, reissue_orders=reissue_orders)
    if as_json:
        told = {"made_at": manifest.made_at, "counts": manifest.counts, "books": manifest.books}
        print(json.dumps({**told, "cases": len(manifest.chains), "reissued": reissued}))
        return
    _tell(manifest, reissued, data)


async def restore_folder(file: Path, manifest: Manifest, path: Path, *, reissue_orders: bool) -> dict[str, int]:
    """Make *path* a data folder with what is in *file*; by site, the version of the list of orders given again."""
    folder = DataFolder(path)
    existed = _exists_empty(path)
    with folder.locked():
        try:
            for name, content in archive.keys_of(file, manifest).items():
                _write_key(folder.keys / name, content)
            async with _started(folder) as url:
                return await restore_database(file, manifest, url, reissue_orders=reissue_orders)
        except BaseException:
            _take_away(folder, existed=existed)
            raise


async def restore_database(
    file: Path, manifest: Manifest, database_url: str, *, reissue_orders: bool
) -> dict[str, int]:
    """Fill the empty database at *database_url*; by site, the version of the list of orders given again."""
    await _refuse_unfit(manifest, database_url)
    program, _ = await asyncio.to_thread(postgres_tools.tool, "pg_restore", manifest.pg_dump)
    async with _made_ready(manifest, database_url):
        with archive.dump_of(file) as dump:
            await postgres_tools.write_to(
                program, _ARGUMENTS, database_url, lambda: asyncio.to_thread(dump.read, BLOCK)
            )
    async with await connect(database_url, name="restore", autocommit=True) as conn:
        await conn.execute("ANALYZE")
    async with await connect(database_url, name="restore") as conn:
        wrong = differences(manifest, await frozen_figures(conn))
    if wrong:
        raise NotRestored("what was restored is not what was backed up:\n" + "\n".join(wrong))
    async with await connect(database_url, name="restore") as conn:
        await snapshot.leap_feed(conn)
        return await _reissue(conn, datetime.now(UTC)) if reissue_orders else {}


async def _refuse_unfit(manifest: Manifest, database_url: str) -> None:
    async with await connect(database_url, name="restore") as conn:
        there = await snapshot.anything_in(conn)
        if there is not None:
            raise Refused(f"the database is not empty: it has {there}. Nothing is ever restored over something else")
        server = await snapshot.server_of(conn)
        if server.major < manifest.postgresql_major:
            raise Refused(
                f"the backup is of PostgreSQL {manifest.postgresql_major}, this server is {server.version}: "
                "restore into the same major version or a newer one"
            )
        wanted = manifest.timescaledb
        if wanted is not None and not await snapshot.has_timescaledb(conn, wanted):
            raise Refused(
                f"the backup needs TimescaleDB {wanted}, which this server cannot bring: install that version"
            )


@asynccontextmanager
async def _made_ready(manifest: Manifest, database_url: str) -> AsyncIterator[None]:
    """TimescaleDB keeps its hands still while its own tables are filled."""
    if manifest.timescaledb is None:
        yield
        return
    async with await connect(database_url, name="restore", autocommit=True) as conn:
        await snapshot.before_restoring(conn, manifest.timescaledb)
    try:
        yield
    finally:
        async with await connect(database_url, name="restore", autocommit=True) as conn:
            await snapshot.after_restoring(conn)


async def _reissue(conn: Connection, now: datetime) -> dict[str, int]:
    """Give each site its list of orders again, under a version that no edge can have seen.

    Edges refuse a list that is older than the one they know, and they may know one that this backup does not.
    """
    given = {}
    for code, site in (await load_register(conn)).items():
        await orders.lock_site(conn, site.site_id)
        newest = await orders.newest_list(conn, code)
        if newest is None:
            continue
        version = newest.version + VERSION_LEAP
        body: dict[str, Any] = json.loads(newest.body)
        body |= {"version": version, "issued_at": utc_text(now)}
        await orders.issue(conn, site.site_id, version=version, body=canonical(body), issued_at=now)
        given[code] = version
    return given


@asynccontextmanager
async def _started(folder: DataFolder) -> AsyncIterator[str]:
    """A new database server on *folder*, ended afterwards; its address."""
    with Ports() as ports:
        postgres = await asyncio.to_thread(Postgres.on, folder, port=ports.take(POSTGRES_PORT))
        try:
            await postgres.start(lambda: None)
            yield postgres.url
        finally:
            if postgres.child is not None:
                await asyncio.shield(postgres.child.stop())


def _refuse_newer(manifest: Manifest) -> None:
    unknown = sorted(set(manifest.migrations) - {migration.name for migration in known_migrations()})
    if unknown:
        raise Refused(
            f"the backup was made by a newer stackwatch ({manifest.stackwatch}), with the migration {unknown[-1]}: "
            "restore it with that one"
        )


def _exists_empty(path: Path) -> bool:
    """Whether there is a folder *path*; refused where there is something in it."""
    try:
        exists = path.exists()
        used = exists and any(path.iterdir())
    except OSError as error:
        raise FolderUnusable(f"{path} cannot be used: {error.strerror}") from error
    if used:
        raise FolderUnusable(f"{path} is not empty: a backup is restored into a new folder, never over another")
    return exists


def _write_key(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _take_away(folder: DataFolder, *, existed: bool) -> None:
    """Undo a restore that failed: the folder is empty again, or gone if it was not there."""
    if folder.postgres.is_symlink():
        shutil.rmtree(folder.postgres.resolve(), ignore_errors=True)
        folder.postgres.unlink()
    for part in (folder.postgres, folder.keys, folder.broker, folder.logs):
        shutil.rmtree(part, ignore_errors=True)
    for file in (folder.run_file, folder.lock_file):
        file.unlink(missing_ok=True)
    if not existed:
        folder.path.rmdir()


def _tell(manifest: Manifest, reissued: dict[str, int], data: Path | None) -> None:
    print(f"restored as of {manifest.made_at}: {manifest.counts['measurement']} rows, {len(manifest.chains)} cases")
    print("checked: every table has its rows, every history its hashes, the books their sums")
    for site, version in reissued.items():
        print(f"orders of {site} are given again as version {version}: what was ordered or lifted later is not in it")
    print(f"what came after {manifest.made_at} is not here: see `unexplained` in the books, and revoke tokens again")
    if data is not None:
        print(f"next      stackwatch up --data {data}")
    else:
        print("next      stackwatch migrate, then the four processes")
