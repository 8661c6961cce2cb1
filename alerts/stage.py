"""The rule stage: works off the queue of hours, keeps the clock where nobody else does, numbers the feed.

    shards ──▶ gather ──▶ judge, several at a time ──▶ sequencer ──▶ feed
    leader: clock, questions about what has ended, chores

Every task is a loop over wake-ups; nothing is remembered that the database does not say again. Several stages share
the stacks by leases (`alerts.shards`), and one of them leads (`alerts.leading`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from psycopg_pool import AsyncConnectionPool

from alerts.leading import Leader
from alerts.pausing import end_if_cancelled, pause
from alerts.shards import share_of
from alerts.work import Work
from plant.errors import Unavailable
from plant.retry import delay_s
from plant.settings import Settings
from store import findings, shards
from store.heartbeat import beat
from store.notify import wake_ups
from store.pool import Connection, transaction
from store.queue import SHARDS

logger = logging.getLogger(__name__)

BEAT_S: Final = 2.0
POLL_S: Final = 1.0
ANEW_S: Final = 10.0  #: how often all that is asked is read, and not only what is new
BUSY_S: Final = 0.01  #: between two looks at the queue while there is work anyway: every commit of rows wakes it
LEAVE_S: Final = 2.0
EVENTS_AT_ONCE: Final = 5_000


def _wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Stage:
    """One rule stage. `wall_clock` is read by the leader alone, to commit it as a tick."""

    settings: Settings
    pool: AsyncConnectionPool[Connection]
    wall_clock: Callable[[], datetime] = _wall_clock
    owner: str = field(default_factory=lambda: secrets.token_hex(4))  #: tells two stages of one name apart
    work: Work = field(init=False)
    leader: Leader = field(init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _anew: bool = True
    _anew_at: float = 0.0

    def __post_init__(self) -> None:
        self.owner = f"{self.settings.stage_id}/{self.owner}"
        self.work = Work(self.pool, self.settings.claim_hours)
        self.leader = Leader(self.settings, self.pool, self.wall_clock)

    async def run(self) -> None:
        """Until cancelled."""
        self.work.shards = frozenset()  # until a lease says more
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.leader.run(), name="leader")
                tasks.create_task(self._keep_shards(), name="shards")
                tasks.create_task(self._loop(("rejudge", "register"), POLL_S, self._gather), name="gather")
                for number in range(self.settings.stage_workers):
                    tasks.create_task(self._keep_judging(), name=f"judge {number + 1}")
                tasks.create_task(self._loop(("event",), POLL_S, self._number_all), name="sequencer")
                tasks.create_task(self._beat(), name="beat")
        finally:
            await self._leave()

    async def judge_some(self) -> int:
        """Gather and judge until something is answered; how many questions were. 0: nothing can be judged now."""
        if not len(self.work.agenda):
            await self.work.gather(anew=True)
        while (answered := await self.work.judge_next()) is not None:
            if answered:
                return answered
        return 0

    async def number_some(self) -> int:
        """Give feed numbers to committed events; how many."""
        async with transaction(self.pool) as conn:
            return await findings.number_events(conn, EVENTS_AT_ONCE)

    async def _loop(self, channels: tuple[str, ...], poll_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Call *work* whenever there may be something for it."""
        async with wake_ups(self.settings.database_url, *channels, poll_s=poll_s) as woken:
            retry = _Retry()
            async for _ in woken:
                end_if_cancelled()
                try:
                    await work()
                    retry.worked()
                except Unavailable as error:
                    await retry.wait(error)

    async def _number_all(self) -> None:
        while await self.number_some():
            pass

    async def _gather(self) -> None:
        anew = self._anew or time.monotonic() >= self._anew_at
        if anew:
            self._anew, self._anew_at = False, 0.0  # shards that move meanwhile ask for a whole look again
        await self.work.gather(anew=anew)
        if anew:
            self._anew_at = time.monotonic() + ANEW_S
        self._news.set()
        if len(self.work.agenda):
            await pause(BUSY_S)

    async def _keep_judging(self) -> None:
        retry = _Retry()
        while True:
            end_if_cancelled()
            self._news.clear()
            try:
                judged = await self.work.judge_next()
                retry.worked()
            except Unavailable as error:
                await retry.wait(error)
                continue
            if judged is not None:
                self._news.set()
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._news.wait()

    async def _keep_shards(self) -> None:
        """Keep the lease, and with it a fair share of the stacks."""
        retry = _Retry()
        while True:
            try:
                async with asyncio.timeout(self.settings.stage_lease_s), transaction(self.pool) as conn:
                    decide = partial(share_of, self.owner)
                    held = await shards.renew(conn, self.owner, self.settings.stage_lease_s, decide)
                retry.worked()
            except (Unavailable, TimeoutError) as error:
                await retry.wait(error)
                continue
            if held != self.work.shards:
                logger.info("shards_moved", extra={"stage": self.owner, "shards": len(held), "of": SHARDS})
                self.work.shards, self._anew = held, True  # the next look at the queue, within POLL_S, is a whole one
            await pause(self.settings.stage_lease_s / 3)

    async def _leave(self) -> None:
        """Give the stacks back at once; who cannot, is buried when the lease ends."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_S), transaction(self.pool) as conn:
                await shards.leave(conn, self.owner)

    async def _beat(self) -> None:
        while True:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(BEAT_S * 5), transaction(self.pool) as conn:
                    row = await (await conn.execute("SELECT max(at) FROM tick")).fetchone()
                    now = self.wall_clock()
                    age_s = None if row is None or row[0] is None else (now - row[0]).total_seconds()
                    # A wall clock behind the newest tick makes no new one: time stands still then too.
                    fresh = age_s is not None and abs(age_s) < 3 * self.settings.tick_s + BEAT_S
                    await beat(conn, "stage", self.settings.stage_id, ok=fresh, detail=self._detail(age_s))
            await pause(BEAT_S)

    def _detail(self, tick_age_s: float | None) -> dict[str, object]:
        work = self.work
        return {
            "tick_age_s": tick_age_s,
            "leads": self.leader.leads.is_set(),
            "shards": SHARDS if work.shards is None else len(work.shards),
            "waiting": len(work.agenda),
            "stacks_judged": work.stacks_judged,
            "hours_judged": work.hours_judged,
            "glances": work.glances,
            "failed_chores": dict(self.leader.failed),
        }


@dataclass(slots=True)
class _Retry:
    """Waits longer and longer while the database is away."""

    rng: random.Random = field(default_factory=random.Random)
    attempt: int = 0

    def worked(self) -> None:
        self.attempt = 0

    async def wait(self, error: BaseException) -> None:
        logger.warning("database_away", extra={"reason": str(error)})
        await pause(delay_s(self.attempt, self.rng, ceiling_s=5.0))
        self.attempt += 1
