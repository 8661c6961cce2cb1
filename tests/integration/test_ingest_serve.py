"""The ingestor's process against a real broker and database: what is published is committed, whatever goes away."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from builders import WORKS, a_frame, minutes, put_register
from fakes.polling import until
from ingestor.serve import serve
from plant import topics
from plant.broker import broker_address
from plant.settings import Settings
from plant.wire import Receipt, receipt_from
from store import quarantine
from store.pool import open_pool
from store.scope import EVERYWHERE

pytestmark = pytest.mark.anyio

AT: Final = datetime(2026, 11, 10, tzinfo=UTC)


class Edge:
    """A plain MQTT client that publishes and watches its receipts. A context manager."""

    def __init__(self, url: str, root: str) -> None:
        self._url, self._root = broker_address(url), root
        self.receipts: list[Receipt] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"edge-{root.replace('/', '-')}")
        self._client.on_connect = lambda client, *_: client.subscribe(topics.receipt(root, "works", "e1"), qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda *args: self.receipts.append(receipt_from(bytes(args[2].payload)))

    def __enter__(self) -> Edge:
        self._client.connect(self._url.host, self._url.port)
        self._client.loop_start()
        assert self._subscribed.wait(20)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, payload: bytes, *, kind: str = "data", site: str = "works") -> None:
        self._client.publish(f"{self._root}/{site}/e1/{kind}", payload, qos=1).wait_for_publish(20)

    def publish_frames(self, seqs: range, n: int = 2) -> None:
        for seq in seqs:
            rows = minutes((AT + timedelta(minutes=n * seq)).isoformat(), n, so2=float(seq), o2=16.0)
            self.publish(a_frame(rows, session="s1", seq=seq))

    @property
    def through(self) -> int:
        return max((receipt.through for receipt in self.receipts), default=0)


@contextmanager
def a_database(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
        yield conn


def count(conn: psycopg.Connection[Any], table: str = "measurement") -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row[0])


async def eventually(condition: Callable[[], object]) -> None:
    await until(lambda: bool(condition()), 60)


def settings_of(database_url: str, mqtt_url: str, root: str) -> Settings:
    return Settings(database_url=database_url, mqtt_url=mqtt_url, topic_root=root, ingestor_id=root.replace("/", "-"))


@asynccontextmanager
async def an_ingestor(settings: Settings) -> AsyncIterator[None]:
    """Runs until the `with` ends, which is as abrupt as a SIGTERM; the broker keeps what it has not acknowledged."""
    task = asyncio.create_task(serve(settings), name="serve")
    try:
        with a_database(settings.database_url) as conn:

            def subscribed() -> bool:
                assert not task.done(), task.exception()
                return conn.execute("SELECT FROM heartbeat WHERE component = 'ingestor' AND ok").fetchone() is not None

            conn.execute("DELETE FROM heartbeat")
            await eventually(subscribed)
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
async def config(database_url: str, mqtt_url: str, topic_root: str) -> AsyncIterator[Settings]:
    """A registered works, and a session at the broker that is forgotten afterwards."""
    found = settings_of(database_url, mqtt_url, topic_root)
    async with open_pool(database_url, name="test") as pool:
        await put_register(pool, WORKS)
    yield found
    address = broker_address(mqtt_url)
    forgotten = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"stackwatch-{found.ingestor_id}", clean_session=True)
    client.on_connect = lambda *_: forgotten.set()
    client.connect(address.host, address.port)
    client.loop_start()
    assert forgotten.wait(20)
    client.disconnect()
    client.loop_stop()


async def test_what_an_edge_publishes_is_stored_and_its_receipt_is_retained(config: Settings) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            edge.publish_frames(range(1, 21))
            await eventually(lambda: edge.through == 20)
            assert count(conn) == 40
            assert edge.receipts[-1] == Receipt(session="s1", through=20)
            beats = conn.execute("SELECT component, ok FROM heartbeat ORDER BY component").fetchall()
            assert beats == [("broker", True), ("ingestor", True)]
    with Edge(config.mqtt_url, config.topic_root) as later:
        await eventually(lambda: later.receipts)
        assert later.receipts[0].through == 20


async def test_what_is_published_while_no_ingestor_runs_waits_at_the_broker(config: Settings) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            edge.publish_frames(range(1, 2))
            await eventually(lambda: edge.through == 1)
        edge.publish_frames(range(2, 12))
        async with an_ingestor(config):
            await eventually(lambda: edge.through == 11)
        assert count(conn) == 22


async def test_garbage_of_every_kind_of_message_stops_nothing(config: Settings) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            ack = {"order_id": "o1", "version": 1, "seen_at": "2026-11-10T08:00:00Z", "by": "foreman"}
            garbage: list[Any] = [
                b"",
                b"\xff",
                b"7",
                b"[" * 5_000,
                {},
                {"online": "yes"},
                {"online": True, "outbox": 1.5},
                {"online": True, "oldest": 10**30},
                ack | {"version": float("inf")},
                ack | {"version": 10**30},
                ack | {"version": None},
                ack | {"seen_at": "soon"},
                ack | {"seen_at": "2026-11-10T08:00:00"},
                ack | {"seen_at": "0001-01-01T00:00:00+14:00"},
                ack | {"by": "a\x00b"},
            ]
            for item in garbage:
                payload = item if isinstance(item, bytes) else json.dumps(item).encode()
                for kind in ("state", "order-ack", "data"):
                    edge.publish(payload, kind=kind)
                    edge.publish(payload, kind=kind, site="nowhere")
            edge.publish(b'{"online": true, "version": "1.0\\u0000", "outbox": 3}', kind="state")
            edge.publish(json.dumps(ack).encode(), kind="order-ack")
            edge.publish_frames(range(1, 4))
            await eventually(lambda: edge.through == 3)
            await eventually(lambda: conn.execute("SELECT 1 FROM edge_state").fetchone())
            await eventually(lambda: conn.execute("SELECT 1 FROM order_ack WHERE order_id = 'o1'").fetchone())
        assert count(conn) == 6
        assert count(conn, "quarantine") == 2 * len(garbage)
        states = conn.execute("SELECT online, document - 'since' FROM edge_state").fetchall()
        assert states == [(True, {"online": True, "version": "1.0", "outbox": 3, "oldest": None, "dropped": None})]
        readable = conn.execute("SELECT order_id, version, seen_at, seen_by FROM order_ack").fetchall()
        assert readable == [("o1", 1, AT.replace(hour=8), "foreman")]


async def test_a_message_on_an_endless_topic_stops_nothing(config: Settings) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            edge.publish(b"{}", site="x" * 5_000)
            edge.publish_frames(range(1, 3))
            await eventually(lambda: edge.through == 2)
        assert count(conn, "quarantine") == 1


async def test_a_frozen_database_makes_everything_wait_and_loses_nothing(config: Settings) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            edge.publish_frames(range(1, 4))
            await eventually(lambda: edge.through == 3)
            with psycopg.connect(config.database_url) as frozen:
                frozen.execute("LOCK TABLE measurement IN ACCESS EXCLUSIVE MODE")
                edge.publish_frames(range(4, 54))
                await eventually(lambda: waiting_for_a_lock(conn))
                assert edge.through == 3
            await eventually(lambda: edge.through == 53)
        assert count(conn) == 106


async def test_a_database_that_ends_every_connection_loses_nothing(config: Settings) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            for round_ in range(3):
                edge.publish_frames(range(20 * round_ + 1, 20 * round_ + 21))
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await eventually(lambda: edge.through == 60)
        assert count(conn) == 120
        assert doubled(conn) == []


async def test_a_database_that_lets_nobody_in_for_a_moment_loses_nothing(
    config: Settings, admin_database_url: str
) -> None:
    name = sql.Identifier(str(conninfo_to_dict(config.database_url)["dbname"]))
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            edge.publish_frames(range(1, 4))
            await eventually(lambda: edge.through == 3)
            with a_database(admin_database_url) as admin:
                admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                edge.publish_frames(range(4, 24))
                await eventually(lambda: others(conn) == 0)
                assert edge.through == 3
                admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
            await eventually(lambda: edge.through == 23)
        assert count(conn) == 46
        assert doubled(conn) == []


async def test_a_message_whose_commit_did_not_happen_is_redelivered_to_the_next_ingestor(config: Settings) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        with psycopg.connect(config.database_url) as frozen:
            async with an_ingestor(config):
                frozen.execute("LOCK TABLE measurement IN ACCESS EXCLUSIVE MODE")
                edge.publish_frames(range(1, 6))
                await eventually(lambda: waiting_for_a_lock(conn))
        # The ingestor is gone in the middle of its transaction: nothing committed, nothing acknowledged.
        await eventually(lambda: others(conn) == 0)
        assert (count(conn), edge.receipts) == (0, [])
        async with an_ingestor(config):
            await eventually(lambda: edge.through == 5)
        assert count(conn) == 10
        assert conn.execute("SELECT DISTINCT deliveries FROM batch").fetchall() == [(1,)]


async def test_a_message_that_was_committed_and_not_acknowledged_is_not_stored_twice(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        with monkeypatch.context() as patched:
            patched.setattr("ingestor.subscriber.Subscriber.acknowledge", lambda *_: None)
            patched.setattr("ingestor.subscriber.Subscriber.publish_receipts", lambda *_: None)
            async with an_ingestor(config):
                edge.publish_frames(range(1, 6))
                await eventually(lambda: count(conn) == 10)
        assert edge.receipts == []
        async with an_ingestor(config):
            await eventually(lambda: edge.through == 5)
        assert count(conn) == 10
        assert doubled(conn) == []
        books = conn.execute("SELECT sum(stored)::int, sum(duplicate)::int FROM batch_hour").fetchone()
        assert books == (10, 0)


async def test_what_is_released_from_the_quarantine_is_read_again_by_itself(config: Settings) -> None:
    next_week = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    with Edge(config.mqtt_url, config.topic_root) as edge, a_database(config.database_url) as conn:
        async with an_ingestor(config):
            edge.publish(a_frame(minutes(next_week.isoformat(), 2, so2=1.0), session="s1", seq=1))
            await eventually(lambda: edge.through == 1)
            (refused,) = edge.receipts[-1].refused
            assert (count(conn), refused["rows"]) == (0, [0, 1])
            async with await psycopg.AsyncConnection.connect(config.database_url, autocommit=True) as person:
                (item,) = await quarantine.list_quarantine(person, EVERYWHERE, limit=2)
                await quarantine.release(person, EVERYWHERE, item["id"], by="inspector")
            await eventually(lambda: count(conn) == 2)


def waiting_for_a_lock(conn: psycopg.Connection[Any]) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return conn.execute(query).fetchone() is not None


def others(conn: psycopg.Connection[Any]) -> int:
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def doubled(conn: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Frames whose rows the books count more than once."""
    return conn.execute(
        "SELECT b.seq FROM batch b JOIN batch_hour h USING (batch_id)"
        " GROUP BY b.seq HAVING sum(h.stored + h.duplicate + h.conflict + h.quarantined) <> max(b.rows)"
    ).fetchall()
