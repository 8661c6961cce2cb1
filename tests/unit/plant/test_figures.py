"""What a source may say of itself beyond well or not, and how much of it is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.figures import counts_of, figures_of

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=80) | st.integers(), inner, max_size=40)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("value", [None, True, 0, -3, 0.5, "2026-11-20T00:00:00Z", {"4": 3}, {}])
def test_a_figure_is_kept_as_it_is(value: Any) -> None:
    assert figures_of({"name": value}) == {"name": value}


@pytest.mark.parametrize("value", [object(), [1], float("nan"), float("inf"), 1 << 62, -(1 << 62), b"x"])
def test_what_is_no_figure_is_left_out(value: Any) -> None:
    assert figures_of({"name": value, "other": 1}) == {"other": 1}


def test_counts_have_kinds_in_words_and_are_never_negative() -> None:
    assert counts_of({4: 3, "b": -1, "c": True, "d": 2.0, "e\n": 1}) == {"4": 3, "e": 1}


@given(ANYTHING)
def test_whatever_is_said_what_is_kept_is_bounded_printable_json(said: Any) -> None:
    kept = figures_of(said)
    assert len(kept) <= 16
    assert figures_of(kept) == kept
    text = json.dumps(kept, allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) < 60_000
    assert text.isprintable()
