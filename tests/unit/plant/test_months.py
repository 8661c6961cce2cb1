"""A month of hours against its share, and the budget of hours that leaves."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.months import JudgedHour, Month, MonthVerdict, allowed_above, judge_month
from plant.packs import MonthRule, pack
from plant.verdicts import Verdict

RULE: Final = MonthRule(required=Decimal("0.95"), min_valid_share=Decimal("0.75"), clause="c", mark="m")
CLEAR: Final = JudgedHour(Verdict.CLEAR, "within", claimed=False)
ABOVE: Final = JudgedHour(Verdict.BREACHED, "above", claimed=False)
UNDECIDED: Final = JudgedHour(Verdict.UNDECIDED, "too_few_minutes", claimed=False)
DOUBTED: Final = JudgedHour(Verdict.UNDECIDED, "too_few_minutes", claimed=True)
STOPPED: Final = JudgedHour(Verdict.EXCLUDED, "not_running", claimed=False)
SAID_STOPPED: Final = JudgedHour(Verdict.EXCLUDED, "not_running", claimed=True)


def a_month(
    within: int = 0,
    above: int = 0,
    *,
    undecided: int = 0,
    doubted: int = 0,
    stopped: int = 0,
    said_stopped: int = 0,
    silent: int = 0,
    to_come: int = 0,
) -> Month:
    """A month of so many hours of each kind; *silent* ones ended without any row; it runs while hours are to come."""
    hours = {
        CLEAR: within,
        ABOVE: above,
        UNDECIDED: undecided,
        DOUBTED: doubted,
        STOPPED: stopped,
        SAID_STOPPED: said_stopped,
    }
    return judge_month(
        hours, RULE, hours_ended=sum(hours.values()) + silent, hours_to_come=to_come, has_ended=to_come == 0
    )


@pytest.mark.parametrize(
    ("hours", "allowed"), [(672, 33), (696, 34), (720, 36), (744, 37)], ids=["28_d", "29_d", "30_d", "31_d"]
)
def test_the_budget_of_a_month_at_full_operation(hours: int, allowed: int) -> None:
    """Regulation 1.2."""
    assert allowed_above(hours, RULE) == allowed
    assert a_month(hours - allowed, allowed).verdict is MonthVerdict.CLEAR
    assert a_month(hours - allowed - 1, allowed + 1).verdict is MonthVerdict.BREACHED
    assert a_month(hours - allowed, allowed).budget_left == 0


def test_the_pack_of_the_steel_industry_asks_for_95_percent_of_at_least_three_quarters() -> None:
    rule = pack("cn-steel-ule-2019").month
    assert rule is not None
    assert (rule.required, rule.min_valid_share) == (Decimal("0.95"), Decimal("0.75"))


@pytest.mark.parametrize(
    ("within", "above", "verdict"),
    [
        pytest.param(19, 1, MonthVerdict.CLEAR, id="19_of_20_is_exactly_95_percent"),
        pytest.param(18, 1, MonthVerdict.BREACHED, id="18_of_19"),
        pytest.param(9_499, 501, MonthVerdict.BREACHED, id="0.9499"),
        pytest.param(9_500, 500, MonthVerdict.CLEAR, id="0.95"),
        pytest.param(94_999_999_999, 5_000_000_001, MonthVerdict.BREACHED, id="0.94999999999_is_not_rounded"),
        pytest.param(95_000_000_000, 5_000_000_000, MonthVerdict.CLEAR, id="0.95_of_very_many"),
        pytest.param(95 * 10**15 - 1, 5 * 10**15 + 1, MonthVerdict.BREACHED, id="closer_than_a_float_can_tell"),
        pytest.param(1, 0, MonthVerdict.CLEAR, id="one_hour_within"),
        pytest.param(0, 1, MonthVerdict.BREACHED, id="one_hour_above"),
    ],
)
def test_the_share_is_compared_without_rounding(within: int, above: int, verdict: MonthVerdict) -> None:
    assert a_month(within, above).verdict is verdict


def test_a_month_without_a_valid_hour_has_no_share_and_is_never_clear() -> None:
    for month in (a_month(undecided=720), a_month(stopped=720), a_month(silent=720)):
        assert (month.share, month.verdict) == (None, MonthVerdict.UNDECIDED)
        assert month.budget == 0
    assert a_month(to_come=720).verdict is MonthVerdict.RUNNING


@pytest.mark.parametrize(
    ("within", "silent", "verdict"),
    [
        pytest.param(540, 180, MonthVerdict.CLEAR, id="three_quarters"),
        pytest.param(539, 181, MonthVerdict.UNDECIDED, id="one_hour_fewer"),
    ],
)
def test_an_ended_month_needs_three_quarters_of_its_hours_valid(
    within: int, silent: int, verdict: MonthVerdict
) -> None:
    assert a_month(within, silent=silent).verdict is verdict
    assert a_month(within, undecided=silent).verdict is verdict


def test_excluded_hours_do_not_count_towards_the_hours_a_month_should_have() -> None:
    assert a_month(75, stopped=620, silent=25).verdict is MonthVerdict.CLEAR


def test_too_few_valid_hours_leave_even_a_bad_month_undecided() -> None:
    assert a_month(0, 500, silent=220).verdict is MonthVerdict.UNDECIDED


def test_an_hour_without_data_is_undecided() -> None:
    month = a_month(100, undecided=5, silent=7)
    assert month.hours_undecided == 12


def test_a_running_month_is_breached_once_it_can_no_longer_reach_its_share() -> None:
    assert a_month(100, 36, to_come=584).verdict is MonthVerdict.RUNNING
    breached = a_month(100, 37, to_come=583)
    assert breached.verdict is MonthVerdict.BREACHED
    assert (breached.budget, breached.budget_now, breached.budget_left) == (36, 6, -1)
    assert not breached.final


def test_hours_that_will_not_be_valid_any_more_shrink_the_budget_of_a_running_month() -> None:
    assert a_month(300, 25, to_come=395).budget == 36
    assert a_month(300, 25, undecided=200, to_come=195).budget == 26
    assert a_month(300, 27, undecided=200, to_come=193).verdict is MonthVerdict.BREACHED


def test_the_budget_of_an_ended_month_is_that_of_its_valid_hours() -> None:
    month = a_month(390, 10, undecided=100)
    assert (month.budget, month.budget_now, month.budget_left) == (20, 20, 10)


def test_the_worst_share_counts_what_the_plants_own_claims_took_out_as_above() -> None:
    month = a_month(95, 5, undecided=3, doubted=40, stopped=7, said_stopped=60)
    assert month.share == 0.95
    assert month.share_worst == 95 / 200
    assert month.hours_excluded == {"not_running": 67}
    assert a_month(95, 5).share_worst == 0.95
    assert a_month(said_stopped=10).share_worst == 0.0
    assert a_month(stopped=10).share_worst is None


counts = st.integers(0, 750)


@settings(deadline=None, max_examples=200)
@given(counts, counts, counts, counts, counts, counts, counts, counts)
def test_within_above_undecided_and_excluded_are_the_hours_that_ended(
    within: int, above: int, undecided: int, doubted: int, stopped: int, said_stopped: int, silent: int, to_come: int
) -> None:
    month = a_month(
        within,
        above,
        undecided=undecided,
        doubted=doubted,
        stopped=stopped,
        said_stopped=said_stopped,
        silent=silent,
        to_come=to_come,
    )
    total = within + above + undecided + doubted + stopped + said_stopped + silent
    parts = month.hours_within + month.hours_above + month.hours_undecided + sum(month.hours_excluded.values())
    assert parts == total
    assert month.hours_valid == within + above
    assert month.budget_left == month.budget - month.hours_above
    assert month.budget == (within + above + to_come) * 5 // 100
    assert month.budget_now == (within + above) * 5 // 100
    assert (month.share is None) == (month.hours_valid == 0)
    if month.share is not None:
        assert month.share_worst is not None
        assert month.share_worst <= month.share
        assert month.share == float(Fraction(within, within + above))


@settings(deadline=None, max_examples=200)
@given(counts, counts, counts, counts, st.data())
def test_a_running_month_that_is_breached_ends_breached_or_undecided_whatever_its_rest_brings(
    within: int, above: int, undecided: int, stopped: int, data: st.DataObject
) -> None:
    to_come = data.draw(st.integers(1, 744))
    running = a_month(within, above, undecided=undecided, stopped=stopped, to_come=to_come)
    rest = data.draw(st.lists(st.integers(0, to_come), min_size=3, max_size=3).map(sorted))
    more_within, more_above, more_undecided, more_stopped = (
        rest[0],
        rest[1] - rest[0],
        rest[2] - rest[1],
        to_come - rest[2],
    )
    final = a_month(
        within + more_within,
        above + more_above,
        undecided=undecided + more_undecided,
        stopped=stopped + more_stopped,
    )
    if running.verdict is MonthVerdict.BREACHED:
        assert final.verdict in (MonthVerdict.BREACHED, MonthVerdict.UNDECIDED)
    else:
        # It could still have been reached: it is, if the month runs on within the limit.
        best = a_month(within + to_come, above, undecided=undecided, stopped=stopped)
        assert best.verdict in (MonthVerdict.CLEAR, MonthVerdict.UNDECIDED)


@settings(deadline=None, max_examples=100)
@given(counts, counts)
def test_an_ended_month_is_clear_exactly_when_its_budget_is_not_overdrawn(within: int, above: int) -> None:
    month = a_month(within, above)
    if within + above == 0:
        assert month.verdict is MonthVerdict.UNDECIDED
    else:
        assert (month.verdict is MonthVerdict.CLEAR) == (month.budget_left >= 0)
