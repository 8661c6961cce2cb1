"""Lists of orders on their way to the plant: a real database, a real broker, and both of them going away."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from alerts import outgoing
from alerts.enforcement.commands import act
from alerts.enforcement.opening import open_case_for_month
from alerts.enforcement.signing import load_signer
from alerts.outgoing import deliver
from case_builders import ALL_AGENCY, NOW, a_works, an_alert, everything, one
from plant import topics
from plant.broker import broker_address
from plant.errors import BadDocument
from plant.settings import Settings
from services.brokers import OwnBroker
from store import outgoing as outgoing_rows
from store.pool import Connection, connect, open_pool

pytestmark = pytest.mark.anyio

DEADLINE_S = 30.0


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, name="test", autocommit=True) as connection:
        yield connection


@pytest.fixture
def settings(database_url: str, topic_root: str, tmp_path: Path) -> Settings:
    """Everything but a broker."""
    key = tmp_path / "order.pem"
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Settings(database_url=database_url, topic_root=topic_root, order_key_file=str(key))


@asynccontextmanager
async def delivering(settings: Settings) -> AsyncIterator[None]:
    async with open_pool(settings.database_url, name="deliverer") as pool:
        task = asyncio.create_task(deliver(pool, settings), name="deliver")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await true():  # noqa: ASYNC110 (what is waited for happens in other processes)
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {DEADLINE_S:g} s: {what}")


async def suspend(conn: Connection, *, alert: str = "alert-1", stack: str = "DA001") -> str:
    """A case that has just been served: one more list is owed."""
    await an_alert(conn, alert, stack=stack)
    case_id = await open_case_for_month(conn, alert, now=NOW)
    assert case_id is not None
    for action in ("verify", "decide", "serve"):
        await do(conn, case_id, action)
    return case_id


async def do(conn: Connection, case_id: str, action: str) -> None:
    async with conn.transaction():
        await act(conn, case_id=case_id, actor="Li", roles=ALL_AGENCY, action=action, reason="because", now=NOW)


async def retained(settings: Settings) -> dict[str, Any] | None:
    """What an edge gets that subscribes now; None where nothing is retained."""
    address = broker_address(settings.mqtt_url)
    async with aiomqtt.Client(address.host, address.port) as client:
        await client.subscribe(topics.orders(settings.topic_root, "works"), qos=1)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    document: dict[str, Any] = json.loads(message.payload)
                    return document
    return None


async def version_retained(settings: Settings) -> int | None:
    try:
        signed = await retained(settings)
    except aiomqtt.MqttError:
        return None
    return None if signed is None else int(json.loads(signed["body"])["version"])


async def unsent(conn: Connection) -> int:
    return int(await one(conn, "SELECT count(*) FROM outgoing WHERE sent_at IS NULL"))


def nothing_owed(conn: Connection) -> Callable[[], Awaitable[bool]]:
    async def settled() -> bool:
        return await unsent(conn) == 0

    return settled


def beats(conn: Connection, *, ok: bool) -> Callable[[], Awaitable[bool]]:
    async def beating() -> bool:
        return await everything(conn, "SELECT ok FROM heartbeat WHERE component = 'outgoing'") == [(ok,)]

    return beating


def listens(conn: Connection) -> Callable[[], Awaitable[bool]]:
    async def listening() -> bool:
        return bool(
            await one(
                conn,
                """SELECT count(*) > 0 FROM pg_stat_activity
                   WHERE datname = current_database() AND query LIKE 'LISTEN %%'""",
            )
        )

    return listening


async def test_a_served_order_reaches_whoever_subscribes_later_signed_and_retained(
    conn: Connection, settings: Settings, mqtt_url: str
) -> None:
    settings = replace(settings, mqtt_url=mqtt_url)
    await a_works(conn)
    async with delivering(settings):
        case_id = await suspend(conn)
        await until(nothing_owed(conn), "the list is sent")
        signed = await retained(settings)
    assert signed is not None
    signer = load_signer(settings.order_key_file)
    assert signed["key_id"] == signer.key_id
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.public_key_b64))
    public.verify(base64.b64decode(signed["signature"]), signed["body"].encode())
    assert signed["body"] == await one(conn, "SELECT body FROM order_list")
    assert [order["case"] for order in json.loads(signed["body"])["orders"]] == [case_id]
    assert await one(conn, "SELECT attempts, last_error FROM outgoing") == (1, None)


async def test_a_trial_replaces_the_list_at_the_broker_by_one_without_the_order(
    conn: Connection, settings: Settings, mqtt_url: str
) -> None:
    settings = replace(settings, mqtt_url=mqtt_url)
    await a_works(conn)
    async with delivering(settings):
        case_id = await suspend(conn)
        await until(nothing_owed(conn), "the order is sent")
        await do(conn, case_id, "permit_trial")
        await until(nothing_owed(conn), "the list without it is sent")
        signed = await retained(settings)
    assert signed is not None
    body = json.loads(signed["body"])
    assert (body["version"], body["orders"]) == (2, [])


async def test_of_several_unsent_lists_only_the_newest_is_published_and_all_are_settled(
    conn: Connection, settings: Settings, mqtt_url: str
) -> None:
    settings = replace(settings, mqtt_url=mqtt_url)
    await a_works(conn)
    await suspend(conn)
    await do(conn, await suspend(conn, alert="alert-2", stack="DA002"), "permit_trial")
    assert await unsent(conn) == 3
    address = broker_address(mqtt_url)
    async with aiomqtt.Client(address.host, address.port) as edge:
        await edge.subscribe(topics.orders(settings.topic_root, "works"), qos=1)
        async with delivering(settings):
            await until(nothing_owed(conn), "the lists are settled")
        await edge.publish(topics.orders(settings.topic_root, "works"), b'{"body": "{\\"version\\": 99}"}', qos=1)
        versions = []
        async with asyncio.timeout(DEADLINE_S):
            async for message in edge.messages:
                assert isinstance(message.payload, bytes)
                versions.append(json.loads(json.loads(message.payload)["body"])["version"])
                if versions[-1] == 99:
                    break
    assert versions == [3, 99]


async def test_what_was_sent_before_is_published_again_by_the_next_process(
    conn: Connection, settings: Settings, own_broker: OwnBroker
) -> None:
    settings = replace(settings, mqtt_url=own_broker.url)
    await a_works(conn)
    await suspend(conn)
    await conn.execute("UPDATE outgoing SET sent_at = %s", [NOW])
    await own_broker.start()
    async with delivering(settings):

        async def there() -> bool:
            return await version_retained(settings) == 1

        await until(there, "the newest list is retained")
    assert await one(conn, "SELECT sent_at FROM outgoing") == NOW, "the first time is when it was sent"


async def test_a_broker_that_lost_its_disk_gets_the_newest_lists_again(
    conn: Connection, settings: Settings, own_broker: OwnBroker
) -> None:
    settings = replace(settings, mqtt_url=own_broker.url)
    await a_works(conn)
    await own_broker.start()
    async with delivering(settings):
        await suspend(conn)
        await until(nothing_owed(conn), "the list is sent")
        own_broker.kill(lose_disk=True)
        await until(beats(conn, ok=False), "the loss is told")
        await own_broker.start()

        async def there() -> bool:
            return await version_retained(settings) == 1

        await until(there, "the list is there again")
        await until(beats(conn, ok=True), "the return is told")


async def test_orders_wait_for_a_broker_that_is_away_and_say_why(
    conn: Connection, settings: Settings, own_broker: OwnBroker
) -> None:
    settings = replace(settings, mqtt_url=own_broker.url)
    await a_works(conn)
    await suspend(conn)
    async with delivering(settings):

        async def explained() -> bool:
            return await one(conn, "SELECT coalesce(last_error, '') LIKE 'broker: %%' FROM outgoing") is True

        await until(explained, "the message says why it waits")
        assert await unsent(conn) == 1
        detail = await one(conn, "SELECT detail FROM heartbeat WHERE component = 'outgoing' AND NOT ok")
        assert detail["reason"].startswith("broker: ")
        await own_broker.start()
        await until(nothing_owed(conn), "the list is sent")
        assert await version_retained(settings) == 1
    assert await one(conn, "SELECT last_error FROM outgoing") is None


async def test_a_broker_that_does_not_answer_is_counted_and_asked_again(
    conn: Connection, settings: Settings, own_broker: OwnBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(outgoing, "POLL_S", 0.2)
    settings = replace(settings, mqtt_url=own_broker.url)
    await a_works(conn)
    await own_broker.start()
    async with delivering(settings):
        await until(beats(conn, ok=True), "the deliverer is connected")
        own_broker.freeze()
        try:
            await suspend(conn)

            async def counted() -> bool:
                row = await one(conn, "SELECT attempts, last_error, sent_at FROM outgoing")
                return bool(row[0] >= 2 and str(row[1]).startswith("broker: ") and row[2] is None)

            await until(counted, "two attempts are counted")
        finally:
            own_broker.thaw()
        await until(nothing_owed(conn), "the list is sent")
        assert await version_retained(settings) == 1


async def test_the_heartbeat_is_well_only_while_the_broker_is_reached(
    conn: Connection, settings: Settings, own_broker: OwnBroker
) -> None:
    settings = replace(settings, mqtt_url=own_broker.url, stage_id="stage-7")
    async with delivering(settings):
        await until(beats(conn, ok=False), "without a broker it beats and is not well")
        await own_broker.start()
        await until(beats(conn, ok=True), "with a broker it is well")
        first = await one(conn, "SELECT beat_at FROM heartbeat WHERE instance = 'stage-7'")

        async def later() -> bool:
            return bool(await one(conn, "SELECT beat_at > %s FROM heartbeat", first))

        await until(later, "it goes on beating")
        own_broker.kill()
        await until(beats(conn, ok=False), "the loss is told")


async def test_a_lost_database_delays_orders_and_loses_none(
    conn: Connection, settings: Settings, mqtt_url: str
) -> None:
    settings = replace(settings, mqtt_url=mqtt_url)
    await a_works(conn)
    async with delivering(settings):
        await until(listens(conn), "the deliverer listens")
        await until(beats(conn, ok=True), "the deliverer is connected")
        killed = await everything(
            conn,
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()""",
        )
        assert len(killed) >= 2, "the listener and the pool"
        await suspend(conn)
        await until(nothing_owed(conn), "the list is sent")
        assert await version_retained(settings) == 1


