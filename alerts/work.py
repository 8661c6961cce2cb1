"""Judging what is asked: a stack at a time, each in a transaction of its own, in the order of the agenda.

    rejudge ──▶ gather ──▶ agenda ──▶ claim ──▶ judge ──▶ alerts, cases ──▶ COMMIT

What is gathered is a hint of what there is to do. What is judged is what the claim holds, under the stack's lock, so
any number of stages may work on one queue. A stack whose judging raises is set aside: its questions stay.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from alerts.agenda import Agenda
from alerts.enforcement.opening import open_case_for_month
from alerts.judge import Judgement, Subject, glance, judge_stack
from plant.errors import Unavailable
from plant.packs import all_packs
from plant.periods import HOUR, SECOND, instant
from store import aside, judging, queue, retention
from store.pool import Connection, transaction
from store.queue import Claim
from store.register import RegisteredSite, site_by_code

logger = logging.getLogger(__name__)

KNOWN_SITES: Final = 2_000  #: registered sites kept in memory
KNOWN_STACKS: Final = 100_000  #: and stacks that can be glanced at
REPEATS: Final = 5  #: times that a stack may be in somebody's way before it is set aside
_IN_THE_WAY: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


def ended_after_s() -> int:
    """How long after its end the first pack has an hour ended."""
    return min(pack.averaging.ended_after_s for pack in all_packs().values())


@dataclass(slots=True)
class Work:
    """The work of one process on the stacks of its shards."""

    pool: AsyncConnectionPool[Connection]
    claim_hours: int
    shards: frozenset[int] | None = None  #: None: all
    agenda: Agenda = field(default_factory=lambda: Agenda(ended_after_s() * SECOND))
    stacks_judged: int = 0
    hours_judged: int = 0
    glances: int = 0  #: at running hours that were found to be safe still
    _read_to: int = 0
    _sites: OrderedDict[str, tuple[str, dict[int, Subject]]] = field(default_factory=OrderedDict)
    _known: dict[int, Subject] = field(default_factory=dict)  #: stacks as they were judged last
    _repeats: dict[int, int] = field(default_factory=dict)

    async def gather(self, *, anew: bool = False) -> None:
        """See what was asked since the last time, or *anew* all that is asked.

        A later question can be committed before an earlier one, so only the whole is sure to be complete.
        """
        async with transaction(self.pool) as conn:
            clocks = await queue.clocks(conn)
            found = await queue.waiting(conn, after=0 if anew else self._read_to, shards=self.shards)
        self._read_to = max((waiting.last_id for waiting in found), default=0 if anew else self._read_to)
        if anew:
            self.agenda.begin(found)
        else:
            self.agenda.add(found)
        self.agenda.advance(clocks)

    async def judge_next(self) -> int | None:
        """Judge the stack whose turn it is. How many questions were answered; None where no stack waits."""
        stack_id = self.agenda.take()
        if stack_id is None:
            return None
        try:
            answered = 0 if await self._glance(stack_id) else await self._judge(stack_id)
        except Unavailable as error:
            self.agenda.hold_back(stack_id)
            if not isinstance(error.__cause__, _IN_THE_WAY):
                raise
            await self._note_repeat(stack_id, error)
            return 0
        except psycopg.errors.UniqueViolation as error:
            self.agenda.hold_back(stack_id)
            await self._note_repeat(stack_id, error)
            return 0
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not stop the other stacks
            self.agenda.done(stack_id)
            await self._set_aside(stack_id, error)
            return 0
        self._repeats.pop(stack_id, None)
        return answered

    async def _glance(self, stack_id: int) -> bool:
        """Whether a running hour that might have been lost is not: then all that is asked about the stack can wait.

        Only the order of work comes of it. The questions stay, and whatever else is said of a stack presses by itself.
        """
        asked, subject = self.agenda.glance(stack_id), self._known.get(stack_id)
        if asked is None or subject is None:
            return False
        oldest, now = asked
        async with transaction(self.pool) as conn:
            look = await glance(conn, subject, range(oldest, now + 1, HOUR), now=now)
        if look is None or look.at <= now:
            return False
        self.agenda.look_later(stack_id, look)
        self.glances += 1
        return True

    async def _judge(self, stack_id: int) -> int:
        """Answer what is asked about a stack, in one transaction."""
        done = Judgement()
        async with transaction(self.pool) as conn:
            claim = await queue.claim(conn, stack_id, self.claim_hours)
            if claim is not None and claim.hours:
                subject = await self._subject(conn, claim)
                if subject is not None and claim.now is not None:
                    self._know(stack_id, subject)
                    done = await self._judge_claim(conn, subject, claim, claim.now)
                if subject is None or claim.now is not None:
                    await queue.answered(conn, claim)
                if claim.was_aside and claim.now is not None:
                    await aside.take_back(conn, stack_id)
        if claim is None:
            self.agenda.done(stack_id)
            return 0
        if not claim.hours or claim.now is None:  # somebody else holds them, or no clock goes yet: they stay
            self.agenda.hold_back(stack_id)
            return 0
        more = len(claim.queue_ids) == self.claim_hours
        self.agenda.done(stack_id, next_look=done.next_look, more=more)
        self.stacks_judged += 1
        self.hours_judged += done.hours
        return len(claim.queue_ids)

    async def _judge_claim(self, conn: Connection, subject: Subject, claim: Claim, now: int) -> Judgement:
        hours = set(claim.hours)
        hours -= await retention.frozen(conn, claim.stack_id, hours, now=now)
        if claim.simulated:
            hours |= set(await judging.unfinished_hours(conn, claim.stack_id, now))
        done = await judge_stack(conn, subject, sorted(hours), now=now, touched=hours.intersection(claim.touched))
        for alert in done.breached_months:
            await open_case_for_month(conn, alert, now=instant(now))
        if not done.events:
            await queue.may_be_lost(conn)
        extra = {"site": claim.site, "stack": subject.stack.code, "hours": done.hours, "events": len(done.events)}
        logger.debug("hours_judged", extra=extra)
        return done

    async def _subject(self, conn: Connection, claim: Claim) -> Subject | None:
        """The stack as registered now; None where it was withdrawn."""
        known = self._sites.get(claim.site)
        if known is None or known[0] != claim.register:
            registered = await site_by_code(conn, claim.site)
            subjects = {} if registered is None else dict(_subjects(registered))
            known = self._sites[claim.site] = (claim.register, subjects)
            while len(self._sites) > KNOWN_SITES:
                self._sites.popitem(last=False)
        self._sites.move_to_end(claim.site)
        return known[1].get(claim.stack_id)

    def _know(self, stack_id: int, subject: Subject) -> None:
        if len(self._known) >= KNOWN_STACKS:
            self._known.clear()
        self._known[stack_id] = subject

    async def _note_repeat(self, stack_id: int, error: Exception) -> None:
        """Another stage or a person was at the same rows; what was claimed is free again."""
        repeats = self._repeats[stack_id] = self._repeats.get(stack_id, 0) + 1
        logger.info("judging_repeated", extra={"stack_id": stack_id, "reason": str(error), "attempt": repeats})
        if repeats >= REPEATS:
            del self._repeats[stack_id]
            await self._set_aside(stack_id, error)

    async def _set_aside(self, stack_id: int, error: Exception) -> None:
        logger.error("stack_set_aside", extra={"stack_id": stack_id}, exc_info=error)
        async with transaction(self.pool) as conn:
            await aside.put(conn, stack_id, f"{type(error).__name__}: {error}")


def _subjects(registered: RegisteredSite) -> Iterator[tuple[int, Subject]]:
    """Every stack of a site, by stack_id."""
    for stack in registered.site.stacks:
        stack_id = registered.stack_ids[stack.code]
        yield stack_id, Subject(site_id=registered.site_id, stack_id=stack_id, site=registered.site, stack=stack)
