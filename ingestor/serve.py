"""The ingestor process: receive, store, commit, acknowledge, give receipts.

    broker ── paho thread ──▶ Inbox (bounded) ──▶ batches by size or age ──▶ COMMIT ──▶ acknowledge ──▶ receipt

Cancelling it anywhere is safe: what is not acknowledged comes again and is found to be committed, or is stored.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from psycopg_pool import AsyncConnectionPool

from ingestor.intake import Incoming, Intake, Outcome
from ingestor.notes import take_note
from ingestor.subscriber import Delivery, Inbox, Subscriber
from plant import topics
from plant.errors import Unavailable
from plant.retry import delay_s
from plant.settings import Settings
from store.heartbeat import beat
from store.notify import wake_ups
from store.pool import Connection, open_pool, transaction

logger = logging.getLogger(__name__)

BEAT_S: Final = 2.0
RELEASE_POLL_S: Final = 5.0
BATCH_MESSAGES: Final = 500


@dataclass(slots=True)
class _Storing:
    """Whether the database takes what comes, as the heartbeat tells it."""

    refusal: str | None = None


async def serve(settings: Settings) -> None:
    """Run until cancelled."""
    settings.require("database_url", "mqtt_url")
    async with open_pool(settings.database_url, name=settings.ingestor_id) as pool:
        intake = Intake(pool, settings.topic_root, settings.ingestor_id)
        inbox = Inbox(settings.inbox_messages, asyncio.get_running_loop())
        storing = _Storing()
        with Subscriber(settings, inbox) as subscriber:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_ingest(settings, intake, inbox, subscriber, storing), name="ingest")
                tasks.create_task(_beat(settings, pool, inbox, subscriber, storing), name="beat")
                tasks.create_task(_release(settings, intake), name="release")


async def _ingest(settings: Settings, intake: Intake, inbox: Inbox, subscriber: Subscriber, storing: _Storing) -> None:
    while True:
        batch = await _gather(settings, inbox)
        data = [d for d in batch if d.incoming.topic.endswith(f"/{topics.DATA}")]
        others = [d for d in batch if not d.incoming.topic.endswith(f"/{topics.DATA}")]
        if data:
            outcome = await _until_stored(intake, [d.incoming for d in data], storing)
            subscriber.acknowledge(data)
            subscriber.publish_receipts(outcome.receipts)
            logger.info(
                "batch_written",
                extra={
                    "messages": len(data),
                    "rows": outcome.rows,
                    "stored": outcome.stored,
                    "quarantined": outcome.quarantined,
                    "redelivered": outcome.redelivered,
                },
            )
        if others:
            await _until_noted(intake, settings.topic_root, others)
            subscriber.acknowledge(others)


async def _gather(settings: Settings, inbox: Inbox) -> list[Delivery]:
    """A batch: what is there, and what comes until it is large or old enough."""
    batch = await inbox.take(BATCH_MESSAGES)
    size = sum(len(d.incoming.payload) for d in batch)
    largest = settings.batch_kb * 1024
    loop = asyncio.get_running_loop()
    until = loop.time() + settings.batch_age_ms / 1000
    while len(batch) < BATCH_MESSAGES and size < largest:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                more = await inbox.take(BATCH_MESSAGES - len(batch))
                batch += more
                size += sum(len(d.incoming.payload) for d in more)
                continue
        break
    return batch


async def _until_stored(intake: Intake, messages: Sequence[Incoming], storing: _Storing) -> Outcome:
    """Commit *messages*, however long the database is away; meanwhile nothing is acknowledged."""
    rng, attempt = random.Random(), 0
    while True:
        try:
            outcome = await intake.commit(messages)
            storing.refusal = None
            return outcome
        except Unavailable as error:
            storing.refusal = str(error)
            logger.warning("database_away", extra={"attempt": attempt, "reason": str(error)})
            await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
            attempt += 1


async def _until_noted(intake: Intake, root: str, deliveries: Sequence[Delivery]) -> None:
    rng, attempt = random.Random(), 0
    while True:
        try:
            async with transaction(intake.pool) as conn:
                await intake.known.refresh(conn)
                for delivery in deliveries:
                    await take_note(conn, intake.known, root, delivery.incoming)
        except Unavailable as error:
            logger.warning("database_away", extra={"attempt": attempt, "reason": str(error)})
            await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
            attempt += 1
        else:
            return


async def _release(settings: Settings, intake: Intake) -> None:
    """Read again what was released from the quarantine."""
    async with wake_ups(settings.database_url, "quarantine", "register", poll_s=RELEASE_POLL_S) as woken:
        async for _ in woken:
            with suppress(Unavailable):
                while await intake.release():
                    pass


async def _beat(
    settings: Settings,
    pool: AsyncConnectionPool[Connection],
    inbox: Inbox,
    subscriber: Subscriber,
    storing: _Storing,
) -> None:
    """Say that we live; `ok` only while messages can arrive and be stored."""
    while True:
        connected, subscribed = subscriber.connected, subscriber.connected and subscriber.subscribed.is_set()
        detail: dict[str, Any] = {"inbox": len(inbox)}
        if not subscribed:
            waiting = "connected and not yet subscribed" if connected else "no connection to the broker"
            detail["reason"] = subscriber.refusal or waiting
        elif storing.refusal is not None:
            detail["reason"] = f"rows wait: {storing.refusal}"
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(BEAT_S * 5), transaction(pool) as conn:
                await beat(conn, "ingestor", settings.ingestor_id, ok="reason" not in detail, detail=detail)
                await beat(conn, "broker", settings.ingestor_id, ok=connected, detail=detail)
        await asyncio.sleep(BEAT_S)
