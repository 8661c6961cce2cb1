"""What was learned of a process value is what one finds by looking at the 13 days before an hour's day, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules.learned import DAYS, FEWEST_H, WORKING_SHARE, highest, learned
from plant.periods import HOUR, Instants
from plant.readings import Truths, Values

DAY = 24 * HOUR


def drawn(seed: int, n: int, into: int, half: bool) -> tuple[Instants, Values, Truths]:
    rng = np.random.default_rng(seed)
    start = 20_000 * DAY + (into * HOUR + half * HOUR // 2) + np.arange(n, dtype=np.int64) * HOUR
    value = np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 40, n) * (rng.random(n) < 0.7)).astype(np.float64)
    return start, value, rng.random(n) < 0.9


def memory(start: Instants, value: Values, teaches: Truths, place: int) -> Values:
    """The values that teach the hour at *place*, rising."""
    day = start // DAY
    there = teaches & ~np.isnan(value) & (day < day[place]) & (day >= day[place] - DAYS)
    return np.sort(value[there])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 24 * 20), st.integers(0, 23), st.booleans(), st.floats(0, 1))
def test_quantiles_and_the_highest_are_those_of_the_days_before(
    seed: int, n: int, into: int, half: bool, share: float
) -> None:
    start, value, teaches = drawn(seed, n, into, half)
    found = learned(start, value, teaches)
    quantile, working, most = found.quantile(share), found.working(share), highest(start, value)
    for place in range(0, n, 7):
        seen = memory(start, value, teaches, place)
        expected = seen[int(np.floor(share * (seen.size - 1)))] if seen.size >= FEWEST_H else np.nan
        np.testing.assert_equal(quantile[place], expected)
        at_90 = seen[int(np.floor(0.9 * (seen.size - 1)))] if seen.size else 0.0
        works = seen[seen > WORKING_SHARE * at_90] if at_90 > 0 else seen[:0]
        expected = works[int(np.floor(share * (works.size - 1)))] if works.size >= FEWEST_H else np.nan
        np.testing.assert_equal(working[place], expected)
        everything = memory(start, value, np.ones(n, dtype=bool), place)
        np.testing.assert_equal(most[place], everything[-1] if everything.size else np.nan)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_not_asked_is_not_learned_and_changes_nothing_else(seed: int) -> None:
    start, value, teaches = drawn(seed, 24 * 30, 5, False)
    asked = np.random.default_rng(seed).random(start.size) < 0.02
    whole, part = learned(start, value, teaches), learned(start, value, teaches, asked)
    for each in ("quantile", "working"):
        np.testing.assert_array_equal(getattr(part, each)(0.3)[asked], getattr(whole, each)(0.3)[asked])
    days = np.isin(start // DAY, start[asked] // DAY)
    assert np.isnan(part.quantile(0.5)[~days]).all()


def test_a_machine_that_never_worked_has_no_usual_work() -> None:
    start = np.arange(24 * 20, dtype=np.int64) * HOUR
    found = learned(start, np.zeros(start.size), np.ones(start.size, dtype=bool))
    assert np.isnan(found.working()).all()
    assert found.quantile(0.5)[-1] == 0.0


def test_a_machine_that_works_in_one_shift_is_known_by_it() -> None:
    start = np.arange(24 * 20, dtype=np.int64) * HOUR
    value = np.where(np.arange(start.size) % 24 < 8, 900.0, 15.0)
    found = learned(start, value, np.ones(start.size, dtype=bool))
    assert found.working()[-1] == 900.0
    assert found.quantile(0.5)[-1] == 15.0


def test_no_hours_are_no_hours() -> None:
    nothing = np.zeros(0)
    assert learned(np.zeros(0, np.int64), nothing, nothing.astype(bool)).quantile(0.5).size == 0
    assert highest(np.zeros(0, np.int64), nothing).size == 0
