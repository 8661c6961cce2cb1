"""Counting over the hours up to each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules.stretches import in_a_row, of_last

HOURS = st.lists(st.booleans(), max_size=40)


@given(HOURS, st.integers(1, 12))
def test_the_last_hours_are_those_up_to_each(found: list[bool], n_hours: int) -> None:
    expected = [sum(found[max(0, at + 1 - n_hours) : at + 1]) for at in range(len(found))]
    assert of_last(np.array(found, dtype=bool), n_hours).tolist() == expected


@given(HOURS, st.integers(1, 12))
def test_a_run_has_to_be_whole(found: list[bool], n_hours: int) -> None:
    expected = [at + 1 >= n_hours and all(found[at + 1 - n_hours : at + 1]) for at in range(len(found))]
    assert in_a_row(np.array(found, dtype=bool), n_hours).tolist() == expected
