"""Expected and missing rows: time is counted, whatever the rows stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import WORKS
from hour_builders import a_stack
from plant.channels import CHANNELS
from plant.coverage import Coverage, Sent, cover, expected_channels, window
from plant.periods import HOUR, SECOND

H: Final = 490_000 * HOUR
WHOLE: Final = (H, H + HOUR)
TEN: Final = replace(a_stack(), interval_s=10)


def rows(*starts_s: float, interval_s: int = 10, flag: str = "N", without: tuple[int, ...] = ()) -> Sent:
    """Rows of every channel, starting so many seconds after the hour began; *without* a value at those places."""
    n = len(starts_s)
    present = np.ones(n, np.bool_)
    present[list(without)] = False
    return Sent(
        start=np.array([H + round(s * SECOND) for s in starts_s], np.int64),
        interval_s=np.full(n, interval_s, np.int64),
        present=dict.fromkeys(CHANNELS, present),
        flags=dict.fromkeys(CHANNELS, np.full(n, ord(flag), np.uint8)),
    )


def counts(found: Coverage) -> tuple[int, int, int, int]:
    return found.expected, found.present, found.missing, found.flagged


def test_an_hour_of_rows_misses_nothing() -> None:
    found = cover({"main": rows(*range(0, 3600, 10))}, TEN, "so2", WHOLE)
    assert (counts(found), found.missing_us) == ((360, 360, 0, 0), 0)


def test_an_hour_without_a_row_misses_all_of_them() -> None:
    assert counts(cover({}, TEN, "so2", WHOLE)) == (360, 0, 360, 0)


@pytest.mark.parametrize(
    ("registered_s", "sent_s", "n", "expected"),
    [
        pytest.param(60, 10, 300, (60, 50, 10, 0), id="registered_60_sent_10"),
        pytest.param(10, 60, 50, (360, 300, 60, 0), id="registered_10_sent_60"),
        pytest.param(3600, 60, 60, (1, 1, 0, 0), id="registered_an_hour_sent_minutes"),
        pytest.param(60, 3600, 1, (60, 60, 0, 0), id="registered_a_minute_sent_an_hour"),
    ],
)
def test_rows_count_by_what_they_stand_for(
    registered_s: int, sent_s: int, n: int, expected: tuple[int, int, int, int]
) -> None:
    stack = replace(a_stack(), interval_s=registered_s)
    sent = rows(*(sent_s * i for i in range(n)), interval_s=sent_s)
    assert counts(cover({"main": sent}, stack, "so2", WHOLE)) == expected


def test_a_clock_that_is_a_moment_off_loses_no_row() -> None:
    late = rows(*(10 * i + 4.7 for i in range(-1, 360)))
    assert counts(cover({"main": late}, TEN, "so2", WHOLE)) == (360, 360, 0, 0)
    first_hour = rows(*(10 * i + 4.7 for i in range(360)))
    assert counts(cover({"main": first_hour}, TEN, "so2", WHOLE)) == (360, 360, 0, 0)
    one_less = rows(*(10 * i + 4.7 for i in range(-1, 360) if i != 100))
    assert counts(cover({"main": one_less}, TEN, "so2", WHOLE)) == (360, 359, 1, 0)


def test_what_comes_twice_or_from_two_instruments_counts_once() -> None:
    first, second = range(0, 2000, 10), range(1000, 3000, 10)
    sent = {"main": rows(*first, *first), "backup": rows(*second)}
    stack = replace(TEN, judged_from=("main", "backup"))
    assert counts(cover(sent, stack, "so2", WHOLE)) == (360, 300, 60, 0)
    assert counts(cover(sent, TEN, "so2", WHOLE)) == (360, 200, 160, 0)


def test_every_duct_is_needed() -> None:
    stack = replace(TEN, ducts=("a", "b"))
    sent = {"a": rows(*range(0, 2000, 10)), "b": rows(*range(1000, 3000, 10))}
    assert counts(cover(sent, stack, "so2", WHOLE)) == (360, 100, 260, 0)
    assert counts(cover({"a": sent["a"]}, stack, "so2", WHOLE)) == (360, 0, 360, 0)


def test_a_row_without_a_value_is_missing_and_one_with_a_flag_is_flagged() -> None:
    sent = rows(*range(0, 3600, 10), without=(0, 1, 2))
    assert counts(cover({"main": sent}, TEN, "nox", WHOLE)) == (360, 357, 3, 0)
    stack = replace(TEN, judged_from=("main", "backup"))
    both = {"main": rows(*range(0, 1000, 10), flag="C"), "backup": rows(*range(500, 1500, 10))}
    assert counts(cover(both, stack, "so2", WHOLE)) == (360, 150, 210, 50)


def test_the_running_hour_counts_as_far_as_it_has_run_and_a_new_stack_from_its_start() -> None:
    assert window(H, since=0, now=H + 95 * SECOND, interval_s=10) == (H, H + 90 * SECOND)
    assert window(H, since=H + 600 * SECOND, now=H + 2 * HOUR, interval_s=10) == (H + 600 * SECOND, H + HOUR)
    assert window(H, since=0, now=H - 5, interval_s=10) == (H, H)
    sent = {"main": rows(*range(0, 80, 10))}
    assert counts(cover(sent, TEN, "so2", (H, H + 90 * SECOND))) == (9, 8, 1, 0)


@given(
    st.lists(st.tuples(st.integers(-600, 3600), st.integers(1, 900), st.booleans()), max_size=20),
    st.randoms(use_true_random=False),
)
def test_counts_are_those_of_looking_at_each_second(listed: list[tuple[int, int, bool]], rng: object) -> None:
    """And the order of arrival does not matter."""
    rng.shuffle(listed)  # type: ignore[attr-defined]
    n = len(listed)
    normal = np.array([normal for _, _, normal in listed], np.bool_)
    sent = Sent(
        start=np.array([H + start * SECOND for start, _, _ in listed], np.int64),
        interval_s=np.array([length for _, length, _ in listed], np.int64),
        present=dict.fromkeys(CHANNELS, np.ones(n, np.bool_)),
        flags=dict.fromkeys(CHANNELS, np.where(normal, ord("N"), ord("F")).astype(np.uint8)),
    )
    seconds = {s for start, length, _ in listed for s in range(start, start + length) if 0 <= s < 3600}
    good = {s for start, length, ok in listed if ok for s in range(start, start + length) if 0 <= s < 3600}
    found = cover({"main": sent}, replace(a_stack(), interval_s=1), "so2", WHOLE)
    assert counts(found) == (3600, len(seconds), 3600 - len(seconds), len(seconds) - len(good))


def test_expected_are_the_registered_channels_or_those_that_the_packs_judge() -> None:
    assert expected_channels(replace(a_stack(), channels={})) == ["nox", "o2", "pm", "so2"]
    assert 'process = "sinter_head"' in WORKS
    registered = replace(a_stack(), channels={"flow": a_stack().channel("flow")})
    assert expected_channels(registered) == ["flow"]
