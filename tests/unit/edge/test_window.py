from __future__ import annotations

from itertools import pairwise

from edge.window import GAP_GRACE_S, PROBE_CEILING_S, Window
from plant.wire import Receipt


def receipt(through: int, *also: int) -> Receipt:
    return Receipt(session="00000001", through=through, also=also)


def a_window(*seqs: int, size: int = 8) -> Window:
    window = Window(size, resend_after_s=5.0)
    for seq in seqs:
        window.sent(seq, 0.0)
    return window


def test_the_window_is_full_when_as_many_frames_as_its_size_have_no_receipt() -> None:
    window = a_window(1, 2, 3, size=3)
    assert window.room == 0
    window.receipted(receipt(2), 0.1)
    assert window.room == 2
    assert (window.cursor, window.in_flight) == (3, 1)


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
    window.sent(1, 2.0)
    assert window.due(2.5) == []
    assert window.resent == 1


def test_a_frame_that_was_sent_again_is_not_a_gap_for_receipts_of_earlier_sendings() -> None:
    window = a_window(1, 2, 3)
    window.sent(1, 1.0)
    window.receipted(receipt(0, 2, 3), 1.5)
    assert window.due(1.5 + GAP_GRACE_S) == []


def test_the_receipt_of_a_probe_shows_everything_else_that_was_lost() -> None:
    window = a_window(1, 2, 3)
    assert window.due(5.0) == [1]
    window.sent(1, 5.0)
    window.receipted(receipt(1), 5.1)
    assert window.due(5.1 + GAP_GRACE_S) == [2, 3]


def test_a_receipt_ends_the_growing_of_intervals() -> None:
    window = a_window(1, 2)
    for now in (5.0, 15.0):
        assert window.due(now) == [1]
        window.sent(1, now)
    window.receipted(receipt(1), 16.0)
    window.sent(2, 17.0)
    assert window.due_in_s(17.0) == 4.0


def test_a_new_connection_begins_again_from_the_lowest() -> None:
    window = a_window(1, 2, 3)
    window.reconnected()
    assert (window.cursor, window.in_flight, window.sent_through) == (0, 0, 3)
    window.renumbered()
    assert window.sent_through == 0


def test_frames_that_left_the_outbox_by_its_bound_are_waited_for_no_longer() -> None:
    window = a_window(1, 2, 3)
    window.drop_below(3)
    assert window.in_flight == 1
