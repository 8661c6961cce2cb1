"""Which of the things that arrived for a reported mean or a signal counts: a function of the set, not of its order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from plant.reports import SIGNAL, Report, ranked, report_from

KEY = (1, "S1", "", "fan_current_a", 1_795_161_600_000_000)

reports = st.builds(
    lambda revision, sent_at, value, flag: Report(SIGNAL, KEY, revision, sent_at, (value, flag)),
    st.integers(0, 2),
    st.none() | st.integers(0, 3),
    st.none() | st.sampled_from([0.0, 1.5, 2.0]),
    st.sampled_from("NM"),
)


def a_signal(value: float | None, *, revision: int = 0, sent_at: int | None = None) -> Report:
    return Report(SIGNAL, KEY, revision, sent_at, (value, "N"))


def test_a_higher_revision_counts() -> None:
    late, early = a_signal(1.0, revision=1, sent_at=9), a_signal(2.0, sent_at=1)
    assert ranked([early, late]) == [late, early]


def test_of_one_revision_what_was_sent_first_counts_and_what_does_not_say_so_is_last() -> None:
    first, second, unsaid = a_signal(3.0, sent_at=1), a_signal(2.0, sent_at=2), a_signal(1.0)
    assert ranked([unsaid, second, first]) == [first, second, unsaid]


def test_of_what_was_sent_at_once_the_smaller_bytes_count() -> None:
    one, two = a_signal(1.0, sent_at=1), a_signal(2.0, sent_at=1)
    assert ranked([two, one])[0] == min((one, two), key=lambda report: report.body)


def test_the_same_again_is_one_thing_with_its_earliest_time() -> None:
    assert ranked([a_signal(1.0), a_signal(1.0, sent_at=7), a_signal(1.0, sent_at=5)]) == [a_signal(1.0, sent_at=5)]


@given(st.lists(reports, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(arrived: list[Report], rng: random.Random) -> None:
    other = arrived + arrived[: len(arrived) // 2]
    rng.shuffle(other)
    assert ranked(arrived) == ranked(other)
    assert ranked(ranked(other)) == ranked(other)


@given(reports)
def test_a_body_is_read_back(report: Report) -> None:
    assert report_from(SIGNAL, KEY, report.body, report.sent_at) == report