async def test_a_death_between_the_brokers_answer_and_the_commit_sends_the_same_list_again(
    conn: Connection, settings: Settings, mqtt_url: str
) -> None:
    settings = replace(settings, mqtt_url=mqtt_url)
    await a_works(conn)
    await suspend(conn)

    async def dies(*_: object) -> None:
        raise KeyError("killed here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outgoing_rows, "mark_sent", dies)
        async with open_pool(settings.database_url, name="deliverer") as pool:
            with pytest.raises(BaseExceptionGroup):
                async with asyncio.timeout(DEADLINE_S):
                    await deliver(pool, settings)
    first = await retained(settings)
    assert first is not None
    assert await unsent(conn) == 1
    async with delivering(settings):
        await until(nothing_owed(conn), "the list is settled")
    assert await retained(settings) == first


async def test_two_deliverers_take_turns_and_the_newest_list_stays(
    conn: Connection, settings: Settings, mqtt_url: str
) -> None:
    settings = replace(settings, mqtt_url=mqtt_url)
    await a_works(conn)
    async with delivering(settings), delivering(replace(settings, stage_id="stage-2")):
        await suspend(conn)
        for number in range(2, 8):
            second = await suspend(conn, alert=f"alert-{number}", stack="DA002")
            await do(conn, second, "permit_trial")
            await conn.execute("""UPDATE "case" SET closed_at = now() WHERE case_id = %s""", [second])
        await until(nothing_owed(conn), "everything is settled")
        newest = await one(conn, "SELECT max(version) FROM order_list")
        assert newest == 13
        assert await version_retained(settings) == newest


async def test_a_list_is_on_its_way_at_once_though_the_poll_is_slow(
    conn: Connection, settings: Settings, mqtt_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "POLL_S", 3600.0)
    settings = replace(settings, mqtt_url=mqtt_url)
    await a_works(conn)
    async with delivering(settings):
        await until(listens(conn), "the deliverer listens")
        await until(beats(conn, ok=True), "the deliverer is connected")
        await suspend(conn)
        await until(nothing_owed(conn), "the list is sent without a poll")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"order_key_file": ""}, "STACKWATCH_ORDER_KEY_FILE: is not set", id="no_key"),
        pytest.param({"order_key_file": "/nowhere/order.pem"}, "cannot be read", id="a_key_that_is_not_there"),
        pytest.param({"mqtt_url": "http://x"}, "must look like mqtt://", id="no_broker"),
    ],
)
async def test_without_a_key_or_a_broker_to_use_the_process_ends_at_once(
    settings: Settings, change: dict[str, str], fault: str
) -> None:
    changed = replace(settings, **{"mqtt_url": "mqtt://127.0.0.1:1", **change})  # type: ignore[arg-type]
    async with open_pool(settings.database_url, name="deliverer") as pool:
        with pytest.raises(BadDocument, match=fault):
            async with asyncio.timeout(timedelta(seconds=DEADLINE_S).total_seconds()):
                await deliver(pool, changed)
