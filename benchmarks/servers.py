"""What is measured against: databases, brokers and an ingestor on this machine, each gone at the end of its `with`.

A database for figures of speed keeps its promises (`DURABLE`, what `stackwatch up` sets); one for figures of size need
not (`QUICK`).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from benchmarks.usage import parent_of
from plant.errors import PlantError
from stackwatch.local import cluster, mqtt_probe
from stackwatch.local.broker import Broker
from stackwatch.local.folder import DataFolder, remove, resolved
from stackwatch.local.ports import LOOPBACK, Ports
from stackwatch.local.postgres import Postgres
from stackwatch.local.processes import Command, last_words, spawn

TIMESCALEDB: Final = "timescaledb"
POSTGRESQL: Final = "postgresql"
NATS: Final = "nats"
MOSQUITTO: Final = "mosquitto"

QUICK: Final = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
_NOT_SPEED: Final = ("listen_", "unix_socket", "log", "lc_", "password_", "max_connections")
DURABLE: Final = {name: value for name, value in cluster.SETTINGS.items() if not name.startswith(_NOT_SPEED)}

_SCRIPT: Final = Path(__file__).resolve().parents[1] / "deploy/local/timescaledb.sh"
_READY_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05
_MOSQUITTO: Final = """\
listener {port} {host}
allow_anonymous true
max_inflight_messages 2000
max_queued_messages 0
max_queued_bytes 0
persistence true
persistence_location {store}/
autosave_interval 60
log_dest stderr
log_type warning
log_type error
"""


class NotToBeHad(PlantError):
    """What the benchmark needs is not on this machine, or does not start. The text says what."""


@dataclass(frozen=True, slots=True)
class Server:
    """A program that runs: where it answers, and its first process."""

    url: str
    pid: int


def default_database() -> str:
    """TimescaleDB where its tree is installed or can be, else the embedded PostgreSQL."""
    given = os.environ.get("STACKWATCH_BENCH_DATABASE_URL")
    return given or (TIMESCALEDB if _may_make_tree() else POSTGRESQL)


@contextmanager
def database_server(kind: str, settings: Mapping[str, str]) -> Iterator[Server]:
    """*kind* is `timescaledb`, `postgresql` or the address of one of this machine, whose user may create databases."""
    if "://" in kind:
        yield Server(kind, postmaster_of(kind))
        return
    with _folder() as folder, Ports() as ports:
        opened = _timescaledb if kind == TIMESCALEDB else _postgresql
        with opened(folder, ports, settings) as url:
            yield Server(url, postmaster_of(url))


@contextmanager
def timescaledb_or_none(settings: Mapping[str, str]) -> Iterator[str | None]:
    """The address of a TimescaleDB; None where none can be had."""
    kind = default_database()
    if kind == POSTGRESQL:
        yield None
        return
    with database_server(kind, settings) as server:
        yield server.url


@contextmanager
def a_database(admin_url: str) -> Iterator[str]:
    """A database of its own on the server at *admin_url*; dropped at the end."""
    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=10) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield f"{admin_url.rpartition('/')[0]}/{name}"
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def postmaster_of(url: str) -> int:
    """The first process of the server at *url*, which must run on this machine."""
    with psycopg.connect(url, connect_timeout=10) as conn:
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        try:
            return parent_of(row[0])
        except ProcessLookupError:
            raise NotToBeHad("the database runs on another machine; its processes cannot be measured") from None


def version_of(url: str) -> str:
    with psycopg.connect(url, connect_timeout=10) as conn:
        server = _one(conn, "SHOW server_version").partition(" ")[0]
        query = "SELECT coalesce(max(default_version), '') FROM pg_available_extensions WHERE name = 'timescaledb'"
        extension = _one(conn, query)
    return f"TimescaleDB {extension} on PostgreSQL {server}" if extension else f"PostgreSQL {server}"


@contextmanager
def broker(kind: str) -> Iterator[Server]:
    """A fresh broker without access control: the embedded one, or a Mosquitto that keeps every message."""
    with _folder() as folder, Ports() as ports:
        opened = _mosquitto if kind == MOSQUITTO else _nats
        with opened(folder, ports) as server:
            yield server


@contextmanager
def ingestor(
    *, database_url: str, mqtt_url: str, root: str, name: str, profile: Path | None = None
) -> Iterator[Server]:
    """The process `stackwatch ingestor`, subscribed. *profile*: where cProfile writes what its main thread did."""
    environ = {"DATABASE_URL": database_url, "MQTT_URL": mqtt_url, "TOPIC_ROOT": root, "INGESTOR_ID": name}
    with process("ingestor", environ, lambda: beats(database_url, "ingestor", name), profile=profile) as server:
        yield server


@contextmanager
def process(
    name: str, environ: Mapping[str, str], answers: Callable[[], bool], *, profile: Path | None = None
) -> Iterator[Server]:
    """The process `stackwatch NAME` with the settings *environ* once it *answers*."""
    profiler = [] if profile is None else ["-m", "cProfile", "-o", str(profile)]
    with _folder() as folder:
        command = Command(
            name=name,
            argv=[sys.executable, *profiler, "-m", "stackwatch", name],
            log=folder.log(name),
            cwd=Path(__file__).resolve().parents[1],
            environ={
                **{key: value for key, value in os.environ.items() if not key.startswith("STACKWATCH_")},
                "STACKWATCH_LOG_LEVEL": "WARNING",
                **{f"STACKWATCH_{key}": value for key, value in environ.items()},
            },
            death_signal=signal.SIGTERM,
            steps=((signal.SIGTERM, 20.0),),
        )
        with running(command, answers) as pid:
            yield Server("", pid)


@contextmanager
def running(command: Command, answers: Callable[[], bool]) -> Iterator[int]:
    """The pid of a program once it *answers*; `NotToBeHad` if it does not, or ends by itself."""
    child = spawn(command)
    try:
        end = time.monotonic() + _READY_WITHIN_S
        while not answers():
            if child.exit_code is not None or time.monotonic() > end:
                raise NotToBeHad(f"{command.name} does not answer ({child.exit_code}){last_words(command)}")
            time.sleep(_POLL_S)
        yield child.identity.pid
        if child.exit_code is not None:
            raise NotToBeHad(f"{command.name} ended by itself ({child.exit_code}){last_words(command)}")
    finally:
        asyncio.run(child.stop())


@contextmanager
def _folder() -> Iterator[DataFolder]:
    folder = DataFolder(resolved(Path(tempfile.mkdtemp(prefix="stackwatch-bench-"))))
    try:
        with folder.locked():
            yield folder
    finally:
        remove(folder.path)


@contextmanager
def _postgresql(folder: DataFolder, ports: Ports, settings: Mapping[str, str]) -> Iterator[str]:
    postgres = Postgres.on(folder, port=ports.take(25_432), settings=settings)
    try:
        asyncio.run(postgres.start(lambda: None))
        yield postgres.url
    finally:
        if postgres.child is not None:
            asyncio.run(postgres.child.stop())


@contextmanager
def _timescaledb(folder: DataFolder, ports: Ports, settings: Mapping[str, str]) -> Iterator[str]:
    if not _may_make_tree():
        raise NotToBeHad("TimescaleDB: give its address in STACKWATCH_BENCH_DATABASE_URL, or be root on a Debian")
    subprocess.run([_SCRIPT, "install"], check=True, stdout=sys.stderr)
    home = folder.path / "timescaledb"
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = Command(
        name="timescaledb",
        argv=[str(_SCRIPT), "run", "--data", str(home), "--port", str(ports.take(25_532)), *given],
        log=folder.log("timescaledb"),
        cwd=folder.path,
        environ={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(Path.home())},
        death_signal=signal.SIGTERM,
        steps=((signal.SIGINT, 60.0), (signal.SIGQUIT, 5.0)),
    )
    with running(command, lambda: _answers(_tree_url(home))):
        yield _tree_url(home)


def _tree_url(home: Path) -> str:
    done = subprocess.run([_SCRIPT, "url", "--data", home], capture_output=True, text=True, check=False)
    return done.stdout.strip()  # nothing before it has a cluster


def _may_make_tree() -> bool:
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


@contextmanager
def _nats(folder: DataFolder, ports: Ports) -> Iterator[Server]:
    nats = Broker(folder, mqtt_port=ports.take(21_883), nats_port=ports.take(24_222), auth=False)
    try:
        child = asyncio.run(nats.start(lambda: None))
        yield Server(nats.url, child.identity.pid)
    finally:
        if nats.child is not None:
            asyncio.run(nats.child.stop())


@contextmanager
def _mosquitto(folder: DataFolder, ports: Ports) -> Iterator[Server]:
    program = shutil.which(MOSQUITTO, path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise NotToBeHad("mosquitto is not installed")
    port = ports.take(21_883)
    configuration = folder.path / "mosquitto.conf"
    text = _MOSQUITTO.format(port=port, host=LOOPBACK, store=folder.broker)
    configuration.write_text(text + ("user root\n" if os.geteuid() == 0 else ""), encoding="utf-8")
    command = Command(
        name=MOSQUITTO,
        argv=[program, "-c", str(configuration)],
        log=folder.log(MOSQUITTO),
        cwd=folder.path,
        environ={"PATH": os.defpath},
    )
    with running(command, lambda: asyncio.run(mqtt_probe.answers(LOOPBACK, port))) as pid:
        yield Server(f"mqtt://{LOOPBACK}:{port}", pid)


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5):
            return bool(url)
    except psycopg.Error:
        return False


def beats(database_url: str, component: str, name: str) -> bool:
    """Whether the instance *name* has beaten, and was well."""
    with psycopg.connect(database_url, connect_timeout=5) as conn:
        query = "SELECT count(*) FROM heartbeat WHERE component = %s AND instance = %s AND ok"
        return _one(conn, query, component, name) == "1"


def _one(conn: psycopg.Connection, query: str, *values: Any) -> str:
    row = conn.execute(query.encode(), values).fetchone()
    assert row is not None
    return str(row[0])
