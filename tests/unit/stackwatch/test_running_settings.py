"""Settings whose value lies in a file: secrets stay out of the environment, and no fault is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from plant.errors import BadDocument
from plant.settings import Settings
from stackwatch import running


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "database_url"
    file.write_text("postgresql://me:secret@host/name\n")
    return file


def test_a_value_is_read_from_the_file_that_is_named(secret: Path) -> None:
    found = running.settings_of({"STACKWATCH_DATABASE_URL_FILE": str(secret), "PATH": "/bin"})
    assert found == Settings(database_url="postgresql://me:secret@host/name")


def test_a_number_is_read_from_its_file_and_checked(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("9000")
    assert running.settings_of({"STACKWATCH_HTTP_PORT_FILE": str(tmp_path / "port")}).http_port == 9000
    (tmp_path / "port").write_text("0")
    with pytest.raises(BadDocument, match="STACKWATCH_HTTP_PORT: must be a whole number"):
        running.settings_of({"STACKWATCH_HTTP_PORT_FILE": str(tmp_path / "port")})


def test_settings_that_are_called_file_keep_their_own_meaning() -> None:
    found = running.settings_of({"STACKWATCH_MQTT_CA_FILE": "/nowhere/ca", "STACKWATCH_ORDER_KEY_FILE": "/nowhere/key"})
    assert (found.mqtt_ca_file, found.order_key_file) == ("/nowhere/ca", "/nowhere/key")


def test_every_fault_of_files_and_environment_is_named_at_once(secret: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDocument) as refused:
        running.settings_of(
            {
                "STACKWATCH_DATABASE_URL": "postgresql://other",
                "STACKWATCH_DATABASE_URL_FILE": str(secret),
                "STACKWATCH_MQTT_URL_FILE": str(tmp_path / "gone"),
                "STACKWATCH_NONSENSE_FILE": str(secret),
            }
        )
    assert {fault.path for fault in refused.value.faults} == {
        "STACKWATCH_DATABASE_URL_FILE",
        "STACKWATCH_MQTT_URL_FILE",
        "STACKWATCH_NONSENSE_FILE",
    }
    assert "secret" not in str(refused.value)


def test_the_command_line_stands_over_a_file(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKWATCH_DATABASE_URL_FILE", str(secret))
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)
    assert running.settings(database_url="postgresql://said").database_url == "postgresql://said"
    assert running.settings().database_url == "postgresql://me:secret@host/name"


def test_a_quiet_command_logs_what_a_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)
    assert running.settings(quiet=True).log_level == "WARNING"
    (tmp_path / "level").write_text("debug\n")
    monkeypatch.setenv("STACKWATCH_LOG_LEVEL_FILE", str(tmp_path / "level"))
    assert running.settings(quiet=True).log_level == "DEBUG"
