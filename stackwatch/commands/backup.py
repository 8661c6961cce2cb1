"""`backup`: one file with everything, made while the system runs.

Dump and figures are of one snapshot: a connection of ours holds it and pg_dump joins it. Nobody is kept from writing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from plant.errors import BadDocument, Fault, PlantError
from stackwatch import archive, postgres_tools
from stackwatch.archive import Manifest
from stackwatch.commands.figures import Figures, figures_of
from stackwatch.local.folder import DataFolder, NotRunning, default_folder, read_run_file, resolved
from stackwatch.reach import reach
from store import snapshot
from store.pool import Connection, connect

SUFFIX: Final = ".backup"
_ARGUMENTS: Final = ("--format=custom", "--compress=3", "--no-owner", "--no-privileges")


async def backup(target: Path, database_url: str | None, data: Path | None, *, as_json: bool) -> None:
    settings = reach(database_url=database_url, data=data)
    keys = _keys(settings.database_url, data)
    made_at = datetime.now(UTC)
    path = _path(target, made_at)
    manifest = await write_backup(settings.database_url, keys, path, made_at=made_at)
    size = path.stat().st_size
    if as_json:
        print(json.dumps({"file": str(path), "bytes": size, **_summary(manifest)}))
        return
    print(f"{path}  {size / 1e6:.1f} MB, as of {manifest.made_at}")
    print(f"rows {manifest.counts['measurement']}, cases {len(manifest.chains)}, tables {len(manifest.counts)}")
    for case_id, chain in manifest.chains.items():
        if chain.startswith("broken"):
            print(f"the history of case {case_id} is {chain}: it is so in the backup too", file=sys.stderr)
    if keys is None:
        print("the keys are not in it: keep the order key, the keys that seal secrets and the broker's users yourself")
    else:
        print("it holds the keys of the data folder: keep it where only you can read")


async def write_backup(database_url: str, keys: Path | None, path: Path, *, made_at: datetime) -> Manifest:
    """Write the backup to *path*, with the files in the folder *keys*."""
    try:
        with archive.written(path) as writer:
            async with await connect(database_url, name="backup") as conn:
                name = await snapshot.freeze(conn)
                server = await snapshot.server_of(conn)
                migrations = await snapshot.migrations_of(conn)
                if not migrations:
                    raise PlantError("the database has no schema of stackwatch: there is nothing to back up")
                program, major = await asyncio.to_thread(postgres_tools.tool, "pg_dump", server.major)
                figures = await _dump(writer, conn, program, name, database_url)
            _add_keys(writer, keys)
            manifest = _manifest(writer, made_at, server, major, migrations, figures)
            writer.finish(manifest)
    except FileExistsError as error:
        raise PlantError(
            f"{error.filename2 or error.filename} is there already: a backup is never overwritten"
        ) from None
    except OSError as error:
        raise PlantError(f"the backup {path} cannot be written: {error.strerror or error}") from error
    return manifest


async def _dump(writer: archive.Writer, conn: Connection, program: Path, name: str, database_url: str) -> Figures:
    """Dump the snapshot *name*, which *conn* holds, and count it meanwhile."""
    with writer.member(archive.DUMP) as append:

        async def take(block: bytes) -> None:
            await asyncio.to_thread(append, block)

        reading = postgres_tools.read_from(program, [*_ARGUMENTS, f"--snapshot={name}"], database_url, take)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(reading, name="pg_dump")
                figures = tasks.create_task(figures_of(conn), name="figures")
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
    return figures.result()


def _manifest(
    writer: archive.Writer,
    made_at: datetime,
    server: snapshot.Server,
    pg_dump: int,
    migrations: list[str],
    figures: Figures,
) -> Manifest:
    return Manifest(
        made_at=made_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        stackwatch=metadata.version("stackwatch"),
        postgresql=server.version,
        postgresql_major=server.major,
        pg_dump=pg_dump,
        timescaledb=server.timescaledb,
        migrations=tuple(migrations),
        counts=figures.counts,
        chains=figures.chains,
        books=figures.books,
        members=dict(writer.members),
    )


def _add_keys(writer: archive.Writer, keys: Path | None) -> None:
    for file in sorted(keys.iterdir()) if keys is not None else ():
        if file.is_file() and file.suffix != ".new":  # a draft is another process's unfinished work
            with writer.member(archive.KEYS + file.name) as append:
                append(file.read_bytes())


def _keys(database_url: str, data: Path | None) -> Path | None:
    """The folder of keys that belongs to the database, if it is that of a running `up`."""
    folder = data if data is not None else default_folder(os.environ)
    try:
        run = read_run_file(folder)
    except NotRunning:
        return None
    return DataFolder(resolved(folder)).keys if run.database_url == database_url else None


def _path(target: Path, made_at: datetime) -> Path:
    path = target / f"stackwatch-{made_at:%Y%m%dT%H%M%SZ}{SUFFIX}" if target.is_dir() else target
    if path.exists():
        raise BadDocument("arguments", [Fault("", f"{path} is there already: a backup is never overwritten")])
    if not path.parent.is_dir():
        raise BadDocument("arguments", [Fault("", f"there is no folder {path.parent}")])
    return path


def _summary(manifest: Manifest) -> dict[str, object]:
    return {
        "made_at": manifest.made_at,
        "postgresql": manifest.postgresql,
        "timescaledb": manifest.timescaledb,
        "counts": dict(manifest.counts),
        "cases": dict(manifest.chains),
        "books": dict(manifest.books),
        "keys": sorted(name.removeprefix(archive.KEYS) for name in manifest.members if name != archive.DUMP),
    }
