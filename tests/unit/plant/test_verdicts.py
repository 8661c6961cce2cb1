"""Hours against a limit: what breaches, what is clear, what stays undecided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hour_builders import FIRST, Sample, a_stack, judge, samples
from plant.errors import NotFound
from plant.packs import pack
from plant.periods import HOUR, SECOND
from plant.register import Channel
from plant.verdicts import ended, judge_hours, method_of

STOVE = a_stack("hot_blast_stove")  # so2 50, no base oxygen


@pytest.mark.parametrize(
    ("so2", "said"),
    [
        pytest.param(49.999, ("clear", "within"), id="below_the_limit"),
        pytest.param(50.0, ("clear", "within"), id="at_the_limit_is_within"),
        pytest.param(50.0 + 1e-9, ("clear", "within"), id="above_by_float_noise_is_within"),
        pytest.param(50.0 + 4e-7, ("clear", "within"), id="rounds_to_the_limit"),
        pytest.param(50.0 + 1e-5, ("breached", "above"), id="above_by_a_hundred_thousandth"),
        pytest.param(50.001, ("breached", "above"), id="above"),
    ],
)
def test_an_hour_is_breached_above_the_limit_and_clear_at_it(so2: float, said: tuple[str, str]) -> None:
    assert judge(samples(60, so2=so2), stack=STOVE).said() == said


@pytest.mark.parametrize(
    ("o2", "said"),
    [
        pytest.param(20.89, ("breached", "above"), id="just_below_ambient"),
        pytest.param(20.9, ("undecided", "oxygen_at_ambient"), id="20.9"),
        pytest.param(21.0, ("undecided", "oxygen_at_ambient"), id="21"),
        pytest.param(22.0, ("undecided", "oxygen_at_ambient"), id="22"),
    ],
)
def test_oxygen_of_air_leaves_an_hour_undecided_where_the_outlet_has_a_base(o2: float, said: tuple[str, str]) -> None:
    judged = judge(samples(60, so2=30.0, o2=o2))
    assert judged.said() == said
    assert np.isnan(judged.verdicts.corrected[0]) == (o2 >= 20.9)


@pytest.mark.parametrize("o2", [20.9, 21.0, 22.0])
def test_oxygen_of_air_is_no_matter_where_the_outlet_has_no_base(o2: float) -> None:
    judged = judge(samples(60, so2=30.0, o2=o2), stack=STOVE)
    assert judged.said() == ("clear", "within")
    assert judged.verdicts.corrected.tolist() == [30.0]


@pytest.mark.parametrize(
    ("process", "pollutant", "o2", "factor"),
    [
        # (21 - base) / (21 - O2) of regulation 3.2
        pytest.param("gas_boiler", "so2", 8.0, 1.385, id="base_3_at_8"),
        pytest.param("gas_boiler", "so2", 20.5, 36.0, id="base_3_at_20.5"),
        pytest.param("coal_boiler", "so2", 17.5, 4.286, id="base_6_at_17.5"),
        pytest.param("coke_chimney", "so2", 8.0, 1.000, id="base_8_at_8"),
        pytest.param("coke_chimney", "so2", 14.0, 1.857, id="base_8_at_14"),
        pytest.param("gas_turbine", "nox", 10.0, 0.545, id="base_15_at_10"),
        pytest.param("gas_turbine", "nox", 20.0, 6.0, id="base_15_at_20"),
        pytest.param("sinter_head", "so2", 8.0, 0.385, id="base_16_at_8"),
        pytest.param("sinter_head", "so2", 18.0, 1.667, id="base_16_at_18"),
        pytest.param("pellet_grate_kiln", "so2", 19.0, 1.5, id="base_18_at_19"),
        pytest.param("pellet_grate_kiln", "so2", 8.0, 0.231, id="base_18_at_8"),
    ],
)
def test_the_corrected_mean_follows_the_table_of_factors(
    process: str, pollutant: str, o2: float, factor: float
) -> None:
    """The formula is applied both ways: oxygen below the base lowers the value."""
    values: dict[str, Any] = {"o2": o2, pollutant: 10.0}
    judged = judge(samples(60, **values), pollutant, stack=a_stack(process))
    assert judged.verdicts.corrected[0] == pytest.approx(10.0 * factor, abs=0.006)


def test_a_channel_at_reference_oxygen_is_not_corrected_again() -> None:
    judged = judge(samples(60, so2=30.0, o2=19.0), stack=a_stack(so2=Channel(corrected=True)))
    assert judged.verdicts.corrected.tolist() == [30.0]
    assert judged.verdicts.corrected_from_minutes.tolist() == [30.0]


def test_an_hour_is_corrected_from_its_means_and_beside_it_from_its_minutes() -> None:
    half = samples(30, so2=20.0, o2=11.0) + samples(30, start=1800, so2=20.0, o2=20.0)
    judged = judge(half)
    assert judged.verdicts.corrected[0] == pytest.approx(20.0 * 5 / (21 - 15.5))
    assert judged.verdicts.corrected_from_minutes[0] == pytest.approx((20.0 * 5 / 10 + 20.0 * 5 / 1) / 2)


def test_an_hour_whose_two_ways_of_correcting_decide_differently_is_method_sensitive() -> None:
    half = samples(30, so2=20.0, o2=11.0) + samples(30, start=1800, so2=20.0, o2=20.0)
    judged = judge(half)
    assert judged.said() == ("clear", "within")
    assert judged.verdicts.method_sensitive.tolist() == [True]
    agreeing = judge(samples(60, so2=20.0, o2=16.0))
    assert agreeing.verdicts.method_sensitive.tolist() == [False]


def test_a_minute_at_ambient_oxygen_leaves_no_mean_of_corrected_minutes() -> None:
    rows = [*samples(59, so2=20.0, o2=16.0), Sample(59 * 60, {"so2": 20.0, "o2": 20.95})]
    judged = judge(rows)
    assert judged.said()[0] == "clear"
    assert np.isnan(judged.verdicts.corrected_from_minutes[0])
    assert judged.verdicts.method_sensitive.tolist() == [False]


def test_an_undecided_hour_is_never_method_sensitive() -> None:
    rows = samples(22, so2=20.0, o2=11.0) + samples(22, start=1800, so2=20.0, o2=20.0)
    judged = judge(rows)
    assert judged.said()[0] == "undecided"
    assert judged.verdicts.method_sensitive.tolist() == [False]


def test_an_hour_ends_two_minutes_after_its_end() -> None:
    end = FIRST + HOUR
    rows = samples(60, so2=90.0)
    running = judge(rows, stack=STOVE, now=end + 120 * SECOND - 1)
    over = judge(rows, stack=STOVE, now=end + 120 * SECOND)
    assert (running.said(), running.verdicts.final.tolist()) == (("undecided", "not_ended"), [False])
    assert (over.said(), over.verdicts.final.tolist()) == (("breached", "above"), [True])
    assert not ended(end, end + 120 * SECOND - 1, 120)
    assert ended(end, end + 120 * SECOND, 120)


def test_a_running_hour_shows_its_numbers_though_it_has_no_verdict() -> None:
    judged = judge(samples(50, so2=20.0), stack=STOVE, now=FIRST + HOUR // 2)
    assert judged.verdicts.corrected.tolist() == [20.0]
    assert judged.verdicts.claimed.tolist() == [False]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(
            samples(60, so2=90.0, o2=21.0, state="stopped", flag="T"), ("excluded", "not_running"), id="not_running"
        ),
        pytest.param(samples(44, so2=90.0, o2=21.0, flag="T"), ("undecided", "too_few_minutes"), id="too_few_minutes"),
        pytest.param(
            samples(60, so2=90.0, o2=21.0, flags={"so2": "T"}), ("undecided", "oxygen_at_ambient"), id="oxygen"
        ),
        pytest.param(samples(60, so2=90.0, o2=16.0, flags={"so2": "T"}), ("breached", "above"), id="above"),
        pytest.param(samples(60, so2=30.0, o2=16.0, flags={"so2": "T"}), ("undecided", "over_range"), id="over_range"),
        pytest.param(samples(60, so2=30.0, o2=16.0), ("clear", "within"), id="within"),
    ],
)
def test_the_first_condition_that_holds_names_the_verdict(rows: list[Sample], said: tuple[str, str]) -> None:
    assert judge(rows).said() == said


def test_the_same_hour_may_be_clear_under_one_pack_and_breached_under_another() -> None:
    rows = samples(60, so2=100.0, o2=16.0)
    assert judge(rows, under=pack("cn-steel-ule-2019")).said() == ("breached", "above")
    assert judge(rows, under=pack("cn-gb28662-special")).said() == ("clear", "within")


def test_an_outlet_that_the_pack_does_not_know_is_named() -> None:
    means = judge(samples(60, so2=10.0), stack=STOVE).means
    with pytest.raises(NotFound, match="no outlet 'chimney'"):
        judge_hours(means, pack("cn-steel-ule-2019"), "chimney", "so2", already_corrected=False, now=0)
    with pytest.raises(NotFound, match="no outlet 'chimney'"):
        method_of(pack("cn-steel-ule-2019"), "chimney", already_corrected=False)


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 200), st.floats(0, 20.5))
def test_more_of_a_gas_never_turns_a_breach_into_a_clear_hour(so2: float, o2: float) -> None:
    less, more = (judge(samples(60, so2=value, o2=o2)).said()[0] for value in (so2, so2 * 1.1 + 0.01))
    assert (less, more) in {("clear", "clear"), ("clear", "breached"), ("breached", "breached")}


@settings(deadline=None, max_examples=60)
@given(st.floats(0.001, 200), st.floats(0, 20.5), st.floats(0.1, 10))
def test_the_corrected_mean_is_linear_in_the_measured_one(so2: float, o2: float, factor: float) -> None:
    once, scaled = (judge(samples(60, so2=v, o2=o2)).verdicts.corrected[0] for v in (so2, so2 * factor))
    assert scaled == pytest.approx(once * factor, rel=1e-9)
