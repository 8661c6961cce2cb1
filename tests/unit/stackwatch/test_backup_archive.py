from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from stackwatch import archive
from stackwatch.archive import BadArchive, Manifest, Member


def a_manifest(members: dict[str, Member]) -> Manifest:
    return Manifest(
        made_at="2026-11-21T03:00:00Z",
        stackwatch="0.1.0",
        postgresql="18.4",
        postgresql_major=18,
        pg_dump=18,
        timescaledb=None,
        migrations=("0001_register.sql",),
        counts={"measurement": 7},
        chains={"case-1": "00ff"},
        books={"stored": 7},
        members=members,
    )


def an_archive(path: Path) -> Manifest:
    with archive.written(path) as writer:
        with writer.member(archive.DUMP) as append:
            append(b"half")
            append(b" and half")
        with writer.member(archive.KEYS + "order.pem") as append:
            append(b"secret")
        manifest = a_manifest(dict(writer.members))
        writer.finish(manifest)
    return manifest


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.backup"
    manifest = an_archive(path)
    assert archive.check(path) == manifest
    assert archive.keys_of(path, manifest) == {"order.pem": b"secret"}
    with archive.dump_of(path) as dump:
        assert dump.read() == b"half and half"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_interrupted_backup_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with archive.written(tmp_path / "one.backup") as writer, writer.member(archive.DUMP) as append:
            append(b"half")
            raise KeyError("the database went away")

    with pytest.raises(KeyError):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_two_backups_to_one_name_leave_the_first(tmp_path: Path) -> None:
    path = tmp_path / "one.backup"
    an_archive(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        an_archive(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["one.backup"]


@pytest.mark.parametrize("name", ["../x", "keys/../x", "keys/", "keys/..", "keys/a/b", "/etc/passwd", "other"])
def test_a_manifest_cannot_name_a_file_outside_of_the_keys(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.backup"
    with zipfile.ZipFile(path, "w") as evil:
        evil.writestr(name, b"x")
        manifest = json.loads(a_manifest({}).text())
        manifest["members"] = {name: {"bytes": 1, "sha256": ""}}
        evil.writestr(archive.MANIFEST, json.dumps(manifest))
    with pytest.raises(BadArchive):
        archive.check(path)


@pytest.mark.parametrize("at", [0.0, 0.2, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_short_is_no_backup(tmp_path: Path, at: float) -> None:
    path = tmp_path / "one.backup"
    an_archive(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * at)])
    with pytest.raises(BadArchive):
        archive.check(path)


def test_no_single_bit_of_the_dump_or_a_key_can_change_unseen(tmp_path: Path) -> None:
    path = tmp_path / "one.backup"
    an_archive(path)
    whole = path.read_bytes()
    for content in (b"half and half", b"secret"):
        start = whole.index(content)
        for place in range(start, start + len(content)):
            changed = bytearray(whole)
            changed[place] ^= 0x10
            path.write_bytes(changed)
            with pytest.raises(BadArchive):
                archive.check(path)
