"""`stackwatch demo`, as a person and as a program starts it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder; its database, which for root lies outside of it, goes with the test. Logs stay."""
    yield tmp_path / "demo"
    shutil.rmtree((tmp_path / "demo" / "postgres").resolve(), ignore_errors=True)


@pytest.mark.timeout(400)
def test_the_demonstration_plays_its_story_to_the_lift(data: Path) -> None:
    command = [sys.executable, "-m", "stackwatch", "demo", "--headless", "--once", "--json", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"rows", "hours", "alerts", "cases", "orders", "lifted", "seconds"}
    # The year of the turbine, and more than a month of minutes of three stacks.
    assert told["rows"] > 7411 + 3 * 30 * 1440
    # Its hours above 50 mg/m3 (by its own clock the last two have not ended) and eleven months, of which the last
    # can no longer reach its share; sixty hours and one month of the works. Beside them a budget for each of those
    # months, the value of the turbine that stood for 102 hours, and now and then an edge that is behind for a while.
    exceedances = (7311 - 2 + 11) + (60 + 1)
    assert exceedances + 12 + 1 <= told["alerts"] <= exceedances + 12 + 1 + 10
    assert (told["cases"], told["orders"], told["lifted"]) == (2, 1, 1)
