"""What is usual at a stack, and which of its hours are ordinary ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules.history import Span
from alerts.rules.usual import (
    at_ordinary_load,
    dry_oxygen,
    first_instrument,
    other_than_first,
    reach_of,
    running,
    usual,
)
from history_builders import FIRST, LEVELS, ULE, a_history, a_stack, judged, outlet, part, shown
from plant.periods import HOUR
from plant.readings import Values
from plant.register import Channel

MIDNIGHT = FIRST + 8 * HOUR  #: of UTC
WEEKS = a_history(21 * 24, first=MIDNIGHT, levels={})


def by_day(*days: float, n: int = 21) -> Values:
    return np.repeat(np.array([*days, *[np.nan] * (n - len(days))]), 24)


def test_an_hour_is_measured_by_the_median_of_the_days_before_its_own() -> None:
    found = usual(WEEKS, by_day(*range(21)))
    assert np.isnan(found[: 3 * 24]).all()
    assert found[3 * 24 : 4 * 24].tolist() == [1.0] * 24
    assert found[10 * 24 : 11 * 24].tolist() == [6.0] * 24


def test_two_odd_days_of_a_week_do_not_move_it() -> None:
    assert usual(WEEKS, by_day(5, 5, 500, 5, -500, 5, 5, 5))[7 * 24] == 5.0


def test_a_day_counts_by_the_share_that_is_asked_for() -> None:
    values = np.tile(np.arange(24.0), 21)
    assert usual(WEEKS, values, share=0.0)[-1] == 0.0
    assert usual(WEEKS, values, share=1.0)[-1] == 23.0
    assert usual(WEEKS, values, share=0.5)[-1] == 12.0


def test_days_with_too_few_hours_do_not_count() -> None:
    values = by_day(1, 2, 3, 4)
    values[48 + 5 : 72] = np.nan  # five hours of the third are left
    assert usual(WEEKS, values)[4 * 24] == 2.0
    values[24:48] = np.nan
    assert np.isnan(usual(WEEKS, values)[4 * 24])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_it_depends_on_what_it_reaches_back_to_and_no_further(cut: int, days: int, seed: int) -> None:
    history = a_history(20 * 24, levels={})
    values = np.random.default_rng(seed).normal(size=history.n_hours)
    values[values > 1] = np.nan
    whole = usual(history, values, days=days)[cut + reach_of(days) :]
    alone = usual(part(history, cut, history.n_hours), values[cut:], days=days)[reach_of(days) :]
    np.testing.assert_array_equal(whole, alone)


def test_no_hours_are_no_trouble() -> None:
    assert usual(a_history(0, levels={}), np.zeros(0)).size == 0


def test_a_source_runs_unless_its_rows_a_mark_or_its_flow_say_otherwise() -> None:
    mark = Span(start=FIRST + 200 * HOUR, end=FIRST + 201 * HOUR, kind="stopped")
    history = outlet(a_history(300, marks=(mark,)), 210, stopped_s=1800.0)
    history = outlet(history, 211, stopped_s=1799.0)
    history = outlet(history, 220, covered_s=0.0)
    history = shown(history, "flow", 230, mean=0.19 * LEVELS["flow"][0])
    history = shown(history, "flow", 231, mean=0.25 * LEVELS["flow"][0])
    assert np.flatnonzero(~running(history)).tolist() == [200, 210, 220, 230]


def test_lower_load_is_what_lies_below_the_quiet_hours_of_ordinary_days() -> None:
    night = np.isin(np.arange(480) % 24, range(6))
    history = shown(a_history(), "load_pct", np.flatnonzero(night), mean=60.0)
    assert at_ordinary_load(history, "main")[100:].all()
    assert np.flatnonzero(~at_ordinary_load(shown(history, "load_pct", 300, mean=50.0), "main")).tolist() == [300]


def test_where_nothing_of_the_load_is_sent_no_hour_is_known_to_be_ordinary() -> None:
    history = a_history(levels={name: LEVELS[name] for name in ("so2", "temperature")})
    assert not at_ordinary_load(history, "main").any()


def test_the_first_instrument_is_the_one_judged_from_or_the_first_duct() -> None:
    assert first_instrument(a_history(1, stack=a_stack(judged_from=("main", "backup")))) == "main"
    assert first_instrument(a_history(1, stack=a_stack(judged_from=(), ducts=("east", "west")))) == "east"
    history = a_history(1)
    assert other_than_first(history, "main") is None
    assert other_than_first(history, "backup") == "backup"


def test_oxygen_is_that_of_the_judgement_else_as_sent_if_dry() -> None:
    history = judged(a_history(10), "pm", slice(None), o2=12.5)
    history = judged(history, "pm", 4, o2=np.nan)
    oxygen = dry_oxygen(history, "main")
    assert oxygen is not None
    assert oxygen[[3, 4, 5]].tolist() == [12.5, history.verdicts[ULE, "so2"].o2[4], 12.5]
    sent = a_history(10, verdicts={})
    oxygen = dry_oxygen(sent, "main")
    assert oxygen is not None
    assert oxygen.tolist() == sent.value("main", "o2", "mean").tolist()
    wet = a_stack(channels={"o2": Channel(wet=True)})
    assert dry_oxygen(a_history(10, stack=wet, verdicts={}), "main") is None
