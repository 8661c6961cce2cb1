"""From the outbox to the receivers: one task a receiver, so that a dead one keeps nobody else waiting.

    outgoing ──▶ take the receiver (lease) ──▶ send, within a deadline ──▶ note what became of it ──▶ next message
                                                     killed here: sent again under the same id when the lease is over

No transaction is open while the outside world thinks. A receiver that fails is left alone for a while that doubles;
after some failures an alert says that it is dead, and the first message that it takes ends that alert.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from random import Random
from typing import Final

from psycopg_pool import AsyncConnectionPool

from alerts.notify.outcomes import GIVE_UP_S, Failed, Outcome, next_try_s
from alerts.notify.sealing import Seal, Unopenable
from alerts.notify.targets import Target, target_from
from alerts.rows import alert_row
from alerts.rules.receiver_dead import Failing, judge
from plant.errors import Unavailable
from plant.periods import micros
from store import findings, notices, outgoing, receivers
from store.outgoing import DueMessage
from store.pool import Connection, transaction
from store.receivers import ReceiverRow

logger = logging.getLogger(__name__)

TASKS: Final = 64  #: receivers that are served at a time
LEASE_S: Final = 90.0  #: longer than any attempt

Send = Callable[[Target, str, str, datetime], Awaitable[Outcome]]  #: target, message's id, payload, now


@dataclass(slots=True)
class Deliverer:
    """The deliverer of one process."""

    pool: AsyncConnectionPool[Connection]
    send: Send
    seal: Seal | None  #: None: this installation has no key, so it can open no receiver's secrets
    name: str  #: of this process, and of no other
    rng: Random = field(default_factory=Random)
    serving: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def start_some(self, tasks: asyncio.TaskGroup) -> int:
        """Begin to serve receivers with something due; how many."""
        free = TASKS - len(self.serving)
        if free <= 0:
            return 0
        async with transaction(self.pool) as conn:
            found = await outgoing.due_receivers(conn, by=self.name, busy=list(self.serving), limit=free)
        for receiver_id in found:
            task = tasks.create_task(self._serve(receiver_id), name=f"notify: receiver {receiver_id}")
            self.serving[receiver_id] = task
            task.add_done_callback(partial(self._served, receiver_id))
        return len(found)

    def _served(self, receiver_id: int, _: asyncio.Task[None]) -> None:
        self.serving.pop(receiver_id, None)

    async def _serve(self, receiver_id: int) -> None:
        """Send to one receiver until nothing is due or it does not take it."""
        try:
            while await self._send_next(receiver_id):
                pass
        except Unavailable as error:
            # Nothing is noted, so the message goes again under its id.
            logger.warning("delivery_cut_short", extra={"receiver_id": receiver_id, "reason": str(error)})

    async def _send_next(self, receiver_id: int) -> bool:
        """Whether to go on."""
        async with transaction(self.pool) as conn:
            row = await receivers.take(conn, receiver_id, by=self.name, lease_s=LEASE_S)
            if row is None:
                return False
            await outgoing.give_up_old(conn, receiver_id, after_s=GIVE_UP_S)
            message = await outgoing.next_message(conn, receiver_id)
            if message is None:
                await receivers.release(conn, receiver_id, by=self.name)
                return False
            now = await notices.clock(conn)
        outcome = await self._attempt(row, message, now)
        async with transaction(self.pool) as conn:
            if outcome is None:
                await _note_success(conn, row, message)
                return True
            await self._note_failure(conn, row, message, outcome)
            await receivers.release(conn, receiver_id, by=self.name)
            return False

    async def _attempt(self, row: ReceiverRow, message: DueMessage, now: datetime) -> Outcome:
        if self.seal is None:
            return Failed(reason="its secrets cannot be opened: set STACKWATCH_SECRETS_KEY_FILE")
        try:
            target = target_from(row.kind, self.seal.open(row.sealed))
        except Unopenable as error:
            return Failed(reason=str(error))
        try:
            return await self.send(target, message.outgoing_id, message.payload, now)
        except Exception as error:  # noqa: BLE001  # our mistake with one receiver must not end the rule stage with it
            logger.error("attempt_broke", extra={"receiver": row.name, "error": type(error).__name__})
            return Failed(reason=f"a mistake of ours: {type(error).__name__}")

    async def _note_failure(self, conn: Connection, row: ReceiverRow, message: DueMessage, failed: Failed) -> None:
        wait_s = next_try_s(row.failures, failed, self.rng)
        await outgoing.mark_failed(conn, [message.outgoing_id], error=failed.reason, delay_s=wait_s)
        logger.warning(
            "notice_not_taken",
            extra={"receiver": row.name, "notice": message.outgoing_id, "reason": failed.reason, "wait_s": wait_s},
        )
        if not await receivers.note_failed(conn, row.receiver_id, error=failed.reason, delay_s=wait_s):
            return  # disabled or retired while it was asked: nobody waits for it, so it cannot be dead
        if failed.gone:
            await receivers.disable(conn, row.receiver_id, failed.reason)
            await outgoing.give_up_all(conn, row.receiver_id, f"the receiver is disabled: {failed.reason}")
        if row.dead_alert is None:
            await _say_dead(conn, row, failed)


async def _note_success(conn: Connection, row: ReceiverRow, message: DueMessage) -> None:
    await outgoing.mark_sent(conn, [message.outgoing_id])
    await receivers.note_taken(conn, row.receiver_id)
    logger.info("notice_sent", extra={"receiver": row.name, "notice": message.outgoing_id})
    if row.failures:
        await outgoing.all_due(conn, row.receiver_id)
    await end_dead(conn, row)


async def _say_dead(conn: Connection, row: ReceiverRow, failed: Failed) -> None:
    """Open the alert that nobody is told here any more, once it is certain enough."""
    now = await notices.clock(conn)
    failing = Failing(
        receiver_id=row.receiver_id,
        name=row.name,
        kind=row.kind,
        failures=row.failures + 1,
        since=micros(row.failing_since or now),
        gone=failed.gone,
        reason=failed.reason,
    )
    finding = judge(failing, now=micros(now))
    if finding is None:
        return
    await findings.announce(conn, await findings.apply(conn, [alert_row(finding)]))
    await receivers.note_dead(conn, row.receiver_id, finding.alert_id)
    logger.error("receiver_died", extra={"receiver": row.name, "alert_id": finding.alert_id})


async def end_dead(conn: Connection, row: ReceiverRow) -> None:
    """A receiver lives again, or somebody knows why it does not: what said that it is dead is over."""
    if row.dead_alert is not None:
        now = await notices.clock(conn)
        await findings.announce(conn, await findings.resolve(conn, {row.dead_alert: now}))
        await receivers.note_dead(conn, row.receiver_id, None)
