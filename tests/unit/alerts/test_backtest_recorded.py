"""Recordings in a folder: what is read, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alerts.backtest.recorded import open_folder
from folder_builders import registered, two_heads
from plant.errors import BadDocument
from plant.periods import HOUR, micros
from plant.register import Register

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = micros(NOON)
CSV = """stack,sampled_at,so2,o2,flag,flag_so2,state
B,2026-03-01T20:01:00+08:00,2.5,16.0,,,
A,2026-03-01T12:01:00Z,30.5,16.2,N,C,running
A,2026-03-01T12:00:00Z,30.0,16.1,M,,stopped
A,2026-03-01T13:30:00Z,31.0,,N,,
"""


def a_register() -> Register:
    return registered(two_heads())


def test_rows_of_a_csv_come_stack_by_stack_in_the_order_of_their_time(tmp_path: Path) -> None:
    (tmp_path / "works.csv").write_text(CSV)

    found = list(open_folder(tmp_path, a_register()).read("works", first=AT, end=AT + HOUR))

    assert [part.stack.code for part in found] == ["A", "B"]
    rows = found[0].rows["main"]
    assert rows.sampled_at.tolist() == [AT, AT + 60_000_000, AT + 90 * 60_000_000]  # an hour behind the end too
    assert rows.values["so2"].tolist() == [30.0, 30.5, 31.0]
    assert rows.not_running.tolist() == [True, False, False]
    assert bytes(rows.row_flag) == b"MNN"
    assert bytes(rows.flag("so2")) == b"MCN"
    assert rows.interval_s.tolist() == [60, 60, 60]
    assert found[1].rows["main"].sampled_at.tolist() == [AT + 60_000_000]


def test_only_what_touches_the_time_asked_for_is_read(tmp_path: Path) -> None:
    (tmp_path / "works.csv").write_text(CSV)

    found = list(open_folder(tmp_path, a_register()).read("works", first=AT + 3 * HOUR, end=AT + 4 * HOUR))

    assert found == []


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parquet_is_read_whatever_its_resolution_of_time(tmp_path: Path, unit: str) -> None:
    times = pa.array([NOON, NOON.replace(minute=1)], pa.timestamp(unit, "UTC"))
    pq.write_table(pa.table({"stack": ["A", "A"], "sampled_at": times, "so2": [1.0, None]}), tmp_path / "works.parquet")

    folder = open_folder(tmp_path, a_register())

    assert folder.span("works") == (AT, AT + 60_000_000)
    (found,) = folder.read("works", first=AT, end=AT + HOUR)
    assert found.rows["main"].sampled_at.tolist() == [AT, AT + 60_000_000]
    assert found.rows["main"].value("so2")[0] == 1.0


def test_of_two_rows_of_one_instant_the_first_stands_and_the_channel_has_a_conflict(tmp_path: Path) -> None:
    at = pa.array([NOON, NOON, NOON.replace(minute=1)], pa.timestamp("us", "UTC"))
    columns = {"stack": ["A"] * 3, "sampled_at": at, "so2": [30.0, 40.0, 31.0], "nox": [5.0, 5.0, 5.0]}
    pq.write_table(pa.table(columns), tmp_path / "works.parquet")

    (found,) = open_folder(tmp_path, a_register()).read("works", first=AT, end=AT + HOUR)

    assert found.rows["main"].values["so2"].tolist() == [30.0, 31.0]
    assert {channel: instants.tolist() for channel, instants in found.conflicts.items()} == {"so2": [AT]}


def test_instruments_are_told_apart_and_others_than_the_registered_left_out(tmp_path: Path) -> None:
    at = pa.array([NOON] * 3, pa.timestamp("us", "UTC"))
    columns = {"stack": ["B"] * 3, "sampled_at": at, "instrument": [None, "backup", "spare"], "so2": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table(columns), tmp_path / "works.parquet")

    (found,) = open_folder(tmp_path, a_register()).read("works", first=AT, end=AT + HOUR)

    assert {name: rows.values["so2"].tolist() for name, rows in found.rows.items()} == {"main": [1.0], "backup": [2.0]}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "has no *.parquet and no *.csv"),
        ({"elsewhere.csv": CSV}, "is named for no registered site; there are works"),
        ({"works.csv": "stack,so2\nA,1\n"}, "works.csv: has no column 'sampled_at'"),
        ({"works.csv": CSV, "works.CSV": CSV}, "is a second file of site 'works'"),
        ({"works.csv": "stack,sampled_at,so2,so2\nA,2026-03-01T12:00:00Z,1,2\n"}, "has column 'so2' twice"),
        ({"works.csv": ""}, "works.csv: cannot be read: Empty CSV file"),
        ({"works.parquet": "PAR1"}, "works.parquet: cannot be read: "),
    ],
)
def test_a_folder_that_cannot_be_read_says_what_is_wrong(tmp_path: Path, files: dict[str, str], says: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(BadDocument) as refused:
        open_folder(tmp_path, a_register())

    assert says in str(refused.value)


def read_all(path: Path) -> None:
    folder = open_folder(path, a_register())
    folder.span("works")
    list(folder.read("works", first=AT, end=AT + HOUR))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stack,sampled_at,so2\nA,2026-03-01T12:00:00Z,abc\n", "works.csv: cannot be read: .*invalid value 'abc'"),
        ("stack,sampled_at,so2\nA,2026-03-01T12:00:00,1\n", "works.csv: cannot be read: .*expected a zone offset"),
        ("stack,sampled_at,so2\nA,2026-03-01T12:00:00Z\n", "works.csv: cannot be read: .*Expected 3 columns"),
        ("stack,sampled_at,so2\nA,,1\n", "works.csv: sampled_at: a row has no time"),
        ("stack,sampled_at,so2\nA,1026-03-01T12:00:00Z,1\n", "works.csv: sampled_at: a row .* before 1970"),
        ("stack,sampled_at,interval_s\nA,2026-03-01T12:00:00Z,0\n", "interval_s: a row of A .* 1 to 3600 seconds"),
        ("stack,sampled_at,interval_s\nA,2026-03-01T12:00:00Z,7200\n", "interval_s: a row of A .* 1 to 3600 seconds"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused_in_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "works.csv").write_text(text)

    with pytest.raises(BadDocument, match=says):
        read_all(tmp_path)


@pytest.mark.parametrize("times", [pa.array([NOON], pa.timestamp("us")), pa.array(["2026-03-01T12:00:00Z"])])
def test_times_without_a_zone_are_refused_in_parquet_too(tmp_path: Path, times: pa.Array) -> None:
    pq.write_table(pa.table({"stack": ["A"], "sampled_at": times}), tmp_path / "works.parquet")

    with pytest.raises(BadDocument, match=r"works\.parquet: sampled_at must be a timestamp with a zone"):
        open_folder(tmp_path, a_register())


def test_a_text_in_a_column_of_numbers_is_refused_in_parquet_too(tmp_path: Path) -> None:
    at = pa.array([NOON], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"stack": ["A"], "sampled_at": at, "so2": ["abc"]}), tmp_path / "works.parquet")

    with pytest.raises(BadDocument, match=r"works\.parquet: cannot be read: .*'abc'"):
        list(open_folder(tmp_path, a_register()).read("works", first=AT, end=AT + HOUR))


def test_a_letter_that_is_no_flag_is_named(tmp_path: Path) -> None:
    (tmp_path / "works.csv").write_text("stack,sampled_at,so2,flag\nA,2026-03-01T12:00:00Z,1.0,X\n")

    with pytest.raises(BadDocument, match="flag: 'X' is no flag"):
        list(open_folder(tmp_path, a_register()).read("works", first=AT, end=AT + HOUR))
