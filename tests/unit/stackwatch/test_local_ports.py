from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackwatch.local.ports import LOOPBACK, NoPort, Ports, is_free


@pytest.fixture(autouse=True)
def _own_lock_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@contextmanager
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with listener() as port:
        assert not is_free(port)
    assert is_free(port)


def test_the_next_free_port_is_taken_where_the_wished_one_is_in_use() -> None:
    with listener() as port, Ports() as ports:
        assert ports.take(port) > port


def test_the_port_of_the_last_run_comes_first() -> None:
    with listener() as usual, listener() as last:
        pass
    with Ports() as ports:
        assert ports.take(last, usual) == last
        assert ports.take(None, usual) == usual


def test_two_stacks_never_choose_the_same_port() -> None:
    with listener() as port:
        pass
    with Ports() as one, Ports() as other:
        assert one.take(port) != other.take(port)


def test_a_stack_never_chooses_a_port_twice() -> None:
    with listener() as port:
        pass
    with Ports() as ports:
        assert ports.take(port) != ports.take(port)


def test_a_port_is_free_for_others_afterwards() -> None:
    with listener() as port:
        pass
    for _ in range(2):
        with Ports() as ports:
            assert ports.exactly(port) == port


def test_a_port_asked_for_by_number_is_that_one_or_none() -> None:
    with listener() as port, Ports() as ports, pytest.raises(NoPort, match=f"port {port} is in use"):
        ports.exactly(port)
