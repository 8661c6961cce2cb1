from __future__ import annotations

from itertools import pairwise

from edge.window import GAP_GRACE_S, PROBE_CEILING_S, Lane, Window
from plant.wire import Receipt


def receipt(through: int, *also: int) -> Receipt:
    return Receipt(session="00000001", through=through, also=also)


def a_window(*seqs: int, size: int = 8) -> Window:
    """All *seqs* were just kept, and left at once."""
    window = Window(size, resend_after_s=5.0)
    window.kept(max(seqs, default=0) + 1, 0.0)
    for seq in seqs:
        window.sent(seq, 1, 0.0, Lane(seq - 1, seq, 1, live=True))
    return window


def a_backlog(frames: int, *, size: int = 8, drain_rows_per_s: float = 20_000.0) -> Window:
    return Window(size, next_seq=frames + 1, drain_rows_per_s=drain_rows_per_s)


def send_all(window: Window, now_s: float, *, rows: int = 1, low: int = 1) -> list[int]:
    """What leaves at *now_s* of an outbox that holds every frame from *low*, in its order."""
    left = []
    while lane := window.next_lane(now_s):
        seq = lane.after + 1
        if seq < low or window.under_way(seq):
            window.passed(lane, seq)
        else:
            window.sent(seq, rows, now_s, lane)
            left.append(seq)
    return left


def test_the_window_is_full_when_as_many_frames_as_its_size_have_no_receipt() -> None:
    window = a_window(1, 2, 3, size=3)
    window.kept(100, 0.0)
    assert window.next_lane(0.0) is None
    window.receipted(receipt(2), 0.1)
    assert window.next_lane(0.1) == Lane(3, 99, 2, live=True)
    assert window.in_flight == 1


def test_new_frames_leave_before_a_backlog_which_keeps_its_share() -> None:
    window = a_backlog(1_000)
    window.kept(1_004, 0.0)
    assert send_all(window, 0.0) == [1001, 1002, 1003, 1, 2, 3, 4, 5]
    window.kept(1_100, 1.0)
    window.receipted(receipt(5, 1001, 1002, 1003), 1.0)
    assert send_all(window, 1.0) == [1004, 1005, 1006, 1007, 1008, 1009, 6, 7]


def test_a_backlog_leaves_a_quarter_of_the_window_to_what_comes() -> None:
    window = a_backlog(1_000)
    assert send_all(window, 0.0) == [1, 2, 3, 4, 5, 6]
    window.kept(1_004, 0.5)
    assert send_all(window, 0.5) == [1001, 1002]


def test_a_backlog_leaves_at_its_rate_however_fast_receipts_come() -> None:
    window = a_backlog(10_000, size=64, drain_rows_per_s=1_000)
    sent, now_s = 0, 0.0
    while now_s < 10.0:
        left = send_all(window, now_s, rows=50)
        sent += 50 * len(left)
        if left:
            window.receipted(receipt(left[-1]), now_s)
        wait_s = window.due_in_s(now_s)
        assert wait_s is not None
        assert wait_s > 0
        now_s += wait_s
    assert 9_500 <= sent <= 10_500


def test_live_frames_wait_for_no_rate() -> None:
    window = Window(64, drain_rows_per_s=1.0)
    window.kept(51, 0.0)
    assert len(send_all(window, 0.0, rows=250)) == 50


def test_a_frame_that_found_no_place_within_its_minute_leaves_with_the_backlog_and_once() -> None:
    window = Window(4)
    window.kept(1, 0.0)
    window.kept(11, 1.0)
    assert send_all(window, 1.0) == [1, 2, 3, 4]
    for now_s in range(2, 100):
        window.kept(11, float(now_s))
    assert window.live_from == 11
    left = []
    for through in (4, 7, 10):
        window.receipted(receipt(through), 100.0)
        left += send_all(window, 100.0, low=through + 1)
    assert left == [5, 6, 7, 8, 9, 10]


def test_the_backlog_passes_over_what_left_as_live() -> None:
    window = a_backlog(3)
    window.kept(7, 0.0)
    assert sorted(send_all(window, 0.0)) == [1, 2, 3, 4, 5, 6]
    for now_s in range(1, 100):
        window.kept(7, float(now_s))
    assert send_all(window, 100.0) == []
    assert list(window.sent_ever) == [(1, 6)]


def test_nothing_under_way_is_never_due() -> None:
    window = a_window()
    assert window.due(1e9) == []
    assert window.due_in_s(1e9) is None


def test_silence_sends_the_lowest_frame_as_a_probe_at_growing_intervals() -> None:
    window = a_window(1, 2, 3)
    assert window.due(4.9) == []
    assert window.due_in_s(1.0) == 4.0
    probes = []
    now = 0.0
    for _ in range(6):
        wait = window.due_in_s(now)
        assert wait is not None
        now += wait
        probes.append((now, window.due(now)))
    assert [seqs for _, seqs in probes] == [[1]] * 6
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(probes)]
    assert gaps == [10.0, 20.0, PROBE_CEILING_S, PROBE_CEILING_S, PROBE_CEILING_S]


def test_a_frame_that_was_overtaken_is_sent_again_after_a_grace() -> None:
    window = a_window(1, 2, 3)
    window.receipted(receipt(0, 2), 1.0)
    assert window.due(1.0) == []
    assert window.due_in_s(1.0) == GAP_GRACE_S
    assert window.due(1.0 + GAP_GRACE_S) == [1]
    window.sent(1, 1, 2.0)
    assert window.due(2.5) == []
    assert window.resent == 1


def test_a_frame_that_was_sent_again_is_not_a_gap_for_receipts_of_earlier_sendings() -> None:
    window = a_window(1, 2, 3)
    window.sent(1, 1, 1.0)
    window.receipted(receipt(0, 2, 3), 1.5)
    assert window.due(1.5 + GAP_GRACE_S) == []


def test_the_receipt_of_a_probe_shows_everything_else_that_was_lost() -> None:
    window = a_window(1, 2, 3)
    assert window.due(5.0) == [1]
    window.sent(1, 1, 5.0)
    window.receipted(receipt(1), 5.1)
    assert window.due(5.1 + GAP_GRACE_S) == [2, 3]


def test_a_receipt_ends_the_growing_of_intervals() -> None:
    window = a_window(1, 2)
    for now in (5.0, 15.0):
        assert window.due(now) == [1]
        window.sent(1, 1, now)
    window.receipted(receipt(1), 16.0)
    window.sent(2, 1, 17.0)
    assert window.due_in_s(17.0) == 4.0


def test_a_new_connection_begins_again_from_the_lowest() -> None:
    window = a_window(1, 2, 3)
    window.reconnected()
    assert window.in_flight == 0
    assert list(window.sent_ever) == [(1, 3)]
    assert send_all(window, 1.0) == [1, 2, 3]


def test_a_new_session_begins_with_what_waits_as_backlog_and_nothing_sent() -> None:
    window = a_window(1, 2, 3)
    window.renumbered(3)
    assert list(window.sent_ever) == []
    assert window.next_lane(1.0) == Lane(0, 2, 6, live=False)


def test_frames_that_left_the_outbox_by_its_bound_are_waited_for_no_longer() -> None:
    window = a_window(1, 2, 3)
    window.drop_below(3)
    assert window.in_flight == 1
