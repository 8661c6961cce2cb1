"""Several ingestors as processes of their own, and the load of several edges on them, counted at the end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from builders import WORKS
from edge.agent import Edge, open_edge
from fakes.polling import until
from plant import topics
from plant.broker import BrokerAddress, broker_address, broker_of
from plant.settings import Settings
from plant.wire import Receipt, receipt_from

ROWS: Final = 10  #: of a frame
EDGE: Final = "gateway-1"
AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
DEADLINE_S: Final = 90.0
ASKED_AGAIN_S: Final = 3.0


def a_register(regions: Mapping[str, Sequence[str]]) -> str:
    """A register of these regions with these sites, each of one stack."""
    head, _, site = WORKS.partition("[[site]]")
    parts = []
    for region, sites in regions.items():
        parts.append(head.replace('"hebei"', f'"{region}"'))
        parts += [
            "[[site]]" + site.replace('code = "works"', f'code = "{code}"').replace('"hebei"', f'"{region}"')
            for code in sites
        ]
    return "".join(parts)


class IngestorProcess:
    """`stackwatch ingestor` with the settings given, until it is killed or ended."""

    def __init__(self, folder: Path, name: str, **settings: str) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        named = {f"STACKWATCH_{key.upper()}": value for key, value in settings.items()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stackwatch", "ingestor"],
                stdout=log,
                stderr=log,
                env={**os.environ, "STACKWATCH_INGESTOR_ID": name, **named},
            )

    async def working(self, conn: psycopg.Connection[Any]) -> None:
        """Return when its heartbeat says that it takes what comes."""
        await until(lambda: self.reason(conn) == "", DEADLINE_S)

    def reason(self, conn: psycopg.Connection[Any]) -> str | None:
        """Why it is not well as it says; empty if it is, None before it said anything."""
        assert self._process.poll() is None, self._log.read_text()[-3000:]
        said = conn.execute(
            "SELECT ok, detail ->> 'reason' FROM heartbeat WHERE component = 'ingestor' AND instance = %s", [self.name]
        ).fetchone()
        return None if said is None else "" if said[0] else str(said[1])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


class Load:
    """One edge a site; each publishes frames until it is told to stop."""

    def __init__(self, edges: Mapping[str, Edge], every_s: float) -> None:
        self.frames: Counter[str] = Counter()
        self._edges = edges
        self._every_s = every_s
        self._stopping = asyncio.Event()

    async def _publish(self, site: str, edge: Edge) -> None:
        start = int(AT.timestamp() * 1000)
        while not self._stopping.is_set():
            at = [start + 60_000 * (ROWS * self.frames[site] + n) for n in range(ROWS)]
            edge.outbox.append({"stack": "DA001", "sampled_at": at, "interval_s": 60, "so2": [1.0] * ROWS}, ROWS)
            self.frames[site] += 1
            try:
                async with asyncio.timeout(self._every_s):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def published(self, more: int) -> None:
        """Return when each edge has published *more* frames than now."""
        wanted = {site: self.frames[site] + more for site in self._edges}
        await until(lambda: all(self.frames[site] >= frames for site, frames in wanted.items()), DEADLINE_S)

    async def stop(self, deadline_s: float = DEADLINE_S) -> None:
        """Publish no more, and wait until a receipt covers everything."""
        self._stopping.set()
        for edge in self._edges.values():
            await edge.publisher.drained(deadline_s)

    async def resent(self) -> int:
        return sum(edge.publisher.stats.resent for edge in self._edges.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            for site, edge in self._edges.items():
                tasks.create_task(self._publish(site, edge), name=f"load {site}")
            try:
                yield
            finally:
                self._stopping.set()


@asynccontextmanager
async def a_load(
    settings_of: Callable[[str], Settings], sites: Sequence[str], folder: Path, *, every_s: float = 0.02
) -> AsyncIterator[Load]:
    """Load from an edge of each of *sites*, which reaches the broker by its own settings."""
    async with AsyncExitStack() as stack:
        edges = {
            site: await stack.enter_async_context(
                open_edge(settings_of(site), site=site, edge=EDGE, folder=folder / site)
            )
            for site in sites
        }
        load = Load(edges, every_s)
        await stack.enter_async_context(load.running())
        yield load


def assert_each_row_once(conn: psycopg.Connection[Any], load: Load) -> None:
    """Everything published is stored, nothing was stored twice, and the books say the same."""
    stored = dict(
        conn.execute(
            "SELECT s.code, count(*) FROM measurement JOIN stack USING (stack_id) JOIN site s USING (site_id)"
            " GROUP BY s.code"
        ).fetchall()
    )
    assert stored == {site: frames * ROWS for site, frames in load.frames.items()}
    booked = conn.execute(
        "SELECT sum(stored)::int, sum(duplicate)::int, sum(conflict)::int, sum(quarantined)::int FROM batch_hour"
    ).fetchone()
    assert booked == (sum(stored.values()), 0, 0, 0)
    assert conn.execute("SELECT count(*) FROM batch").fetchone() == (sum(load.frames.values()),)


def takers(conn: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Which ingestors took frames of each site."""
    rows = conn.execute("SELECT s.code, b.ingestor FROM batch b JOIN site s USING (site_id) GROUP BY 1, 2").fetchall()
    found: dict[str, set[str]] = {}
    for site, ingestor in rows:
        found.setdefault(site, set()).add(ingestor)
    return found


def retained_receipts(settings: Settings, sites: Sequence[str]) -> dict[str, Receipt]:
    """What an edge of each site that connects now is told."""
    found: dict[str, Receipt] = {}
    complete = threading.Event()

    def received(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        found[message.topic.split("/")[-3]] = receipt_from(bytes(message.payload))
        if len(found) == len(sites):
            complete.set()

    wanted = [(topics.receipt(settings.topic_root, site, EDGE), 1) for site in sites]

    def connected(session: mqtt.Client, *_: Any) -> None:
        session.subscribe(wanted)

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"look-{settings.ingestor_id}")
    client.on_message = received
    client.on_connect = connected
    _connect(client, broker_of(settings))
    client.loop_start()
    try:
        ends_at = time.monotonic() + DEADLINE_S
        # A cluster that elects a leader grants the subscription and sends nothing that was retained: ask again.
        while not complete.wait(ASKED_AGAIN_S) and time.monotonic() < ends_at:
            client.subscribe(wanted)
        assert complete.is_set(), found
    finally:
        client.disconnect()
        client.loop_stop()
    return found


def forget(mqtt_url: str, ingestor: str) -> None:
    """End the session of *ingestor* at the broker."""
    ended = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"stackwatch-{ingestor}", clean_session=True)
    client.on_connect = lambda *_: ended.set()
    _connect(client, broker_address(mqtt_url))
    client.loop_start()
    assert ended.wait(DEADLINE_S)
    client.disconnect()
    client.loop_stop()


def _connect(client: mqtt.Client, address: BrokerAddress) -> None:
    """At the first node that answers."""
    if address.tls:
        client.tls_set(address.ca_file, address.cert_file, address.key_file)
    for node in address.nodes:
        try:
            client.connect(node.host, node.port)
        except OSError:
            continue
        return
    raise ConnectionError("no node answers")
