"""The benchmarks still run: small, so that only their keys and their own checks are looked at, never their speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 240.0
SMALL = {
    "backtest": ["--works", "1", "--days", "2"],
    "ingest": ["--rows", "2000", "--frame-rows", "25", "100", "--edges", "2", "--stacks", "5", "--no-nodered"],
    "outbox": ["--days", "0.02", "--appends", "5"],
    "stage": ["--stacks", "2", "--hours", "1", "--days", "1"],
    "stall": ["--seconds", "2", "--around", "2", "--rows-per-s", "200", "--edges", "2"],
}
KEYS = {
    "backtest": {"stacks", "months", "rows", "seconds", "read_seconds", "rows_per_s", "rules", "peak_mb"},
    "ingest": {"rows", "rows_per_s", "copy_rows_per_s", "ratio", "ingestor_rss_mb", "nodered_rows_per_s"},
    "outbox": {"append_rows_per_s", "drain_rows_per_s", "bytes_per_row"},
    "stage": {"stacks_at_10s", "final_hour_ms", "running_hour_ms"},
    "stall": {"seconds", "rss_before_mb", "rss_peak_mb", "rows_lost", "rows_doubled"},
}
WITHOUT_DATABASE = {"backtest", "outbox", "rules"}


def told(name: str, *asked: str) -> dict[str, Any]:
    given = [] if name in WITHOUT_DATABASE else ["--database", "postgresql"]
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *SMALL.get(name, []), *asked, *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs_and_tells_what_the_contract_names(name: str) -> None:
    found = told(name)
    assert KEYS[name] | {"machine", "commit"} <= set(found)
    figures = [found[key] for key in KEYS[name] - {"nodered_rows_per_s", "rows_lost", "rows_doubled"}]
    assert all(figure > 0 for figure in figures)
    assert found.get("rows_lost", 0) == found.get("rows_doubled", 0) == 0


def test_the_rules_are_scored_over_what_was_planted_and_over_what_is_clean() -> None:
    found = told("rules", "--clean-seeds", "1", "--faulty-seeds", "3", "--days", "3")
    above = found["rules"]["hour_above_limit"]
    assert found["stack_months"] == {"clean-month": 0.7, "faults": 0.6}
    assert above["found"] == above["planted"] > 0
    assert above["false"] == 0
    assert {"planted", "found", "alerts", "false", "precision", "recall", "false_per_stack_month"} == set(above)
    assert found["rules"]["sibling_identity"]["false_per_stack_month"] == 0.0
