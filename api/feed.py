"""The live feed: one connection follows the numbered events, every reader has a bounded queue of its own.

    alert_event -> follow (LISTEN wakes, polling guarantees) -> publish, never waiting -> readers' queues

A reader that does not keep up is cut off, and comes back with the number of the last event it got: the
database answers for what it missed. Numbers rise in the order of commit, so "behind that number" is exact.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from plant.errors import Unavailable
from plant.retry import delay_s
from store.alerts import AlertFilter, FeedEvent, feed_after, feed_head
from store.pool import Connection, connect, transaction
from store.scope import Scope

logger = logging.getLogger(__name__)

POLL_S: Final = 1.0
PAGE: Final = 500
QUEUE: Final = 512  #: events a reader may be behind; a burst of a rule stage's transaction fits
READ_DEADLINE_S: Final = 15.0
READY_DEADLINE_S: Final = 10.0
MAX_READERS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, encoded once for all its readers."""

    number: int
    document: Mapping[str, Any]
    block: bytes


def entry_of(event: FeedEvent) -> Entry:
    data = json.dumps({**event.document, "event": event.event}, ensure_ascii=False, separators=(",", ":"))
    return Entry(event.number, event.document, f"event: alert\nid: {event.number}\ndata: {data}\n\n".encode())


def matches(wanted: AlertFilter, scope: Scope, document: Mapping[str, Any]) -> bool:
    """Whether a reader of *scope* who asked for *wanted* gets this alert: what the list's SQL says, in Python."""
    period = datetime.fromisoformat(document["period_start"]) if wanted.start or wanted.end else None
    return (
        scope.holds(document["site"], document["region"])
        and (not wanted.states or document["state"] in wanted.states)
        and (not wanted.severities or document["severity"] in wanted.severities)
        and (not wanted.rules or document["rule"] in wanted.rules)
        and (not wanted.sites or document["site"] in wanted.sites)
        and (not wanted.regions or document["region"] in wanted.regions)
        and (period is None or wanted.start is None or period >= wanted.start)
        and (period is None or wanted.end is None or period < wanted.end)
        and (wanted.suppressed is None or wanted.suppressed == _is_suppressed(wanted, document))
    )


def _is_suppressed(wanted: AlertFilter, document: Mapping[str, Any]) -> bool:
    # An event of before there was suppression does not have the names.
    by_plant = wanted.by_plant and document.get("plant_silence") is not None
    return by_plant or document.get("suppressed_by") is not None


class Reader:
    """The events behind `start`, as they come, until it is cut off or the feed closes."""

    def __init__(self, start: int, size: int) -> None:
        self.start = start
        self.ended = False
        self._size = size
        self._entries: deque[Entry] = deque()
        self._wake = asyncio.Event()

    def offer(self, entry: Entry) -> bool:
        """Whether there was room; if not, the reader has ended."""
        if len(self._entries) >= self._size:
            self.end()
            return False
        self._entries.append(entry)
        self._wake.set()
        return True

    def end(self) -> None:
        self.ended = True
        self._entries.clear()
        self._wake.set()

    async def take(self, timeout_s: float) -> Entry | None:
        """The next entry; None after *timeout_s* without one, or once the reader has ended."""
        if not self._entries and not self.ended:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
        return self._entries.popleft() if self._entries else None


