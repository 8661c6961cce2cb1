"""The year's permitted mass: how much of it is used, and whether it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules import permit_tonnage
from alerts.rules.history import History
from alerts.rules.rule import CLEAR, INFO, MAJOR, UNDECIDED, WARNING, Outcomes
from hour_builders import ULE
from law_builders import CHINA, NOVEMBER, a_verdict_history, cut, verdict_hours
from plant.periods import micros

NEW_YEAR = micros(datetime(2027, 1, 1, tzinfo=CHINA))


def a_year(
    kg: Sequence[float], *, permit_t: float, before_kg: float = 0.0, start: int = NOVEMBER, n_running: int = 0
) -> History:
    return a_verdict_history(
        {(ULE, "so2"): verdict_hours("." * len(kg), mass_kg=kg)},
        start=start,
        permit_t_per_year={"so2": permit_t},
        mass_before={"so2": before_kg},
        n_running=n_running,
    )


def judged(history: History) -> Outcomes:
    (found,) = permit_tonnage.RULE.judge(history)
    return found


def test_half_four_fifths_and_all_of_the_permit_are_said() -> None:
    found = judged(a_year([100.0] * 4, permit_t=1.0, before_kg=399.0))
    assert found.level.tolist() == [CLEAR, INFO, INFO, INFO]
    assert found.observed.tolist() == pytest.approx([0.499, 0.599, 0.699, 0.799])
    assert judged(a_year([1.0], permit_t=1.0, before_kg=799.0)).level.tolist() == [WARNING]
    assert judged(a_year([1.0], permit_t=1.0, before_kg=999.0)).level.tolist() == [WARNING], "all of it, not more"
    assert judged(a_year([1.0], permit_t=1.0, before_kg=999.5)).level.tolist() == [MAJOR]


def test_it_runs_out_before_the_year_is_over_at_the_pace_of_the_last_fourteen_days() -> None:
    # November and December are 1464 h; 336 of them at 10 kg are 3.36 t, the other 1128 would be 11.28 t.
    found = judged(a_year([10.0] * 336, permit_t=14.6))
    assert found.level.tolist()[-1] == WARNING
    told = found.evidence(335)
    assert told["year_end_t"] == pytest.approx(14.64)
    assert told["tonnes_per_day"] == pytest.approx(0.24)
    assert told["runs_out_on"] == "2026-12-31"
    assert judged(a_year([10.0] * 336, permit_t=14.7)).level.tolist()[-1] == CLEAR


def test_a_pace_needs_a_week_of_hours_with_a_mass() -> None:
    some = [10.0] * 167
    assert judged(a_year(some, permit_t=5.0)).level.tolist()[-1] == CLEAR
    assert judged(a_year([*some, 10.0], permit_t=5.0)).level.tolist()[-1] == WARNING
    assert judged(a_year([*some, *[np.nan] * 100], permit_t=5.0)).level.tolist()[-1] == CLEAR


def test_hours_without_a_mass_count_nothing_and_are_counted() -> None:
    told = judged(a_year([500.0, np.nan, 1.0], permit_t=1.0)).evidence(2)
    assert told["tonnes"] == pytest.approx(0.501)
    assert told["hours_without_mass_in_14_d"] == 1


def test_the_new_year_begins_with_nothing() -> None:
    found = judged(a_year([100.0] * 4, permit_t=1.0, before_kg=900.0, start=NEW_YEAR - 2 * 3_600_000_000))
    assert found.observed.tolist() == pytest.approx([1.0, 1.1, 0.1, 0.2])
    assert found.level.tolist() == [WARNING, MAJOR, CLEAR, CLEAR]


def test_the_running_hour_is_undecided_and_weighs_nothing() -> None:
    found = judged(a_year([400.0, 400.0], permit_t=1.0, n_running=1))
    assert found.level.tolist() == [CLEAR, UNDECIDED]
    assert found.observed.tolist() == pytest.approx([0.4, 0.4])


def test_a_stack_without_permitted_tonnes_is_not_judged() -> None:
    history = a_verdict_history({(ULE, "so2"): verdict_hours("...", mass_kg=[1e9] * 3)})
    assert not list(permit_tonnage.RULE.judge(history))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), first=st.integers(0, 1500))
def test_hours_have_the_same_outcome_to_the_last_digit_whatever_part_is_judged(seed: int, first: int) -> None:
    rng = np.random.default_rng(seed)
    reach = permit_tonnage.RULE.reach_h
    kg = rng.gamma(2.0, 5.0, first + reach + 100)
    kg[rng.random(kg.size) < 0.1] = np.nan
    whole = a_year(kg.tolist(), permit_t=20.0, before_kg=1234.567)
    part = cut(whole, first, whole.n_hours)
    in_year = whole.start < NEW_YEAR if part.start[0] < NEW_YEAR else whole.start >= NEW_YEAR
    grams = np.rint(np.nan_to_num(kg) * 1000)[:first][in_year[:first]].sum()
    carried = 1234.567 if part.start[0] < NEW_YEAR else 0.0
    part = History(
        **{name: getattr(part, name) for name in History.__slots__ if name != "mass_before"},
        mass_before={"so2": carried + grams / 1000},
    )
    of_whole, of_part = judged(whole), judged(part)
    np.testing.assert_array_equal(of_part.level[reach:], of_whole.level[first + reach :])
    np.testing.assert_array_equal(of_part.observed[reach:], of_whole.observed[first + reach :])
    assert of_part.evidence(reach) == of_whole.evidence(first + reach)
