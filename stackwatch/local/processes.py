"""Children that die with us and end in time; processes of an earlier run, known by pid *and* start time.

What a child is for, and when it is started again, is left to the services and the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Final

from plant.errors import PlantError
from stackwatch.local import launch, logfiles
from stackwatch.local.owner import Owner

logger = logging.getLogger(__name__)

POLL_S: Final = 0.05  # waiting by polling is portable, and no cancellation can lose a child between two awaits
KILLED_WITHIN_S: Final = 10.0  # a killed process that is still there after this hangs in the kernel

Steps = Sequence[tuple[Signals, float]]  #: signals to end a process with, each with the seconds it is given


class StartFailed(PlantError):
    """A program of the embedded stack did not start. Show the text: it ends with the program's last words."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be mistaken for a later one that was given the same pid."""

    pid: int
    started: str

    def alive(self) -> bool:
        return started(self.pid) == self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run as our child."""

    name: str
    argv: Sequence[str]
    log: Path
    cwd: Path
    environ: Mapping[str, str]
    owner: Owner | None = None  #: the unprivileged user it runs as; None: ours
    death_signal: Signals = signal.SIGKILL  #: what the kernel sends it when we are gone
    steps: Steps = field(default=((signal.SIGTERM, 8.0),))


class Child:
    """A running child. `spawn` never awaits, so at no instant is there a child that nobody holds."""

    def __init__(self, command: Command, popen: subprocess.Popen[bytes]) -> None:
        self.command = command
        self._popen = popen
        self.identity = Identity(popen.pid, started(popen.pid) or "gone")

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    async def exited(self) -> int:
        """Wait for its end; negative: the signal that ended it."""
        while (code := self._popen.poll()) is None:  # noqa: ASYNC110 - a process sets no event of ours
            await asyncio.sleep(POLL_S)
        return code

    def kill(self) -> None:
        """End it this instant, as a crash would."""
        self._popen.kill()

    async def stop(self) -> None:
        """End it: politely, then with SIGKILL to its whole process group."""
        if self.exit_code is None:
            await _end(self.identity.pid, lambda: self.exit_code is not None, self.command.steps)


def spawn(command: Command) -> Child:
    owner = command.owner
    argv = [
        sys.executable,
        *("-I", "-S", launch.__file__),
        *(str(os.getpid()), str(int(command.death_signal))),
        *((str(owner.uid), str(owner.gid)) if owner else ("-", "-")),
        *command.argv,
    ]
    with logfiles.opened(command.log) as log:
        try:
            popen = subprocess.Popen(
                argv,
                cwd=command.cwd,
                env=dict(command.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise StartFailed(f"{command.name} cannot be started: {error}") from error
    child = Child(command, popen)
    logger.info("process_started", extra={"program": command.name, "pid": popen.pid})
    return child


async def run(command: Command, *, deadline_s: float) -> None:
    """Run a program to its end; `StartFailed` with its last words unless it succeeds in time."""
    child = spawn(command)
    try:
        async with asyncio.timeout(deadline_s):
            code = await child.exited()
    except TimeoutError:
        raise StartFailed(f"{command.name} is not done after {deadline_s:g} s{last_words(command)}") from None
    finally:
        await child.stop()
    if code != 0:
        raise StartFailed(f"{command.name} failed ({code}){last_words(command)}")


def last_words(command: Command) -> str:
    """The end of a program's log, as the tail of an error message."""
    lines = logfiles.tail(command.log)
    return "".join(f"\n  {line}" for line in [f"end of {command.log}:", *lines]) if lines else ""


async def end_left_behind(identity: Identity, steps: Steps) -> bool:
    """End a process of an earlier run, if it is still the same one; whether there was anything to end."""
    if not identity.alive():
        return False
    await _end(identity.pid, lambda: not identity.alive(), steps)
    return True


async def _end(pid: int, gone: Callable[[], bool], steps: Steps) -> None:
    for number, grace_s in steps:
        if gone():
            return
        _send(os.kill, pid, number)
        if await _within(gone, grace_s):
            return
    _send(_kill_group, pid, signal.SIGKILL)
    if not await _within(gone, KILLED_WITHIN_S):
        logger.error("process_survived_kill", extra={"pid": pid})


def _kill_group(pid: int, number: Signals) -> None:
    os.kill(pid, number)
    if os.getpgid(pid) == pid:  # its group is its own: what it started goes too
        os.killpg(pid, number)


def _send(how: Callable[[int, Signals], None], pid: int, number: Signals) -> None:
    try:
        how(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise StartFailed(f"process {pid} of an earlier run belongs to another user: {error}") from error


async def _within(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Whether *condition* comes true in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s
    while not condition():
        if loop.time() >= until:
            return False
        await asyncio.sleep(POLL_S)
    return True


# What the operating system says about processes that are not our children.


def started(pid: int) -> str | None:
    """When process *pid* began, as text to compare; None if there is none (a zombie has ended)."""
    if sys.platform != "linux":
        return _started_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    if state in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[18]}"


def _started_by_ps(pid: int) -> str | None:
    said = _ps("-o", "stat=,lstart=", "-p", str(pid)).split(maxsplit=1)
    return said[1].strip() if len(said) == 2 and not said[0].startswith("Z") else None


def with_argument(argument: Path) -> list[Identity]:
    """Processes that have *argument* on their command line as a word of its own."""
    wanted = str(argument)
    if sys.platform == "linux":
        pids = [pid for pid in _pids() if wanted in _read(f"/proc/{pid}/cmdline").split("\0")]
    else:
        lines = (line.split() for line in _ps("-axww", "-o", "pid=,command=").splitlines())
        pids = [int(words[0]) for words in lines if wanted in words[1:]]
    return _identified(pids)


def working_in(folder: Path) -> list[Identity]:
    """Processes that work in *folder*: a database's backends rename themselves, but stay there."""
    if sys.platform != "linux":
        return []
    wanted = str(folder)
    return _identified([pid for pid in _pids() if _cwd(pid) == wanted])


def _identified(pids: Sequence[int]) -> list[Identity]:
    return [Identity(pid, at) for pid in pids if pid != os.getpid() and (at := started(pid)) is not None]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # it ended, or is not ours to look at
        return ""


def _cwd(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _ps(*arguments: str) -> str:
    # LC_ALL: the form of a date must not depend on who asks
    environ = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False, env=environ).stdout
