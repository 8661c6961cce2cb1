from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from edge.stamps import parse_step, parse_time, parse_zone
from edge.trace import Reading, ReplayPlan, parse_mapping, plan_replay, read_rows
from plant.errors import BadDocument
from plant.wire import Row

NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
NEW_YEAR_MS = 1_735_689_600_000
HOUR_MS = 3_600_000


def a_file(folder: Path, text: str, name: str = "trace.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def rows_of(plan: ReplayPlan, reading: Reading | None = None) -> list[Row | None]:
    return list(read_rows(plan, reading or Reading()))


def faults_of(file: Path, **arguments: object) -> str:
    with pytest.raises(BadDocument) as caught:
        plan_replay(file, **({"site": "s", "stack": "t"} | arguments))  # type: ignore[arg-type]
    return str(caught.value)


def test_rows_without_times_are_stamped_step_by_step(tmp_path: Path) -> None:
    file = a_file(tmp_path, "AT,CO,NOX\n4.5,0.3,81.952\n4.2,,82.377\n")
    plan = plan_replay(file, site="p", stack="GT1", start=NEW_YEAR, step_ms=HOUR_MS)
    assert plan.left_out == ("AT",)
    assert plan.rows == 2
    assert rows_of(plan) == [
        Row(stack="GT1", sampled_at_ms=NEW_YEAR_MS, values={"CO".lower(): 0.3, "nox": 81.952}, interval_s=3600),
        Row(stack="GT1", sampled_at_ms=NEW_YEAR_MS + HOUR_MS, values={"co": None, "nox": 82.377}, interval_s=3600),
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("2025-01-01T08:00:00+08:00", NEW_YEAR_MS, id="iso_with_offset"),
        pytest.param("2025-01-01T00:00:00Z", NEW_YEAR_MS, id="iso_utc"),
        pytest.param(str(NEW_YEAR_MS), NEW_YEAR_MS, id="epoch_milliseconds"),
        pytest.param("2025-01-01T00:00:00", None, id="no_offset_is_no_time"),
        pytest.param("yesterday", None, id="words_are_no_time"),
        pytest.param("", None, id="nothing_is_no_time"),
    ],
)
def test_a_time_column_gives_the_times(tmp_path: Path, written: str, expected: int | None) -> None:
    plan = plan_replay(a_file(tmp_path, f"Time,so2\n{written},1\n"), site="p", stack="GT1")
    reading = Reading()
    rows = rows_of(plan, reading)
    assert [row.sampled_at_ms if row else None for row in rows] == [expected]
    assert reading.not_stamped == (expected is None)
    assert plan.left_out == ()


def test_what_is_no_number_becomes_null_and_is_counted_and_what_is_missing_only_null(tmp_path: Path) -> None:
    file = a_file(tmp_path, "time,so2,nox,pm\n1735689600000,n/a,inf,NaN\n1735689600001,,1e1\n\n")
    plan = plan_replay(file, site="p", stack="GT1")
    reading = Reading()
    values = [dict(row.values) for row in rows_of(plan, reading) if row]
    assert values == [{"so2": None, "nox": None, "pm": None}, {"so2": None, "nox": 10.0, "pm": None}]
    assert (reading.rows, reading.not_numbers) == (2, 3)


def test_flags_and_states_travel_when_they_are_known(tmp_path: Path) -> None:
    file = a_file(tmp_path, "time,so2,flag,state\n1735689600000,1,C,running\n1735689600001,1,?,asleep\n")
    rows = rows_of(plan_replay(file, site="p", stack="GT1"))
    assert [(row.flag, row.state) for row in rows if row] == [("C", "running"), (None, None)]


def test_reading_goes_on_where_another_stopped(tmp_path: Path) -> None:
    file = a_file(tmp_path, "so2\n" + "".join(f"{n}\n" for n in range(10)))
    plan = plan_replay(file, site="p", stack="GT1", start=NEW_YEAR, step_ms=1000)
    reading = Reading()
    first = [row for row, _ in zip(read_rows(plan, reading), range(4), strict=False)]
    later = rows_of(plan, Reading.from_text(reading.text()))
    assert [*first, *later][:4] == first
    assert len(rows_of(plan)) == 10
    assert [row.values["so2"] for row in later if row] == [float(n) for n in range(reading.rows, 10)]


