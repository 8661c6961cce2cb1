"""Where commands find the database and the broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from plant.errors import BadDocument
from stackwatch.local import folder
from stackwatch.local.folder import DataFolder, RunFile
from stackwatch.local.processes import Identity, started
from stackwatch.reach import reach

DATABASE = "postgresql://up@127.0.0.1:1/stackwatch"
BROKER = "mqtt://127.0.0.1:2"


@pytest.fixture(autouse=True)
def default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The default folder, on which nothing runs, and an environment that says nothing."""
    for name in [name for name in os.environ if name.startswith("STACKWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(folder, "default_folder", lambda _: tmp_path / "default")
    return tmp_path / "default"


@pytest.fixture
def an_up(default: Path) -> Iterator[None]:
    """An `up` that runs on the default folder: it is we ourselves."""
    data = DataFolder(default)
    with data.locked():
        us = Identity(os.getpid(), started(os.getpid()) or "")
        data.write_run_file(RunFile(supervisor=us, database_url=DATABASE, mqtt_url=BROKER))
        yield


@pytest.mark.usefixtures("an_up")
def test_the_up_on_the_default_folder_is_found_without_being_named() -> None:
    assert reach().database_url == DATABASE
    assert reach(needs=("mqtt_url",)).mqtt_url == BROKER


@pytest.mark.usefixtures("an_up")
def test_who_can_do_without_an_address_is_given_it_where_one_is() -> None:
    found = reach(needs=(), wants=("database_url", "mqtt_url"))
    assert (found.database_url, found.mqtt_url) == (DATABASE, BROKER)


@pytest.mark.usefixtures("an_up")
def test_what_is_said_counts_for_more_than_what_runs() -> None:
    found = reach(database_url="postgresql://said", needs=(), wants=("database_url", "mqtt_url"))
    assert (found.database_url, found.mqtt_url) == ("postgresql://said", BROKER)


def test_only_what_is_needed_has_to_be_there() -> None:
    found = reach(needs=(), wants=("database_url", "mqtt_url"))
    assert (found.database_url, found.mqtt_url) == ("", "")
    with pytest.raises(BadDocument, match="give --database-url"):
        reach()
