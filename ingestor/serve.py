"""The ingestor process: receive, store, commit, acknowledge, give receipts.

    broker ── paho thread ──▶ Inbox (bounded) ──▶ Pipeline ──▶ acknowledge, receipt

Cancelling it anywhere is safe: what is not acknowledged comes again and is found to be committed, or is stored.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from psycopg_pool import AsyncConnectionPool

from ingestor.intake import Intake
from ingestor.pipeline import Pipeline
from ingestor.sharing import follow_register
from ingestor.subscriber import Inbox, Subscriber
from plant.errors import Unavailable
from plant.settings import Settings
from store.heartbeat import beat
from store.notify import wake_ups
from store.pool import Connection, open_pool, transaction

BEAT_S: Final = 2.0
RELEASE_POLL_S: Final = 5.0


async def serve(settings: Settings) -> None:
    """Run until cancelled."""
    settings.require("database_url", "mqtt_url")
    async with open_pool(settings.database_url, name=settings.ingestor_id) as pool:
        intake = Intake(pool, settings.topic_root, settings.ingestor_id)
        inbox = Inbox(settings.inbox_messages, asyncio.get_running_loop())
        with Subscriber(settings, inbox) as subscriber:
            pipeline = Pipeline(settings, intake, inbox, subscriber)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pipeline.run(), name="ingest")
                tasks.create_task(_beat(settings, pool, inbox, subscriber, pipeline), name="beat")
                tasks.create_task(_release(settings, intake), name="release")
                tasks.create_task(subscriber.keep_asking(), name="subscriptions")
                tasks.create_task(follow_register(settings, pool, subscriber.share, subscriber), name="register")


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
    pipeline: Pipeline,
) -> None:
    """Say that we live; `ok` only while messages can arrive and be stored."""
    while True:
        connected, subscribed = subscriber.connected, subscriber.connected and subscriber.subscribed.is_set()
        detail: dict[str, Any] = {"inbox": len(inbox), "share": subscriber.share.document()}
        if not subscribed:
            waiting = "connected and not yet subscribed" if connected else "no connection to the broker"
            detail["reason"] = subscriber.refusal or waiting
        elif pipeline.refusal is not None:
            detail["reason"] = f"rows wait: {pipeline.refusal}"
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(BEAT_S * 5), transaction(pool) as conn:
                await beat(conn, "ingestor", settings.ingestor_id, ok="reason" not in detail, detail=detail)
                await beat(conn, "broker", settings.ingestor_id, ok=connected, detail=detail)
        await asyncio.sleep(BEAT_S)
