"""What is written down while a run goes on, for the day on which it fails: kept with the logs, else forgotten.

When our own event loop was held up, as everything is on a machine that is too busy; and, of a system that takes long
to come to rest, where each of its threads, tasks and statements stands.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg

from chaos.actors import Actor
from plant.errors import Unavailable
from store.pool import connect

HELD_UP_S: Final = 1.0
_STEP_S: Final = 0.2
_FRAMES: Final = 8
_ACTIVITY: Final = """
SELECT pid, application_name, state, now() - xact_start AS transaction, now() - state_change AS unchanged,
       wait_event_type, wait_event, pg_blocking_pids(pid) AS behind, left(regexp_replace(query, '\\s+', ' ', 'g'), 160)
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY application_name, pid
"""


@asynccontextmanager
async def held_up(log: Path) -> AsyncIterator[list[float]]:
    """Note in *log* whenever this event loop does not run for a second or more, and where it stood. How long [s]."""
    found: list[float] = []
    seen = [time.monotonic()]
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(log, seen, ended, threading.get_ident(), found), name="loop watch")
    watcher.start()
    task = asyncio.create_task(_live(seen), name="loop watch")
    try:
        yield found
    finally:
        task.cancel()
        ended.set()
        watcher.join()


async def _live(seen: list[float]) -> None:
    while True:
        seen[0] = time.monotonic()
        await asyncio.sleep(_STEP_S)


def _watch(log: Path, seen: list[float], ended: threading.Event, thread: int, found: list[float]) -> None:
    while not ended.wait(_STEP_S):
        since = seen[0]
        if time.monotonic() - since < HELD_UP_S:
            continue
        frame = sys._current_frames().get(thread)
        note(log, ["the loop of the test does not run:", *(traceback.format_stack(frame)[-_FRAMES:] if frame else ())])
        while seen[0] == since and not ended.wait(_STEP_S):
            pass
        found.append(time.monotonic() - since)
        note(log, [f"it stood still for {found[-1]:.1f} s, with a load of {os.getloadavg()[0]:.0f}"])


def note(log: Path, lines: Iterable[str]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC):%H:%M:%S.%f} " + "\n".join(line.rstrip() for line in lines) + "\n")


async def note_where_all_stand(log: Path, actors: Iterable[Actor], database_url: str, why: str) -> None:
    """Our processes tell it in their own logs; what the database does for them stands in *log*."""
    for actor in actors:
        actor.tell_where_it_stands()
    lines = [f"{why}; load {os.getloadavg()[0]:.0f}"]
    with suppress(Unavailable, psycopg.OperationalError):
        async with await connect(database_url, name="chaos") as conn:
            found = await (await conn.execute(_ACTIVITY.encode())).fetchall()
            lines += [" | ".join(map(str, row)) for row in found]
    note(log, lines)
