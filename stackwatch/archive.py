"""The file of a backup: a zip that is not compressed, with a manifest, a dump of pg_dump and the keys.

    manifest.json     what is in it, with SHA-256 of each member, and what the database said of itself
    database.dump     pg_dump's custom format, compressed by pg_dump
    keys/...          the secrets of a data folder; none where only a database was backed up

Any unzip opens it and any pg_restore reads the dump, should this program ever be missing. What the figures of the
manifest mean, and that they still hold after a restore, is the commands' business.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from plant.errors import PlantError

FORMAT: Final = "stackwatch-backup/1"
MANIFEST: Final = "manifest.json"
DUMP: Final = "database.dump"
KEYS: Final = "keys/"
BLOCK: Final = 1 << 20
_MAX_MANIFEST: Final = 1 << 30


class BadArchive(PlantError):
    """The file is no backup, or not the one that was written. Nothing was restored; take another one."""


@dataclass(frozen=True, slots=True)
class Member:
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the database said of itself in the snapshot that was dumped."""

    made_at: str
    stackwatch: str
    postgresql: str
    postgresql_major: int
    pg_dump: int  #: major version of the program that wrote the dump
    timescaledb: str | None
    migrations: tuple[str, ...]
    counts: Mapping[str, int]  #: rows by table
    chains: Mapping[str, str]  #: by case: the hash of its newest record, or what is wrong with its history
    books: Mapping[str, int]  #: sums over all lines
    members: Mapping[str, Member] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"


class Writer:
    """Members go in one after the other; `finish` writes the manifest. Use through `written`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.members: dict[str, Member] = {}

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """A function that appends to the member *name*."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as file:

            def append(block: bytes) -> None:
                nonlocal size
                digest.update(block)
                size += len(block)
                file.write(block)

            yield append
        self.members[name] = Member(size, digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        self._archive.writestr(MANIFEST, manifest.text())


@contextmanager
def written(path: Path) -> Iterator[Writer]:
    """A new archive at *path*, which appears there whole, durable and readable by its owner only, or not at all.

    Raises
    ------
    FileExistsError
        If there is a file already: a backup is never overwritten.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, this overwrites nothing
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def check(path: Path) -> Manifest:
    """The manifest of the archive at *path*, every byte of which was read and found to be what was written.

    Raises
    ------
    BadArchive
        If anything is missing, added or changed.
    """
    with _opened(path) as archive:
        manifest = _manifest(path, archive)
        names = set(archive.namelist()) - {MANIFEST}
        if names != set(manifest.members) or DUMP not in names:
            raise BadArchive(f"{path} holds other files than its manifest names")
        for name, member in manifest.members.items():
            digest, size = hashlib.sha256(), 0
            with archive.open(name) as file:
                while block := file.read(BLOCK):
                    digest.update(block)
                    size += len(block)
            if (size, digest.hexdigest()) != (member.bytes, member.sha256):
                raise BadArchive(f"{path}: {name} is not what was backed up (its SHA-256 is another)")
    return manifest


@contextmanager
def dump_of(path: Path) -> Iterator[IO[bytes]]:
    """The dump, to be read from its beginning."""
    with _opened(path) as archive, archive.open(DUMP) as file:
        yield file


def keys_of(path: Path, manifest: Manifest) -> dict[str, bytes]:
    """The files of the data folder's `keys/`, by name."""
    with _opened(path) as archive:
        return {name.removeprefix(KEYS): archive.read(name) for name in manifest.members if name.startswith(KEYS)}


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise BadArchive(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, KeyError) as error:
        raise BadArchive(f"{path} is damaged, or no backup of stackwatch: {error}") from error


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    if MANIFEST not in archive.namelist() or archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
        raise BadArchive(f"{path} is no backup of stackwatch, or was not finished: it has no manifest")
    document: dict[str, Any] = json.loads(archive.read(MANIFEST))
    if document.pop("format", None) != FORMAT:
        raise BadArchive(f"{path} is of another format than {FORMAT}: use the stackwatch that wrote it, or a newer one")
    try:
        members = {_safe(name): Member(**member) for name, member in document.pop("members").items()}
        return Manifest(**{**document, "migrations": tuple(document["migrations"]), "members": members})
    except (TypeError, KeyError, AttributeError) as error:
        raise BadArchive(f"{path}: its manifest cannot be read: {error}") from error


def _safe(name: str) -> str:
    """*name*, if it leads nowhere else: keys are written under it."""
    if name != DUMP and (not name.startswith(KEYS) or "/" in name[len(KEYS) :] or name[len(KEYS) :] in ("", ".", "..")):
        raise BadArchive(f"the manifest names a file that no backup has: {name!r}")
    return name


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
