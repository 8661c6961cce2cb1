from __future__ import annotations

import inspect
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from hypothesis import given
from hypothesis import strategies as st

import edge.opcua
from edge.fieldbus.groups import Group, Point
from edge.fieldbus.rows import Heard
from edge.fieldbus.scaling import Scaling
from edge.opcua.gathering import AHEAD_MS, Gathering, Told
from edge.opcua.quality import FLAGS_BY_CODE, flag_of, is_bad, overflowed
from edge.opcua.session import told_of
from plant.channels import FLAGS

AT_MS = 1_795_161_600_000
SECOND = 1_000


# -- quality -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("Good", None),
        ("GoodClamped", None),
        ("GoodLocalOverride", "S"),
        ("Uncertain", "D"),
        ("UncertainNoCommunicationLastUsableValue", "B"),
        ("UncertainLastUsableValue", "B"),
        ("UncertainSubstituteValue", "S"),
        ("UncertainSensorNotAccurate", "D"),
        ("UncertainEngineeringUnitsExceeded", "T"),
        ("UncertainOverRange", "T"),
        ("UncertainUnderRange", "D"),
        ("UncertainTransducerInManual", "S"),
        ("UncertainSimulatedValue", "S"),
        ("UncertainSensorCalibration", "C"),
        ("BadNoCommunication", "B"),
        ("BadCommunicationError", "B"),
        ("BadTimeout", "B"),
        ("BadNotConnected", "B"),
        ("BadServerNotConnected", "B"),
        ("BadConnectionClosed", "B"),
        ("BadWaitingForInitialData", "B"),
        ("BadOutOfService", "F"),
        ("BadSensorFailure", "D"),
        ("BadDeviceFailure", "D"),
        ("BadConfigurationError", "D"),
    ],
)
def test_each_status_code_by_its_name_in_the_specification_has_its_flag(name: str, flag: str | None) -> None:
    assert flag_of(getattr(StatusCodes, name)) == flag


def test_every_code_of_the_table_is_one_of_the_specification() -> None:
    known = {getattr(StatusCodes, name) >> 16 for name in dir(StatusCodes) if name.startswith(("Good", "Bad", "Unc"))}
    assert set(FLAGS_BY_CODE) <= known
    assert set(FLAGS_BY_CODE.values()) <= FLAGS


def test_a_value_at_its_upper_limit_is_a_lower_bound_and_one_at_its_lower_limit_is_not() -> None:
    high, low = 0x0600, 0x0500  # a data value, at its limit
    assert flag_of(StatusCodes.Good | high) == "T"
    assert flag_of(StatusCodes.Good | low) is None
    assert flag_of(StatusCodes.UncertainSensorNotAccurate | high) == "T"
    assert flag_of(StatusCodes.UncertainEngineeringUnitsExceeded | low) == "D"
    assert flag_of(StatusCodes.BadSensorFailure | high) == "D"


def test_limit_and_overflow_bits_mean_nothing_where_the_code_does_not_say_so() -> None:
    assert flag_of(StatusCodes.Good | 0x0200) is None
    assert not overflowed(0x0080)
    assert overflowed(0x0480)


@given(st.integers(0, 2**32 - 1))
def test_any_code_at_all_has_a_flag_and_is_good_uncertain_or_bad(code: int) -> None:
    flag = flag_of(code)
    assert flag is None or flag in FLAGS
    assert is_bad(code) is ua.StatusCode(ua.UInt32(code)).is_bad()
    if is_bad(code):
        assert flag is not None


# -- values --------------------------------------------------------------------------------------------------------


def a_value(value: Any, **more: Any) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value), **more)


def stamped(seconds: float) -> Any:
    return datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC).replace(tzinfo=None) + timedelta(seconds=seconds)


@pytest.mark.parametrize(("time", "second", "missing"), [("source", 1, 0), ("server", 2, 0), ("edge", 9, 0)])
def test_a_value_is_at_the_time_of_the_clock_that_is_to_be_believed(time: str, second: int, missing: int) -> None:
    value = a_value(3.5, SourceTimestamp=stamped(1), ServerTimestamp=stamped(2))
    eight = int(datetime(2026, 11, 21, 8, tzinfo=UTC).timestamp() * 1000)
    counts: Counter[str] = Counter()
    told = told_of(value, time, eight + 9 * SECOND, counts)
    assert told == Told(eight + second * SECOND, Heard(3.5))
    assert counts["source_time_missing"] == missing


