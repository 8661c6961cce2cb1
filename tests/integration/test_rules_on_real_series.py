"""Every rule over series that a real plant has sent, read by a person; what was found is in docs/rules.md."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alerts.backtest.folder import FolderSource
from alerts.backtest.recorded import open_folder
from alerts.backtest.results import Result
from alerts.backtest.running import Asked, judge_history
from plant.packs import outlets_by_pack
from plant.periods import HOUR, micros
from plant.register import parse_register
from plant.verdicts import Verdict

DATA: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
TURBINE: Final = DATA / "gas_turbine_gt_2011.csv"
FLOW: Final = DATA / "epa_58054_ST01_flow_2021Q4.csv"

REGISTER: Final = """
[[region]]
code = "abroad"
name = "Abroad"
[[site]]
code = "{site}"
name = "A real series"
region = "abroad"
timezone = "UTC"
  [[site.unit]]
  code = "U"
  kind = "{process}"
  [[site.stack]]
  code = "A"
  name = "A"
  process = "{process}"
  packs = ["cn-steel-ule-2019"]
  interval_s = 3600
  units = ["U"]
    [site.stack.channels.nox]
    reference = "corrected"
"""
RESTAMPED: Final = datetime(2025, 1, 1, tzinfo=UTC)  # the file of the turbine has no times
EASTERN: Final = timezone(timedelta(hours=-5))
M3_OF_SCF: Final = 0.3048**3 * 273.15 / 293.15  # standard cubic feet are of 68 degF

pytestmark = pytest.mark.shared_data


def judged(folder: Path, site: str, process: str, at: list[datetime], **channels: list[float]) -> Result:
    columns = {"stack": ["A"] * len(at), "sampled_at": pa.array(at, pa.timestamp("us", "UTC")), **channels}
    pq.write_table(pa.table(columns), folder / f"{site}.parquet")
    register = parse_register(REGISTER.format(site=site, process=process), site, packs=outlets_by_pack())
    return judge_history(FolderSource(open_folder(folder, register), Asked()))


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as text:
        return list(csv.DictReader(text))


def longest_run(values: list[float]) -> tuple[int, int]:
    """Where it begins, and of how many."""
    runs, at = [], 0
    for _, same in groupby(values):
        n = len(list(same))
        runs.append((n, at))
        at += n
    n, at = max(runs)
    return at, n


@pytest.fixture(scope="module")
def turbine(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], Result]:
    """NOx of a year, and what the rules say of it."""
    rows = rows_of(TURBINE)
    nox = [float(row["NOX"]) for row in rows]
    at = [RESTAMPED + timedelta(hours=n) for n in range(len(rows))]
    co, power = [float(row["CO"]) for row in rows], [1000 * float(row["TEY"]) for row in rows]
    folder = tmp_path_factory.mktemp("turbine")
    return nox, judged(folder, "turbine", "gas_turbine", at, nox=nox, co=co, power_production_kw=power)


def test_each_hour_of_the_turbine_above_the_limit_is_an_alert_and_no_other(
    turbine: tuple[list[float], Result],
) -> None:
    nox, result = turbine
    (hours,) = (hours for key, hours in result.hours.items() if key.pollutant == "nox")
    starts = [alert.period_start for alert in result.alerts.values() if alert.rule == "hour_above_limit"]
    first = micros(RESTAMPED)
    assert sorted(starts) == [first + n * HOUR for n, value in enumerate(nox) if value > 50]
    assert (hours.verdict == Verdict.BREACHED).sum() == len(starts) == 7311


def test_the_only_lead_in_the_year_of_the_turbine_is_the_value_that_stood_for_102_hours(
    turbine: tuple[list[float], Result],
) -> None:
    nox, result = turbine
    counts = Counter(alert.rule for alert in result.alerts.values())
    begins, n = longest_run(nox)
    (lead,) = (alert for alert in result.alerts.values() if alert.rule == "constant")
    assert counts == {"hour_above_limit": 7311, "month_below_share": 11, "budget": 11, "constant": 1}
    assert n == 102
    assert lead.evidence["value"] == nox[begins] == 60.38
    assert lead.period_start == micros(RESTAMPED) + (begins + 3) * HOUR  # the fourth of them
    assert lead.period_end == micros(RESTAMPED) + (begins + n) * HOUR


def test_the_flow_of_a_biomass_unit_gives_no_lead(tmp_path: Path) -> None:
    rows = rows_of(FLOW)
    at = [datetime.fromisoformat(row["date"]).replace(hour=int(row["hour"]), tzinfo=EASTERN) for row in rows]
    flow = [float(row["unadjusted"]) * M3_OF_SCF for row in rows]

    result = judged(tmp_path, "biomass", "coal_boiler", at, flow=flow)

    assert result.rows == len(rows) == 1785
    assert result.alerts == {}


def test_hours_that_are_taken_out_of_it_are_missed(tmp_path: Path) -> None:
    """That it gives no alert is not because nothing is looked at."""
    rows = rows_of(FLOW)
    rows = rows[:900] + rows[907:]
    at = [datetime.fromisoformat(row["date"]).replace(hour=int(row["hour"]), tzinfo=EASTERN) for row in rows]

    result = judged(tmp_path, "biomass", "coal_boiler", at, flow=[float(row["unadjusted"]) for row in rows])

    (alert,) = result.alerts.values()
    assert (alert.rule, alert.severity) == ("data_missing", "major")
    # Two intervals of an hour pass before it is one, so the first of the seven hours is not found.
    assert (alert.period_end - alert.period_start) // HOUR == 6
    assert alert.evidence["last"]["observed"] == 7 * 3600
