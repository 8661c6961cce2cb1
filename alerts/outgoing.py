"""Delivering what we owe the plants: signed lists of orders, retained at the broker.

    outgoing (committed with the act) -> newest list of the site -> sign -> publish retained, QoS 1 -> PUBACK -> sent

A list holds all orders in force, so only the newest of a site is worth sending: older ones that were never sent are
settled by it. A crash between PUBACK and commit sends the same list again, which an edge knows by its version. After
every connect, and every ten minutes, the newest list of every site is published again, for the broker may have lost it.
Whether a plant has seen an order is told by its `order-ack`, which the ingestor stores.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from random import Random
from typing import Final

import aiomqtt
from psycopg_pool import AsyncConnectionPool

from alerts.enforcement.signing import Signer, load_signer
from plant import topics, wire
from plant.broker import broker_of
from plant.errors import Unavailable
from plant.retry import delay_s
from plant.settings import Settings
from store import orders, outgoing
from store.heartbeat import beat
from store.notify import wake_ups
from store.pool import Connection, transaction

logger = logging.getLogger(__name__)

KIND: Final = "orders"
POLL_S: Final = 5.0  #: the most that a lost notification can delay a list
BEAT_S: Final = 2.0
AGAIN_S: Final = 600.0  #: a cluster that elects a leader may acknowledge a list that it does not retain
ANSWER_TIMEOUT_S: Final = 10.0  #: for each answer of the broker
KEEPALIVE_S: Final = 20
_DUE_AT_ONCE: Final = 1_000


@dataclass(slots=True)
class _Link:
    """The broker connection as the heartbeat tells it."""

    up: bool = False
    reason: str = "not yet connected"
    tries: int = 0  #: the nodes of a cluster are tried in turn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deliverer:
    pool: AsyncConnectionPool[Connection]
    settings: Settings
    signer: Signer
    link: _Link = field(default_factory=_Link)
    rng: Random = field(default_factory=Random)


async def deliver(pool: AsyncConnectionPool[Connection], settings: Settings) -> None:
    """Deliver until cancelled. The broker and the database may come and go.

    Raises
    ------
    BadDocument
        If the broker's address or the key that signs is not set or cannot be read.
    """
    settings.require("database_url", "mqtt_url", "order_key_file")
    broker_of(settings)
    deliverer = _Deliverer(pool=pool, settings=settings, signer=load_signer(settings.order_key_file))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_beating(deliverer), name="outgoing: beat")
        tasks.create_task(_keep_connected(deliverer), name="outgoing: deliver")


async def _keep_connected(deliverer: _Deliverer) -> None:
    link, attempt = deliverer.link, 0
    while True:
        try:
            async with _client(deliverer.settings, link.tries) as client, asyncio.TaskGroup() as tasks:
                link.up, link.reason, attempt = True, "", 0
                logger.info("broker_connected", extra={"component": "outgoing"})
                tasks.create_task(_watch(client), name="outgoing: watch the connection")
                tasks.create_task(_keep_sending(deliverer, client), name="outgoing: send")
        except* aiomqtt.MqttError as group:
            link.up, link.reason = False, str(group.exceptions[0])
        logger.warning("broker_lost", extra={"component": "outgoing", "reason": link.reason})
        await _note_unreachable(deliverer)
        await asyncio.sleep(delay_s(attempt, deliverer.rng))
        attempt += 1
        link.tries += 1


async def _watch(client: aiomqtt.Client) -> None:
    """Nothing is subscribed: this only ends, with `MqttError`, when the connection does."""
    async for _ in client.messages:
        pass


async def _keep_sending(deliverer: _Deliverer, client: aiomqtt.Client) -> None:
    """Send what is due at every wake-up, and each site's newest list at first and now and then."""
    again: set[str] = set()
    clock, next_at = asyncio.get_running_loop().time, float("-inf")
    async with wake_ups(deliverer.settings.database_url, outgoing.CHANNEL, poll_s=POLL_S) as woken:
        async for _ in woken:
            try:
                if clock() >= next_at:
                    async with transaction(deliverer.pool) as conn:
                        again = {_address(site) for site in await orders.sites_with_lists(conn)}
                    next_at = clock() + AGAIN_S
                async with transaction(deliverer.pool) as conn:
                    due = await outgoing.due_addresses(conn, KIND, _DUE_AT_ONCE)
                for address in dict.fromkeys((*due, *sorted(again))):
                    if await _send(deliverer, client, address, again=address in again):
                        again.discard(address)
            except Unavailable as error:
                logger.warning("outgoing_unavailable", extra={"reason": str(error)})


async def _send(deliverer: _Deliverer, client: aiomqtt.Client, address: str, *, again: bool) -> bool:
    """Publish the newest list of *address*; whether the broker has it.

    The transaction stays open until the broker answers: it holds the lock that keeps a second sender from
    publishing another version meanwhile.
    """
    async with transaction(deliverer.pool) as conn:
        owed = await outgoing.claim(conn, KIND, address)
        if owed is None:
            return False
        site = address.partition("/")[0]
        # Read after the claim: the list is at least as new as every message that was claimed.
        newest = await orders.newest_list(conn, site) if owed or again else None
        if newest is None:
            return True
        ids = [row.outgoing_id for row in owed]
        attempt = max((row.attempts for row in owed), default=0)
        try:
            await client.publish(
                topics.orders(deliverer.settings.topic_root, site),
                wire.encode(deliverer.signer.sign(newest.body)),
                qos=1,
                retain=True,
                timeout=ANSWER_TIMEOUT_S,
            )
        except aiomqtt.MqttError as error:
            wait_s = delay_s(attempt, deliverer.rng)
            await outgoing.mark_failed(conn, ids, error=f"broker: {error}", delay_s=wait_s)
            logger.warning("orders_not_sent", extra={"site": site, "reason": str(error), "attempt": attempt + 1})
            return False
        await outgoing.mark_sent(conn, ids)
    logger.info("orders_sent", extra={"site": site, "version": newest.version, "settled": len(ids)})
    return True


async def _keep_beating(deliverer: _Deliverer) -> None:
    link, instance = deliverer.link, deliverer.settings.stage_id
    while True:
        detail = {} if link.up else {"reason": f"broker: {link.reason}"}
        try:
            async with transaction(deliverer.pool) as conn:
                await beat(conn, "outgoing", instance, ok=link.up, detail=detail)
        except Unavailable as error:
            logger.warning("beat_missed", extra={"component": "outgoing", "reason": str(error)})
        await asyncio.sleep(BEAT_S)


async def _note_unreachable(deliverer: _Deliverer) -> None:
    try:
        async with transaction(deliverer.pool) as conn:
            await outgoing.note_unreachable(conn, KIND, f"broker: {deliverer.link.reason}")
    except Unavailable as error:
        logger.warning("outgoing_unavailable", extra={"reason": str(error)})


def _address(site: str) -> str:
    return f"{site}/{topics.ORDERS}"


def _client(settings: Settings, tries: int) -> aiomqtt.Client:
    address = broker_of(settings).node(tries)
    tls = aiomqtt.TLSParameters(ca_certs=address.ca_file, certfile=address.cert_file, keyfile=address.key_file)
    return aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        # A broker lets in one of a name, and several processes may have the same.
        identifier=f"stackwatch-outgoing-{settings.stage_id}-{secrets.token_hex(4)}",
        tls_params=tls if address.tls else None,
        timeout=ANSWER_TIMEOUT_S,
        keepalive=KEEPALIVE_S,
    )