def test_parquet_gives_the_same_rows_as_csv(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table(
            {
                "timestamp": pa.array([NEW_YEAR_MS, NEW_YEAR_MS + HOUR_MS], pa.timestamp("ms", tz="UTC")),
                "NOX": pa.array([81.5, None]),
            }
        ),
        tmp_path / "trace.parquet",
    )
    file = a_file(tmp_path, f"timestamp,NOX\n{NEW_YEAR_MS},81.5\n{NEW_YEAR_MS + HOUR_MS},\n")
    of_parquet = plan_replay(tmp_path / "trace.parquet", site="p", stack="GT1")
    assert of_parquet.rows == 2
    assert rows_of(of_parquet) == rows_of(plan_replay(file, site="p", stack="GT1"))


def test_the_position_belongs_to_the_same_rows_only(tmp_path: Path) -> None:
    file = a_file(tmp_path, "NOX,x\n1,2\n")

    def source(stack: str = "GT1", **mapping: str) -> str:
        return plan_replay(file, site="p", stack=stack, mapping=mapping, start=NEW_YEAR, step_ms=1000).source

    before = source()
    assert source() == before
    assert source("GT2") != before
    assert source(x="co") != before
    file.write_text("NOX,x\n1,3\n")
    assert source() != before


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        pytest.param("a,b\n1,2\n", {}, "no column becomes a channel: map some of a, b", id="no_channel"),
        pytest.param("nox\n1\n", {}, "stamp the rows with --from TIME --step 1h", id="no_time"),
        pytest.param("nox\n1\n", {"mapping": {"NOx": "nox"}}, "its columns are nox", id="unknown_column"),
        pytest.param("time,a\n1,1\n", {"mapping": {"a": "seq"}}, "'seq' is no channel", id="reserved_name"),
        pytest.param("time,a,b\n", {"mapping": {"a": "co", "b": "co"}}, "several columns: a, b", id="twice"),
        pytest.param("time,nox,nox\n", {}, "several columns named 'nox'", id="repeated_column"),
        pytest.param("time,nox\n", {"site": "tang shan"}, "site: must be a name", id="site"),
        pytest.param("time,nox\n", {"stack": "DA/1"}, "stack: must be a name", id="stack"),
        pytest.param("time,nox\n", {"speed": 0.0}, "speed: must be a number above 0", id="speed"),
        pytest.param("nox\n", {"start": NEW_YEAR}, "needs both --from and --step", id="half_restamped"),
        pytest.param("", {}, "has no columns", id="empty_file"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_row(
    tmp_path: Path, text: str, arguments: dict[str, object], said: str
) -> None:
    assert said in faults_of(a_file(tmp_path, text), **arguments)


def test_a_file_that_is_missing_or_no_parquet_is_named(tmp_path: Path) -> None:
    assert "nothing.csv: there is no such file" in faults_of(tmp_path / "nothing.csv")
    assert "cannot be read" in faults_of(a_file(tmp_path, "time,nox\n1,2\n", "trace.parquet"))


def test_several_faults_are_said_at_once(tmp_path: Path) -> None:
    said = faults_of(a_file(tmp_path, "time,nox\n"), site="?", stack="?", speed=-1.0, mapping={"z": "co"})
    assert said.count("\n") == 3


def test_mappings_steps_and_times_are_read_as_people_write_them() -> None:
    assert parse_mapping(["NOX=nox", "a=b=co"]) == {"NOX": "nox", "a=b": "co"}
    assert [parse_step(text) for text in ("10s", "1h", "5min", "1 d", "250ms")] == [
        10_000,
        3_600_000,
        300_000,
        86_400_000,
        250,
    ]
    assert parse_time("2025-01-01T08:00:00+08:00") == NEW_YEAR
    for call, text in ((parse_step, "soon"), (parse_step, "0s"), (parse_time, "2025-01-01"), (parse_time, "noon")):
        with pytest.raises(BadDocument):
            call(text)
    for pairs in (["NOX"], ["=nox"], ["a=nox", "a=co"]):
        with pytest.raises(BadDocument):
            parse_mapping(pairs)


def test_units_and_flags_by_channel_are_taken_over(tmp_path: Path) -> None:
    file = a_file(tmp_path, "day,hour,p,so2,s_flag\n2025-01-01,8,-12.5,1,D\n2025-01-01,10,x,2,?\n")
    plan = plan_replay(
        file,
        site="s",
        stack="t",
        mapping={"day+hour": "sampled_at", "p": "pressure", "s_flag": "so2.flag"},
        units={"pressure": "mbar"},
        zone=parse_zone("+08:00"),
        interval_s=3600,
    )
    reading = Reading()
    assert rows_of(plan, reading) == [
        Row(
            stack="t",
            sampled_at_ms=NEW_YEAR_MS,
            values={"pressure": -1250.0, "so2": 1.0},
            interval_s=3600,
            flags={"so2": "D"},
        ),
        Row(stack="t", sampled_at_ms=NEW_YEAR_MS + 2 * HOUR_MS, values={"pressure": None, "so2": 2.0}, interval_s=3600),
    ]
    assert (reading.not_numbers, plan.left_out) == (1, ())


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param({"start": NEW_YEAR}, id="first_row_at_a_time"),
        pytest.param({"shift_ms": NEW_YEAR_MS - 1_000_000_000_000}, id="by_a_span"),
    ],
)
def test_times_are_moved_and_gaps_stay(tmp_path: Path, moved: dict[str, object]) -> None:
    times = [1_000_000_000_000 + gap for gap in (0, 10_000, 3_610_000, 90_000_000)]
    file = a_file(tmp_path, "time,so2\nbroken,0\n" + "".join(f"{time},1\n" for time in times))
    plan = plan_replay(file, site="s", stack="t", **moved)  # type: ignore[arg-type]
    found = [row.sampled_at_ms - NEW_YEAR_MS for row in rows_of(plan) if row]
    assert found == [0, 10_000, 3_610_000, 90_000_000]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"units": {"so2": "ppm"}}, "ppm stays raw", id="ppm"),
        pytest.param({"units": {"nox": "g/m3"}}, "no column becomes channel 'nox'", id="unit_of_nothing"),
        pytest.param({"start": NEW_YEAR, "shift_ms": 1}, "two ways of moving times", id="moved_twice"),
        pytest.param(
            {"mapping": {"so2": "so2", "time+day": "sampled_at"}}, "column 'day' is not in the file", id="joined"
        ),
    ],
)
def test_what_cannot_be_converted_or_moved_is_said(tmp_path: Path, arguments: dict[str, object], said: str) -> None:
    assert said in faults_of(a_file(tmp_path, "time,so2\n1,2\n"), **arguments)


EPA = Path(__file__).resolve().parents[4] / "shared" / "data" / "epa_58054_ST01_flow_2021Q4.csv"


@pytest.mark.shared_data
def test_real_hours_with_date_and_hour_apart_and_flow_in_cubic_feet() -> None:
    plan = plan_replay(
        EPA,
        site="s",
        stack="t",
        mapping={"date+hour": "sampled_at", "adjusted": "flow"},
        units={"flow": "scfh"},
        zone=parse_zone("-05:00"),
        interval_s=3600,
    )
    reading = Reading()
    rows = [row for row in rows_of(plan, reading) if row]
    assert (len(rows), reading.not_stamped, reading.not_numbers) == (1785, 0, 0)
    assert rows[0].sampled_at_ms == round(datetime(2021, 10, 18, 20, tzinfo=UTC).timestamp() * 1000)
    assert rows[0].values["flow"] == pytest.approx(11_813_000 * 0.3048**3 * 273.15 / 293.15, rel=1e-12)
    assert [b.sampled_at_ms - a.sampled_at_ms for a, b in itertools.pairwise(rows)] == [HOUR_MS] * 1784
