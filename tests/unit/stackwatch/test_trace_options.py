from __future__ import annotations

from pathlib import Path

import pytest

from edge.trace import Reading, read_rows
from plant.errors import BadDocument
from stackwatch.commands.traces import TraceOptions, plan_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("Date,Hour,SO2,P,x\n2025-01-01,8,31.2,-12.5,1\n2025-01-01,10,31.0,-12.0,1\n")
    return path


async def test_the_options_of_the_command_line_make_a_plan(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = TraceOptions(
        mapping=["Date+Hour=sampled_at", "P=pressure"],
        units=["pressure=mbar", "so2=g/m3"],
        shift="-8h",
        zone="+08:00",
        interval_s=3600,
    )
    plan = await plan_of(file, options, site="s", stack="t", speed=10.0)
    rows = [row for row in read_rows(plan, Reading()) if row]
    assert [(row.sampled_at_ms, row.values["pressure"], row.values["so2"], row.interval_s) for row in rows] == [
        (1_735_660_800_000, -1250.0, 31_200.0, 3600),
        (1_735_668_000_000, -1200.0, 31_000.0, 3600),
    ]
    assert capsys.readouterr().err == "left out: x (name them with --map COLUMN=CHANNEL)\n"


async def test_every_option_that_is_wrong_is_said_at_once(file: Path) -> None:
    options = TraceOptions(mapping=["P"], units=["so2"], start="yesterday", step="soon", shift="back", zone="here")
    with pytest.raises(BadDocument) as caught:
        await plan_of(file, options, site="s", stack="t")
    assert [fault.path for fault in caught.value.faults] == ["map", "unit", "from", "step", "shift", "zone"]
