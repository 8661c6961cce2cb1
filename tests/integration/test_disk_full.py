"""A full disk, of the database, of the broker, of an outbox: nothing is lost, it is said, and room is all it takes.

The small disks are file systems in memory, which only root may mount.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiomqtt
import psycopg
import pytest

from builders import WORKS, put_register
from edge import outbox as edge_outbox
from edge.agent import Edge, open_edge
from edge.outbox import Outbox, OutboxFull, Policy
from edge.outbox_file import OutboxUnusable
from edge.replay import replay
from edge.reserve import SIZE
from edge.trace import plan_replay
from fakes.disks import Disk, mount, unmount, why_no_small_disk
from fakes.polling import until
from fakes.receipting import ReceiptingIngestor
from ingestor import serve as ingestor_process
from plant import topics, wire
from plant.broker import broker_address
from plant.settings import Settings
from services.brokers import ProcessBroker, own_broker
from stackwatch.local import folder
from stackwatch.local.folder import DataFolder
from stackwatch.local.keeping import Keepers
from stackwatch.local.ports import Ports
from stackwatch.local.postgres import Postgres
from stackwatch.local.supervisor import LocalStack
from store.books import book_totals
from store.migrate import migrate
from store.pool import connect, open_pool
from store.scope import EVERYWHERE

MB: Final = 1 << 20
ROWS: Final = 20  # a frame
START_MS: Final = 1_767_225_600_000  # 2026


_WHY_NOT: Final = why_no_small_disk()
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")]


@pytest.fixture
def disk_at() -> Iterator[Callable[[Path, int], Disk]]:
    """Mounts a small disk on a folder that exists."""
    mounted: list[Path] = []

    def make(path: Path, size_mb: int) -> Disk:
        why = mount(path, size_mb)
        assert why is None, why
        mounted.append(path)
        return Disk(path)

    yield make
    for path in mounted:
        unmount(path)


@pytest.fixture
def new_folder() -> Iterator[Callable[[], Path]]:
    """Makes data folders that an unprivileged user can be let into."""
    made: list[Path] = []

    def make() -> Path:
        made.append(folder.resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-"))))
        return made[-1]

    yield make
    for path in made:
        shutil.rmtree(path)


def columns(number: int, *, padding: int = 0) -> dict[str, Any]:
    times = [START_MS + (number * ROWS + i) * 60_000 for i in range(ROWS)]
    frame: dict[str, Any] = {"stack": "DA001", "sampled_at": times, "so2": [float(number)] * ROWS}
    if padding:
        frame["instrument"] = "main"
        frame |= {f"channel_{i}_{'x' * 40}": [1.5] * ROWS for i in range(padding // (8 * ROWS))}
    return frame


def fill_outbox(edge: Edge, first: int, last: int, *, padding: int = 0) -> None:
    for number in range(first, last):
        edge.outbox.append(columns(number, padding=padding), ROWS)


# The database.


@asynccontextmanager
async def database_on(data: DataFolder, port: int) -> AsyncIterator[str]:
    """A database that is started again whenever it dies, as `up` does it."""
    postgres = Postgres.on(data, port=port, settings={"max_wal_size": "32MB", "min_wal_size": "32MB"})
    keepers = Keepers(random.Random(1), spawned=lambda: None)
    child = await postgres.start(lambda: None)
    keepers.keep(postgres, child)
    try:
        yield postgres.url
    finally:
        await keepers.stop()
        if postgres.child is not None:
            await postgres.child.stop()


async def ask(url: str, query: str) -> tuple[Any, ...] | None:
    """The first row, or None while the database does not answer."""
    with suppress(psycopg.OperationalError):
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as conn:
            return await (await conn.execute(query.encode())).fetchone()
    return None


async def test_a_full_disk_of_the_database_stops_the_intake_until_there_is_room(
    mqtt_url: str,
    topic_root: str,
    new_folder: Callable[[], Path],
    disk_at: Callable[[Path, int], Disk],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = disk_at(new_folder(), 160)
    data = DataFolder(disk.path / "data")
    disk.path.chmod(0o711)
    with data.locked(), Ports() as ports:
        async with database_on(data, ports.take(35_432)) as url:
            await migrate(url)
            async with open_pool(url, name="test") as pool:
                await put_register(pool, WORKS)
            settings = Settings(
                database_url=url, mqtt_url=mqtt_url, topic_root=topic_root, ingestor_id=topic_root[:9], batch_age_ms=1
            )
            ingestor = asyncio.create_task(ingestor_process.serve(settings), name="ingestor")
            async with open_edge(settings, site="works", edge="e", folder=tmp_path) as edge:
                fill_outbox(edge, 0, 20, padding=8_000)
                await until(lambda: edge.outbox.waiting == 0, 60)
                await until_heartbeat(url, "ok")
                disk.fill()
                fill_outbox(edge, 20, 600, padding=8_000)
                refused = "No space left on device"
                await until(lambda: any(refused in str(vars(r).get("reason", "")) for r in caplog.records), 60)
                await until(lambda: edge.publisher.stats.in_flight > 0)
                await until_heartbeat(
                    url, "NOT ok AND detail ->> 'reason' LIKE 'rows wait: database: % No space left%'"
                )
                assert edge.outbox.waiting > 0, "what is not committed is not acknowledged"
                stuck = edge.publisher.stats.settled_rows
                assert stuck < 600 * ROWS
                disk.make_room()
                await until(lambda: edge.outbox.waiting == 0, 120)
            assert not ingestor.done(), "it waited, and did not end"
            assert await ask(url, "SELECT count(*), count(DISTINCT sampled_at), sum(so2) FROM measurement") == (
                600 * ROWS,
                600 * ROWS,
                ROWS * sum(range(600)),
            )
            async with await connect(url, name="test") as conn:
                books = await book_totals(conn, EVERYWHERE)
            assert (books["stored"], books["unexplained"], books["dropped"]) == (600 * ROWS, 0, 0)
            await until_heartbeat(url, "ok")
            ingestor.cancel()
            with suppress(asyncio.CancelledError):
                await ingestor


async def until_heartbeat(url: str, says: str) -> None:
    """Wait until the ingestor says so of itself."""
    async with asyncio.timeout(40):
        while not await ask(url, f"SELECT 1 FROM heartbeat WHERE component = 'ingestor' AND {says}"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


# The broker.

_IDLE: Final = {"idle": [sys.executable, "-c", "import time; time.sleep(3600)"]}


async def test_a_full_disk_of_the_embedded_broker_costs_nothing_and_room_is_enough(
    new_folder: Callable[[], Path],
    disk_at: Callable[[Path, int], Disk],
    topic_root: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stackwatch.local.supervisor.BROKER_PAUSE_S", 0.5)
    data = DataFolder(new_folder())
    with data.locked():
        disk = disk_at(data.broker, 24)
    async with LocalStack(data.path, processes=_IDLE) as stack:
        settings = Settings(mqtt_url=stack.mqtt_url, topic_root=topic_root)
        with ReceiptingIngestor(stack.mqtt_url, topic_root) as ingestor:
            async with open_edge(settings, site="works", edge="e", folder=tmp_path) as edge:
                fill_outbox(edge, 0, 10)
                await until(lambda: edge.outbox.waiting == 0)
                disk.fill()
                fill_outbox(edge, 10, 2_000, padding=8_000)
                await until(lambda: "broker_cannot_store" in caplog.messages, 60)
                (first,) = [r for r in caplog.records if r.getMessage() == "broker_cannot_store"][:1]
                assert "no space left on device" in vars(first)["reason"]
                assert edge.outbox.waiting > 0
                disk.make_room()
                await until(lambda: edge.outbox.waiting == 0, 120)
            assert len(ingestor.rows) == 2_000 * ROWS
    if data.postgres.is_symlink():
        shutil.rmtree(data.postgres.resolve())


async def leave_a_session(mqtt_url: str, root: str) -> None:
    """Somebody subscribes and goes away: the broker has to keep what comes."""
    address = broker_address(mqtt_url)
    async with aiomqtt.Client(address.host, address.port, identifier="absent", clean_session=False) as client:
        await client.subscribe(topics.data(root, "works", "e"), qos=1)


async def test_a_broker_whose_disk_is_full_and_then_lost_costs_nothing(
    own_broker_kind: str,
    new_folder: Callable[[], Path],
    disk_at: Callable[[Path, int], Disk],
    topic_root: str,
    tmp_path: Path,
) -> None:
    """What a broker holds is worth nothing: Mosquitto may have cut its file short, and then not start on it."""
    place = new_folder()
    store = place / "store"
    store.mkdir()
    with Ports() as ports:
        broker = own_broker(own_broker_kind, place, ports)
        # A container has its own disk, which can be lost and not filled.
        disk = disk_at(store, 4) if isinstance(broker, ProcessBroker) else None
        await broker.start()
        try:
            settings = Settings(mqtt_url=broker.url, topic_root=topic_root)
            with ReceiptingIngestor(broker.url, topic_root) as ingestor:
                async with open_edge(settings, site="works", edge="e", folder=tmp_path) as edge:
                    fill_outbox(edge, 0, 10)
                    await until(lambda: edge.outbox.waiting == 0)
                    await leave_a_session(broker.url, topic_root)
                    if disk is not None:
                        disk.fill()
                    with ingestor.away():
                        fill_outbox(edge, 10, 300, padding=8_000)
                        await until(lambda: edge.publisher.stats.in_flight == 64)
                        if disk is not None:
                            log = place / f"{own_broker_kind}.log"
                            await until(lambda: "no space left" in log.read_text(errors="replace").lower(), 60)
                        broker.kill(lose_disk=disk is None)
                        if disk is not None:
                            disk.lose()
                        await broker.start()
                    await until(lambda: edge.outbox.waiting == 0, 60)
                assert len(ingestor.rows) == 300 * ROWS
        finally:
            broker.kill()


# The outbox.


@pytest.fixture
def small_outbox(tmp_path: Path, disk_at: Callable[[Path, int], Disk]) -> Path:
    """Where an outbox lies on a disk of 32 MB, of which it is promised a gigabyte."""
    path = tmp_path / "small"
    path.mkdir()
    disk_at(path, 32)
    return path / "works.e.sqlite"


def append_until_full(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> int:
    """Append until the disk is full; how many frames were taken."""
    with caplog.at_level(logging.ERROR):
        for number in range(10_000):
            try:
                outbox.append(columns(number, padding=20_000), ROWS)
            except OutboxFull:
                return number
            if "outbox_disk_full" in caplog.messages:
                return number + 1
    raise AssertionError("the disk is larger than it should be")


@pytest.mark.parametrize("policy", edge_outbox.POLICIES)
def test_an_outbox_on_a_full_disk_keeps_to_its_policy_and_counts(
    small_outbox: Path, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    with Outbox(small_outbox, policy=policy) as outbox:
        taken = append_until_full(outbox, caplog)
        assert taken * ROWS > 1_000
        if policy == "refuse":
            with pytest.raises(OutboxFull, match="the disk is full"):
                outbox.append(columns(taken, padding=20_000), ROWS)
            stats = outbox.stats()
            assert (stats.rows, stats.dropped, stats.low) == (taken * ROWS, 0, 1)
        else:
            for number in range(taken, taken + 50):
                outbox.append(columns(number, padding=20_000), ROWS)
            stats = outbox.stats()
            assert stats.made == (taken + 50) * ROWS
            assert stats.rows + stats.dropped == stats.made
            assert 50 * ROWS <= stats.dropped < stats.made / 2, "the oldest go, and only as many as must"
            assert stats.low == stats.dropped // ROWS + 1
        expected = outbox.stats()
    with Outbox(small_outbox, policy=policy) as again:
        assert again.stats() == expected, "all of it is on the disk"


def test_receipts_settle_frames_on_a_full_disk_and_then_there_is_room(
    small_outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Outbox(small_outbox, policy="refuse") as outbox:
        taken = append_until_full(outbox, caplog)
        half = taken // 2
        settled = outbox.settle(wire.Receipt(session=outbox.session, through=half))
        assert (settled.frames, settled.rows) == (half, half * ROWS)
        for number in range(taken, taken + half // 2):
            outbox.append(columns(number, padding=20_000), ROWS)
        frames = [frame.seq for frame in outbox.pending(0, 10_000)]
        assert frames == list(range(half + 1, taken + half // 2 + 1))


def test_an_outbox_uses_its_whole_bound_again_when_the_disk_has_room(
    tmp_path: Path, disk_at: Callable[[Path, int], Disk], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shared"
    path.mkdir()
    disk = disk_at(path, 64)
    with Outbox(path / "works.e.sqlite", policy="refuse") as outbox:
        outbox.append(columns(0), ROWS)
        disk.fill()
        taken = 1 + append_until_full(outbox, caplog)
        full = outbox.stats().bytes
        disk.make_room()
        for number in range(taken, taken + 500):
            outbox.append(columns(number, padding=20_000), ROWS)
        assert outbox.stats().bytes > full + SIZE / 2
        assert "outbox_disk_has_room" in caplog.messages


def test_an_outbox_that_cannot_begin_on_a_full_disk_says_so(
    tmp_path: Path, disk_at: Callable[[Path, int], Disk]
) -> None:
    path = tmp_path / "full"
    path.mkdir()
    disk_at(path, 1).fill()
    with pytest.raises(OutboxUnusable, match="full"):
        Outbox(path / "works.e.sqlite")


async def test_a_replay_onto_a_full_disk_waits_and_ends_with_every_row(
    mqtt_url: str,
    topic_root: str,
    tmp_path: Path,
    disk_at: Callable[[Path, int], Disk],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "outbox"
    path.mkdir()
    disk = disk_at(path, 40)
    file = tmp_path / "trace.csv"
    file.write_text("time,so2\n" + "".join(f"{START_MS + i * 60_000},{i}\n" for i in range(20_000)))
    settings = Settings(mqtt_url=mqtt_url, topic_root=topic_root)
    async with open_edge(settings, site="works", edge="e", folder=path) as edge:
        disk.fill()
        plan = plan_replay(file, site="works", stack="DA001", rows_per_frame=200)
        task = asyncio.create_task(replay(plan, edge.outbox, edge.publisher), name="replay")
        await until(lambda: caplog.messages.count("outbox_unavailable") >= 2)
        assert not task.done()
        disk.make_room()
        with ReceiptingIngestor(mqtt_url, topic_root) as ingestor:
            await asyncio.wait_for(task, 60)
            assert len(ingestor.rows) == 20_000
            assert edge.outbox.stats().dropped == 0
