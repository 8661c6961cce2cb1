"""What each process of a chaos run does beside its work, as Python imports it at its start: at SIGUSR2 it says in its
log where each of its threads and tasks stands.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import select
import signal
import sys
import time
from typing import Any, cast


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


def _tell_tasks(*_: object) -> None:
    """Where each task waits; only while the event loop lives, which the threads tell too when it does not."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        return
    for task in sorted(tasks, key=lambda task: task.get_name()):
        sys.stderr.write(f"Task {task.get_name()}:\n{''.join(_places(task.get_coro()))}")
    sys.stderr.flush()


def _places(waiting: Any) -> list[str]:
    found = []
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            found.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}\n')
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return found


if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    # libfaketime 0.9.10 refuses a sleep until an instant of the monotonic clock, which is how Python sleeps.
    cast(Any, time).sleep = _sleep
signal.signal(signal.SIGUSR2, _tell_tasks)
faulthandler.register(signal.SIGUSR2, chain=True)
