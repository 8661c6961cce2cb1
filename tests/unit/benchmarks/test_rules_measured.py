"""The scores of the rules as a person reads them, and rows of another pace."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.rules import played, table_of

FIGURES = {
    "stack_months": {"clean-month": 7.2, "faults": 6.2},
    "rules": {
        "step": {
            "planted": 12,
            "found": 11,
            "alerts": 24,
            "false": 0,
            "precision": 1.0,
            "recall": 0.9167,
            "false_per_stack_month": 0.0,
        },
        "bypass_open": {
            "planted": 0,
            "found": 0,
            "alerts": 0,
            "false": 0,
            "precision": None,
            "recall": None,
            "false_per_stack_month": 0.0,
        },
    },
}


def test_the_table_has_a_row_a_rule_and_nothing_where_there_is_no_figure() -> None:
    printed = StringIO()
    Console(width=120, file=printed).print(table_of(FIGURES))
    text = printed.getvalue()
    (step,) = (line for line in text.splitlines() if "step" in line)
    (bypass,) = (line for line in text.splitlines() if "bypass_open" in line)
    assert [cell.strip() for cell in step.split("│")[1:-1]] == ["step", "12", "11", "24", "0", "1", "0.9167", "0"]
    assert [cell.strip() for cell in bypass.split("│")[1:-1]] == ["bypass_open", "0", "0", "0", "0", "", "", "0"]
    assert "7.2 of clean-month, 6.2 of faults" in text


def test_a_scenario_can_be_played_with_a_row_an_hour(tmp_path: Path) -> None:
    truth, alerts = played("clean-month", 1, tmp_path, 2, interval_s=3600)
    (site,) = truth["sites"]
    assert site["interval_s"] == 3600
    assert pq.read_metadata(tmp_path / "clean-works.parquet").num_rows == 48 * len(site["stacks"])
    assert alerts == []
