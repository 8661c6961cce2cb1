from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edge.outbox import DEFAULT_MAX_AGE_S, Outbox, OutboxFull, Policy
from edge.outbox_file import OutboxUnusable
from plant.errors import Unavailable
from plant.wire import Receipt

Opener = Callable[..., Outbox]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens the outbox of this test, again after it was closed; clock and sessions count up."""
    clock, sessions = count(1_000), count(1)
    made: list[Outbox] = []

    def open_outbox(
        *,
        name: str = "outbox.sqlite",
        max_bytes: int = 1 << 20,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        monotonic_s: Callable[[], float] = lambda: 0.0,
        policy: Policy = "drop_oldest",
    ) -> Outbox:
        made.append(
            Outbox(
                tmp_path / name,
                ids=lambda: f"{next(sessions):08x}",
                clock_ms=lambda: next(clock),
                monotonic_s=monotonic_s,
                max_bytes=max_bytes,
                max_age_s=max_age_s,
                policy=policy,
            )
        )
        return made[-1]

    yield open_outbox
    for outbox in made:
        outbox.close()


def columns(*times: int) -> dict[str, Any]:
    return {"stack": "DA001", "sampled_at": list(times), "so2": [31.25] * len(times)}


def receipt(outbox: Outbox, through: int, *also: int, refused: tuple[dict[str, Any], ...] = ()) -> Receipt:
    return Receipt(session=outbox.session, through=through, also=also, refused=refused)


def heads(outbox: Outbox) -> list[dict[str, Any]]:
    return [json.loads(frame.payload) for frame in outbox.pending(0, 1000)]


def test_frames_are_numbered_from_one_and_count_the_rows_before_them(opened: Opener) -> None:
    outbox = opened()
    assert [outbox.append(columns(1, 2), 2), outbox.append(columns(3), 1), outbox.append(columns(4), 1)] == [1, 2, 3]
    assert [(h["seq"], h["rows_before"], h["dropped_before"], h["sent_at"]) for h in heads(outbox)] == [
        (1, 0, 0, 1000),
        (2, 2, 0, 1001),
        (3, 3, 0, 1002),
    ]
    assert heads(outbox)[0]["schema"] == 1
    assert heads(outbox)[0]["so2"] == [31.25, 31.25]


def test_what_waits_and_the_numbers_survive_a_restart(opened: Opener) -> None:
    outbox = opened()
    session = outbox.session
    outbox.append_many([(columns(n), 1) for n in range(5)])
    outbox.settle(receipt(outbox, 2, 4))
    outbox.close()

    again = opened()
    assert again.session == session
    assert [head["seq"] for head in heads(again)] == [3, 5]
    assert (again.stats().frames, again.stats().rows, again.stats().low) == (2, 2, 3)
    assert again.append(columns(9), 1) == 6


def test_numbers_go_on_after_everything_was_settled_and_the_process_restarted(opened: Opener) -> None:
    outbox = opened()
    outbox.append(columns(1), 1)
    outbox.settle(receipt(outbox, 1))
    assert outbox.waiting == 0
    assert outbox.low == 2
    outbox.close()
    assert opened().append(columns(2), 1) == 2


def test_a_lost_file_is_a_new_session(opened: Opener, tmp_path: Path) -> None:
    outbox = opened()
    session = outbox.session
    outbox.close()
    for file in tmp_path.iterdir():
        file.unlink()
    again = opened()
    assert again.session != session
    assert again.append(columns(1), 1) == 1


def test_a_frame_is_the_same_bytes_each_time_but_for_low(opened: Opener) -> None:
    outbox = opened()
    outbox.append(columns(1), 1)
    outbox.append(columns(2), 1)
    first = outbox.pending(1, 1)[0].payload
    assert outbox.frame(2) == outbox.pending(1, 1)[0]
    outbox.settle(receipt(outbox, 1))
    outbox.close()
    later = opened().pending(0, 1)[0].payload
    assert first.replace(b'"low":1', b'"low":2') == later


def test_a_receipt_of_another_session_settles_nothing(opened: Opener) -> None:
    outbox = opened()
    outbox.append(columns(1), 1)
    assert outbox.settle(Receipt(session="ffffffff", through=1)).frames == 0
    assert outbox.waiting == 1


def test_a_frame_that_was_never_sent_cannot_be_settled(opened: Opener) -> None:
    outbox = opened()
    outbox.append_many([(columns(n), 1) for n in range(3)])
    outbox.close()
    again = opened()
    assert again.settle(receipt(again, 3), sent=[(1, 2)]).frames == 2
    assert [head["seq"] for head in heads(again)] == [3]


def test_an_older_copy_of_the_file_begins_a_new_session_and_keeps_its_rows(opened: Opener) -> None:
    outbox = opened()
    session = outbox.session
    outbox.append_many([(columns(n), 1) for n in range(4)])
    outbox.settle(receipt(outbox, 1, 3))
    outbox.settle(Receipt(session=session, through=900), sent=[(1, 4)])
    assert outbox.session != session
    assert [(h["session"], h["seq"], h["rows_before"], h["sampled_at"]) for h in heads(outbox)] == [
        (outbox.session, 1, 0, [1]),
        (outbox.session, 2, 1, [3]),
    ]
    assert outbox.append(columns(9), 1) == 3


def test_an_older_copy_is_known_by_a_receipt_for_what_it_kept_and_never_sent(opened: Opener, tmp_path: Path) -> None:
    outbox = opened()
    outbox.append_many([(columns(n), 1) for n in range(4)])
    outbox.close()
    again = opened()
    again.append_many([(columns(n), 1) for n in range(10, 20)])
    session = again.session
    assert again.settle(receipt(again, 4), sent=[]).frames == 0
    assert again.session == session, "an earlier process may have sent these"
    assert again.settle(receipt(again, 6), sent=[(1, 2)]).frames == 0
    assert again.session != session
    assert again.stats().rows == 14


def test_the_bound_drops_the_oldest_and_counts_every_row(opened: Opener) -> None:
    outbox = opened(max_bytes=500)
    for n in range(30):
        outbox.append(columns(n), 1)
    stats = outbox.stats()
    assert stats.bytes <= 500
    assert stats.dropped > 0
    assert stats.rows + stats.dropped == stats.made == 30
    assert [head["sampled_at"][0] for head in heads(outbox)] == list(range(30 - stats.rows, 30))
    assert heads(outbox)[-1]["rows_before"] == 29
    assert heads(outbox)[-1]["dropped_before"] == stats.dropped


def test_the_policy_refuse_keeps_what_waits_and_takes_nothing_new(opened: Opener) -> None:
    outbox = opened(max_bytes=500, policy="refuse")
    with pytest.raises(OutboxFull):
        outbox.append_many([(columns(n), 1) for n in range(30)], position=("trace", "30"))
    assert outbox.waiting == 0
    assert outbox.position("trace") is None
    outbox.append(columns(1), 1)
    outbox.count_dropped(7)
    assert (outbox.stats().made, outbox.stats().dropped) == (8, 7)
    outbox.append(columns(2), 1)
    assert (heads(outbox)[-1]["rows_before"], heads(outbox)[-1]["dropped_before"]) == (8, 7)


def test_a_frame_that_can_never_fit_is_a_mistake_and_no_reason_to_wait(opened: Opener) -> None:
    with pytest.raises(ValueError, match="can never fit"):
        opened(max_bytes=100).append(columns(*range(100)), 100)


def test_frames_and_position_are_kept_together_or_not_at_all(opened: Opener) -> None:
    outbox = opened()
    outbox.append_many([(columns(1), 1)], position=("trace", "1"))
    with pytest.raises(ValueError, match="Out of range float"):
        outbox.append_many([(columns(2), 1), ({"so2": [float("nan")]}, 1)], position=("trace", "3"))
    assert outbox.position("trace") == "1"
    assert outbox.waiting == 1
    assert outbox.append(columns(2), 1) == 2
    outbox.forget_position("trace")
    assert outbox.position("trace") is None


def test_refused_rows_are_counted_once_however_often_the_receipt_repeats_them(opened: Opener) -> None:
    outbox = opened()
    outbox.append_many([(columns(1, 2, 3), 3), (columns(4, 5), 2), (columns(6), 1)])
    refusals = ({"seq": 1, "rows": [0, 2], "reason": "unknown stack"}, {"seq": 2, "rows": [], "reason": "unequal"})
    settled = outbox.settle(receipt(outbox, 2, refused=refusals))
    assert (settled.frames, settled.rows, settled.refused, settled.refused_rows) == (2, 5, refusals, 4)
    assert outbox.settle(receipt(outbox, 3, refused=refusals)).refused == ()
    assert outbox.stats().refused == 4


def test_a_full_disk_takes_nothing_says_so_and_recovers(opened: Opener) -> None:
    outbox = opened()
    outbox.append(columns(1), 1)
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")
    big = columns(*range(5_000))
    with pytest.raises(Unavailable, match="full"):
        outbox.append(big, 5_000)
    assert (outbox.stats().made, outbox.waiting) == (1, 1)
    outbox._db.execute("PRAGMA max_page_count = 100000")
    assert outbox.append(big, 5_000) == 2


def test_two_processes_cannot_share_a_file(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    opened()
    monkeypatch.setattr("edge.outbox_file.BUSY_S", 0.05)
    with pytest.raises(OutboxUnusable, match="another process"):
        opened()


def test_a_file_that_is_no_outbox_is_left_alone(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("these are a person's notes, longer than a header of a database is" * 20)
    with pytest.raises(OutboxUnusable, match="text"):
        opened(name="text.sqlite")


def test_appending_wakes_whoever_publishes(opened: Opener) -> None:
    outbox = opened()
    woken: list[int] = []
    outbox.on_append = lambda: woken.append(outbox.waiting)
    outbox.append(columns(1), 1)
    outbox.append_many([], position=("trace", "0"))
    assert woken == [1]


def test_the_oldest_row_that_waits_is_known(opened: Opener) -> None:
    outbox = opened()
    assert outbox.stats().oldest_ms is None
    outbox.append(columns(70, 50, 60), 3)
    outbox.append(columns(90), 1)
    assert outbox.stats().oldest_ms == 50
    outbox.settle(receipt(outbox, 1))
    assert outbox.stats().oldest_ms == 90


@pytest.mark.parametrize("policy", ["drop_oldest", "refuse"])
def test_what_is_older_than_its_bound_goes_and_is_counted(opened: Opener, policy: Policy) -> None:
    now_s = 5.0
    outbox = opened(max_age_s=100.0, monotonic_s=lambda: now_s, policy=policy)
    outbox.append(columns(1, 2), 2)
    now_s = 50.0
    outbox.append(columns(3), 1)
    now_s = 105.0
    assert outbox.let_go_of_old() == 0
    now_s = 105.1
    assert outbox.let_go_of_old() == 2
    assert (outbox.low, outbox.stats().dropped, outbox.stats().rows) == (2, 2, 1)
    outbox.append(columns(4), 1)
    assert heads(outbox)[-1]["dropped_before"] == 2


def test_time_in_which_an_edge_was_off_makes_nothing_old(opened: Opener) -> None:
    now_s = 1_000.0
    outbox = opened(max_age_s=100.0, monotonic_s=lambda: now_s)
    outbox.append(columns(1), 1)
    now_s += 60.0
    assert outbox.let_go_of_old() == 0
    outbox.close()
    now_s = 9e9
    again = opened(max_age_s=100.0, monotonic_s=lambda: now_s)
    now_s += 39.0
    assert again.let_go_of_old() == 0
    now_s += 2.0
    assert again.let_go_of_old() == 1


def test_a_clock_that_is_set_back_and_forth_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    wall_ms = iter([1_000_000, 10, 900_000_000_000_000, 20])
    with Outbox(tmp_path / "o", clock_ms=lambda: next(wall_ms), monotonic_s=lambda: 0.0, max_age_s=1.0) as outbox:
        for n in range(4):
            outbox.append(columns(n), 1)
        assert outbox.let_go_of_old() == 0
        assert [head["sent_at"] for head in heads(outbox)] == [1_000_000, 10, 900_000_000_000_000, 20]


def test_a_receipt_settles_what_was_sent_however_scattered(opened: Opener) -> None:
    outbox = opened()
    outbox.append_many([(columns(n), 1) for n in range(1, 11)])
    outbox.close()
    again = opened()
    settled = again.settle(receipt(again, 2, 5, 6, 9, 10), sent=[(1, 3), (5, 9)])
    assert settled.frames == 5
    assert [head["seq"] for head in heads(again)] == [3, 4, 7, 8, 10]


def test_frames_are_read_up_to_a_number(opened: Opener) -> None:
    outbox = opened()
    outbox.append_many([(columns(n), 1) for n in range(1, 6)])
    assert [frame.seq for frame in outbox.pending(1, 10, through=3)] == [2, 3]
    assert outbox.next_seq == 6


def test_a_file_of_the_first_form_keeps_its_frames(opened: Opener, tmp_path: Path) -> None:
    outbox = opened()
    outbox.append(columns(1), 1)
    session = outbox.session
    outbox.close()
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as db:
        db.executescript("ALTER TABLE book DROP COLUMN ran_ms; ALTER TABLE frame DROP COLUMN kept_ms")
        db.execute("PRAGMA user_version = 1")
    again = opened()
    assert (again.session, again.waiting) == (session, 1)
    assert again.append(columns(2), 1) == 2


def test_a_file_of_a_later_form_is_left_alone(opened: Opener, tmp_path: Path) -> None:
    opened().close()
    with closing(sqlite3.connect(tmp_path / "outbox.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(OutboxUnusable, match="format 99"):
        opened()
