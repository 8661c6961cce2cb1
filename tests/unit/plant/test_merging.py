"""Which version of a row counts: a function of what arrived, never of the order."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.merging import Conflict, Merged, Version, conflicts_with, distinct, merge, version_from


def a_version(
    revision: int = 0,
    *,
    sent_at: int | None = 1_000,
    interval_s: int = 60,
    flag: str = "N",
    flags: dict[str, str] | None = None,
    state: str | None = None,
    **values: float | None,
) -> Version:
    return Version(
        revision=revision,
        sent_at=sent_at,
        interval_s=interval_s,
        flag=flag,
        flags=flags or {},
        state=state,
        values=values,
    )


def in_any_order(*versions: Version) -> Merged:
    """The one result of every order, at once and with every version twice."""
    results = [merge(order) for order in itertools.permutations(versions)]
    results += [merge(order + order[::-1]) for order in itertools.permutations(versions)]
    assert all(result == results[0] for result in results)
    return results[0]


def test_the_same_version_again_is_that_version() -> None:
    version = a_version(so2=31.2, o2=16.0)
    assert merge([version, version, version]) == Merged(merge([version]).row, ())
    assert merge([version]).row.values == {"so2": 31.2, "o2": 16.0}


def test_a_value_fills_in_where_there_was_null() -> None:
    merged = in_any_order(a_version(so2=31.2, nox=None), a_version(nox=44.0, sent_at=2_000))
    assert merged.row.values == {"so2": 31.2, "nox": 44.0}
    assert merged.conflicts == ()


def test_a_null_never_takes_a_value_away_at_any_revision() -> None:
    merged = in_any_order(a_version(0, so2=31.2), a_version(1, so2=None, nox=44.0))
    assert merged.row.values == {"so2": 31.2, "nox": 44.0}
    assert merged.row.revision == 1


def test_a_higher_revision_replaces_without_a_conflict() -> None:
    merged = in_any_order(a_version(0, so2=31.2), a_version(2, so2=33.0, sent_at=9_000), a_version(1, so2=32.0))
    assert merged.row.values == {"so2": 33.0}
    assert merged.row.revision == 2
    assert merged.conflicts == ()


def test_of_two_values_of_one_revision_the_earlier_sent_counts_and_the_other_is_kept() -> None:
    merged = in_any_order(a_version(so2=31.2, sent_at=2_000), a_version(so2=90.0, sent_at=1_000))
    assert merged.row.values == {"so2": 90.0}
    assert merged.conflicts == (Conflict("so2", 0, (90.0, "N"), ((31.2, "N"),)),)


def test_of_two_values_sent_at_the_same_time_the_smaller_bytes_count() -> None:
    merged = in_any_order(a_version(so2=31.2), a_version(so2=30.0))
    assert merged.row.values == {"so2": 30.0}


def test_a_version_that_does_not_say_when_it_was_sent_counts_last() -> None:
    merged = in_any_order(a_version(so2=1.0, sent_at=None), a_version(so2=2.0, sent_at=9_999_999))
    assert merged.row.values == {"so2": 2.0}


def test_the_same_thing_sent_again_earlier_counts_by_its_earliest_time() -> None:
    late, early, other = (
        a_version(so2=1.0, sent_at=3_000),
        a_version(so2=1.0, sent_at=1_000),
        a_version(so2=2.0, sent_at=2_000),
    )
    assert in_any_order(late, other).row.values == {"so2": 2.0}
    assert in_any_order(late, other, early).row.values == {"so2": 1.0}


def test_three_values_of_one_revision_are_one_conflict_with_two_others() -> None:
    merged = in_any_order(*[a_version(so2=float(i), sent_at=i) for i in (1, 2, 3)])
    assert merged.conflicts == (Conflict("so2", 0, (1.0, "N"), ((2.0, "N"), (3.0, "N"))),)


def test_conflicts_of_an_overruled_revision_are_kept() -> None:
    merged = in_any_order(
        a_version(0, so2=1.0, sent_at=1), a_version(0, so2=2.0, sent_at=2), a_version(1, so2=3.0, sent_at=3)
    )
    assert merged.row.values == {"so2": 3.0}
    assert merged.conflicts == (Conflict("so2", 0, (1.0, "N"), ((2.0, "N"),)),)


def test_the_same_value_with_another_flag_is_a_conflict() -> None:
    merged = in_any_order(a_version(so2=1.0, flag="N", sent_at=1), a_version(so2=1.0, flag="C", sent_at=2))
    assert merged.conflicts == (Conflict("so2", 0, (1.0, "N"), ((1.0, "C"),)),)


def test_another_state_or_interval_of_one_revision_is_a_conflict() -> None:
    merged = in_any_order(
        a_version(so2=1.0, state="running", sent_at=1),
        a_version(so2=1.0, state="stopped", sent_at=2),
        a_version(so2=1.0, state=None, interval_s=10, sent_at=3),
    )
    assert merged.conflicts == (
        Conflict("state", 0, "running", ("stopped",)),
        Conflict("interval_s", 0, 60, (10,)),
    )
    assert (merged.row.state, merged.row.interval_s) == ("running", 60)


def test_a_value_brings_its_flag_with_it() -> None:
    merged = in_any_order(
        a_version(so2=1.0, flag="C", sent_at=1), a_version(pm=5.0, flag="N", flags={"pm": "T"}, sent_at=2)
    )
    assert merged.row.flag_of("so2") == "C"
    assert merged.row.flag_of("pm") == "T"
    assert merged.row.values == {"so2": 1.0, "pm": 5.0}


def test_a_filled_in_value_keeps_the_row_flag_it_came_under() -> None:
    merged = in_any_order(a_version(so2=1.0, flag="C", sent_at=1), a_version(pm=5.0, flag="N", sent_at=2))
    assert (merged.row.flag_of("so2"), merged.row.flag_of("pm")) == ("C", "N")


def test_a_version_conflicts_with_those_of_its_revision_only() -> None:
    assert conflicts_with(a_version(so2=1.0), [a_version(so2=2.0)])
    assert not conflicts_with(a_version(so2=1.0), [a_version(1, so2=2.0)])
    assert not conflicts_with(a_version(so2=1.0), [a_version(nox=2.0)])
    assert not conflicts_with(a_version(so2=1.0), [a_version(so2=1.0, sent_at=5)])


def test_nothing_arrived_is_a_mistake_of_ours() -> None:
    with pytest.raises(IndexError):
        merge([])


def test_the_body_leaves_out_when_it_was_sent_and_what_is_null() -> None:
    one, other = a_version(so2=31.2, nox=None, sent_at=1), a_version(so2=31.2, sent_at=2)
    assert one.body == other.body
    assert one.digest == other.digest
    assert json.loads(one.body)["values"] == {"so2": 31.2}
    assert version_from(one.body, 1) == a_version(so2=31.2, sent_at=1)


some_values = st.dictionaries(
    st.sampled_from(["so2", "nox", "o2"]), st.none() | st.sampled_from([1.0, 2.0, 2.5, -3.25]), max_size=3
)
some_versions = st.builds(
    Version,
    revision=st.integers(0, 2),
    sent_at=st.none() | st.integers(1, 4),
    interval_s=st.sampled_from([60, 60, 60, 10]),
    flag=st.sampled_from("NNC"),
    flags=st.dictionaries(st.sampled_from(["so2", "nox"]), st.sampled_from("T"), max_size=1),
    state=st.sampled_from([None, None, "running", "stopped"]),
    values=some_values,
)


@settings(deadline=None, max_examples=150)
@given(st.lists(some_versions, min_size=1, max_size=7), st.randoms(use_true_random=False), st.data())
def test_any_order_and_repetition_merged_at_once_or_step_by_step_gives_the_same(
    versions: list[Version], rng: Any, data: st.DataObject
) -> None:
    expected = merge(versions)
    again = versions + data.draw(st.lists(st.sampled_from(versions), max_size=5))
    rng.shuffle(again)
    assert merge(again) == expected
    kept: list[Version] = []
    for version in again:  # as a database does it: what is kept, plus one that arrives
        kept = distinct([*kept, version])
        merge(kept)
    assert merge(kept) == expected
    written = [version_from(version.body, version.sent_at) for version in kept]
    assert merge(written).row.body == expected.row.body
    assert merge(written).conflicts == expected.conflicts


@settings(deadline=None, max_examples=100)
@given(st.lists(some_versions, min_size=1, max_size=6))
def test_every_value_of_the_row_was_sent_and_none_that_was_sent_is_lost(versions: list[Version]) -> None:
    merged = merge(versions)
    for channel, value in merged.row.values.items():
        sent = {version.values.get(channel) for version in versions}
        assert value in sent
        assert value is not None or sent == {None}
        highest = max(
            (version.revision for version in versions if version.values.get(channel) is not None), default=None
        )
        of_highest = {version.values.get(channel) for version in versions if version.revision == highest}
        assert value is None or value in of_highest


@settings(deadline=None, max_examples=100)
@given(st.lists(some_versions, min_size=1, max_size=6))
def test_there_is_a_conflict_exactly_where_one_revision_says_two_things(versions: list[Version]) -> None:
    expected = set()
    for revision in {version.revision for version in versions}:
        same = [version for version in versions if version.revision == revision]
        for channel in ("so2", "nox", "o2"):
            cells = {(v.values[channel], v.flag_of(channel)) for v in same if v.values.get(channel) is not None}
            if len(cells) > 1:
                expected.add((channel, revision))
        if len({v.state for v in same if v.state is not None}) > 1:
            expected.add(("state", revision))
        if len({v.interval_s for v in same}) > 1:
            expected.add(("interval_s", revision))
    assert {(conflict.channel, conflict.revision) for conflict in merge(versions).conflicts} == expected
