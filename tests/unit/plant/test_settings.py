"""Settings from the environment: every fault at once, nothing silently without effect, no password shown."""

from __future__ import annotations

import pytest

from plant.errors import BadDocument
from plant.settings import PREFIX, Settings, manual


def test_an_empty_environment_gives_the_defaults() -> None:
    found = Settings.from_environ({"PATH": "/usr/bin", "HOME": "/root"})
    assert found == Settings()
    assert (found.topic_root, found.http_port, found.log_level) == ("ule/v1", 8000, "INFO")


def test_values_are_read_with_their_types() -> None:
    found = Settings.from_environ(
        {
            "STACKWATCH_DATABASE_URL": "postgresql://u@h/n",
            "STACKWATCH_HTTP_PORT": "9000",
            "STACKWATCH_TICK_S": "0.5",
            "STACKWATCH_LOG_LEVEL": "debug",
        }
    )
    assert (found.database_url, found.http_port, found.tick_s, found.log_level) == (
        "postgresql://u@h/n",
        9000,
        0.5,
        "DEBUG",
    )


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(BadDocument) as refused:
        Settings.from_environ(
            {
                "STACKWATCH_HTTP_PROT": "9000",
                "STACKWATCH_HTTP_PORT": "0",
                "STACKWATCH_BATCH_KB": "many",
                "STACKWATCH_TICK_S": "nan",
                "STACKWATCH_LOG_LEVEL": "LOUD",
            }
        )
    assert {fault.path for fault in refused.value.faults} == {
        "STACKWATCH_HTTP_PROT",
        "STACKWATCH_HTTP_PORT",
        "STACKWATCH_BATCH_KB",
        "STACKWATCH_TICK_S",
        "STACKWATCH_LOG_LEVEL",
    }
    assert "is no setting" in str(refused.value)
    assert "a whole number from 1 to 65535, got '0'" in str(refused.value)


def test_a_process_refuses_to_start_without_what_it_needs() -> None:
    Settings(database_url="x").require("database_url")
    with pytest.raises(BadDocument, match="STACKWATCH_MQTT_URL: is not set: the broker") as refused:
        Settings().require("database_url", "mqtt_url")
    assert len(refused.value.faults) == 2


def test_a_password_is_never_shown() -> None:
    shown = repr(Settings(database_url="postgresql://me:pa@ss:hunter2@host:5432/n", mqtt_url="mqtt://me:hunter2@b:1"))
    assert "hunter2" not in shown
    assert "pa@ss" not in shown
    assert "host:5432/n" in shown


def test_the_manual_has_a_line_for_every_setting_that_the_environment_may_hold() -> None:
    lines = {name: (default, about) for name, default, about in manual()}
    assert len(lines) == len(Settings.__slots__)
    for name, (default, about) in lines.items():
        assert about
        if default:
            Settings.from_environ({name: default})
    assert all(name.startswith(PREFIX) for name in lines)
