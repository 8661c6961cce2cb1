"""How a pack compares: rounding, the confidence interval, days, and shares with alternatives."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.months import MonthVerdict
from plant.packs import DayRule, Pack, Period, UnsetFigure, pack, parse_pack
from plant.packs.comparing import credited, is_above, is_valid_day, rounded
from plant.packs.shares import Counted, judge_share, judge_shares, rules_for

EU = "eu-waste-incineration"


def with_numbers(of: str = "day_limit") -> Pack:
    """The European pack with figures of this test: SO2 200 and 50 by half-hour, 50 by day; CO 100 and 50."""
    text = pack(EU).text.replace('base_o2 = "unset"', "base_o2 = 11").replace('of = "day_limit"', f'of = "{of}"')
    text = text.replace('nox = "unset", co = "unset"', 'nox = "unset", co = 50').replace('co = "unset"', "co = 100")
    for number in (200, 50, 50):
        text = text.replace('so2 = "unset"', f"so2 = {number}", 1)
    return parse_pack(text, EU)


@pytest.mark.parametrize(
    ("value", "decimals", "result"),
    [
        pytest.param(34.5, 0, 34.0, id="a_tie_goes_to_the_even_below"),
        pytest.param(35.5, 0, 36.0, id="a_tie_goes_to_the_even_above"),
        pytest.param(35.4999, 0, 35.0, id="below_the_tie"),
        pytest.param(35.5001, 0, 36.0, id="above_the_tie"),
        pytest.param(2.675, 2, 2.68, id="a_tie_in_writing_that_is_below_in_binary"),
        pytest.param(0.15, 1, 0.2, id="another"),
        pytest.param(1.005, 2, 1.0, id="another_to_the_even_below"),
        pytest.param(35.0 + 1e-9, 6, 35.0, id="float_noise"),
        pytest.param(-2.5, 0, -2.0, id="below_zero"),
        pytest.param(0.0, 3, 0.0, id="zero"),
    ],
)
def test_a_mean_is_rounded_half_to_even(value: float, decimals: int, result: float) -> None:
    assert rounded(value, decimals) == result


@given(st.decimals(min_value=0, max_value=5000, places=4), st.integers(0, 6))
def test_a_written_figure_is_rounded_as_written(value: Decimal, decimals: int) -> None:
    wanted = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    assert rounded(float(value), decimals) == float(wanted)


@given(st.lists(st.floats(0, 1e6), max_size=20), st.integers(0, 6))
def test_rounding_keeps_order_and_rounds_once_only(values: list[float], decimals: int) -> None:
    once = rounded(np.array(sorted(values)), decimals)
    assert (np.diff(once) >= 0).all()
    assert (rounded(once, decimals) == once).all()


def test_a_pack_that_rounds_judges_what_it_rounded_to() -> None:
    text = pack("cn-steel-ule-2019").text
    full, whole = (
        parse_pack(t, "p")
        for t in (text, text.replace('compare = "full"\ndecimals = 6', 'compare = "rounded"\ndecimals = 0'))
    )
    means = np.array([34.9, 35.0, 35.4, 35.5, 35.6, np.nan])
    for rules, above in (
        (full, [False, False, True, True, True, False]),
        (whole, [False, False, False, True, True, False]),
    ):
        outlet = rules.outlet("sinter_head")
        assert is_above(means, rules, outlet, outlet.limits["so2"]).tolist() == above
        assert [is_above(float(mean), rules, outlet, outlet.limits["so2"]) for mean in means] == above


def test_a_pack_without_confidence_interval_takes_nothing_off() -> None:
    rules = pack("cn-steel-ule-2019")
    outlet = rules.outlet("sinter_head")
    assert credited(35.5, rules, outlet, outlet.limits["so2"]) == 35.5


@pytest.mark.parametrize(
    ("of", "mean", "left"),
    [
        pytest.param("day_limit", 215.0, 205.0, id="20_percent_of_the_day_limit_of_50"),
        pytest.param("day_limit", 6.0, 0.0, id="never_below_zero"),
        pytest.param("value", 215.0, 172.0, id="20_percent_of_what_was_measured"),
    ],
)
def test_the_confidence_interval_of_section_9_is_taken_off_a_half_hour(of: str, mean: float, left: float) -> None:
    rules = with_numbers(of)
    line = rules.outlet("waste_incinerator")
    limit = line.limits_of(Period.HALF_HOUR, "A")["so2"]
    assert credited(mean, rules, line, limit) == pytest.approx(left)
    assert credited(np.array([mean, np.nan]), rules, line, limit) == pytest.approx(
        np.array([left, np.nan]), nan_ok=True
    )


def test_half_hours_are_compared_by_column_after_the_interval() -> None:
    rules = with_numbers()
    line = rules.outlet("waste_incinerator")
    means = np.array([59.0, 60.0, 60.01, 210.0, 210.01])
    of_a, of_b = (line.limits_of(Period.HALF_HOUR, column)["so2"] for column in "AB")
    assert is_above(means, rules, line, of_a).tolist() == [False, False, False, False, True]
    assert is_above(means, rules, line, of_b).tolist() == [False, False, True, True, True]


def test_a_day_is_a_mean_of_credited_half_hours_and_not_credited_again() -> None:
    rules = with_numbers()
    line = rules.outlet("waste_incinerator")
    assert is_above(50.01, rules, line, line.limits_of(Period.DAY)["so2"])
    assert not is_above(50.0, rules, line, line.limits_of(Period.DAY)["so2"])


def test_a_percentage_of_an_unset_limit_is_an_error() -> None:
    text = with_numbers().text.replace("so2 = 50, nox", 'so2 = "unset", nox')
    text = text.replace('"B"\nlimits = { pm = "unset", so2 = "unset"', '"B"\nlimits = { pm = "unset", so2 = 50')
    rules = parse_pack(text, EU)
    line = rules.outlet("waste_incinerator")
    with pytest.raises(UnsetFigure, match=r"also\[2\]\.limits\.so2"):
        credited(10.0, rules, line, line.limits_of(Period.HALF_HOUR, "B")["so2"])


def day_of(name: str) -> DayRule:
    rule = pack(name).day
    assert rule is not None
    return rule


@pytest.mark.parametrize(
    ("name", "valid", "running", "counts"),
    [
        pytest.param("cn-steel-ule-2019", 19, 24, False, id="19_hours"),
        pytest.param("cn-steel-ule-2019", 20, 24, True, id="20_hours"),
        pytest.param(EU, 43, 48, True, id="5_half_hours_lost"),
        pytest.param(EU, 42, 48, False, id="6_half_hours_lost"),
        pytest.param(EU, 7, 12, True, id="5_lost_of_a_short_day"),
        pytest.param(EU, 0, 5, False, id="nothing_valid"),
        pytest.param("us-boiler-30-day", 18, 24, True, id="75_percent_of_the_hours"),
        pytest.param("us-boiler-30-day", 17, 24, False, id="less_than_75_percent"),
        pytest.param("us-boiler-30-day", 3, 4, True, id="75_percent_of_four"),
        pytest.param(EU, 0, 0, False, id="a_day_that_did_not_run"),
    ],
)
def test_a_day_is_valid_as_its_pack_says(name: str, valid: int, running: int, counts: bool) -> None:
    found = is_valid_day(np.array([valid, 0]), np.array([running, 0]), day_of(name))
    assert found.tolist() == [counts, False]


def verdict_of(within_a: int, within_b: int, of: int, *, to_come: int = 0) -> MonthVerdict:
    """SO2 of a year with *of* half-hours, so many of them within the columns."""
    rules = with_numbers()
    chosen = [rule for rule in rules_for(rules, rules.outlet("waste_incinerator"), "so2") if rule.either]
    counted = {
        "half_hours_a": Counted(within=within_a, above=of - within_a, to_come=to_come),
        "half_hours_b": Counted(within=within_b, above=of - within_b, to_come=to_come),
    }
    return judge_shares(chosen, counted, has_ended=to_come == 0)


@pytest.mark.parametrize(
    ("within_a", "within_b", "verdict"),
    [
        pytest.param(17_520, 0, "clear", id="all_within_a_is_enough"),
        pytest.param(17_519, 16_995, "clear", id="97_percent_within_b_is_enough"),  # 0.97 x 17520 = 16994.4
        pytest.param(17_519, 16_994, "breached", id="one_above_a_and_one_too_few_within_b"),
    ],
)
def test_a_year_of_half_hours_is_clear_by_either_column(within_a: int, within_b: int, verdict: str) -> None:
    assert verdict_of(within_a, within_b, 17_520) == verdict


def test_a_running_year_is_breached_only_when_neither_column_can_be_reached() -> None:
    assert verdict_of(999, 475, 1000, to_come=16_520) is MonthVerdict.RUNNING  # 525 above B; floor(0.03 x 17520) = 525
    assert verdict_of(999, 474, 1000, to_come=16_520) is MonthVerdict.BREACHED
    assert verdict_of(1000, 0, 1000, to_come=16_520) is MonthVerdict.RUNNING


def test_nothing_counted_decides_nothing() -> None:
    assert verdict_of(0, 0, 0) is MonthVerdict.UNDECIDED
    assert judge_shares([], {}, has_ended=True) is MonthVerdict.UNDECIDED


def test_carbon_monoxide_has_rules_of_its_own() -> None:
    rules = with_numbers()
    line = rules.outlet("waste_incinerator")
    assert [rule.key for rule in rules_for(rules, line, "co")] == ["co_days", "co_ten_minutes", "co_half_hours"]
    assert [rule.key for rule in rules_for(rules, line, "so2")] == ["half_hours_a", "half_hours_b", "days"]
    assert rules_for(rules, line, "nh3") == []


@given(
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.fractions(min_value=0, max_value=1, max_denominator=100),
)
def test_an_ended_share_is_clear_exactly_when_it_is_reached(within: int, above: int, required: Fraction) -> None:
    percent = Decimal(required.numerator * 100 // required.denominator) / 100
    rule = parse_pack(pack(EU).text.replace("required = 0.97", f"required = {percent}", 1), EU).shares[1]
    window = judge_share(rule, Counted(within=within, above=above), has_ended=True)
    reached = within + above > 0 and within >= Fraction(percent) * (within + above)
    wanted = MonthVerdict.CLEAR if reached else MonthVerdict.BREACHED
    assert window.verdict is (wanted if within + above else MonthVerdict.UNDECIDED)
