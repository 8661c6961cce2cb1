"""What processes take: processor time and memory of a program with all its children, read from /proc (Linux)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _USED = 1, slice(11, 15)  # in /proc/PID/stat behind the name: ppid; utime, stime, cutime, cstime


def family(pid: int) -> list[int]:
    """*pid* and everything that descends from it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, ())
    return found


def cpu_s(pid: int) -> float:
    """Processor time of *pid* and its children, those included that ended and were waited for. [s]"""
    used = [_stat(member) for member in family(pid)]
    return sum(int(ticks) for fields in used if fields is not None for ticks in fields[_USED]) / _TICKS_PER_S


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_s(pid) for name, pid in pids.items()}


def rss_mb(pid: int) -> float:
    """Memory that *pid* and its children hold now. [MB]"""
    return sum(_status_kb(member, "VmRSS") for member in family(pid)) / 1024


def peak_rss_mb(pid: int) -> float:
    """The most that *pid* and its children ever held, each at its own worst time. [MB]"""
    return sum(_status_kb(member, "VmHWM") for member in family(pid)) / 1024


def parent_of(pid: int) -> int:
    fields = _stat(pid)
    if fields is None:
        raise ProcessLookupError(pid)
    return int(fields[_PARENT])


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal all of *pids* that are still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(") ")[2].split()


def _status_kb(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)
