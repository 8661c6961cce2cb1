"""The command line against a real database: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders import WORKS


def stackwatch(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("STACKWATCH_")}
    return subprocess.run(
        [sys.executable, "-m", "stackwatch", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**plain, "XDG_DATA_HOME": "/nonexistent", **environ},
    )


@pytest.fixture
def register_file(tmp_path: Path) -> Path:
    file = tmp_path / "works.toml"
    file.write_text(WORKS)
    return file


def test_a_register_is_imported_twice_and_says_what_changed(database_url: str, register_file: Path) -> None:
    first = stackwatch("register", str(register_file), "--database-url", database_url)
    again = stackwatch("register", str(register_file), "--database-url", database_url)
    register_file.write_text(WORKS.replace('name = "Sinter head"', 'name = "Sinter machine 1 head"'))
    changed = stackwatch("register", str(register_file), "--database-url", database_url, "--json")
    assert (first.returncode, again.returncode, changed.returncode) == (0, 0, 0), first.stderr
    assert "stack works/DA001: new" in first.stdout.splitlines()
    assert again.stdout == "nothing changed\n"
    assert json.loads(changed.stdout) == {"changes": ["stack works/DA001: version 2"]}


def test_a_faulty_register_imports_nothing_and_names_every_fault(database_url: str, register_file: Path) -> None:
    register_file.write_text(WORKS.replace("interval_s = 60", "interval_s = 0").replace("sinter_head", "sinter_heat"))
    done = stackwatch("register", str(register_file), "--database-url", database_url)
    assert done.returncode == 2
    assert "site[0].stack[0].interval_s: must be a whole number from 1 to 3600, got 0" in done.stderr
    assert "site[0].stack[0].process: 'sinter_heat' is no outlet of cn-steel-ule-2019" in done.stderr
    assert "Traceback" not in done.stderr
    correct = WORKS.encode()
    register_file.write_bytes(correct)
    assert "region hebei: new" in stackwatch("register", str(register_file), "--database-url", database_url).stdout


def test_a_token_stands_alone_on_the_last_line_and_can_be_revoked(database_url: str, register_file: Path) -> None:
    stackwatch("register", str(register_file), "--database-url", database_url)
    made = stackwatch("token", "create", "--role", "watch", "--role", "reviewer", "--region", "hebei",
                      STACKWATCH_DATABASE_URL=database_url)  # fmt: skip
    assert made.returncode == 0, made.stderr
    token = made.stdout.splitlines()[-1]
    assert token.startswith("swk_")
    assert " " not in token
    listed = json.loads(stackwatch("token", "list", "--json", "--database-url", database_url).stdout)
    assert [row["roles"] for row in listed] == [["reviewer", "watch"]]
    assert token not in json.dumps(listed)
    token_id = str(listed[0]["token_id"])
    assert stackwatch("token", "revoke", token_id, "--database-url", database_url).returncode == 0
    assert stackwatch("token", "revoke", "999", "--database-url", database_url).returncode == 1


def test_what_is_misused_is_said_and_ends_with_two(database_url: str) -> None:
    for args in (
        ("token", "create", "--role", "emperor", "--database-url", database_url),
        ("replay", "/nowhere.csv", "--site", "works", "--stack", "DA001", "--mqtt-url", "mqtt://127.0.0.1:1"),
        ("packs", "check", "/nowhere.toml"),
        ("migrate", "--database-url"),
        ("migrate", "--database-url", "no address"),
        ("up", "--http-port", "99999"),
        ("token", "create", "--role", "watch", "--expires", "2020-01-01T00:00Z", "--database-url", database_url),
        ("simulate", "one-stack", "--to", "2026-10-02T00:00Z", "--duration", "1d", "--out", "/nowhere"),
        ("no-such-command",),
    ):
        done = stackwatch(*args)
        assert done.returncode == 2, (args, done.stdout, done.stderr)
        assert done.stderr.strip(), args
        assert "Traceback" not in done.stderr, args


def test_an_unknown_setting_is_refused() -> None:
    done = stackwatch("ingestor", STACKWATCH_DATABSE_URL="postgresql://x")
    assert done.returncode == 2
    assert "STACKWATCH_DATABSE_URL: is no setting" in done.stderr


def test_a_process_without_its_addresses_says_which_are_missing() -> None:
    done = stackwatch("ingestor")
    assert done.returncode == 2
    assert "STACKWATCH_DATABASE_URL: is not set" in done.stderr
    assert "STACKWATCH_MQTT_URL: is not set" in done.stderr


def test_a_database_that_is_away_is_a_failure_without_a_traceback() -> None:
    done = stackwatch("migrate", "--database-url", "postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_what_is_no_address_of_a_database_is_said_without_repeating_it() -> None:
    for process in ("ingestor", "api"):
        done = stackwatch(
            process, STACKWATCH_DATABASE_URL="postgres:/me:secret@host", STACKWATCH_MQTT_URL="mqtt://127.0.0.1:1"
        )
        assert done.returncode == 2, done.stderr
        assert "database's address: must look like postgresql://user:password@host:port/name" in done.stderr
        assert "secret" not in done.stderr


def test_migrate_on_a_current_schema_changes_nothing(database_url: str) -> None:
    assert stackwatch("migrate", "--database-url", database_url).stdout == "the schema is current\n"


def test_help_names_every_setting() -> None:
    from plant.settings import manual

    told = stackwatch("--help").stdout
    assert [name for name, _, _ in manual() if name not in told] == []
    assert "[ule/v1]" in told


def test_doctor_says_in_sentences_what_is_wrong(database_url: str, mqtt_url: str) -> None:
    done = stackwatch("doctor", "--json", "--database-url", database_url, "--mqtt-url", mqtt_url)
    told = {item["sentence"]: item["ok"] for item in json.loads(done.stdout)}
    assert done.returncode == 1
    assert told["the schema is current"] is True
    assert told["no site is registered: run `stackwatch register FILE`"] is False
    assert told["the ingestor has never been heard"] is False
    assert any(sentence.startswith("the broker at ") and ok for sentence, ok in told.items())


def test_packs_are_listed_shown_and_checked(tmp_path: Path) -> None:
    listed = json.loads(stackwatch("packs", "list", "--json").stdout)
    assert "cn-steel-ule-2019" in [pack["name"] for pack in listed]
    shown = json.loads(stackwatch("packs", "show", "cn-steel-ule-2019", "--json").stdout)
    assert shown["outlets"]["sinter_head"]["limits"] == {"pm": 10.0, "so2": 35.0, "nox": 50.0}
    assert shown["outlets"]["sinter_head"]["base_o2"] == 16.0
    broken = tmp_path / "broken.toml"
    broken.write_text('name = "broken"\n[outlet.a]\nlimits = { so2 = -1 }\n')
    done = stackwatch("packs", "check", str(broken))
    assert done.returncode == 2
    assert "outlet.a.limits.so2: must be a number from" in done.stderr
    assert "month" not in done.stderr
