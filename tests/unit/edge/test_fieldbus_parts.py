from __future__ import annotations

import asyncio
import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.fieldbus.claims import PRECEDENCE, Claims, StatusWord
from edge.fieldbus.grid import SET_BACK_MS, Ticks, start_of
from edge.fieldbus.groups import Group, Point, Status
from edge.fieldbus.handing import Handing
from edge.fieldbus.rows import Heard, Rows, rows_of
from edge.fieldbus.scaling import Scaling
from fakes.feeds import MemoryFeed
from fakes.polling import until

AT_MS = 1_795_161_600_000


# -- scaling -------------------------------------------------------------------------------------------------------


def test_a_scaled_value_has_the_decimals_that_a_person_would_compute() -> None:
    assert Scaling(scale=Decimal("0.1")).apply(3) == (0.3, None)  # 3 * 0.1 is 0.30000000000000004 in binary
    assert Scaling(scale=Decimal("0.01"), offset=Decimal("-50")).apply(7_015) == (20.15, None)


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-9_999, 9_999).filter(bool), st.integers(0, 6))
def test_scaling_is_the_nearest_double_to_the_exact_product(raw: int, digits: int, places: int) -> None:
    scale = Decimal(digits).scaleb(-places)
    value, why = Scaling(scale=scale).apply(raw)
    assert why is None
    assert value == float(Fraction(raw * digits, 10**places))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(math.nan, "not_a_number", id="nan"),
        pytest.param(math.inf, "not_a_number", id="infinite"),
        pytest.param(32_767, "not_available", id="the_code_for_no_value"),
        pytest.param(4_001, "outside_valid_range", id="above"),
        pytest.param(-1, "outside_valid_range", id="below"),
    ],
)
def test_what_is_no_value_is_null_and_says_why(raw: float, why: str) -> None:
    scaling = Scaling(low=Decimal(0), high=Decimal(4_000), not_available=frozenset({Decimal(32_767)}))
    assert scaling.apply(raw) == (None, why)


def test_the_ends_of_the_valid_range_are_valid() -> None:
    scaling = Scaling(low=Decimal(0), high=Decimal(4_000))
    assert [scaling.apply(raw) for raw in (0, 4_000)] == [(0.0, None), (4_000.0, None)]


def test_a_product_beyond_every_double_is_null() -> None:
    assert Scaling(scale=Decimal("1e300")).apply(1e300) == (None, "not_a_number")


def test_a_negative_zero_is_zero() -> None:
    value, _ = Scaling().apply(-0.0)
    assert math.copysign(1, value or 0.0) == 1.0


# -- claims --------------------------------------------------------------------------------------------------------


def test_bits_that_are_set_and_bits_that_are_not_say_their_words() -> None:
    word = StatusWord(bits={0: "D", 4: "C"}, clear_bits={15: "stopped"})
    assert word.says(0b1_0001) == ("D", "C", "stopped")
    assert word.says(0x8000) == ()


def test_a_number_behind_its_mask_says_its_word() -> None:
    word = StatusWord(mask=0x0F00, values={0: "N", 3: "C"})
    assert word.says(0xF3FF) == ("C",)
    assert word.says(0xF0FF) == ("N",)
    assert word.says(0xF9FF) is None


def test_a_number_that_no_table_names_says_what_is_written_for_that() -> None:
    assert StatusWord(values={0: "N"}, otherwise="D").says(9) == ("D",)


def test_a_flag_that_takes_the_value_out_goes_before_over_range() -> None:
    claims = Claims()
    claims.add((), ["T", "C", "N"])
    assert claims.of_row(PRECEDENCE) == "C"


def test_of_two_states_the_one_that_excludes_least_counts() -> None:
    claims = Claims()
    claims.add((), ["stopped", "running"])
    assert claims.state() == "running"


# -- rows ----------------------------------------------------------------------------------------------------------


def a_point(name: str, **more: Any) -> Point[str]:
    return Point(name=name, address=name, scaling=Scaling(), **more)


def a_group(*points: Point[str], statuses: tuple[Status[str], ...] = (), instrument: str | None = None) -> Group[str]:
    return Group(stack="DA001", instrument=instrument, interval_s=10, points=points, statuses=statuses)


def test_what_was_read_at_one_instant_is_one_row() -> None:
    group = a_group(a_point("so2"), a_point("o2"), instrument="second")
    rows = rows_of(group, AT_MS, {"so2": Heard(31.2), "o2": Heard(16)}, Counter())
    assert rows.measurements == (
        {
            "stack": "DA001",
            "sampled_at": AT_MS,
            "interval_s": 10,
            "instrument": "second",
            "flag": "N",
            "so2": 31.2,
            "o2": 16.0,
        },
    )


def test_missing_data_is_missing_and_a_missing_part_is_null_with_its_flag() -> None:
    group = a_group(a_point("so2"), a_point("o2"))
    assert rows_of(group, AT_MS, {}, Counter()) == Rows()
    (row,) = rows_of(group, AT_MS, {"o2": Heard(16)}, Counter()).measurements
    assert (row["so2"], row["o2"], row["flag"], row["flags"]) == (None, 16.0, "N", {"so2": "B"})


def test_a_value_whose_status_could_not_be_read_is_kept_with_the_flag_that_says_so() -> None:
    counts: Counter[str] = Counter()
    group = a_group(a_point("so2"), statuses=(Status("word", StatusWord(bits={0: "D"})),))
    (row,) = rows_of(group, AT_MS, {"so2": Heard(3)}, counts).measurements
    assert (row["so2"], row["flag"]) == (3.0, "B")
    assert counts == {"status_unread": 1}


