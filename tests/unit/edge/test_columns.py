from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.columns import BYTES_PER_FRAME, ROWS_PER_FRAME, check_rows, columns_of, frames_of
from edge.sources import MEASUREMENT, REPORTED_MEAN, SIGNAL
from plant import wire

ROW = {"stack": "DA001", "sampled_at": 1_795_161_600_000, "so2": 31.2}


def test_a_constant_column_is_a_scalar_and_channels_stay_lists() -> None:
    rows = [ROW | {"flag": "N", "interval_s": 10}, ROW | {"flag": "C", "interval_s": 10, "nox": 44.0}]
    assert columns_of(rows, MEASUREMENT) == {
        "stack": "DA001",
        "sampled_at": [1_795_161_600_000] * 2,
        "so2": [31.2, 31.2],
        "flag": ["N", "C"],
        "interval_s": 10,
        "nox": [None, 44.0],
    }


def test_flags_by_channel_become_lists_by_channel() -> None:
    rows = [ROW | {"flags": {"so2": "D"}}, ROW, ROW | {"flags": {"nox": "M"}}]
    assert columns_of(rows, MEASUREMENT)["flags"] == {"nox": [None, None, "M"], "so2": ["D", None, None]}


def test_other_kinds_are_named_in_their_frames() -> None:
    mean = {"stack": "DA001", "sampled_at": 1, "interval_s": 3600, "channel": "so2", "avg": 30.1, "amount": None}
    signal = {"sampled_at": 1, "signal": "g01-Rtd", "value": 3.5, "unit": "S1"}
    assert columns_of([mean], REPORTED_MEAN)["kind"] == "reported_mean"
    assert columns_of([signal], SIGNAL) == {"kind": "signal", "sampled_at": [1], "value": [3.5]} | {
        "signal": "g01-Rtd",
        "unit": "S1",
    }


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        pytest.param(ROW, "weather", "no kind of frame", id="kind"),
        pytest.param({"sampled_at": 1, "so2": 1}, MEASUREMENT, "needs 'stack'", id="no_stack"),
        pytest.param(ROW | {"sampled_at": 1.5}, MEASUREMENT, "whole milliseconds", id="broken_time"),
        pytest.param(ROW | {"sampled_at": 1 << 70}, MEASUREMENT, "more digits", id="endless_time"),
        pytest.param(ROW | {"so2": float("nan")}, MEASUREMENT, "finite or null", id="nan"),
        pytest.param(ROW | {"so2": [1]}, MEASUREMENT, "must be a number", id="list"),
        pytest.param(ROW | {"note": "x" * 257}, MEASUREMENT, "up to 256", id="long_text"),
        pytest.param(ROW | {"note": "\ud800"}, MEASUREMENT, "must be a number", id="half_a_character"),
        pytest.param(ROW | {"seq": 1}, MEASUREMENT, "'seq' is no column", id="head"),
        pytest.param(ROW | {"flags": {"so2": 1}}, MEASUREMENT, "flags by channel", id="flags"),
        pytest.param(ROW | {f"c{n}": 1 for n in range(600)}, MEASUREMENT, "512 may travel", id="wide"),
        pytest.param({"sampled_at": 1, "value": 1}, SIGNAL, "needs 'signal'", id="no_signal"),
        pytest.param(
            {"sampled_at": 1, "stack": "a", "channel": "so2"}, REPORTED_MEAN, "'interval_s'", id="no_interval"
        ),
    ],
)
def test_a_row_that_cannot_travel_is_refused_by_name(row: dict[str, Any], kind: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_rows([ROW, row] if kind == MEASUREMENT else [row], kind)


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300)
_ROWS = st.lists(
    st.dictionaries(st.sampled_from(["so2", "nox", "note", "flag", "state"]), _VALUES, max_size=5).map(
        lambda more: ROW | more
    ),
    max_size=30,
)


@given(rows=_ROWS)
def test_what_passes_the_check_can_be_written_and_read_back_row_by_row(rows: list[dict[str, Any]]) -> None:
    try:
        check_rows(rows, MEASUREMENT)
    except ValueError:
        return
    seen: list[dict[str, Any]] = []
    for frame, number in frames_of(rows, MEASUREMENT):
        document = json.loads(wire.encode(frame))
        for index in range(number):
            cells = {key: value[index] if isinstance(value, list) else value for key, value in document.items()}
            seen.append({key: value for key, value in cells.items() if value is not None})
    assert seen == [{key: value for key, value in row.items() if value is not None} for row in rows]


def test_frames_stay_small_enough_for_a_broker() -> None:
    few = [ROW] * (2 * ROWS_PER_FRAME + 1)
    assert [number for _, number in frames_of(few, MEASUREMENT)] == [ROWS_PER_FRAME, ROWS_PER_FRAME, 1]
    wide = [ROW | {f"note{n}": "长" * 256 for n in range(400)}] * 5
    check_rows(wide, MEASUREMENT)
    assert all(len(wire.encode(frame)) < 2 * BYTES_PER_FRAME for frame, _ in frames_of(wide, MEASUREMENT))
