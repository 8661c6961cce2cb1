"""Databases for tests: TimescaleDB from an address, a container or a tree of Debian; PostgreSQL from its wheel.

A server is made for tests: nothing on it has to survive a power cut.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from services.containers import Container, engine_answers, running
from services.offers import INSTALLED_WITHIN_S, Missing, NotToBeHad, Offer, Offers, Scratch, root_of_debian, told
from services.waiting import wait_until
from stackwatch.local import binaries
from stackwatch.local.postgres import Postgres
from stackwatch.local.processes import Command, last_words, spawn
from store.migrate import migrate

TIMESCALEDB: Final = "timescaledb"
POSTGRESQL: Final = "postgresql"

#: Nothing here has to survive a power cut, and many tests connect.
QUICK: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "autovacuum_naptime": "10min",  # a worker in the template would be in the way of copying it
}
#: Every database of a TimescaleDB has a scheduler, whose end is waited for when the database is dropped; and a query
#: locks every chunk that it might need.
_QUICK_TIMESCALEDB: Final = QUICK | {
    "max_worker_processes": "64",
    "timescaledb.bgw_launcher_poll_time": "1000",
    "max_locks_per_transaction": "256",
    "jit": "off",
}

_IMAGE: Final = "timescale/timescaledb:latest-pg17"
_SCRIPT: Final = Path(__file__).resolve().parents[2] / "deploy/local/timescaledb.sh"
_READY_WITHIN_S: Final = 60.0


def databases(given: str | None) -> Offers:
    """What this machine offers, by kind; with an address *given*, that and nothing else."""
    if given:
        return _given(given)
    return {TIMESCALEDB: _timescaledb(), POSTGRESQL: _postgresql()}


def version_of(url: str) -> str:
    """What the server at *url* says it is; the licence too, where that makes a difference."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as conn:
        return _version(conn)


def _version(conn: psycopg.Connection) -> str:
    server = _one(conn, "SHOW server_version").partition(" ")[0]
    extension = conn.execute(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).fetchone()
    if extension is None:
        return f"PostgreSQL {server}"
    licence = conn.execute("SELECT setting FROM pg_settings WHERE name = 'timescaledb.license'").fetchone()
    words = f" ({licence[0]} licence)" if licence else ""
    return f"TimescaleDB {extension[0]}{words} on PostgreSQL {server}"


def _one(conn: psycopg.Connection, query: str) -> str:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def _given(url: str) -> Offers:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as conn:
            version = _version(conn)
    except psycopg.Error as error:
        raise NotToBeHad(f"the database in STACKWATCH_TEST_DATABASE_URL does not answer: {error}") from error

    @contextmanager
    def there(_: Scratch) -> Iterator[str]:
        yield url

    kind, other = (TIMESCALEDB, POSTGRESQL) if version.startswith("TimescaleDB") else (POSTGRESQL, TIMESCALEDB)
    missing = Missing("STACKWATCH_TEST_DATABASE_URL names another database")
    return {kind: Offer("STACKWATCH_TEST_DATABASE_URL", version, there), other: missing}


def _timescaledb() -> Offer | Missing:
    if engine_answers():
        return Offer("Docker", _IMAGE, _in_container)
    if not root_of_debian():
        return Missing("no TimescaleDB: no address given, no Docker engine, and not root on a Debian")
    try:
        version = told(str(_SCRIPT), "version")
    except NotToBeHad:
        version = "TimescaleDB of Debian trixie, installed when the first test asks"
    return Offer("a tree of Debian trixie", version, _in_tree, _install_tree)


def _install_tree() -> None:
    told(str(_SCRIPT), "install", deadline_s=INSTALLED_WITHIN_S)


@contextmanager
def _in_tree(scratch: Scratch) -> Iterator[str]:
    home, port = scratch.folder.path / "timescaledb", scratch.ports.take(25_532)
    settings = [part for name, value in _QUICK_TIMESCALEDB.items() for part in ("--set", f"{name}={value}")]
    command = Command(
        name="timescaledb",
        argv=[str(_SCRIPT), "run", "--data", str(home), "--port", str(port), *settings],
        log=scratch.folder.log("timescaledb"),
        cwd=scratch.folder.path,
        environ={"PATH": os.environ.get("PATH", os.defpath), "HOME": "/root"},
        death_signal=signal.SIGTERM,
        steps=((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0)),
    )
    child = spawn(command)
    try:

        def answers() -> bool:
            if child.exit_code is not None:
                raise NotToBeHad(f"TimescaleDB ended at once ({child.exit_code}){last_words(command)}")
            try:
                return _answers(told(str(_SCRIPT), "url", "--data", str(home)))
            except NotToBeHad:
                return False  # it has no address before it has a cluster

        if not wait_until(answers, _READY_WITHIN_S):
            raise NotToBeHad(f"TimescaleDB does not answer{last_words(command)}")
        yield told(str(_SCRIPT), "url", "--data", str(home))
    finally:
        asyncio.run(child.stop())


@contextmanager
def _in_container(scratch: Scratch) -> Iterator[str]:
    password, port = secrets.token_hex(16), scratch.ports.take(25_532)
    settings = [part for name, value in _QUICK_TIMESCALEDB.items() for part in ("-c", f"{name}={value}")]
    container = Container(
        _IMAGE,
        port=5432,
        published=port,
        environ={"POSTGRES_PASSWORD": password, "TIMESCALEDB_TELEMETRY": "off", "NO_TS_TUNE": "true"},
        command=["postgres", *settings],
    )

    def url() -> str:
        return f"postgresql://postgres:{password}@{container.host}:{port}/postgres"

    with running(container, lambda: _answers(url()), what="TimescaleDB"):
        yield url()


def _postgresql() -> Offer | Missing:
    try:
        version = binaries.postgres().version
    except binaries.NoBinaries as error:
        return Missing(str(error))
    return Offer("its wheel", f"PostgreSQL {version}", _embedded)


@contextmanager
def _embedded(scratch: Scratch) -> Iterator[str]:
    postgres = Postgres.on(scratch.folder, port=scratch.ports.take(25_432), settings=QUICK)
    try:
        asyncio.run(postgres.start(lambda: None))
        yield postgres.url
    finally:
        if postgres.child is not None:
            asyncio.run(postgres.child.stop())


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as conn:
            conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Template:
    """A migrated database that copies are made of."""

    name: str
    version: str  #: of the server that it lies on


@contextmanager
def migrated_template(admin_url: str) -> Iterator[Template]:
    name = f"template_{secrets.token_hex(6)}"
    with database(admin_url, name) as url:
        asyncio.run(migrate(url))
        version = version_of(url)  # the extension's settings are there where the extension is
        # Nobody may be connected while it is copied; TimescaleDB's scheduler would come back.
        _execute(admin_url, sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        _execute(
            admin_url,
            sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
                sql.Literal(name)
            ),
        )
        yield Template(name, version)


@contextmanager
def database(admin_url: str, name: str, *, template: str = "template0") -> Iterator[str]:
    """A database that exists inside the `with`."""
    identifier = sql.Identifier(name)
    _execute(admin_url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(identifier, sql.Identifier(template)))
    try:
        yield url_of(admin_url, name)
    finally:
        _execute(admin_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
        conn.execute(statement)


def url_of(url: str, name: str) -> str:
    """The address of the database *name* on the server of *url*."""
    parts: Mapping[str, str] = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    login = f"{parts['user']}:{parts.get('password', '')}"
    return f"postgresql://{login}@{parts['host']}:{parts.get('port', '5432')}/{name}"
