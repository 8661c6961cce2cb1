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
    "ingest": ["--rows", "2000", "--frame-rows", "25", "100", "--edges", "2", "--stacks", "5", "--no-nodered"],
    "outbox": ["--days", "0.02", "--appends", "5"],
    "stall": ["--seconds", "2", "--around", "2", "--rows-per-s", "200", "--edges", "2"],
}
KEYS = {
    "ingest": {"rows", "rows_per_s", "copy_rows_per_s", "ratio", "ingestor_rss_mb", "nodered_rows_per_s"},
    "outbox": {"append_rows_per_s", "drain_rows_per_s", "bytes_per_row"},
    "stall": {"seconds", "rss_before_mb", "rss_peak_mb", "rows_lost", "rows_doubled"},
}


def told(name: str) -> dict[str, Any]:
    given = [] if name == "outbox" else ["--database", "postgresql"]
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *SMALL[name], *given]
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
