"""The rules on values, from rows to outcomes: a simulated month, clean and with what a cheat does to its rows.

What the simulator can plant itself is measured by `python -m benchmarks.rules`; here stands what it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from alerts.rules import (
    claims_follow_values,
    conflicts,
    constant,
    dilution,
    hugging_the_limit,
    negative,
    out_of_range,
    oxygen_high,
    sibling_identity,
    step,
)
from alerts.rules.history import History
from alerts.rules.rule import Rule
from history_builders import assert_same_in_parts, found
from plant.readings import Rows, Values
from plant.register import Site
from simulated_histories import altered, flagged, history_of, minute, simulated_rows

DAYS = 16
DAY = 14
RULES = (
    conflicts.RULE,
    out_of_range.RULE,
    negative.RULE,
    constant.RULE,
    step.RULE,
    hugging_the_limit.RULE,
    sibling_identity.RULE,
    oxygen_high.RULE,
    dilution.RULE,
    claims_follow_values.RULE,
)


@lru_cache(maxsize=2)
def quiet(stack: str) -> tuple[Site, Rows]:
    return simulated_rows("clean-month", days=DAYS, stack=stack)


@lru_cache(maxsize=1)
def one_stack() -> tuple[Site, Rows]:
    return simulated_rows("one-stack", days=DAYS, stack="DA001")


def history(rows: Rows, **siblings: Rows) -> History:
    return history_of(one_stack()[0], "DA001", {"main": rows}, **siblings)


def changed(channel: str, since: int, until: int, how: Callable[[Values], Values]) -> Rows:
    rows = one_stack()[1]
    values = rows.values[channel].copy()
    values[since:until] = how(values[since:until])
    return altered(rows, **{channel: values})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_clean_rows_give_no_lead(rule: Rule) -> None:
    assert found(rule, history(one_stack()[1])) == []


@pytest.mark.parametrize("stack", ["COKE", "ROLL"])
def test_clean_rows_of_other_sources_give_none_either(stack: str) -> None:
    site, rows = quiet(stack)
    of = history_of(site, stack, {"main": rows})
    assert {rule.name for rule in RULES if found(rule, of)} == set()


@pytest.mark.parametrize(
    ("at", "hour"),
    [(30, 10), (5, 10), (3, 10), (1, 10), (0, 10), (59, 11), (57, 11), (55, 10)],
    ids=lambda minute: str(minute),
)
def test_a_slope_that_is_changed_is_a_step_in_any_minute_of_the_hour(at: int, hour: int) -> None:
    """About the turn of an hour, of the hour that begins there."""
    lowered = changed("so2", minute(DAY, 10, at), minute(DAYS + 1), lambda value: np.round(0.6 * value, 1))
    assert found(step.RULE, history(lowered)) == [(DAY - 1) * 24 + hour]


@pytest.mark.parametrize("at", [0, 59], ids=["at_the_turn", "a_minute_before_it"])
def test_a_source_that_burns_less_from_the_turn_of_an_hour_on_is_no_step(at: int) -> None:
    of, since = one_stack()[1], minute(DAY, 10, at)
    less = {name: of.values[name].copy() for name in ("so2", "nox", "flow")}
    for values in less.values():
        values[since:] = np.round(0.6 * values[since:], 1)
    assert found(step.RULE, history(altered(of, **less))) == []


def test_the_rows_of_another_stack_are_known_again_for_as_long_as_they_are_shown() -> None:
    _, coke = quiet("COKE")
    mine = one_stack()[1]
    copy = mine.values["so2"].copy()
    shown = slice(minute(DAY, 10, 15), minute(DAY, 12, 5))
    copy[shown] = coke.values["so2"][shown]
    of = history(altered(mine, so2=copy), COKE=coke)
    assert found(sibling_identity.RULE, of) == [(DAY - 1) * 24 + hour for hour in (10, 11)]


def test_oxygen_that_is_written_and_not_measured_is_flat() -> None:
    def write(value: Values) -> Values:
        """A sawtooth of three steps."""
        return np.array([15.8, 15.81, 15.82])[np.arange(value.size) % 3]

    of = history(changed("o2", minute(DAY), minute(DAY, 12), write))
    # One hour of four may move a little: where the hour before midnight hardly did, it is the first of the four.
    midnight = (DAY - 1) * 24
    assert found(oxygen_high.RULE, of) in ([midnight + hour for hour in range(first, 12)] for first in (2, 3))
    assert found(constant.RULE, of) == []


def test_a_value_frozen_in_the_middle_of_an_hour_is_found_when_four_hours_are_over() -> None:
    frozen = changed("nox", minute(DAY, 3, 20), minute(DAY, 12), lambda value: np.full(value.size, value[0]))
    of = history(frozen)
    assert found(constant.RULE, of)[:1] == [(DAY - 1) * 24 + 7]
    assert found(constant.RULE, of)[-1] == (DAY - 1) * 24 + 11


def _bursts(value: Values) -> Values:
    """An hour of five times as much, every five."""
    return np.where(np.arange(value.size) % 300 < 60, 5 * value, value)


def test_bursts_under_a_flag_are_found_and_the_same_bursts_in_the_open_are_not() -> None:
    since, until = minute(11), minute(14)
    open_rows = changed("so2", since, until, _bursts)
    place = np.arange(open_rows.sampled_at.size)
    hidden = (place >= since) & (place < until) & ((place - since) % 300 < 60)
    of = history(flagged(open_rows, "so2", hidden, "M"))
    assert found(claims_follow_values.RULE, of)[0] == 10 * 24 + 20
    assert found(claims_follow_values.RULE, history(open_rows)) == []


def test_rows_without_flags_calibrations_and_all_give_no_lead_that_lasts() -> None:
    """Zero gas, span gas and instrument air then look like gas: what they make of a single hour is not held."""
    rows = one_stack()[1]
    bare = Rows(
        sampled_at=rows.sampled_at,
        interval_s=rows.interval_s,
        not_running=rows.not_running,
        values=rows.values,
        flags={},
        row_flag=np.full(rows.sampled_at.size, ord("N"), dtype=np.uint8),
    )
    of = history(bare)
    for rule in RULES:
        places = found(rule, of)
        held = [at for at in places if set(range(at, at + rule.life.hold_h)) <= set(places)]
        assert held == [], rule.name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_outcomes_of_real_noise_depend_on_what_a_rule_reaches_back_to_and_no_further(rule: Rule) -> None:
    if rule.reach_h < DAYS * 24:
        assert_same_in_parts(rule, history(changed("so2", minute(DAY), minute(DAYS + 1), _bursts)), parts=3)
