from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackwatch.local.processes import (
    Command,
    Identity,
    StartFailed,
    end_left_behind,
    run,
    spawn,
    started,
    with_argument,
    working_in,
)

_SLEEP = "import time; print('up', flush=True); time.sleep(600)"
_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
_AT_ONCE = ((signal.SIGTERM, 5.0),)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no child of the code under test."""
    argv = [sys.executable, "-c", _SLEEP, str(tmp_path / "config")]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is wholly there
        yield process
        process.kill()


def command(tmp_path: Path, program: str) -> Command:
    return Command(
        name="sample",
        argv=[sys.executable, "-c", program],
        log=tmp_path / "sample.log",
        cwd=tmp_path,
        environ={"LC_ALL": "C"},
        steps=((signal.SIGTERM, 0.3),),
    )


def identity(process: subprocess.Popen[bytes]) -> Identity:
    return Identity(process.pid, started(process.pid) or "")


def test_a_process_that_has_ended_has_no_start() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert started(process.pid) is None


def test_a_zombie_counts_as_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.read()  # its end
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not reaped
        assert started(process.pid) is None


@pytest.mark.anyio
async def test_a_process_left_behind_is_ended(stranger: subprocess.Popen[bytes]) -> None:
    left = identity(stranger)
    assert await end_left_behind(left, _AT_ONCE)
    assert not left.alive()
    assert not await end_left_behind(left, _AT_ONCE)


@pytest.mark.anyio
async def test_a_recycled_pid_is_never_killed(stranger: subprocess.Popen[bytes]) -> None:
    assert not await end_left_behind(Identity(stranger.pid, "an earlier start"), _AT_ONCE)
    assert stranger.poll() is None


def test_processes_are_found_by_a_whole_argument_and_by_where_they_work(
    stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert with_argument(tmp_path / "config") == [identity(stranger)]
    assert with_argument(tmp_path / "conf") == []
    assert working_in(tmp_path) == [identity(stranger)]
    assert working_in(tmp_path.parent) == []


@pytest.mark.anyio
async def test_a_child_runs_in_a_group_of_its_own_and_writes_to_its_log(tmp_path: Path) -> None:
    child = spawn(command(tmp_path, "import os; print(os.getpgrp() == os.getpid(), os.umask(0))"))
    assert await child.exited() == 0
    assert (tmp_path / "sample.log").read_text() == f"True {0o077}\n"


@pytest.mark.anyio
async def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    child = spawn(command(tmp_path, _STUBBORN))
    while (tmp_path / "sample.log").read_text() != "up\n":
        assert child.exit_code is None
    await child.stop()
    assert child.exit_code == -signal.SIGKILL


@pytest.mark.anyio
async def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"(?s)sample failed \(3\).*no room left"):
        await run(command(tmp_path, "print('no room left'); raise SystemExit(3)"), deadline_s=20)


@pytest.mark.anyio
async def test_a_program_that_hangs_is_ended_at_its_deadline(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="not done after 1 s"):
        await run(command(tmp_path, _SLEEP), deadline_s=1)
    assert working_in(tmp_path) == []


@pytest.mark.anyio
async def test_a_program_that_is_not_there_fails_with_its_name(tmp_path: Path) -> None:
    missing = Command(name="sample", argv=["/none"], log=tmp_path / "l", cwd=tmp_path, environ={"LC_ALL": "C"})
    with pytest.raises(StartFailed, match=r"(?s)sample failed.*No such file"):
        await run(missing, deadline_s=20)
