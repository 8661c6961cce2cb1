from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pacing import Bucket
from edge.spans import Spans

_SPAN = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda span: (span[0], span[0] + span[1] - 1))


@given(st.lists(_SPAN, max_size=12))
def test_spans_are_a_set_of_numbers(added: list[tuple[int, int]]) -> None:
    spans, numbers = Spans(), set[int]()
    for first, last in added:
        spans.add(first, last)
        numbers |= set(range(first, last + 1))
        assert {n for n in range(80) if n in spans} == numbers
        assert [n for first, last in spans for n in range(first, last + 1)] == sorted(numbers)
        assert len(spans) == sum(n - 1 not in numbers for n in numbers), "what touches is one span"
    spans.clear()
    assert list(spans) == []


def test_frames_leave_at_the_rate_after_a_short_burst() -> None:
    bucket = Bucket(100.0)
    left, now_s = 0, 0.0
    while now_s < 100.0:
        while bucket.due_in_s(now_s) <= 0:
            bucket.take(10, now_s)
            left += 10
        now_s += bucket.due_in_s(now_s)
    assert 10_000 <= left <= 10_060


def test_a_frame_larger_than_the_burst_leaves_and_the_next_one_waits_for_it() -> None:
    bucket = Bucket(100.0)
    assert bucket.due_in_s(0.0) == 0.0
    bucket.take(1_000, 0.0)
    assert 9.0 < bucket.due_in_s(0.0) < 10.0
    assert bucket.due_in_s(10.0) == 0.0


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = Bucket(100.0)
    bucket.take(125, 50.0)
    assert bucket.due_in_s(0.0) == bucket.due_in_s(0.0) > 0
    assert bucket.due_in_s(2.0) == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_rate_at_which_nothing_would_ever_leave_is_a_mistake(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Bucket(rate)
