"""From the inbox to the acknowledgement, in two steps that overlap.

    Inbox ──▶ batches by size or age ──▶ read, in a thread ──▶ one that waits ──▶ COMMIT ──▶ acknowledge, receipt

While the database works on one batch the next is read. What is not acknowledged is bounded by the inbox and the
batches on this way, so memory stays flat however long the database is away.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from ingestor.intake import Batch, Intake, Outcome
from ingestor.notes import take_note
from ingestor.subscriber import Delivery, Inbox, Subscriber
from plant import topics
from plant.errors import Unavailable
from plant.retry import delay_s
from plant.settings import Settings
from store.pool import transaction

logger = logging.getLogger(__name__)

BATCH_MESSAGES: Final = 500
LOOK_AGAIN_S: Final = 0.005  #: while a batch is gathered

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Ready:
    """What was gathered at once: data that was read, and what is no data."""

    data: Sequence[Delivery]
    batch: Batch
    notes: Sequence[Delivery]


@dataclass(slots=True)
class Pipeline:
    """`refusal` says why the database does not take what comes, as the heartbeat tells it."""

    settings: Settings
    intake: Intake
    inbox: Inbox
    subscriber: Subscriber
    refusal: str | None = None

    async def run(self) -> None:
        """Until cancelled."""
        ready: asyncio.Queue[_Ready] = asyncio.Queue(maxsize=1)
        with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(reader, ready), name="read")
                tasks.create_task(self._store(ready), name="store")

    async def _read(self, reader: ThreadPoolExecutor, ready: asyncio.Queue[_Ready]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data: list[Delivery] = []
            notes: list[Delivery] = []
            for delivery in await self._gather():
                (data if delivery.incoming.topic.endswith(f"/{topics.DATA}") else notes).append(delivery)
            batch = await loop.run_in_executor(reader, self.intake.read, [d.incoming for d in data])
            await ready.put(_Ready(data, batch, notes))

    async def _gather(self) -> list[Delivery]:
        """What is there, and what comes until it is large or old enough."""
        batch = await self.inbox.take(BATCH_MESSAGES)
        size = sum(len(d.incoming.payload) for d in batch)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.batch_age_ms / 1000
        while len(batch) < BATCH_MESSAGES and size < self.settings.batch_kb * 1024 and loop.time() < until:
            # Not woken for each message: that costs as much as reading a small one.
            await asyncio.sleep(min(LOOK_AGAIN_S, until - loop.time()))
            more = self.inbox.take_what_is_there(BATCH_MESSAGES - len(batch))
            batch += more
            size += sum(len(d.incoming.payload) for d in more)
        return batch

    async def _store(self, ready: asyncio.Queue[_Ready]) -> None:
        while True:
            what = await ready.get()
            if what.data:
                outcome = await self._until_done(partial(self.intake.commit_read, what.batch))
                self.subscriber.acknowledge(what.data)
                self.subscriber.publish_receipts(outcome.receipts)
                _tell(len(what.data), outcome)
            if what.notes:
                await self._until_done(partial(self._take_notes, what.notes))
                self.subscriber.acknowledge(what.notes)

    async def _take_notes(self, notes: Sequence[Delivery]) -> None:
        async with transaction(self.intake.pool) as conn:
            await self.intake.known.refresh(conn)
            for delivery in notes:
                await take_note(conn, self.intake.known, self.settings.topic_root, delivery.incoming)

    async def _until_done(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do *work*, however long the database is away; meanwhile nothing is acknowledged."""
        rng, attempt = random.Random(), 0
        while True:
            try:
                result = await work()
                self.refusal = None
                return result
            except Unavailable as error:
                self.refusal = str(error)
                logger.warning("database_away", extra={"attempt": attempt, "reason": str(error)})
                await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
                attempt += 1


def _tell(messages: int, outcome: Outcome) -> None:
    logger.info(
        "batch_written",
        extra={
            "messages": messages,
            "rows": outcome.rows,
            "stored": outcome.stored,
            "quarantined": outcome.quarantined,
            "redelivered": outcome.redelivered,
        },
    )