def test_what_is_above_the_measuring_range_keeps_its_value_as_a_lower_bound() -> None:
    point = Point(name="so2", address="so2", scaling=Scaling(scale=Decimal("0.1"), range_end=Decimal(4_000)))
    at_the_end, above = (
        rows_of(a_group(point), AT_MS, {"so2": Heard(raw)}, Counter()).measurements[0] for raw in (4_000, 4_001)
    )
    assert (at_the_end["so2"], "flags" in at_the_end) == (400.0, False)
    assert (above["so2"], above["flags"]) == (400.1, {"so2": "T"})


def test_a_status_of_one_channel_leaves_the_others_alone_and_a_state_holds_for_the_row() -> None:
    statuses = (
        Status("a", StatusWord(of=("so2",), bits={0: "C"})),
        Status("b", StatusWord(bits={1: "running"}, clear_bits={1: "stopped"})),
    )
    heard = {"so2": Heard(1), "o2": Heard(2), "a": Heard(1), "b": Heard(0)}
    (row,) = rows_of(a_group(a_point("so2"), a_point("o2"), statuses=statuses), AT_MS, heard, Counter()).measurements
    assert (row["flag"], row["flags"], row["state"]) == ("N", {"so2": "C"}, "stopped")


def test_an_unknown_status_is_counted_and_claims_nothing() -> None:
    counts: Counter[str] = Counter()
    group = a_group(a_point("so2"), statuses=(Status("word", StatusWord(values={0: "N"})),))
    (row,) = rows_of(group, AT_MS, {"so2": Heard(3), "word": Heard(7)}, counts).measurements
    assert row["flag"] == "N"
    assert counts == {"status_unknown": 1}


def test_signals_are_rows_of_their_own_and_one_that_was_not_read_is_missing() -> None:
    group = a_group(a_point("fan_current", signal=True, unit="S1"), a_point("load", signal=True, stack="DA001"))
    rows = rows_of(group, AT_MS, {"fan_current": Heard(80)}, Counter())
    assert rows.measurements == ()
    assert rows.signals == ({"sampled_at": AT_MS, "signal": "fan_current", "value": 80.0, "unit": "S1", "flag": "N"},)


def test_a_status_of_the_row_says_nothing_of_a_signal_and_one_that_names_it_does() -> None:
    statuses = (
        Status("row", StatusWord(bits={0: "C"})),
        Status("own", StatusWord(of=("load",), bits={0: "D"})),
    )
    points = (a_point("so2"), a_point("load", signal=True), a_point("fan", signal=True))
    heard = {name: Heard(1) for name in ("so2", "load", "fan", "row", "own")}
    rows = rows_of(a_group(*points, statuses=statuses), AT_MS, heard, Counter())
    assert rows.measurements[0]["flag"] == "C"
    assert [row["flag"] for row in rows.signals] == ["D", "N"]


# -- instants ------------------------------------------------------------------------------------------------------


def test_an_instant_that_began_before_the_start_is_not_read_and_the_next_is_read_once() -> None:
    counts: Counter[str] = Counter()
    ticks = Ticks(10_000, AT_MS + 3_000)
    assert ticks.due(AT_MS + 4_000, counts) is None
    assert ticks.wait_ms(AT_MS + 4_000) == 6_000
    assert ticks.due(AT_MS + 10_004, counts) == AT_MS + 10_000
    assert ticks.due(AT_MS + 19_999, counts) is None
    assert counts == {}


def test_instants_that_were_missed_are_counted_not_made_up() -> None:
    counts: Counter[str] = Counter()
    ticks = Ticks(10_000, AT_MS)
    assert ticks.due(AT_MS + 41_000, counts) == AT_MS + 40_000
    assert counts == {"instant_missed": 3}


def test_a_clock_that_goes_back_a_little_is_waited_for_and_one_that_goes_back_far_is_believed() -> None:
    counts: Counter[str] = Counter()
    ticks = Ticks(10_000, AT_MS)
    assert ticks.due(AT_MS + 10_000, counts) == AT_MS + 10_000
    assert ticks.due(AT_MS + 10_000 - SET_BACK_MS, counts) is None
    assert ticks.due(AT_MS + 10_001, counts) is None
    assert ticks.due(AT_MS - 3_600_000, counts) is None
    assert ticks.due(AT_MS - 3_590_000, counts) == AT_MS - 3_590_000
    assert counts == {"clock_set_back": 1}


@given(st.lists(st.integers(0, 10_000_000), max_size=50), st.sampled_from([1_000, 5_000, 60_000]))
def test_under_any_clock_that_moves_on_no_instant_comes_twice(steps: list[int], interval_ms: int) -> None:
    ticks, now_ms, seen = Ticks(interval_ms, AT_MS), AT_MS, list[int]()
    for step in steps:
        now_ms += step
        tick = ticks.due(now_ms, Counter())
        if tick is not None:
            assert tick == start_of(now_ms, interval_ms)
            seen.append(tick)
    assert seen == sorted(set(seen))


# -- handing over --------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_feed_that_stalls_makes_the_source_wait_and_a_cancellation_loses_nothing() -> None:
    feed = MemoryFeed()
    feed.free.clear()
    handing = Handing(feed, size=2)
    task = asyncio.create_task(handing.run(), name="hand over")
    rows = [Rows(({"stack": "DA001", "sampled_at": AT_MS + n},)) for n in range(4)]
    await handing.give(rows[0])
    await until(lambda: handing.waiting == 0)
    for row in rows[1:3]:
        await handing.give(row)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await handing.give(rows[3])
    feed.free.set()
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert [row["sampled_at"] for row in feed.measurements] == [AT_MS, AT_MS + 1, AT_MS + 2]
