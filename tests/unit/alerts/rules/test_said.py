"""What is said of a stack's source, by the hour."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.rules.history import Span
from alerts.rules.said import marks_of, touched_by
from history_builders import FIRST, a_history
from plant.periods import HOUR


@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [
        pytest.param(0, 0, [], id="of_no_length"),
        pytest.param(0, 1, [5], id="a_microsecond"),
        pytest.param(-1, HOUR, [4, 5], id="from_the_hour_before"),
        pytest.param(0, HOUR + 1, [5, 6], id="into_the_next"),
        pytest.param(0, None, [5, 6, 7, 8, 9], id="going_on"),
    ],
)
def test_a_mark_counts_for_the_hours_it_touches(begins: int, ends: int | None, hours: list[int]) -> None:
    start = FIRST + 5 * HOUR
    mark = Span(start=start + begins, end=None if ends is None else start + ends, kind="fault", status="rejected")
    history = a_history(10, levels={}, marks=(mark,))
    assert np.flatnonzero(touched_by(history, marks_of(history, "fault"))).tolist() == hours
    assert not touched_by(history, marks_of(history, "stopped")).any()
    assert not touched_by(history, marks_of(history, "fault", rejected=False)).any()
