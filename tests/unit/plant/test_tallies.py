"""Runs and gaps: however frames come and are joined, the same is missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from plant.tallies import Gap, Run, gaps, grown, joined, run_of_frame

AT: Final = datetime(2026, 11, 20, tzinfo=UTC)


def a_run(seq: int, rows: int, rows_before: int = 0, dropped_before: int = 0) -> Run:
    return run_of_frame(
        seq=seq,
        rows=rows,
        rows_before=rows_before,
        dropped_before=dropped_before,
        batch_id=seq,
        received_at=AT,
    )


def one_by_one(frames: Sequence[Run], low: int) -> list[Gap]:
    """The gaps of frames that are not joined at all."""
    return gaps(sorted(frames, key=lambda frame: frame.first), low)


def numbers(found: Sequence[Gap]) -> list[tuple[int, int, int, int]]:
    return [(gap.first, gap.last, gap.rows, gap.dropped) for gap in found]


def test_a_session_without_a_loss_is_one_run() -> None:
    frames = [a_run(seq, 10, 10 * (seq - 1)) for seq in range(1, 1001)]
    (run,) = joined([], frames)
    assert (run.first, run.last, run.reaches) == (1, 1000, 10_000)
    assert gaps([run], 1) == []


def test_what_a_frame_counted_and_nobody_brought_is_a_gap() -> None:
    runs = joined([], [a_run(1, 10), a_run(4, 10, 30)])
    assert numbers(gaps(runs, 1)) == [(2, 3, 20, 0)]
    assert gaps(runs, 3)[0].may_be_held
    assert not gaps(runs, 4)[0].may_be_held


def test_rows_may_be_missing_where_no_number_is() -> None:
    (gap,) = gaps(joined([], [a_run(1, 10), a_run(2, 10, 15)]), 1)
    assert (gap.first, gap.last, gap.rows, gap.may_be_held) == (2, 1, 5, False)


def test_counted_drops_go_to_the_oldest_gaps_that_are_no_longer_held() -> None:
    runs = joined([], [a_run(1, 10), a_run(3, 10, 20), a_run(5, 10, 40, 15), a_run(7, 10, 60, 15)])
    assert numbers(gaps(runs, 6)) == [(2, 2, 10, 10), (4, 4, 10, 5), (6, 6, 10, 0)]
    assert numbers(gaps(runs, 1)) == [(2, 2, 10, 0), (4, 4, 10, 0), (6, 6, 10, 0)], "nothing is dropped that is held"


def test_a_frame_that_could_not_be_read_accounts_for_its_rows_and_says_nothing_of_the_past() -> None:
    runs = joined([], [a_run(1, 10), a_run(2, 10), a_run(3, 10, 20)])
    assert len(runs) == 1
    assert gaps(runs, 1) == []
    assert numbers(gaps(joined([], [a_run(1, 10), a_run(2, 1), a_run(3, 10, 20)]), 1)) == [(3, 2, 9, 0)]


def test_an_edge_that_does_not_count_misses_nothing() -> None:
    assert gaps(joined([], [a_run(seq, 10) for seq in (1, 2, 5, 9)]), 1) == []


def test_a_number_that_is_used_again_counts_as_it_was_the_first_time() -> None:
    first = joined([], [a_run(1, 10), a_run(2, 10, 10), a_run(3, 10, 20)])
    assert joined(first, [a_run(2, 500, 10)]) == first
    assert joined([], [a_run(1, 10), a_run(1, 99)]) == [a_run(1, 10)]


def test_a_frame_that_comes_late_closes_its_gap() -> None:
    before = joined([], [a_run(1, 10), a_run(3, 10, 20)])
    assert len(before) == 2
    (run,) = joined(before, [a_run(2, 10, 10)])
    assert (run.first, run.last, run.counted, run.reaches) == (1, 3, 0, 30)


def test_a_frame_that_turns_out_to_hold_more_closes_the_gap_behind_it_unless_it_was_counted() -> None:
    unread = a_run(2, 1)
    runs = joined([], [a_run(1, 10), unread, a_run(3, 10, 20)])
    assert numbers(gaps(runs, 1)) == [(3, 2, 9, 0)]
    assert gaps(grown(runs, unread, 9), 1) == []
    counted = joined([], [a_run(1, 10), unread, a_run(3, 10, 11)])
    assert grown(counted, unread, 9) == counted, "the frame behind it has counted its rows, and is believed"


frames_of_any_kind = st.lists(
    st.builds(
        a_run,
        st.integers(1, 12),
        st.integers(0, 5),
        st.integers(0, 40),
        st.integers(0, 20),
    ),
    max_size=14,
    unique_by=lambda run: run.first,
)


@given(frames_of_any_kind, st.integers(1, 14), st.randoms(use_true_random=False), st.integers(1, 14))
def test_however_frames_are_joined_the_same_is_missing(frames: list[Run], low: int, rng: object, cut: int) -> None:
    """Whatever nonsense they count."""
    shuffled = list(frames)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    runs = joined([], shuffled[:cut])
    runs = joined(runs, shuffled[cut:])
    whole = one_by_one(frames, low)
    assert numbers(gaps(runs, low)) == numbers(whole)
    assert [gap.may_be_held for gap in gaps(runs, low)] == [gap.may_be_held for gap in whole]
    assert [gap.batch_id for gap in gaps(runs, low)] == [gap.batch_id for gap in whole]
