"""The leader among the rule stages: the clock, the questions about what has ended, and chores at each tick.

Who holds the advisory lock leads; it is free again when its connection is gone, or was not used for a lease. Two that
both think they lead for a moment do no harm: a tick never goes back, and asking twice asks once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString

import psycopg
from psycopg_pool import AsyncConnectionPool

from alerts import deadman, outside
from alerts.edges import keep_books, watch_edges
from alerts.pausing import pause
from alerts.suppressing import follow_silences
from alerts.work import ended_after_s
from plant.errors import Unavailable
from plant.packs import all_packs
from plant.retry import delay_s
from plant.settings import Settings
from store import aside, clock, coverage, outgoing, queue, retention
from store.pool import Connection, connect, transaction

logger = logging.getLogger(__name__)

LEADER_LOCK: Final = 7_274_004
_AWAY: Final = (Unavailable, psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout)
# A leader that stands still, or whose machine is gone, says no goodbye: the database ends its session for it.
_LAPSE: Final[LiteralString] = """
SELECT set_config(name, %s, false)
FROM unnest(ARRAY['idle_session_timeout', 'idle_in_transaction_session_timeout']) AS name
"""
RETENTION_POLL_S: Final = 600.0  #: how soon after its day is over a run begins
CHORE_S: Final = 60.0  #: what one transaction of a chore may take

MESSAGES_KEPT_S: Final = 400 * 86_400.0  #: what people were told, for a year and a month
MESSAGES_AT_ONCE: Final = 1_000

Chore = Callable[[Connection, datetime], Awaitable[bool]]
"""Some work as of a tick, in one transaction; whether there is more of it."""


async def _fold_books(conn: Connection, now: datetime) -> bool:
    return await keep_books(conn, now=now)


async def _watch_edges(conn: Connection, now: datetime) -> bool:
    await watch_edges(conn, now=now)
    return False


async def _note_missing(conn: Connection, now: datetime) -> bool:
    return bool(await coverage.note_missing(conn, now=now))


async def _follow_silences(conn: Connection, now: datetime) -> bool:
    await follow_silences(conn, now=now)
    return False


async def _let_messages_go(conn: Connection, now: datetime) -> bool:
    return await outgoing.let_go(conn, kept_s=MESSAGES_KEPT_S, limit=MESSAGES_AT_ONCE) == MESSAGES_AT_ONCE


CHORES: Final[dict[str, Chore]] = {
    "books": _fold_books,
    "edges": _watch_edges,
    "missing": _note_missing,
    "silences": _follow_silences,
    "messages": _let_messages_go,
}
"""What the leader does at each tick, beside the clock and never in its way. One that fails stops no other."""


@dataclass(slots=True)
class Leader:
    """One candidate. `wall_clock` is what it commits as ticks while it leads."""

    settings: Settings
    pool: AsyncConnectionPool[Connection]
    wall_clock: Callable[[], datetime]
    leads: asyncio.Event = field(default_factory=asyncio.Event)
    failed: dict[str, str] = field(default_factory=dict)  #: why a chore failed the last time it was done
    _packs_asked: bool = False  #: a pack's version changes with the program, so once is enough

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_clock(), name="clock")
            tasks.create_task(self._repeat(self._ask, self.settings.tick_s), name="ask")
            tasks.create_task(self._repeat(self._ask_for_packs, self.settings.tick_s), name="packs")
            tasks.create_task(self._repeat(self._do_chores, self.settings.tick_s), name="chores")
            tasks.create_task(self._repeat(self._let_go, RETENTION_POLL_S), name="retention")
            if self.settings.heartbeat_url:
                report = outside.reporter(self.pool, self.settings.heartbeat_url)
                tasks.create_task(self._repeat(report, outside.EVERY_S), name="heartbeat")

    async def _keep_clock(self) -> None:
        """Be the leader if there is none, and commit a tick at regular times."""
        rng, attempt = random.Random(), 0
        while True:
            try:
                async with await connect(self.settings.database_url, name="leader", autocommit=True) as conn:
                    attempt = 0
                    await self._lead(conn)
            except _AWAY as error:
                logger.warning("leader_lost_database", extra={"reason": str(error)})
                await pause(delay_s(attempt, rng, ceiling_s=5.0))
                attempt += 1
            finally:
                self.leads.clear()

    async def _lead(self, conn: Connection) -> None:
        lapses_s = self.settings.tick_s + self.settings.stage_lease_s
        await conn.execute(_LAPSE, [str(round(lapses_s * 1000))])
        while not await _is_free(conn):
            await pause(self.settings.tick_s)
        logger.info("leader_elected", extra={"stage": self.settings.stage_id})
        async with conn.transaction():
            await deadman.note(conn, silent_s=self.settings.stage_silent_s)
            await aside.try_all_again(conn)
        self.leads.set()
        while True:
            async with conn.transaction():
                at = await clock.put_tick(conn, self.wall_clock(), self.settings.stage_id)
                await deadman.resolve(conn, at)
            await pause(self.settings.tick_s)

    async def _repeat(self, work: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Do *work* at regular times while leading."""
        while True:
            await self.leads.wait()
            try:
                await work()
            except (Unavailable, psycopg.OperationalError) as error:
                logger.warning("leading_interrupted", extra={"work": work.__name__, "reason": str(error)})
            await pause(every_s)

    async def _ask(self) -> None:
        """Ask for what the clocks have ended, in portions: the first are judged while the others are asked for."""
        while await self._ask_some():
            pass

    async def _ask_for_packs(self) -> None:
        """Ask once for what stands under another version of a pack: years of verdicts are read, and nobody waits."""
        if self._packs_asked:
            return
        versions = {name: pack.version for name, pack in all_packs().items()}
        async with transaction(self.pool) as conn:
            if await queue.ask_for_other_packs(conn, versions):
                await queue.wake(conn)
        self._packs_asked = True

    async def _ask_some(self) -> int:
        async with transaction(self.pool) as conn:
            asked = await queue.ask_for_ended(conn, ended_after_s(), most=queue.PORTION)
            if asked:
                await queue.wake(conn)
            return asked

    async def _do_chores(self) -> None:
        for name, chore in CHORES.items():
            with self._named_if_failed(name):
                while await self._do_some(chore):
                    pass

    @contextmanager
    def _named_if_failed(self, chore: str) -> Iterator[None]:
        """A chore that fails stops nothing else, and says so until it is done again."""
        try:
            yield
            self.failed.pop(chore, None)
        except (Unavailable, psycopg.OperationalError) as error:
            logger.warning("chore_interrupted", extra={"chore": chore, "reason": str(error)})
        except Exception as error:
            logger.exception("chore_failed", extra={"chore": chore})
            self.failed[chore] = f"{type(error).__name__}: {error}"[:200]

    async def _do_some(self, chore: Chore) -> bool:
        async with asyncio.timeout(CHORE_S), transaction(self.pool) as conn:
            now = await clock.newest_tick(conn)
            return now is not None and await chore(conn, now)

    async def _let_go(self) -> None:
        """Let go once a day of what need not be kept any longer."""
        async with await connect(self.settings.database_url, name="retention", autocommit=True) as conn:
            if await retention.due(conn):
                with self._named_if_failed("retention"):
                    gone = await retention.let_go(conn)
                    logger.info("retention_done", extra={"chunks": gone.chunks, "rows": gone.rows, "busy": gone.busy})


async def _is_free(conn: Connection) -> bool:
    """Whether the lead was free; now it is ours."""
    row = await (await conn.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK])).fetchone()
    return row is not None and bool(row[0])
