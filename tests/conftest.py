"""What the tests of every package share: real databases, real brokers, and topics of one's own.

Where the services come from is decided in `services`, in this order: an address in STACKWATCH_TEST_DATABASE_URL (whose
user may create databases) or STACKWATCH_TEST_MQTT_URL (`[KIND=]URL ...`), Docker, a Debian on which we are root, the
embedded wheels. What cannot be had is skipped by name; with CI=true a skipped test fails the run.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from services.brokers import OwnBroker
from services.brokers import own_broker as broker_of_ones_own
from services.combinations import combinations
from services.databases import database
from services.offers import Missing, NotToBeHad, Offer, Scratch
from services.session import Running, Services, look_around, prepared
from stackwatch.local.folder import DataFolder, remove, resolved
from stackwatch.local.ports import Ports

_DATABASE: Final = "STACKWATCH_TEST_DATABASE_URL"
_BROKERS: Final = ("STACKWATCH_TEST_MQTT_URL", "STACKWATCH_TEST_MQTT_URLS")
SHARED_DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside the tree
_services: Final = pytest.StashKey[Services]()
_prepared: Final = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Take the variables out of the environment: a command under test refuses settings it does not know."""
    config.addinivalue_line("markers", "both_databases: runs on TimescaleDB and on plain PostgreSQL")
    config.addinivalue_line("markers", "timescaledb_only: has nothing to see on a plain PostgreSQL")
    config.addinivalue_line("markers", "shared_data: reads the project's shared data, which may lie beside the tree")
    database_url = os.environ.pop(_DATABASE, None)
    mqtt_urls = " ".join(filter(None, (os.environ.pop(name, None) for name in _BROKERS)))
    try:
        config.stash[_services] = look_around(database_url, mqtt_urls or None)
    except NotToBeHad as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_prepared] = set()


def pytest_report_header(config: pytest.Config) -> list[str]:
    services = config.stash[_services]
    return [_line(kind, offer) for kind, offer in services.all().items()]


def _line(kind: str, offer: Offer | Missing) -> str:
    return f"{kind}: {offer.reason if isinstance(offer, Missing) else f'{offer.version} ({offer.source})'}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that asks for services one run on each that it is to run on."""
    services = metafunc.config.stash[_services]
    names = set(metafunc.fixturenames)
    asks_database = "admin_database_url" in names
    broker = next((name for name in ("mqtt_url", "own_broker_kind") if name in names), None)
    if not asks_database and broker is None:
        return
    if not metafunc.config.option.collectonly:
        _prepare(metafunc.config, services, databases=asks_database, brokers=broker is not None)
    on_brokers = None if broker is None else services.brokers if broker == "mqtt_url" else services.own_brokers
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    arguments = [name for name, asked in (("admin_database_url", asks_database), (broker, broker)) if asked]
    values = []
    for one in combinations(
        services.databases if asks_database else None,
        on_brokers,
        both_databases="both_databases" in marks,
        timescaledb_only="timescaledb_only" in marks,
    ):
        wanted = [kind for kind in (one.database, one.broker) if kind is not None]
        skip = [] if one.missing is None else [pytest.mark.skip(reason=one.missing)]
        values.append(pytest.param(*wanted, id="-".join(wanted), marks=skip))
    metafunc.parametrize([str(name) for name in arguments], values, indirect=True, scope="session")


def _prepare(config: pytest.Config, services: Services, *, databases: bool, brokers: bool) -> None:
    """Install what is missing, once, and say so: it takes a minute."""
    done, say = config.stash[_prepared], _speaker(config)
    if databases and "databases" not in done:
        done.add("databases")
        services.databases = prepared(services.databases, say)
    if brokers and "brokers" not in done:
        done.add("brokers")
        services.brokers = prepared(services.brokers, say)
        services.own_brokers = prepared(services.own_brokers, say)


def _speaker(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.write_line if reporter is not None else lambda _: None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shared data is no part of a clone, and not all of it may be one: where it is not, nobody asks for its tests."""
    if SHARED_DATA.exists():
        return
    wanting = [item for item in items if item.get_closest_marker("shared_data") is not None]
    items[:] = [item for item in items if item not in wanting]
    config.hook.pytest_deselected(items=wanting)


def pytest_runtest_call(item: pytest.Item) -> None:
    """Count what ran on what."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None:
        services = item.config.stash[_services]
        named = {callspec.params.get(name) for name in ("admin_database_url", "mqtt_url", "own_broker_kind")}
        services.tests.update(kind for kind in named if kind in services.all())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped: a combination that never runs is one that does not work."""
    if _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skipped(config: pytest.Config) -> int:
    """How many tests were skipped although they must not be."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", ())) if reporter is not None and os.environ.get("CI") == "true" else 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    services = config.stash[_services]
    if services.tests:
        terminalreporter.section("services")
        for kind, offer in services.all().items():
            if isinstance(offer, Missing):
                terminalreporter.write_line(f"{kind}: NOT USED: {offer.reason}", yellow=True)
            else:
                version = services.versions.get(kind, offer.version)
                terminalreporter.write_line(f"{kind}: {services.tests[kind]} tests on {version}, {offer.source}")
    if not SHARED_DATA.exists():
        terminalreporter.write_line("shared data: not beside the tree, so its tests were not asked for", yellow=True)
    if skipped := _skipped(config):
        terminalreporter.write_line(f"CI: {skipped} skipped tests are a failure", red=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def _scratch() -> Iterator[Scratch]:
    path = resolved(Path(tempfile.mkdtemp(prefix="stackwatch-test-")))
    folder = DataFolder(path)
    with folder.locked(), Ports() as ports:
        yield Scratch(folder, ports)
    remove(path)


@pytest.fixture(scope="session")
def _running(request: pytest.FixtureRequest, _scratch: Scratch) -> Iterator[Running]:
    """Servers are kept until the end: tests of one and of another may come in any order."""
    running = Running(request.config.stash[_services], _scratch)
    yield running
    running.close()


@pytest.fixture(scope="session")
def admin_database_url(request: pytest.FixtureRequest, _running: Running) -> str:
    """A database whose user may create others."""
    return _running.database_url(request.param)


@pytest.fixture
def postgres_url_factory(
    request: pytest.FixtureRequest, admin_database_url: str, _running: Running
) -> Iterator[Callable[[], str]]:
    """Makes fresh migrated databases, dropped after the test."""
    template = _running.template(request.node.callspec.params["admin_database_url"])
    with ExitStack() as databases:

        def fresh() -> str:
            name = f"test_{secrets.token_hex(6)}"
            return databases.enter_context(database(admin_database_url, name, template=template))

        yield fresh


@pytest.fixture
def database_url(postgres_url_factory: Callable[[], str]) -> str:
    """A fresh migrated database."""
    return postgres_url_factory()


@pytest.fixture(scope="session")
def mqtt_url(request: pytest.FixtureRequest, _running: Running) -> str:
    """A broker that everybody may use; keep to `topic_root`."""
    return _running.mqtt_url(request.param)


@pytest.fixture(scope="session")
def own_broker_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def own_broker(own_broker_kind: str, tmp_path: Path) -> Iterator[OwnBroker]:
    """A broker of the test's own, not started yet."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with Ports() as ports:
        broker = broker_of_ones_own(own_broker_kind, folder, ports)
        yield broker
        broker.stop()


@pytest.fixture
def topic_root() -> str:
    """First levels of topics that no other test uses."""
    return f"t{secrets.token_hex(6)}/v1"
