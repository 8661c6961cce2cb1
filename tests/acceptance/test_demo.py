"""`stackwatch demo`, as a person and as a program starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(400)
def test_the_demonstration_plays_its_story_to_the_lift(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stackwatch", "demo", "--headless", "--once", "--json"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "demo")], capture_output=True, text=True, timeout=380, check=False
    )
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