class Feed:
    def __init__(
        self, database_url: str, *, queue: int = QUEUE, poll_s: float = POLL_S, rng: Random | None = None
    ) -> None:
        self._database_url = database_url
        self._queue = queue
        self._poll_s = poll_s
        self._rng = rng or Random()
        self._readers: set[Reader] = set()
        self._position: int | None = None
        self._ready = asyncio.Event()
        self._closed = False
        self.cut_off = 0  #: readers that did not keep up, since the start

    @property
    def readers(self) -> int:
        return len(self._readers)

    @property
    def position(self) -> int:
        """The number of the last event given to the readers; 0 before the first connection."""
        return self._position or 0

    async def run(self) -> None:
        """Follow the feed until cancelled, through every absence of the database."""
        attempt = 0
        while True:
            try:
                async with await connect(self._database_url, name="feed", autocommit=True) as conn:
                    await conn.execute("LISTEN feed")
                    await self._find_position(conn)
                    attempt = 0
                    await self._follow(conn)
            except (Unavailable, psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
                logger.warning("feed_interrupted", extra={"error": str(error), "attempt": attempt})
                await asyncio.sleep(delay_s(attempt, self._rng, ceiling_s=5.0))
                attempt += 1

    async def _find_position(self, conn: Connection) -> None:
        if self._position is None:
            async with asyncio.timeout(READ_DEADLINE_S):
                self._position = await feed_head(conn)
            self._ready.set()

    async def _follow(self, conn: Connection) -> None:
        while True:
            async with asyncio.timeout(READ_DEADLINE_S):
                events = await feed_after(conn, self.position, limit=PAGE)
            self._publish([entry_of(event) for event in events])
            if len(events) < PAGE:
                async for _ in conn.notifies(timeout=self._poll_s, stop_after=1):
                    pass
            else:
                await asyncio.sleep(0)  # a long way to catch up must not starve the readers

    def _publish(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for reader in [reader for reader in self._readers if not reader.offer(entry)]:
                self._readers.discard(reader)
                self.cut_off += 1
                logger.warning("feed_reader_cut_off", extra={"number": entry.number, "readers": len(self._readers)})
            self._position = entry.number

    def close(self) -> None:
        """End every reader, and every one that comes."""
        self._closed = True
        for reader in self._readers:
            reader.end()
        self._readers.clear()

    async def ready(self) -> None:
        """Wait until the feed knows where it stands; `Unavailable` where the database keeps it waiting."""
        try:
            async with asyncio.timeout(READY_DEADLINE_S):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable("the feed has not reached the database") from None
        if len(self._readers) >= MAX_READERS:
            raise Unavailable(f"the feed has its {MAX_READERS} readers")

    def _subscribe(self) -> Reader:
        reader = Reader(self.position, self._queue)
        if self._closed:
            reader.end()
        else:
            self._readers.add(reader)
        return reader

    async def follow(
        self,
        pool: AsyncConnectionPool[Connection],
        wanted: Callable[[Mapping[str, Any]], bool],
        after: int | None,
        *,
        quiet_s: float,
    ) -> AsyncGenerator[Entry | None, None]:
        """Entries behind the number *after* (None: from now on), each once; None after every *quiet_s* without one.

        What was before the subscription comes from the database, page by page, on a connection that is given back
        before an entry is passed on; what comes after it from the queue.
        """
        sent = after
        if sent is not None:
            sent = await self._known(pool, sent)
            while page := await self._read(pool, sent):
                for entry in page:
                    if wanted(entry.document):
                        yield entry
                sent = page[-1].number
                yield None  # a page without a single entry for this reader must not look like a dead line
        reader = self._subscribe()
        try:
            if sent is None:
                sent = reader.start
            while sent < reader.start and not reader.ended and (page := await self._read(pool, sent)):
                for entry in page:
                    if wanted(entry.document):
                        yield entry
                sent = page[-1].number
            while not reader.ended:
                entry_or_quiet = await reader.take(quiet_s)
                if entry_or_quiet is None:
                    yield None
                elif entry_or_quiet.number > sent:
                    sent = entry_or_quiet.number
                    if wanted(entry_or_quiet.document):
                        yield entry_or_quiet
        finally:
            self._readers.discard(reader)

    async def _known(self, pool: AsyncConnectionPool[Connection], number: int) -> int:
        """*number*, or the last one given where it is beyond: the number of another database, or of a lost one."""
        async with transaction(pool) as conn:
            return min(number, await feed_head(conn))

    async def _read(self, pool: AsyncConnectionPool[Connection], number: int) -> list[Entry]:
        async with transaction(pool) as conn:
            return [entry_of(event) for event in await feed_after(conn, number, limit=PAGE)]
