"""From publish to the row of an alert and to the live feed, through broker, ingestor, stage and API, at a rate of rows.

    publisher ──▶ broker ──▶ ingestor ──▶ database ──▶ stage ──▶ alert row ──▶ feed ──▶ SSE reader
       t0                                                           t1                      t2

Simulated works whose clocks run fast, so that their hours end all the time, at different moments: as many hours end a
second as in a country of 25,000 stacks with a row every 10 s, and every stack has a month behind it. One stack in five
rises in every other hour; its hour becomes irrecoverable at a minute that is known beforehand (`plant.bounds` on the
same rows). Timed is from the publish of the message whose row shows that minute to be over, to the commit of the alert
`irrecoverable_hour` as a LISTEN connection hears of it, and to its event `opened` at a reader of the feed.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiomqtt
import httpx
import numpy as np
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from alerts.stage import Stage
from alerts.subject import Subject
from benchmarks import servers, stacks
from benchmarks.report import arguments, publish
from benchmarks.shape import ROOT
from benchmarks.stacks import STACKS_A_SITE, START
from benchmarks.usage import cpu_of
from ingestor.intake import Intake
from plant import topics, wire
from plant.bounds import NEVER, irrecoverable_since
from plant.broker import broker_address
from plant.settings import Settings
from stackwatch.local.ports import LOOPBACK, Ports
from store.migrate import migrate
from store.pool import open_pool, transaction
from store.principals import create_token
from store.register import load_register

RATE: Final = 5_000  #: rows a second
SITES: Final = 10
INTERVAL_S: Final = 5  #: so that hours end as often as with 25,000 stacks at 10 s
INSTANTS_A_MESSAGE: Final = 5
SPEED: Final = RATE * INTERVAL_S / (SITES * STACKS_A_SITE)
PERIOD_S: Final = INSTANTS_A_MESSAGE * INTERVAL_S / SPEED  #: between two messages of a site
RISING: Final = 5  #: of so many stacks one
HIGH: Final = (80.0, 175.0)  #: mg/m3 of SO2 in an hour that rises
VALID_S: Final = 45  #: of a minute that have to be covered
O2: Final = 15.9  #: vol %
RULE: Final = "irrecoverable_hour"
SETTLE_S: Final = 15.0  #: after the last message
READY_S: Final = 60.0

Hour = tuple[str, str, str, str]  #: site, stack, pack, start as the alert writes it


@dataclass(slots=True)
class Timed:
    """When what was published or heard, on one monotonic clock."""

    due: dict[Hour, tuple[int, int]] = field(
        default_factory=dict
    )  #: by hour: site, number of the message that shows it
    sent: dict[tuple[int, int], float] = field(default_factory=dict)  #: by site and message
    rows: dict[str, float] = field(default_factory=dict)  #: by alert
    events: dict[str, float] = field(default_factory=dict)
    hours: dict[str, Hour] = field(default_factory=dict)  #: of each alert

    def latencies_ms(self, heard: Mapping[str, float]) -> list[float]:
        found = []
        for alert, at in heard.items():
            place = self.due.get(self.hours[alert])
            if place is not None and place in self.sent:
                found.append(1000 * (at - self.sent[place]))
        return found


def level(site: int, number: int, hour: int) -> float | None:
    """The SO2 of a stack in an hour that rises; None in any other."""
    if number % RISING or (hour + number // RISING) % 2:
        return None
    return random.Random(f"{site} {number} {hour}").uniform(*HIGH)


def begins(site: int) -> datetime:
    """When the rows of a site begin: its clock is an hour's part off its neighbours'."""
    return START + timedelta(hours=2, seconds=site * 3600 // SITES // INTERVAL_S * INTERVAL_S)


def message(site: int, number: int) -> bytes:
    """The rows of a site's stacks in the few instants of its message *number*."""
    rng = random.Random(f"{site} {number}")
    first = begins(site) + timedelta(seconds=number * INSTANTS_A_MESSAGE * INTERVAL_S)
    instants = [first + timedelta(seconds=step * INTERVAL_S) for step in range(INSTANTS_A_MESSAGE)]
    places = [(at, own) for at in instants for own in range(STACKS_A_SITE)]

    def so2(at: datetime, own: int) -> float:
        high = level(site, own, int(at.timestamp() // 3600))
        return round(rng.gauss(20.0, 1.0), 2) if high is None else round(high, 2)

    return wire.encode(
        {
            "schema": 1,
            "sent_at": int(instants[-1].timestamp() * 1000),
            "stack": [stacks.stack_code(site * STACKS_A_SITE + own) for _, own in places],
            "sampled_at": [int(at.timestamp() * 1000) for at, _ in places],
            "interval_s": INTERVAL_S,
            "flag": "N",
            "state": "running",
            "so2": [so2(at, own) for at, own in places],
            "o2": [O2] * len(places),
            **{
                name: [round(rng.gauss(*usual), 2) for _ in places]
                for name, usual in stacks.LEVELS.items()
                if name not in ("so2", "o2")
            },
        }
    )


def expect(timed: Timed, subjects: Mapping[str, Subject], seconds: float) -> None:
    """Work out which message shows each hour that rises to be lost."""
    n_messages = int(seconds / PERIOD_S)
    for site in range(SITES):
        start = begins(site)
        end = start + timedelta(seconds=n_messages * INSTANTS_A_MESSAGE * INTERVAL_S)
        first_hour = int(start.timestamp() // 3600) + 1  # whole ones only
        for hour in range(first_hour, int(end.timestamp() // 3600)):
            for own in range(0, STACKS_A_SITE, RISING):
                high = level(site, own, hour)
                code = stacks.stack_code(site * STACKS_A_SITE + own)
                lost = {} if high is None else _lost_after(subjects[code], round(high, 2))
                began = datetime.fromtimestamp(hour * 3600, UTC)
                for pack, minutes in lost.items():
                    # The newest minute of a running hour is not known yet: the row that makes the next valid shows it.
                    shows_s = (began + timedelta(minutes=minutes) - start).total_seconds() + VALID_S - INTERVAL_S
                    place = int(shows_s) // (INSTANTS_A_MESSAGE * INTERVAL_S)
                    key = (stacks.site_code(site * STACKS_A_SITE), code, pack, f"{began:%Y-%m-%dT%H:%M:%SZ}")
                    timed.due[key] = (site, place)


def _lost_after(subject: Subject, so2: float) -> dict[str, int]:
    """After how many minutes of *so2* an hour is lost, by pack; without those that do not lose it."""
    found = {}
    for watched in subject.watched:
        if watched.pollutant == "so2" and watched.envelope is not None:
            minutes, o2 = np.full(60, so2), np.full(60, O2)
            since = int(irrecoverable_since(minutes, o2, 60, watched.target, watched.envelope))
            if since != NEVER:
                found[watched.pack.name] = since
    return found


async def send(mqtt_url: str, timed: Timed, seconds: float) -> None:
    """Publish every site's messages at their times."""
    payloads = {
        (number, site): message(site, number) for number in range(int(seconds / PERIOD_S)) for site in range(SITES)
    }
    address = broker_address(mqtt_url).nodes[0]
    async with aiomqtt.Client(address.host, address.port, identifier="bench-load", max_inflight_messages=200) as client:
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for (number, site), payload in payloads.items():
                pause = begun + PERIOD_S * (number + site / SITES) - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                timed.sent[site, number] = time.monotonic()
                topic = topics.data(ROOT, stacks.site_code(site * STACKS_A_SITE), "e1")
                tasks.create_task(client.publish(topic, payload, qos=1, timeout=60), name="publish")


async def watch_rows(url: str, timed: Timed, ready: asyncio.Event) -> None:
    """Note when the row of each alert is committed."""
    listening = await psycopg.AsyncConnection.connect(url, autocommit=True)
    asking = await psycopg.AsyncConnection.connect(url, autocommit=True)  # what comes while one asks would be lost
    async with listening, asking:
        await listening.execute("LISTEN event")
        ready.set()
        async for _ in listening.notifies():
            at = time.monotonic()
            cursor = await asking.execute(
                "SELECT alert_id, s.code, k.code, pack, utc_text(period_start) FROM alert JOIN site s USING (site_id)"
                " JOIN stack k USING (stack_id) WHERE rule = %s AND NOT alert_id = ANY(%s)",
                [RULE, list(timed.rows)],
            )
            for alert, *hour in await cursor.fetchall():
                timed.rows[alert] = at
                timed.hours[alert] = (hour[0], hour[1], hour[2], hour[3])


async def read_feed(url: str, token: str, timed: Timed, ready: asyncio.Event) -> None:
    """Note when a reader of the live feed gets the event that opens each alert."""
    head = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(10.0, read=None)) as client,
        client.stream("GET", f"{url}/v1/alerts/stream", params={"rule": RULE}, headers=head) as answer,
    ):
        answer.raise_for_status()
        ready.set()
        async for line in answer.aiter_lines():
            at = time.monotonic()
            if line.startswith("data:"):
                document = json.loads(line.removeprefix("data:"))
                if document["event"] == "opened":
                    timed.events.setdefault(document["id"], at)
                    hour = (document["site"], document["stack"], document["pack"], document["period_start"])
                    timed.hours[document["id"]] = hour


@asynccontextmanager
async def watching(database_url: str, http_url: str, token: str, timed: Timed) -> AsyncIterator[None]:
    rows, feed = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(watch_rows(database_url, timed, rows), name="rows"),
        asyncio.create_task(read_feed(http_url, token, timed, feed), name="feed"),
    ]
    try:
        async with asyncio.timeout(READY_S):
            await asyncio.gather(rows.wait(), feed.wait())
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def prepare(url: str, days: int) -> tuple[str, dict[str, Subject]]:
    """Stacks with a month behind them; a token that may read the feed, and the stacks as they are judged."""
    await migrate(url)
    async with open_pool(url, name="bench", size=6) as pool:
        stage = Stage(Settings(database_url=url, mqtt_url="mqtt://127.0.0.1:1"), pool)
        await stacks.prepare(pool, stage, Intake(pool, ROOT, "bench"), SITES * STACKS_A_SITE, days=days, simulated=True)
        async with transaction(pool) as conn:
            token, _ = await create_token(conn, name="bench", roles=["auditor"])
            register = await load_register(conn)
    subjects = {
        stack.code: Subject(site_id=known.site_id, stack_id=known.stack_ids[stack.code], site=known.site, stack=stack)
        for known in register.values()
        for stack in known.site.stacks
    }
    return token, subjects


async def left_over(url: str) -> tuple[int, list[str]]:
    """Hours that have ended and are not judged for good (none, if the stage kept up), and what must not be."""
    async with await psycopg.AsyncConnection.connect(url) as conn:
        cursor = await conn.execute(
            "SELECT count(DISTINCT (stack_id, start)) FROM hour_mean JOIN stack USING (stack_id)"
            " JOIN site_clock USING (site_id) WHERE NOT final AND superseded_at IS NULL"
            " AND start + interval '62 min' < newest"
        )
        row = await cursor.fetchone()
        cursor = await conn.execute("SELECT reason FROM set_aside UNION SELECT reason FROM quarantine LIMIT 5")
        failed = [reason for (reason,) in await cursor.fetchall()]
    return 0 if row is None else int(row[0]), failed


@contextmanager
def the_system(database_url: str, mqtt_url: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Ingestor, stage and API as processes; the address of the API and their pids."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stackwatch-bench-")))
        key = folder / "order.pem"
        key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)
        port = stack.enter_context(Ports()).take(28_000)
        environ = {
            "DATABASE_URL": database_url,
            "MQTT_URL": mqtt_url,
            "TOPIC_ROOT": ROOT,
            "ORDER_KEY_FILE": str(key),
            "HTTP_PORT": str(port),
        }
        http_url = f"http://{LOOPBACK}:{port}"
        pids = {
            name: stack.enter_context(servers.process(name, environ, answers)).pid
            for name, answers in {
                "ingestor": lambda: servers.beats(database_url, "ingestor", "ingestor-1"),
                "alerts": lambda: servers.beats(database_url, "stage", "stage-1"),
                "api": lambda: _answers(http_url),
            }.items()
        }
        yield http_url, pids


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def percentiles(name: str, values: list[float]) -> dict[str, float | None]:
    if not values:
        return {f"{name}_p50_ms": None, f"{name}_p99_ms": None}
    return {f"{name}_p{of}_ms": round(float(np.percentile(values, of)), 1) for of in (50, 99)}


