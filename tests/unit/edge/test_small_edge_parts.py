"""The clock's state and what systemd is told."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from edge import clock
from edge.clock import synchronised
from edge.keeping import write_whole
from edge.systemd import notify


def test_the_kernel_is_asked_whether_the_clock_is_kept() -> None:
    assert synchronised() in (True, False, None)


def test_where_the_kernel_cannot_be_asked_the_time_service_is_and_else_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    monkeypatch.setattr(clock, "_TIMESYNCD", tmp_path / "synchronized")
    assert synchronised() is None
    (tmp_path / "synchronized").touch()
    assert synchronised() is True


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_where_it_listens(monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = f"{folder}/notify"
        manager.bind(f"\0{address}" if abstract else address)
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{address}" if abstract else address)
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/no/such/socket"])
def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


def test_a_memory_is_replaced_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "file", "first")
    write_whole(tmp_path / "new" / "file", "停产")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new" / "file").read_text(encoding="utf-8") == "停产"