def test_without_a_source_time_the_servers_counts_and_without_any_ours_and_it_is_said() -> None:
    counts: Counter[str] = Counter()
    eight = int(datetime(2026, 11, 21, 8, tzinfo=UTC).timestamp() * 1000)
    assert told_of(a_value(1, ServerTimestamp=stamped(2)), "source", AT_MS, counts).at_ms == eight + 2 * SECOND
    assert told_of(a_value(1), "source", AT_MS, counts).at_ms == AT_MS
    assert counts == {"source_time_missing": 2}


@pytest.mark.parametrize(
    ("value", "raw"), [(3, 3.0), (2.5, 2.5), (True, 1.0), ("3", None), ([1.0, 2.0], None), (None, None)]
)
def test_only_a_number_is_a_number_and_what_is_none_is_counted(value: Any, raw: float | None) -> None:
    counts: Counter[str] = Counter()
    assert told_of(a_value(value), "edge", AT_MS, counts).heard == Heard(raw)
    assert counts["not_a_number"] == (raw is None)


def test_a_bad_value_is_none_and_an_overflow_is_counted() -> None:
    counts: Counter[str] = Counter()
    bad = a_value(3.0, StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadNotConnected)))
    assert told_of(bad, "edge", AT_MS, counts).heard == Heard(None, "B")
    told_of(a_value(3.0, StatusCode=ua.StatusCode(ua.UInt32(0x0480))), "edge", AT_MS, counts)
    assert counts == {"server_queue_overflowed": 1}


# -- gathering -----------------------------------------------------------------------------------------------------


def a_group(*names: str, interval_s: int = 10) -> Group[str]:
    points = tuple(Point(name=name, address=f"ns=2;s={name}", scaling=Scaling()) for name in names)
    return Group(stack="DA001", instrument=None, interval_s=interval_s, points=points)


