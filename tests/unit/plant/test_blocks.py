"""Rows by column say what they say one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plant.blocks import Block, IncomingRow, block_of, join
from plant.channels import FLAGS, STATES
from plant.merging import Version

channels = st.sampled_from(["so2", "o2", "load_pct", "chlorine", "粉尘"])
versions = st.builds(
    lambda flags, flag, **said: Version(flag=flag, flags={c: f for c, f in flags.items() if f != flag}, **said),
    revision=st.integers(0, 3),
    sent_at=st.none() | st.integers(0, 1 << 52),
    interval_s=st.integers(1, 3600),
    flag=st.sampled_from(sorted(FLAGS)),
    flags=st.dictionaries(channels, st.sampled_from(sorted(FLAGS)), max_size=2),
    state=st.sampled_from([None, *STATES]),
    values=st.dictionaries(channels, st.floats(allow_nan=False, allow_infinity=False), max_size=4),
)
rows = st.lists(
    st.builds(IncomingRow, st.integers(1, 9), st.sampled_from(["main", "backup"]), st.integers(0, 1 << 52), versions),
    max_size=6,
)


@given(rows)
def test_rows_come_back_from_their_columns(some: list[IncomingRow]) -> None:
    assert block_of(some).rows() == some


@given(st.lists(rows, max_size=4))
def test_joined_blocks_hold_the_rows_of_each(parts: list[list[IncomingRow]]) -> None:
    assert join([block_of(some) for some in parts]).rows() == [row for some in parts for row in some]


@given(rows, st.data())
def test_rows_are_taken_in_the_order_asked_for(some: list[IncomingRow], data: st.DataObject) -> None:
    places = data.draw(st.permutations(range(len(some)))) if some else []
    taken = block_of(some).take(np.array(places, dtype=np.intp))
    assert taken.rows() == [some[place] for place in places]


def test_no_rows_are_a_block_too() -> None:
    assert len(join([])) == len(block_of([])) == 0
    assert isinstance(block_of([]), Block)
