"""The rule stage: works off the queue of hours, keeps the clock, numbers the feed.

    rejudge (queue) ──▶ claim ──▶ judge ──▶ alerts, cases ──▶ COMMIT ──▶ sequencer ──▶ feed

Every task is a loop over wake-ups; what a killed stage had claimed is unlocked by the database and claimed again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from alerts.edges import keep_books
from alerts.enforcement.opening import open_case_for_month
from alerts.judge import Subject, judge_stack
from plant.errors import Unavailable
from plant.packs import all_packs
from plant.periods import instant
from plant.retry import delay_s
from plant.settings import Settings
from store import coverage, findings, judging, retention
from store.heartbeat import beat
from store.notify import wake_ups
from store.pool import Connection, connect, transaction
from store.register import RegisteredSite, load_register

logger = logging.getLogger(__name__)

BEAT_S: Final = 2.0
POLL_S: Final = 1.0
EVENTS_AT_ONCE: Final = 5_000
LEADER_LOCK: Final = 7_274_004
RETENTION_POLL_S: Final = 600.0  # how soon after its day is over a run begins


@dataclass(slots=True)
class Stage:
    """One rule stage. `wall_clock` is read by the leader alone, to commit it as a tick."""

    settings: Settings
    pool: AsyncConnectionPool[Connection]
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _register: dict[int, tuple[RegisteredSite, str]] = field(default_factory=dict)
    _leads: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_clock(), name="clock")
            tasks.create_task(self._keep_retention(), name="retention")
            tasks.create_task(self._keep_books(), name="books")
            tasks.create_task(self._loop(("rejudge", "register"), POLL_S, self.judge_some), name="judge")
            tasks.create_task(self._loop(("event",), POLL_S, self.number_some), name="sequencer")
            tasks.create_task(self._beat(), name="beat")

    async def _loop(self, channels: tuple[str, ...], poll_s: float, work: Callable[[], Awaitable[int]]) -> None:
        """Call *work* until it has nothing to do, whenever there may be something."""
        rng, attempt = random.Random(), 0
        async with wake_ups(self.settings.database_url, *channels, poll_s=poll_s) as woken:
            async for _ in woken:
                try:
                    while await work():
                        pass
                    attempt = 0
                except Unavailable as error:
                    logger.warning("database_away", extra={"reason": str(error)})
                    await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
                    attempt += 1

    async def judge_some(self) -> int:
        """Judge one claim of the queue in one transaction; how many questions were answered."""
        try:
            async with transaction(self.pool) as conn:
                return await self._judge_claim(conn)
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation):
            # Another stage or a person was at the same rows; what we claimed is free again.
            logger.info("judging_repeated")
            return 1

    async def _judge_claim(self, conn: Connection) -> int:
        asked = await judging.claim(conn, self.settings.claim_hours)
        answered = 0
        for question in asked:
            subject, site_id, simulated = await self._subject(conn, question.stack_id)
            await judging.lock_stack(conn, question.stack_id)
            if subject is not None:
                now = await judging.clock(conn, site_id, simulated=simulated)
                if now is None:
                    continue  # before the first tick nothing can be judged; the question stays
                hours = set(question.hours)
                hours -= await retention.frozen(conn, question.stack_id, hours, now=now)
                if simulated:
                    hours |= set(await judging.unfinished_hours(conn, question.stack_id, now))
                done = await judge_stack(conn, subject, sorted(hours), now=now)
                for alert in done.breached_months:
                    await open_case_for_month(conn, alert, now=instant(now))
                logger.info(
                    "hours_judged",
                    extra={
                        "site": subject.site.code,
                        "stack": subject.stack.code,
                        "hours": done.hours,
                        "events": len(done.events),
                    },
                )
            await judging.answered(conn, question.queue_ids)
            answered += len(question.queue_ids)
        return answered

    async def _subject(self, conn: Connection, stack_id: int) -> tuple[Subject | None, int, bool]:
        """The stack as registered now; None where it was withdrawn."""
        found = self._register.get(stack_id)
        stamp = await _stamp(conn)
        if found is None or found[1] != stamp:
            sites = await load_register(conn)
            self._register = {known: (site, stamp) for site in sites.values() for known in site.stack_ids.values()}
            found = self._register.get(stack_id)
        if found is None:
            return None, 0, False
        registered = found[0]
        code = next(code for code, known in registered.stack_ids.items() if known == stack_id)
        stack = next(stack for stack in registered.site.stacks if stack.code == code)
        subject = Subject(site_id=registered.site_id, stack_id=stack_id, site=registered.site, stack=stack)
        return subject, registered.site_id, registered.site.simulated

    async def number_some(self) -> int:
        """Give feed numbers to committed events; how many."""
        async with transaction(self.pool) as conn:
            return await findings.number_events(conn, EVENTS_AT_ONCE)

    async def _keep_clock(self) -> None:
        """Be the leader if there is none: commit a tick at regular times, ask for what it ended."""
        rng, attempt = random.Random(), 0
        while True:
            try:
                async with await connect(self.settings.database_url, name="leader", autocommit=True) as conn:
                    await self._lead(conn)
            except (Unavailable, psycopg.OperationalError) as error:
                self._leads.clear()
                logger.warning("leader_lost_database", extra={"reason": str(error)})
                await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
                attempt += 1

    async def _lead(self, conn: Connection) -> None:
        while True:
            row = await (await conn.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK])).fetchone()
            if row is not None and row[0]:
                break
            await asyncio.sleep(self.settings.tick_s)
        logger.info("leader_elected", extra={"stage": self.settings.stage_id})
        self._leads.set()
        async with conn.transaction():
            versions = {name: pack.version for name, pack in all_packs().items()}
            await judging.ask_for_other_packs(conn, versions)
        while True:
            async with conn.transaction():
                await judging.put_tick(conn, self.wall_clock(), self.settings.stage_id)
                asked = await judging.ask_for_ended(conn, min(p.averaging.ended_after_s for p in all_packs().values()))
                if asked:
                    await conn.execute("SELECT pg_notify('rejudge', '')")
            await asyncio.sleep(self.settings.tick_s)

    async def _keep_retention(self) -> None:
        """While leading, let go once a day of what need not be kept any longer; beside the clock, never in its way."""
        while True:
            await self._leads.wait()
            try:
                async with await connect(self.settings.database_url, name="retention", autocommit=True) as conn:
                    if await retention.due(conn):
                        gone = await retention.let_go(conn)
                        logger.info(
                            "retention_done", extra={"chunks": gone.chunks, "rows": gone.rows, "busy": gone.busy}
                        )
            except (Unavailable, psycopg.OperationalError) as error:
                logger.warning("retention_cut_short", extra={"reason": str(error)})
            await asyncio.sleep(RETENTION_POLL_S)

    async def _keep_books(self) -> None:
        """While leading, fold the books at each tick and judge what is missing in them; beside the clock, too."""
        while True:
            await self._leads.wait()
            try:
                while await self.fold_some():
                    pass
                while await self.note_missing():
                    pass
            except Unavailable as error:
                logger.warning("books_cut_short", extra={"reason": str(error)})
            await asyncio.sleep(self.settings.tick_s)

    async def fold_some(self) -> bool:
        """Fold and judge the books as of the newest tick; whether there is more to fold."""
        async with transaction(self.pool) as conn:
            now = await judging.newest_tick(conn)
            return now is not None and await keep_books(conn, now=now)

    async def note_missing(self) -> int:
        """Count what is missing of hours that ended at some sites; how many."""
        async with transaction(self.pool) as conn:
            now = await judging.newest_tick(conn)
            return 0 if now is None else await coverage.note_missing(conn, now=now)

    async def _beat(self) -> None:
        while True:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(BEAT_S * 5), transaction(self.pool) as conn:
                    now = self.wall_clock()
                    row = await (await conn.execute("SELECT max(at), count(*) FROM tick")).fetchone()
                    age_s = None if row is None or row[0] is None else (now - row[0]).total_seconds()
                    fresh = age_s is not None and age_s < 3 * self.settings.tick_s + BEAT_S
                    detail = {"tick_age_s": age_s}
                    await beat(conn, "stage", self.settings.stage_id, ok=fresh, detail=detail)
            await asyncio.sleep(BEAT_S)


async def _stamp(conn: Connection) -> str:
    """Changes whenever the register does."""
    row = await (
        await conn.execute(
            """
            SELECT concat_ws('/', (SELECT sum(version) FROM region), (SELECT sum(version) FROM site),
                             (SELECT sum(version) + count(*) + count(withdrawn_at) FROM stack),
                             (SELECT sum(version) + count(withdrawn_at) FROM unit))
            """
        )
    ).fetchone()
    assert row is not None
    return str(row[0])
