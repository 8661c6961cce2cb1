"""The month's allowed hours: how fast they go, hour by hour."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules import budget
from alerts.rules.rule import CLEAR, CRITICAL, INFO, MAJOR, UNDECIDED, WARNING, Outcomes
from hour_builders import ULE
from law_builders import CHINA, a_verdict_history, cut, verdict_hours
from plant.months import JudgedHour, judge_month
from plant.packs import pack
from plant.periods import micros
from plant.verdicts import Verdict

NOVEMBER_H = 720  # 36 of them may be above


def outcomes(letters: str, *, n_running: int = 0) -> Outcomes:
    (found,) = budget.RULE.judge(a_verdict_history({(ULE, "so2"): verdict_hours(letters)}, n_running=n_running))
    return found


def levels(letters: str) -> list[int]:
    found: list[int] = outcomes(letters).level.tolist()
    return found


def evidence(letters: str, at: int = -1) -> Mapping[str, Any]:
    return outcomes(letters).evidence(len(letters) + at if at < 0 else at)


def test_one_hour_above_is_said_until_six_valid_ones_were_within() -> None:
    assert levels(".a......") == [CLEAR, *[INFO] * 6, CLEAR]
    assert levels(".a.u.x....") == [CLEAR, INFO, INFO, UNDECIDED, INFO, UNDECIDED, INFO, INFO, INFO, CLEAR]


def test_three_of_the_last_six_valid_hours_are_a_warning_and_six_of_24_are_major() -> None:
    assert levels("." * 30 + "a.a") == [*[CLEAR] * 30, INFO, INFO, INFO]
    assert levels("." * 30 + "a.aua")[-1] == WARNING
    assert evidence("." * 30 + "a.aua")["reasons"] == ["hour_above", "3_of_6", "runs_out"]
    six = "." * 30 + "a..a..a..a..a..a"
    assert levels(six)[-4:] == [WARNING] * 3 + [MAJOR]
    assert evidence(six)["reasons"] == ["hour_above", "6_of_24", "runs_out"]
    assert evidence(six)["above_of_last"] == {"1": 1, "6": 2, "24": 6}


def test_half_of_the_budget_before_mid_month_is_a_warning_and_after_it_is_not() -> None:
    half = "a" * 18 + "." * 341  # one hour before mid-month
    assert levels(half)[-1] == WARNING
    assert "half_used_before_mid_month" in evidence(half)["reasons"]
    assert "half_used_before_mid_month" not in evidence(half + "..")["reasons"]
    assert "half_used_before_mid_month" not in evidence("a" * 17 + "." * 342)["reasons"]


def test_the_hour_in_which_the_last_one_is_used_at_the_present_pace_is_named() -> None:
    # 10 of 100: 26 more in 260 hours, the 360th of the month.
    found = evidence("a" * 10 + "." * 90)
    assert found["reasons"] == ["runs_out"]
    assert (found["left"], found["allowed_if_it_runs_on"], found["hours_to_come"]) == (26, 36, 620)
    used_in = micros(datetime(2026, 11, 15, 23, tzinfo=CHINA))
    assert micros(datetime.fromisoformat(found["last_is_used_in"])) == used_in
    assert "2026-11-15 23:00" in found["words"]["en"]
    assert "2026-11-15 23:00" in found["words"]["zh"]
    assert len(found["hours"]) == 10
    assert levels("a" * 5 + "." * 95)[-1] == CLEAR, "five of a hundred last to the end of the month"


def test_one_bad_morning_foretells_no_lost_month() -> None:
    assert evidence("aa" + "." * 3)["reasons"] == ["hour_above"]
    assert levels("aaa" + "." * 19)[-1] == CLEAR, "22 valid hours make no pace"
    assert levels("aaa" + "." * 21)[-1] == WARNING


def test_a_budget_that_is_used_up_is_critical_to_the_end_of_the_month_and_the_next_begins_anew() -> None:
    used = "a" * 36 + "." * 684
    assert set(levels(used)[35:]) == {CRITICAL}
    assert levels(used)[34] == MAJOR
    assert levels(used + "uu." + ".a")[NOVEMBER_H:] == [CLEAR, CLEAR, CLEAR, CLEAR, INFO]


def test_two_months_are_never_one_alert_however_bad_the_first_hours_are() -> None:
    found = levels("a" * 720 + "aa")
    assert found[NOVEMBER_H - 1] == CRITICAL
    assert found[NOVEMBER_H] == CLEAR, "the first hour of a month ends what the month before left"
    assert found[NOVEMBER_H + 1] >= INFO


def test_standstill_shrinks_the_budget_with_the_hours_that_are_not_run() -> None:
    stood = "a" * 10 + "." * 90 + "x" * 420 + "."
    found = evidence(stood)
    assert found["allowed_if_it_runs_on"] == (101 + 199) // 20
    assert found["left"] == 5


def test_a_month_that_nothing_was_valid_in_has_not_used_any() -> None:
    assert levels("ux x") == [CLEAR] * 4
    assert levels("uux.x") == [CLEAR, CLEAR, CLEAR, CLEAR, UNDECIDED]


def test_the_running_hour_is_undecided() -> None:
    assert outcomes("..a", n_running=1).level.tolist() == [CLEAR, CLEAR, UNDECIDED]


def test_a_pack_without_a_share_of_hours_has_no_budget() -> None:
    history = a_verdict_history({("cn-gb28662-special", "so2"): verdict_hours("aaa")})
    assert not list(budget.RULE.judge(history))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), first=st.integers(0, 400), share=st.sampled_from([0.01, 0.05, 0.3]))
def test_hours_have_the_same_outcome_whatever_part_of_the_series_is_judged(seed: int, first: int, share: float) -> None:
    rng = random.Random(seed)
    letters = "".join(rng.choices("a.ux ", [share, 0.8 - share, 0.08, 0.1, 0.02], k=first + budget.RULE.reach_h + 300))
    whole = a_verdict_history({(ULE, "so2"): verdict_hours(letters)})
    (of_whole,) = budget.RULE.judge(whole)
    (of_part,) = budget.RULE.judge(cut(whole, first, whole.n_hours))
    reach = budget.RULE.reach_h
    np.testing.assert_array_equal(of_part.level[reach:], of_whole.level[first + reach :])
    np.testing.assert_array_equal(of_part.observed[reach:], of_whole.observed[first + reach :])
    np.testing.assert_array_equal(of_part.limit[reach:], of_whole.limit[first + reach :])
    assert of_part.evidence(reach) == of_whole.evidence(first + reach)


@settings(deadline=None, max_examples=40)
@given(letters=st.text("aa...ux", min_size=1, max_size=200))
def test_the_budget_of_each_hour_is_that_of_the_month_so_far(letters: str) -> None:
    found = outcomes(letters)
    rule = pack(ULE).month
    assert rule is not None
    for at in range(0, len(letters), 7):
        counted = {
            JudgedHour(Verdict.BREACHED, "above", False): letters[: at + 1].count("a"),
            JudgedHour(Verdict.CLEAR, "within", False): letters[: at + 1].count("."),
        }
        month = judge_month(counted, rule, hours_ended=at + 1, hours_to_come=NOVEMBER_H - at - 1, has_ended=False)
        assert found.observed[at] == month.hours_above
        assert found.limit[at] == month.budget
        assert (found.level[at] == CRITICAL) == (
            month.hours_above > 0 and month.budget_left <= 0 and letters[at] in "a."
        )
