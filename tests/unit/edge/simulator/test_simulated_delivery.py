"""What a gateway does wrong changes how rows are sent, never which rows there are."""

from __future__ import annotations

from typing import Any

import pytest

from edge.simulator.delivery import GATHERED_MS, made, sendable, until_next
from edge.simulator.faults import HOUR_MS, Fault
from edge.simulator.loggers import columns, each_row
from edge.simulator.works import State, Works
from fakes.imagined import BEGIN_MS, a_fault, a_stack, a_works

OFFLINE = a_fault("gateway_offline", "", after_h=2, hours=3)
TWICE = a_fault("duplicate_frames", "", after_h=2, hours=3)
SHUFFLED = a_fault("reordered_frames", "", after_h=2, hours=3)


def sent(works: Works, until_ms: int, piece_ms: int) -> list[dict[str, Any]]:
    """Rows in the order of sending, asked for piece by piece as a clock goes on."""
    rows: list[dict[str, Any]] = []
    state = State(BEGIN_MS)
    for now_ms in range(BEGIN_MS, until_ms + 1, piece_ms):
        target_ms = sendable(now_ms, state.at_ms, works.faults)
        while state.at_ms < target_ms:
            end_ms = until_next(state.at_ms, target_ms, works.faults)
            state, frames, _ = made(works, state, end_ms, (), (), per_frame=50)
            rows += [row for frame, count in frames for row in each_row(frame, count)]
    return rows


def works_with(*faults: Fault) -> Works:
    return a_works(a_stack("sinter_strand"), a_stack("hot_stove"), faults=faults)


@pytest.mark.parametrize("fault", [OFFLINE, TWICE, SHUFFLED], ids=lambda fault: fault.kind)
def test_every_row_is_sent_at_least_once_and_none_is_changed(fault: Fault) -> None:
    until_ms = BEGIN_MS + 8 * HOUR_MS
    rows = {(row["stack"], row["sampled_at"]): row for row in sent(works_with(fault), until_ms, 7 * 60_000)}
    last_ms = max(at for _, at in rows)
    plain = each_row(*columns(works_with(), BEGIN_MS, last_ms + 60_000))
    assert len(rows) == len(plain)
    assert all(rows[row["stack"], row["sampled_at"]] == row for row in plain)


def test_a_gateway_that_is_offline_sends_nothing_and_then_all_in_order() -> None:
    works = works_with(OFFLINE)
    during = sent(works, BEGIN_MS + 4 * HOUR_MS, 5 * 60_000)
    assert len(during) == 2 * 60 * 2
    after = sent(works, BEGIN_MS + 5 * HOUR_MS, 5 * 60_000)
    assert len(after) == 5 * 60 * 2
    assert [row["sampled_at"] for row in after] == sorted(row["sampled_at"] for row in after)


def test_frames_that_are_sent_twice_are_twice_as_many_rows() -> None:
    assert len(sent(works_with(TWICE), BEGIN_MS + 8 * HOUR_MS, 12 * 60_000)) == (8 + 3) * 60 * 2


def test_frames_in_any_order_stay_within_the_ten_minutes_in_which_they_were_gathered() -> None:
    stamps = [row["sampled_at"] for row in sent(works_with(SHUFFLED), BEGIN_MS + 8 * HOUR_MS, 4 * 60_000)]
    assert stamps != sorted(stamps)
    assert [at // GATHERED_MS for at in stamps] == sorted(at // GATHERED_MS for at in stamps)


def test_the_order_does_not_depend_on_how_the_clock_goes() -> None:
    works = works_with(SHUFFLED, TWICE)
    until_ms = BEGIN_MS + 6 * HOUR_MS
    assert sent(works, until_ms, 3 * 60_000) == sent(works, until_ms, 6 * HOUR_MS)
