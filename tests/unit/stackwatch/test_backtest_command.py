"""What `stackwatch backtest` asks, prints and writes, of a folder."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from folder_builders import two_heads, write_rows
from plant.packs import pack
from stackwatch.cli import app
from stackwatch.running import MISUSED

BEGIN: Final = datetime(2026, 3, 1, 16, tzinfo=UTC)  # midnight at the works
ULE: Final = "cn-steel-ule-2019"
FROM: Final = "2026-03-02T00:00:00+08:00"
TO: Final = "2026-03-03T00:00:00+08:00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A day of minutes in which the fifth hour is above the limit."""
    so2 = [45.0 if minute // 60 == 4 else 20.0 + minute % 7 for minute in range(24 * 60)]
    write_rows(tmp_path, BEGIN, so2, step=timedelta(minutes=1), nox=[30.0 + n % 5 for n in range(24 * 60)])
    (tmp_path / "register.toml").write_text(two_heads())
    return tmp_path


def backtest(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def test_a_folder_is_judged_and_its_alerts_are_counted(folder: Path) -> None:
    told = backtest("--folder", folder, "--json")
    assert told.exit_code == 0, told.output
    document: dict[str, Any] = json.loads(told.stdout)
    assert (document["rows"], document["alerts"]["hour_above_limit"]) == (1440, 1)
    assert (document["compared_with"], document["difference"]) == (None, None)
    shown = backtest("--folder", folder)
    assert "1440 rows, " in shown.stdout
    assert "hour_above_limit" in shown.stdout


def test_a_draft_in_a_packs_place_says_what_it_gains_and_writes_it(folder: Path, tmp_path: Path) -> None:
    draft, out = tmp_path / "draft.toml", tmp_path / "judged"
    draft.write_text(pack(ULE).text.replace("so2 = 35", "so2 = 22"))
    told = backtest("--folder", folder, "--draft", draft, "--out", out, "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)["difference"]
    assert {alert["rule"] for alert in found["gained"]} >= {"hour_above_limit"}
    assert json.loads((out / "difference.json").read_text()) == found
    assert pq.read_table(out / "hours.parquet").num_rows > 24
    assert "gained: hour_above_limit works/A/so2 2026-03-" in backtest("--folder", folder, "--draft", draft).stdout


def test_where_there_is_nothing_to_judge_it_is_said(folder: Path) -> None:
    late = backtest("--folder", folder, "--from", "2027-01-01T00:00:00Z")
    assert late.exit_code == 0
    assert "there were no rows to judge" in late.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--from", "2026-03-02", "--to", TO],
            "--from: '2026-03-02' is another instant in each time zone: write 2026-",
        ),
        (["--from", "tomorrow", "--to", TO], "--from: 'tomorrow' is no time: write 2026-"),
        (["--from", TO, "--to", FROM], "--to: must be after --from"),
        (["--from", FROM], "--from, --to: are needed for history of the database"),
        (["--from", FROM, "--to", TO, "--pack", "nope"], "--pack: there is no rule pack 'nope'; there are cn-"),
        (["--from", FROM, "--to", TO, "--draft", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["--folder", "nowhere"], "Give the register of these sites with --register FILE"),
    ],
)
def test_what_cannot_be_meant_is_misuse_and_said_by_its_option(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stackwatch.cli import main

    monkeypatch.setattr("sys.argv", ["stackwatch", "backtest", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == MISUSED
    assert says in capsys.readouterr().err


def test_it_can_be_interrupted_while_it_judges(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    went_on = []

    def judge(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        went_on.append(True)

    monkeypatch.setattr("stackwatch.commands.backtest.judge_history", judge)
    assert backtest("--folder", folder).exit_code != 0
    assert went_on == []