def measure(database: servers.Server, url: str, seconds: float, days: int) -> dict[str, Any]:
    token, subjects = asyncio.run(prepare(url, days))
    timed = Timed()
    expect(timed, subjects, seconds)
    with servers.broker(servers.NATS) as broker, the_system(url, broker.url) as (http_url, pids):
        pids |= {"database": database.pid, "broker": broker.pid}

        async def run() -> tuple[float, dict[str, float]]:
            async with watching(url, http_url, token, timed):
                used, begun = cpu_of(pids), time.monotonic()
                await send(broker.url, timed, seconds)
                took = time.monotonic() - begun
                spent = {name: round((after - used[name]) / took, 3) for name, after in cpu_of(pids).items()}
                await asyncio.sleep(SETTLE_S)
            return took, spent

        took, spent = asyncio.run(run())
        left, failed = asyncio.run(left_over(url))
    if failed:
        raise servers.NotToBeHad(f"rows or stacks were not taken: {'; '.join(failed)}")
    rows = len(timed.sent) * STACKS_A_SITE * INSTANTS_A_MESSAGE
    row_ms, sse_ms = timed.latencies_ms(timed.rows), timed.latencies_ms(timed.events)
    return {
        "rate_rows_per_s": round(rows / took),
        **percentiles("alert_row", row_ms),
        **percentiles("sse", sse_ms),
        "alerts": len(row_ms),
        "alerts_expected": len(timed.due),
        "hours_ended_per_s": round(rows * INTERVAL_S / took / 3600, 1),
        "hours_ended_not_final": left,
        "cores_used": spent,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long rows are published")
    parser.add_argument("--days", type=int, default=stacks.HISTORY_DAYS, help="that each stack has behind it")
    parser.add_argument("--database", default=servers.default_database(), help="timescaledb, postgresql or an address")
    given = parser.parse_args()
    with servers.database_server(given.database, servers.DURABLE) as server, servers.a_database(server.url) as url:
        figures = measure(server, url, given.seconds, given.days)
    publish({"database": given.database, **figures}, as_json=given.json)


if __name__ == "__main__":
    main()
