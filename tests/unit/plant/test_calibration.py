"""Drift, control, what a failed calibration voids, due dates, and the calibrations that EPA computed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.calibration import (
    DRIFT_LIMITS,
    NEVER,
    Cems,
    Check,
    Control,
    Controls,
    Episode,
    Task,
    calibration_error,
    days_of,
    diluent_error,
    drift_pct,
    due_tasks,
    intervals,
    judge_drift,
    judge_seven_days,
    out_of_control,
    round_half_up,
    void,
)
from plant.periods import HOUR, Instants, micros
from plant.substitution import Method, substitute

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
FIRST: Final = micros(datetime(2026, 11, 1, tzinfo=SHANGHAI))
NAN: Final = float("nan")
ROOT: Final = Path(__file__).resolve().parents[3]
NAME: Final = "epa_7day_calibration_oris991.csv"
#: Ten rows are in the tree; all 28 where the project's shared data lie beside it.
TABLES: Final = [path for path in (ROOT / "tests/data" / NAME, ROOT.parent / "shared/data" / NAME) if path.exists()]
each_table = pytest.mark.parametrize("table", TABLES, ids=lambda path: path.parents[1].name)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def injections(table: Path) -> Iterator[tuple[dict[str, str], str]]:
    for row in rows_of(table):
        yield row, "zero"
        yield row, "upscale"


# --- EPA's figures -----------------------------------------------------------------------------------------------


@each_table
def test_the_errors_that_epa_computed_are_reproduced(table: Path) -> None:
    compared = 0
    for row, kind in injections(table):
        if not row["epa_calc_span_value"]:
            continue
        reference, measured = float(row[f"{kind}_ref"]), float(row[f"{kind}_measured"])
        found = calibration_error(reference, measured, float(row["epa_calc_span_value"]))
        assert float(found.error) == float(row[f"{kind}_error_epa_calc"]), row
        assert int(found.alternative) == int(row[f"{kind}_aps_epa_calc"]), row
        assert bool(found.passed)
        compared += 1
    assert compared == {"tests": 14, "shared": 28}[table.parents[1].name]


@each_table
def test_the_errors_that_were_reported_are_reproduced_those_of_oxygen_as_differences(table: Path) -> None:
    compared = 0
    for row, kind in injections(table):
        reference, measured = float(row[f"{kind}_ref"]), float(row[f"{kind}_measured"])
        span = row["epa_calc_span_value"]
        found = (
            calibration_error(reference, measured, float(span)).error if span else diluent_error(reference, measured)
        )
        assert float(found) == float(row[f"{kind}_error_reported"]), row
        compared += 1
    assert compared == {"tests": 20, "shared": 56}[table.parents[1].name]


@each_table
def test_the_seven_day_test_that_passed_passes(table: Path) -> None:
    rows = [row for row in rows_of(table) if row["test_num"] == "C21-1"]
    day = days_of([datetime.fromisoformat(row["zero_time"]) for row in rows])
    drift = np.array([float(drift_pct(float(row["zero_measured"]), float(row["zero_ref"]), 100.0)) for row in rows])
    found = judge_seven_days(day, drift, 2.5)
    assert (found.days, found.complete, found.passed, round(found.worst_pct, 6)) == (7, True, True, 1.7)
    assert {row["reported_result"] for row in rows} == {"PASSED"}
    assert not judge_seven_days(day, drift, 1.6).passed


@pytest.mark.parametrize(
    ("measured", "span", "error", "alternative", "passed"),
    [
        pytest.param(52.5, 100.0, 2.5, False, True, id="at_the_limit"),
        pytest.param(52.6, 100.0, 3.0, True, True, id="above_it_but_3_ppm"),
        pytest.param(55.4, 100.0, 5.0, True, True, id="5.4_ppm_are_5"),
        pytest.param(55.5, 100.0, 5.5, False, False, id="5.5_ppm_are_6"),
        pytest.param(55.1, 200.0, 2.6, False, False, id="no_alternative_at_a_span_of_200"),
        pytest.param(50.25, 100.0, 0.3, False, True, id="a_half_goes_up"),
    ],
)
def test_at_a_small_span_the_difference_in_ppm_may_count_instead(
    measured: float, span: float, error: float, alternative: bool, passed: bool
) -> None:
    found = calibration_error(50.0, measured, span)
    assert (float(found.error), bool(found.alternative), bool(found.passed)) == (error, alternative, passed)


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(0, 1))
def test_rounding_goes_half_up_of_what_is_written_down(hundredths: int, decimals: int) -> None:
    step = 10 ** (2 - decimals)
    assert round_half_up(np.asarray(hundredths / 100), decimals) == (hundredths + step // 2) // step * step / 100


# --- drift -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "ok", "out"),
    [
        (Check.PM_ZERO, 2.0, 8.0),
        (Check.PM_SPAN, 2.0, 8.0),
        (Check.GAS_ZERO, 2.5, 5.0),
        (Check.GAS_SPAN, 2.5, 10.0),
    ],
)
def test_drift_is_ok_up_to_one_limit_and_out_of_control_above_the_other(check: Check, ok: float, out: float) -> None:
    """Regulation 3.7, on a full scale of 200."""
    full_scale, reference = 200.0, 80.0
    steps = np.array([0.0, ok, ok + 0.01, out, out + 0.01])
    for sign in (1.0, -1.0):
        control = judge_drift(check, reference + sign * steps / 100 * full_scale, reference, full_scale)
        assert control.tolist() == ["ok", "ok", "adjust", "adjust", "out_of_control"]


@pytest.mark.parametrize(
    ("full_scale", "zero", "control"),
    [
        pytest.param(30.0, 0.9, Control.OK, id="3_percent_and_0.9_m_s"),
        pytest.param(50.0, 1.4, Control.OK, id="2.8_percent_though_1.4_m_s"),
        pytest.param(10.0, 0.9, Control.OK, id="0.9_m_s_though_9_percent"),
        pytest.param(10.0, 1.8, Control.ADJUST, id="18_percent_but_1.8_m_s"),
        pytest.param(30.0, 2.4, Control.ADJUST, id="2.4_m_s_but_8_percent"),
        pytest.param(20.0, 1.9, Control.OUT_OF_CONTROL, id="9.5_percent_and_1.9_m_s"),
        pytest.param(20.0, -1.9, Control.OUT_OF_CONTROL, id="either_way"),
    ],
)
def test_the_zero_of_a_flow_meter_is_ok_by_either_and_out_of_control_only_by_both(
    full_scale: float, zero: float, control: Control
) -> None:
    assert judge_drift(Check.FLOW_ZERO, zero, 0.0, full_scale).item() == control


def test_a_check_without_a_reading_says_nothing() -> None:
    assert judge_drift(Check.GAS_ZERO, [NAN, 0.0], 0.0, 100.0).tolist() == ["unknown", "ok"]


def test_every_limit_bears_its_mark_and_leaves_room_between() -> None:
    assert set(DRIFT_LIMITS) == set(Check)
    for limit in DRIFT_LIMITS.values():
        assert limit.mark == "K-H"
        assert limit.ok_pct < limit.out_pct


# --- seven days ----------------------------------------------------------------------------------------------------


def seven(drift: list[float], *, missing: int | None = None) -> tuple[bool, bool]:
    day = days_of([date(2026, 11, 1) + timedelta(days=n) for n in range(len(drift))])
    keep = np.arange(len(drift)) != (len(drift) if missing is None else missing)
    found = judge_seven_days(day[keep], np.array(drift)[keep], 2.5)
    return found.complete, found.passed


def test_seven_days_in_a_row_must_each_be_within() -> None:
    assert seven([1.0] * 7) == (True, True)
    assert seven([2.5, -2.5, 0.0, 0.0, 0.0, 0.0, 0.0]) == (True, True)
    assert seven([1.0] * 6 + [-2.6]) == (True, False)
    assert seven([1.0] * 6) == (False, False)
    assert seven([1.0] * 8, missing=3) == (False, False)
    assert seven([1.0] * 6 + [NAN]) == (False, False)
    assert seven([]) == (False, False)


# --- out of control ------------------------------------------------------------------------------------------------


def checks(said: str) -> tuple[Instants, Controls]:
    """One check a day: `.` ok, `a` adjust, `X` out of control, `?` no reading."""
    words = {".": Control.OK, "a": Control.ADJUST, "X": Control.OUT_OF_CONTROL, "?": Control.UNKNOWN}
    at = FIRST + np.arange(len(said), dtype=np.int64) * 24 * HOUR
    return at, np.array([words[letter] for letter in said], dtype=object)


def episodes(said: str) -> list[tuple[int | None, int, int | None]]:
    """(last pass, detection, end) as days."""

    def day(at: int | None) -> int | None:
        return None if at is None or at == NEVER else (at - FIRST) // (24 * HOUR)

    return [(day(e.last_pass), day(e.detected) or 0, day(e.until)) for e in out_of_control(*checks(said))]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        pytest.param("....", [], id="all_passed"),
        pytest.param("..X.", [(1, 2, 3)], id="one_failed"),
        pytest.param("..XX.", [(1, 2, 4)], id="failed_twice_is_one_episode"),
        pytest.param("..Xa.", [(1, 2, 4)], id="adjust_does_not_end_it"),
        pytest.param(".aX.", [(1, 2, 3)], id="adjust_is_a_check_in_control"),
        pytest.param(".?X?.", [(0, 2, 4)], id="no_reading_shows_nothing"),
        pytest.param("..X", [(1, 2, None)], id="it_lasts"),
        pytest.param("X.", [(None, 0, 1)], id="never_passed_before"),
        pytest.param(".X.X.", [(0, 1, 2), (2, 3, 4)], id="twice"),
        pytest.param(".aaa", [], id="adjust_begins_none"),
        pytest.param("", [], id="no_checks"),
        pytest.param("??", [], id="none_with_a_reading"),
    ],
)
def test_an_episode_runs_from_its_detection_until_the_specification_is_met_again(
    said: str, found: list[tuple[int | None, int, int | None]]
) -> None:
    assert episodes(said) == found


def test_a_failed_check_voids_what_lies_between_it_and_the_last_that_passed() -> None:
    start = FIRST + np.arange(96, dtype=np.int64) * HOUR
    found = out_of_control(*checks("..X."))
    voided = void(start, found)
    assert np.flatnonzero(voided.out_of_control).tolist() == list(range(24, 72))
    assert set(voided.last_pass[24:72]) == {FIRST + 24 * HOUR}
    assert set(voided.last_pass[:24]) == set(voided.last_pass[72:]) == {NEVER}
    from_detection = void(start, found, back_dated=False)
    assert np.flatnonzero(from_detection.out_of_control).tolist() == list(range(48, 72))


def test_hours_that_an_episode_touches_are_void_in_whole() -> None:
    start = FIRST + np.arange(10, dtype=np.int64) * HOUR
    half = HOUR // 2
    voided = void(start, [Episode(FIRST + 2 * HOUR + half, FIRST + 4 * HOUR, FIRST + 5 * HOUR + half)])
    assert np.flatnonzero(voided.out_of_control).tolist() == [2, 3, 4, 5]


def test_where_nothing_ever_passed_everything_before_is_void_and_what_lasts_voids_to_the_end() -> None:
    start = FIRST + np.arange(96, dtype=np.int64) * HOUR
    assert np.flatnonzero(~void(start, out_of_control(*checks("?X."))).out_of_control).tolist() == list(range(48, 96))
    assert void(start, out_of_control(*checks("?X"))).out_of_control.all()
    assert set(void(start, out_of_control(*checks("?X"))).last_pass) == {NEVER}


def test_zero_and_span_void_together_and_the_earlier_pass_counts() -> None:
    start = FIRST + np.arange(120, dtype=np.int64) * HOUR
    both = [*out_of_control(*checks("..X..")), *out_of_control(*checks(".?XX."))]
    for order in (both, both[::-1]):
        voided = void(start, order)
        assert np.flatnonzero(voided.out_of_control).tolist() == list(range(96))
        assert set(voided.last_pass[:96]) == {FIRST}


def test_checks_out_of_order_are_refused() -> None:
    at, control = checks("..")
    with pytest.raises(ValueError, match="rising order"):
        out_of_control(at[::-1], control)


def test_the_mass_of_voided_hours_is_looked_up_before_the_last_pass() -> None:
    """The whole way: a failed span check of the third day, mass falling to what the drift made of it."""
    start = FIRST + np.arange(96, dtype=np.int64) * HOUR
    mass = np.where(np.arange(96) < 24, 20.0, 5.0)
    mass[30] = 80.0  # measured while in doubt
    voided = void(start, out_of_control(*checks("..X.")))
    found = substitute(
        start,
        np.where(voided.out_of_control, NAN, mass),
        np.ones(96, dtype=bool),
        0.95,
        out_of_control=voided.out_of_control,
        last_pass=voided.last_pass,
    )
    assert set(found.mass_kg[24:72]) == {20.0}
    assert set(found.method[24:72]) == {Method.HIGHEST_OF_720}
    assert set(found.mass_kg[72:]) == {5.0}


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=".aX?", max_size=20))
def test_episodes_do_not_overlap_and_every_failed_check_lies_in_one(said: str) -> None:
    at, control = checks(said)
    found = out_of_control(at, control)
    for one, other in pairwise(found):
        assert one.until <= (other.last_pass or 0)
    for when, word in zip(at, control, strict=True):
        within = [e for e in found if e.detected <= when < e.until]
        if word == Control.OUT_OF_CONTROL:
            assert len(within) == 1
        elif word == Control.OK:
            assert not within


# --- due dates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cems", "task", "hours", "months"),
    [
        (Cems.PM_AUTOMATIC, Task.ZERO_SPAN, 24, 0),
        (Cems.EXTRACTIVE_AUTOMATIC, Task.ZERO_SPAN, 24, 0),
        (Cems.IN_SITU_AUTOMATIC, Task.ZERO_SPAN, 24, 0),
        (Cems.PM_MANUAL, Task.ZERO_SPAN, 360, 0),
        (Cems.EXTRACTIVE_MANUAL, Task.ZERO_SPAN, 168, 0),
        (Cems.IN_SITU_MANUAL, Task.ZERO_SPAN, 360, 0),
        (Cems.EXTRACTIVE_AUTOMATIC, Task.FULL_SYSTEM, 0, 3),
        (Cems.EXTRACTIVE_MANUAL, Task.FULL_SYSTEM, 0, 3),
        (Cems.FLOW_AUTOMATIC, Task.FLOW_ZERO, 24, 0),
        (Cems.FLOW_MANUAL, Task.FLOW_ZERO, 720, 0),
        (Cems.EXTRACTIVE_AUTOMATIC, Task.VERIFICATION, 0, 6),
        (Cems.EXTRACTIVE_MANUAL, Task.VERIFICATION, 0, 3),
        (Cems.PM_MANUAL, Task.PATROL, 168, 0),
    ],
)
def test_the_intervals_are_those_of_the_sheet(cems: Cems, task: Task, hours: int, months: int) -> None:
    interval = intervals(cems)[task]
    assert (interval.hours, interval.months, interval.mark) == (hours, months, "K-H")


def test_only_an_extractive_system_has_a_full_system_check_and_only_flow_has_a_flow_zero() -> None:
    with_full_system = {cems for cems in Cems if Task.FULL_SYSTEM in intervals(cems)}
    assert with_full_system == {Cems.EXTRACTIVE_AUTOMATIC, Cems.EXTRACTIVE_MANUAL}
    with_flow_zero = {cems for cems in Cems if Task.FLOW_ZERO in intervals(cems)}
    assert with_flow_zero == {Cems.FLOW_AUTOMATIC, Cems.FLOW_MANUAL}


@pytest.mark.parametrize(
    ("last", "due"),
    [
        pytest.param("2026-08-21T10:00+08:00", "2026-11-21T10:00+08:00", id="three_months"),
        pytest.param("2026-11-30T10:00+08:00", "2027-02-28T10:00+08:00", id="to_the_end_of_february"),
        pytest.param("2026-12-31T10:00+08:00", "2027-03-31T10:00+08:00", id="over_the_year"),
        pytest.param("2026-09-30T20:00+00:00", "2027-01-01T04:00+08:00", id="by_the_local_calendar"),
    ],
)
def test_months_are_counted_by_the_local_calendar(last: str, due: str) -> None:
    found = intervals(Cems.EXTRACTIVE_MANUAL)[Task.FULL_SYSTEM].after(datetime.fromisoformat(last), SHANGHAI)
    assert found == datetime.fromisoformat(due)


def test_a_task_is_overdue_after_its_instant_and_when_it_was_never_done() -> None:
    done = datetime(2026, 11, 1, 8, tzinfo=UTC)
    last = {Task.ZERO_SPAN: done, Task.PATROL: done, Task.VERIFICATION: done}

    def overdue(now: datetime) -> set[Task]:
        tasks = due_tasks(Cems.EXTRACTIVE_MANUAL, last, SHANGHAI, now=now)
        assert {task.task for task in tasks} == set(intervals(Cems.EXTRACTIVE_MANUAL))
        return {task.task for task in tasks if task.overdue}

    assert overdue(done + timedelta(days=7)) == {Task.FULL_SYSTEM}
    assert overdue(done + timedelta(days=7, microseconds=1)) == {Task.FULL_SYSTEM, Task.ZERO_SPAN, Task.PATROL}
