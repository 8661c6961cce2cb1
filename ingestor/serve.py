"""The ingestor process: receive, store, commit, acknowledge, give receipts.

    broker ── paho thread ──▶ Inbox (bounded) ──▶ batches by size or age ──▶ COMMIT ──▶ acknowledge ──▶ receipt

Cancelling it anywhere is safe: what is not acknowledged comes again and is found to be committed, or is stored.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg_pool import AsyncConnectionPool

from ingestor.intake import Incoming, Intake, Outcome
from ingestor.subscriber import Delivery, Inbox, Subscriber
from plant import topics
from plant.errors import Unavailable, Undecodable
from plant.retry import delay_s
from plant.settings import Settings
from store import intake as store_intake
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
                    await _note(conn, intake, root, delivery.incoming)
        except Unavailable as error:
            logger.warning("database_away", extra={"attempt": attempt, "reason": str(error)})
            await asyncio.sleep(delay_s(attempt, rng, ceiling_s=5.0))
            attempt += 1
        else:
            return


async def _note(conn: Connection, intake: Intake, root: str, incoming: Incoming) -> None:
    """An edge's state or its acknowledgement of an order. What cannot be read is said and dropped: it is no data."""
    try:
        speaker = topics.parse(root, incoming.topic)
        site = intake.known.sites.get(speaker.site)
        if site is None:
            raise Undecodable(f"unknown site {speaker.site!r}")
        document = _object(incoming.payload)
        if speaker.kind == topics.STATE:
            state = _state(document)
            await store_intake.put_edge_state(conn, site.site_id, speaker.edge, state, incoming.received_at)
        elif speaker.kind == topics.ORDER_ACK:
            await store_intake.put_order_ack(conn, site.site_id, speaker.edge, **_order_ack(document))
    except Undecodable as error:
        logger.warning("message_refused", extra={"topic": incoming.topic, "reason": str(error)})


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Undecodable("no JSON object")
    return document


def _state(document: Mapping[str, Any]) -> dict[str, Any]:
    """The documented fields of an edge's state, and nothing else of what it sent."""
    if not isinstance(document.get("online"), bool):
        raise Undecodable("online must be true or false")
    state: dict[str, Any] = {"online": document["online"], "version": str(document.get("version", ""))[:64]}
    state["version"] = "".join(c for c in state["version"] if c.isprintable())
    for name in ("outbox", "oldest", "dropped"):
        value = document.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 62):
            raise Undecodable(f"{name} must be a whole number or null")
        state[name] = value
    return state


def _order_ack(document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        ack: dict[str, Any] = {
            "order_id": str(document["order_id"])[:128],
            "version": int(document["version"]),
            "seen_at": datetime.fromisoformat(str(document["seen_at"])),
            "seen_by": str(document["by"])[:128],
        }
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise Undecodable(f"order acknowledgement: {error!r}") from error
    if ack["seen_at"].tzinfo is None or not 1 <= ack["version"] < 1 << 31:
        raise Undecodable("order acknowledgement: seen_at needs an offset, version a whole number")
    if not 1970 < ack["seen_at"].year < 2200:  # the database holds earlier times than Python can read back
        raise Undecodable("order acknowledgement: seen_at is outside of the years 1971 to 2199")
    if not (ack["order_id"].isprintable() and ack["seen_by"].isprintable()):
        raise Undecodable("order acknowledgement: control characters")
    return ack


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