class Bench:
    """A gathering of one group that began at AT_MS + 3 s: its first row is that of AT_MS + 10 s."""

    def __init__(self, *names: str, hold_ms: int | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.gathering = Gathering(
            [a_group(*names)], now_ms=AT_MS + 3 * SECOND, settle_ms=2 * SECOND, hold_ms=hold_ms, tolerated=self.counts
        )

    def tell(self, name: str, second: float, value: float | None, flag: str | None = None, now: float = 0) -> None:
        told = Told(AT_MS + int(second * SECOND), Heard(value, flag))
        self.gathering.tell(f"ns=2;s={name}", told, AT_MS + int((now or second) * SECOND))

    def close(self, second: float) -> list[dict[str, Any]]:
        closed = self.gathering.close(AT_MS + int(second * SECOND))
        return [
            {**row, "sampled_at": (row["sampled_at"] - AT_MS) // SECOND}
            for rows in closed
            for row in map(dict, rows.measurements)
        ]


def test_values_of_one_interval_are_one_row_when_it_is_over_and_settled() -> None:
    bench = Bench("so2", "o2")
    bench.tell("so2", 11, 30.0)
    bench.tell("o2", 13, 16.0)
    bench.tell("so2", 19.9, 31.0)
    assert bench.close(21.9) == []
    (row,) = bench.close(22)
    assert (row["sampled_at"], row["interval_s"], row["so2"], row["o2"], row["flag"]) == (10, 10, 31.0, 16.0, "N")
    assert bench.close(22) == []


def test_a_value_that_did_not_change_stands_in_the_rows_after() -> None:
    bench = Bench("so2", "o2")
    bench.tell("so2", 11, 30.0)
    bench.tell("o2", 1, 16.0, now=4)  # what the server told on subscribing: older than our first row
    rows = bench.close(32)
    assert [(row["sampled_at"], row["so2"], row["o2"]) for row in rows] == [(10, 30.0, 16.0), (20, 30.0, 16.0)]
    assert bench.counts == {}


def test_a_value_stands_no_longer_than_it_may() -> None:
    bench = Bench("so2", "o2", hold_ms=15 * SECOND)
    bench.tell("so2", 11, 30.0)
    bench.tell("o2", 31, 16.0)
    rows = bench.close(42)
    assert [(row["sampled_at"], row["so2"]) for row in rows] == [(10, 30.0), (20, 30.0), (30, None)]
    assert rows[-1]["flags"] == {"so2": "B"}


def test_before_anything_was_told_there_is_no_row_and_a_node_that_told_nothing_is_null() -> None:
    bench = Bench("so2", "o2")
    assert bench.close(22) == []
    bench.tell("so2", 25, 30.0)
    (row,) = bench.close(32)
    assert (row["o2"], row["flags"]) == (None, {"o2": "B"})


def test_a_value_that_comes_after_its_row_left_is_counted_and_stands_from_the_next() -> None:
    bench = Bench("so2")
    bench.tell("so2", 11, 30.0)
    bench.close(22)
    bench.tell("so2", 15, 99.0, now=23)
    (row,) = bench.close(32)
    assert (row["sampled_at"], row["so2"]) == (20, 99.0)
    assert bench.counts == {"value_too_late": 1}


def test_of_two_values_the_later_one_at_the_source_counts_whatever_order_they_come_in() -> None:
    bench = Bench("so2")
    bench.tell("so2", 18, 31.0)
    bench.tell("so2", 12, 30.0, now=18)
    assert bench.close(22)[0]["so2"] == 31.0


def test_a_value_of_a_clock_far_ahead_is_not_believed_and_counted() -> None:
    bench = Bench("so2")
    bench.tell("so2", 11 + AHEAD_MS / SECOND, 30.0, now=10)
    assert bench.close(22) == []
    assert bench.counts == {"source_time_ahead": 1}


def test_a_bad_value_is_a_row_with_null_and_its_flag() -> None:
    bench = Bench("so2", "o2")
    bench.tell("so2", 11, None, "D")
    bench.tell("o2", 11, 16.0)
    (row,) = bench.close(22)
    assert (row["so2"], row["flags"]) == (None, {"so2": "D"})


def test_intervals_that_nobody_listened_to_are_missing_not_made_up() -> None:
    bench = Bench("so2")
    bench.tell("so2", 11, 30.0)
    assert bench.close(600) == []
    assert bench.counts == {"instant_missed": 60}  # those of 10 s to 600 s
    (row,) = bench.close(622)
    assert row["sampled_at"] == 610


def test_a_clock_that_is_set_back_far_goes_on_at_once() -> None:
    bench = Bench("so2")
    bench.tell("so2", 11, 30.0)
    bench.close(22)
    assert bench.close(-3600) == []
    assert bench.close(-3600 + 22)[0]["sampled_at"] == -3590
    assert bench.counts == {"clock_set_back": 1}


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(-20_000, 20_000)), max_size=60))
def test_no_order_of_values_gives_an_instant_twice_or_out_of_order(steps: list[tuple[int, int]]) -> None:
    gathering = Gathering(
        [a_group("so2", interval_s=1)], now_ms=AT_MS, settle_ms=500, hold_ms=None, tolerated=Counter()
    )
    now_ms, instants = AT_MS, list[int]()
    for step, offset in steps:
        now_ms += step
        gathering.tell("ns=2;s=so2", Told(now_ms + offset, Heard(1.0)), now_ms)
        instants += [row["sampled_at"] for rows in gathering.close(now_ms) for row in rows.measurements]
    assert instants == sorted(set(instants))
    assert all(at > AT_MS for at in instants)


def test_no_function_that_writes_to_a_node_is_used() -> None:
    """Architecture, decision 10: no output is wired to control."""
    folder = Path(inspect.getfile(edge.opcua)).parent
    used: set[str] = set()
    for file in sorted(folder.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\b(write_|set_value|set_writable|call_method|set_attribute)", text), file.name
        used |= set(re.findall(r"\bclient\.([a-z_]+)\(", text))
    reading = {"connect", "disconnect", "disconnect_socket", "create_subscription", "get_namespace_index"}
    assert used == reading | {"set_security", "set_user", "set_password"}
