"""What the tests of every package share: real databases, a real broker, and topics of one's own.

The embedded PostgreSQL and broker serve the session, started when the first test asks. To use others, set
STACKWATCH_TEST_DATABASE_URL (whose user may create databases) and STACKWATCH_TEST_MQTT_URL.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from stackwatch.local.broker import Broker
from stackwatch.local.folder import DataFolder, remove, resolved
from stackwatch.local.ports import Ports
from stackwatch.local.postgres import Postgres
from store.migrate import migrate

_OTHERS: Final = ("STACKWATCH_TEST_DATABASE_URL", "STACKWATCH_TEST_MQTT_URL")
_given: Final = pytest.StashKey[dict[str, str]]()

#: Nothing here has to survive a power cut, and many tests connect.
_QUICK: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "autovacuum_naptime": "10min",  # a worker in the template would be in the way of copying it
}


def pytest_configure(config: pytest.Config) -> None:
    """Take the variables out of the environment: a command under test refuses settings it does not know."""
    config.stash[_given] = {name: os.environ.pop(name) for name in _OTHERS if name in os.environ}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def _session_folder() -> Iterator[DataFolder]:
    path = resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-")))
    folder = DataFolder(path)
    with folder.locked():
        yield folder
    remove(path)


@pytest.fixture(scope="session")
def _session_ports() -> Iterator[Ports]:
    with Ports() as ports:
        yield ports


@pytest.fixture(scope="session")
def admin_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database whose user may create others."""
    given = request.config.stash[_given].get("STACKWATCH_TEST_DATABASE_URL")
    if given:
        yield given
        return
    folder: DataFolder = request.getfixturevalue("_session_folder")
    ports: Ports = request.getfixturevalue("_session_ports")
    postgres = Postgres.on(folder, port=ports.take(25_432), settings=_QUICK)
    with ExitStack() as stack:
        stack.callback(_stop, postgres)
        asyncio.run(postgres.start(_nobody_asks))
        yield postgres.url


@pytest.fixture(scope="session")
def _template(admin_database_url: str) -> Iterator[str]:
    """A migrated database that copies are made of."""
    name = f"template_{secrets.token_hex(6)}"
    with _database(admin_database_url, name) as url:
        asyncio.run(migrate(url))
        # Nobody may be connected while it is copied; TimescaleDB's scheduler would come back.
        _execute(
            admin_database_url,
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)),
        )
        _execute(
            admin_database_url,
            sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
                sql.Literal(name)
            ),
        )
        yield name


@pytest.fixture
def postgres_url_factory(admin_database_url: str, _template: str) -> Iterator[Callable[[], str]]:
    """Makes fresh migrated databases, dropped after the test."""
    with ExitStack() as databases:

        def fresh() -> str:
            name = f"test_{secrets.token_hex(6)}"
            return databases.enter_context(_database(admin_database_url, name, template=_template))

        yield fresh


@pytest.fixture
def database_url(postgres_url_factory: Callable[[], str]) -> str:
    """A fresh migrated database."""
    return postgres_url_factory()


@pytest.fixture(scope="session")
def mqtt_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker that everybody may use; keep to `topic_root`."""
    given = request.config.stash[_given].get("STACKWATCH_TEST_MQTT_URL")
    if given:
        yield given
        return
    folder: DataFolder = request.getfixturevalue("_session_folder")
    ports: Ports = request.getfixturevalue("_session_ports")
    broker = Broker(folder, mqtt_port=ports.take(21_883), nats_port=ports.take(24_222), auth=False)
    with ExitStack() as stack:
        stack.callback(_stop, broker)
        asyncio.run(broker.start(_nobody_asks))
        yield broker.url


@pytest.fixture
def topic_root() -> str:
    """First levels of topics that no other test uses."""
    return f"t{secrets.token_hex(6)}/v1"


@contextmanager
def _database(admin_url: str, name: str, *, template: str = "template0") -> Iterator[str]:
    """A database that exists inside the `with`."""
    identifier = sql.Identifier(name)
    _execute(admin_url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(identifier, sql.Identifier(template)))
    try:
        yield _url_of(admin_url, name)
    finally:
        _execute(admin_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
        conn.execute(statement)


def _url_of(url: str, database: str) -> str:
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    login = f"{parts.pop('user')}:{parts.pop('password', '')}"
    return f"postgresql://{login}@{parts.pop('host')}:{parts.pop('port', '5432')}/{database}"


def _stop(service: Postgres | Broker) -> None:
    if service.child is not None:
        asyncio.run(service.child.stop())


def _nobody_asks() -> None:
    """Nobody keeps a list of the session's processes: they die with it."""
