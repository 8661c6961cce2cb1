"""What a running month can still become: the extrapolation brackets how it really ends."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.budget import Outlook, hour_to_come, in_words, outlook, run_out_hour
from plant.months import JudgedHour, Month, MonthVerdict, judge_month
from plant.packs import MonthRule
from plant.periods import HOUR, instant, month_bounds
from plant.verdicts import Verdict

RULE: Final = MonthRule(required=Decimal("0.95"), min_valid_share=Decimal("0.75"), clause="c", mark="m")
SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
NOVEMBER_END: Final = month_bounds(date(2026, 11, 1), SHANGHAI)[1]

WITHIN: Final = JudgedHour(Verdict.CLEAR, "within", claimed=False)
ABOVE: Final = JudgedHour(Verdict.BREACHED, "above", claimed=False)
UNDECIDED: Final = JudgedHour(Verdict.UNDECIDED, "too_few_minutes", claimed=False)
STOPPED: Final = JudgedHour(Verdict.EXCLUDED, "not_running", claimed=False)


def a_month(within: int = 0, above: int = 0, *, undecided: int = 0, stopped: int = 0, to_come: int = 0) -> Month:
    hours = {WITHIN: within, ABOVE: above, UNDECIDED: undecided, STOPPED: stopped}
    ended = sum(hours.values())
    return judge_month(hours, RULE, hours_ended=ended, hours_to_come=to_come, has_ended=to_come == 0)


def look(within: int = 0, above: int = 0, *, undecided: int = 0, stopped: int = 0, to_come: int = 0) -> Outlook:
    return outlook(a_month(within, above, undecided=undecided, stopped=stopped, to_come=to_come), RULE)


@pytest.mark.parametrize(
    ("hours", "allowed"), [(672, 33), (696, 34), (720, 36), (744, 37)], ids=["28_d", "29_d", "30_d", "31_d"]
)
def test_a_month_that_runs_on_may_use_the_budget_of_full_operation(hours: int, allowed: int) -> None:
    """Regulation 1.2."""
    half = look(hours // 2, 0, to_come=hours - hours // 2)
    assert (half.if_it_runs_on, half.left) == (allowed, allowed)
    assert half.if_it_stops_now == hours // 2 * 5 // 100


def test_a_month_that_stops_shrinks_its_budget() -> None:
    """300 hours, 20 above: 36 allowed if it runs on, 15 if it stops now."""
    of = look(280, 20, to_come=420)
    assert (of.if_it_runs_on, of.left) == (36, 16)
    assert (of.if_it_stops_now, of.left_if_it_stops_now) == (15, -5)
    assert of.pace == pytest.approx(20 / 300)
    assert (of.share_now, of.share_at_best, of.share_at_worst) == (280 / 300, 700 / 720, 280 / 720)


def test_the_budget_runs_out_at_the_pace_of_the_month_so_far() -> None:
    """One in ten above: the 16 that are left are used up after 160 hours more, and the 170th is one too many."""
    of = look(180, 20, to_come=520)
    assert (of.left, of.used_up_in, of.overdrawn_in) == (16, 160, 170)
    hour = run_out_hour(of, NOVEMBER_END)
    assert hour is not None
    assert instant(hour).astimezone(SHANGHAI) == datetime(2026, 11, 15, 23, tzinfo=SHANGHAI)  # the 360th hour


@pytest.mark.parametrize(
    ("of", "used_up", "overdrawn"),
    [
        pytest.param(look(200, 0, to_come=520), None, None, id="nothing_above_lasts"),
        pytest.param(look(0, 0, to_come=720), None, None, id="no_pace_yet"),
        pytest.param(look(570, 30, to_come=120), 120, None, id="used_up_in_the_last_hour_is_not_overdrawn"),
        pytest.param(look(571, 29, to_come=120), None, None, id="slower_lasts"),
        pytest.param(look(100, 36, to_come=584), 0, 4, id="used_up_now"),
        pytest.param(look(100, 37, to_come=583), 0, 0, id="overdrawn_now"),
        pytest.param(look(95, 5), 0, None, id="ended_with_nothing_left"),
        pytest.param(look(96, 4), None, None, id="ended_with_one_left"),
        pytest.param(look(94, 6), 0, 0, id="ended_overdrawn"),
    ],
)
def test_when_the_budget_is_used_up_and_overdrawn(of: Outlook, used_up: int | None, overdrawn: int | None) -> None:
    assert (of.used_up_in, of.overdrawn_in) == (used_up, overdrawn)


def test_hours_to_come_are_counted_from_the_first_that_has_not_ended() -> None:
    assert hour_to_come(1, 1, NOVEMBER_END) == NOVEMBER_END - HOUR
    assert instant(hour_to_come(1, 720, NOVEMBER_END)) == datetime(2026, 10, 31, 16, tzinfo=UTC)
    for nth in (0, 3):
        with pytest.raises(ValueError, match="2 hours to come"):
            hour_to_come(nth, 2, NOVEMBER_END)
    assert run_out_hour(look(100, 36, to_come=584), NOVEMBER_END) is None


def test_a_month_is_saved_as_long_as_its_rest_could_still_bring_it_back() -> None:
    assert (look(100, 36, to_come=584).can_end_clear, look(100, 37, to_come=583).can_end_clear) == (True, False)
    safe = look(700, 10, to_come=10)
    assert (safe.can_end_clear, safe.can_end_breached) == (True, False)


def test_a_month_with_too_few_valid_hours_can_end_neither_way() -> None:
    for of in (look(100, 50, undecided=400, to_come=170), look(stopped=720), look(undecided=720)):
        assert (of.can_end_clear, of.can_end_breached) == (False, False)
    assert look(100, 10, undecided=100, to_come=200).can_end_clear


kinds = st.sampled_from([WITHIN, WITHIN, WITHIN, ABOVE, UNDECIDED, STOPPED])


@st.composite
def months(draw: st.DrawFn) -> list[JudgedHour]:
    """A month's hours in their order: stretches of one kind or of a mixture."""
    hours: list[JudgedHour] = []
    for _ in range(draw(st.integers(1, 6))):
        pattern = draw(st.lists(kinds, min_size=1, max_size=24))
        hours += (pattern * 31)[: draw(st.integers(1, 200))]
    return hours[:744]


def so_far(hours: list[JudgedHour], ended: int) -> Month:
    to_come = len(hours) - ended
    counts = Counter(hours[:ended])
    return judge_month(counts, RULE, hours_ended=ended, hours_to_come=to_come, has_ended=to_come == 0)


@settings(deadline=None, max_examples=300)
@given(months(), st.data())
def test_the_extrapolation_brackets_the_real_end_of_the_month(hours: list[JudgedHour], data: st.DataObject) -> None:
    month = so_far(hours, data.draw(st.integers(0, len(hours))))
    of, end = outlook(month, RULE), so_far(hours, len(hours))
    if end.share is not None:
        assert of.share_at_worst is not None
        assert of.share_at_best is not None
        assert of.share_at_worst <= end.share <= of.share_at_best
    assert of.above <= end.hours_above <= of.above + of.to_come
    assert of.if_it_stops_now <= end.budget <= of.if_it_runs_on
    if end.verdict is MonthVerdict.CLEAR:
        assert of.can_end_clear
    if end.verdict is MonthVerdict.BREACHED:
        assert of.can_end_breached
    if end.verdict is MonthVerdict.UNDECIDED:
        assert month.verdict in (MonthVerdict.RUNNING, MonthVerdict.UNDECIDED, MonthVerdict.BREACHED)


@settings(deadline=None, max_examples=300)
@given(months(), st.data())
def test_both_ends_of_the_bracket_can_happen(hours: list[JudgedHour], data: st.DataObject) -> None:
    ended = data.draw(st.integers(0, len(hours)))
    of = outlook(so_far(hours, ended), RULE)
    rest = len(hours) - ended
    best, worst = (so_far(hours[:ended] + [kind] * rest, len(hours)) for kind in (WITHIN, ABOVE))
    assert (best.share, worst.share) == (of.share_at_best, of.share_at_worst)
    assert (best.verdict is MonthVerdict.CLEAR) == of.can_end_clear
    assert (worst.verdict is MonthVerdict.BREACHED) == of.can_end_breached
    assert best.budget == of.if_it_runs_on
    stops = so_far(hours[:ended] + [STOPPED] * rest, len(hours))
    assert stops.budget == of.if_it_stops_now


@settings(deadline=None, max_examples=200)
@given(months(), st.data())
def test_the_outlook_agrees_with_the_month(hours: list[JudgedHour], data: st.DataObject) -> None:
    month = so_far(hours, data.draw(st.integers(0, len(hours))))
    of = outlook(month, RULE)
    assert (of.if_it_runs_on, of.if_it_stops_now, of.left) == (month.budget, month.budget_now, month.budget_left)
    assert of.share_now == month.share
    if month.final:
        assert of.can_end_clear == (month.verdict is MonthVerdict.CLEAR)
        assert of.can_end_breached == (month.verdict is MonthVerdict.BREACHED)
    elif month.verdict is MonthVerdict.BREACHED:
        assert not of.can_end_clear


@settings(deadline=None, max_examples=200)
@given(st.integers(2, 40), st.integers(1, 10), st.integers(0, 600))
def test_a_month_that_keeps_its_pace_runs_out_in_the_hour_that_was_foretold(
    every: int, periods: int, to_come: int
) -> None:
    """The last of each *every* hours is above, and goes on being so."""
    pattern = [WITHIN] * (every - 1) + [ABOVE]
    hours = (pattern * 1000)[: every * periods + to_come]
    of = outlook(so_far(hours, every * periods), RULE)
    above, used_up, overdrawn = of.above, 0 if of.left <= 0 else None, 0 if of.left < 0 else None
    for nth, hour in enumerate(hours[every * periods :], start=1):
        above += hour is ABOVE
        if used_up is None and above == of.if_it_runs_on:
            used_up = nth
        if overdrawn is None and above > of.if_it_runs_on:
            overdrawn = nth
    assert (of.used_up_in, of.overdrawn_in) == (used_up, overdrawn)


def words(of: Outlook) -> tuple[str, str]:
    said = in_words(of, month_end=NOVEMBER_END, zone=SHANGHAI)
    return said.en, said.zh


def test_the_outlook_is_said_in_words_and_hours() -> None:
    en, zh = words(look(180, 20, to_come=520))
    assert en == (
        "16 hours above the limit may still come: 20 of 36 are used. "
        "At the present pace the last is used up in the hour from 2026-11-15 23:00. "
        "If it stopped now, 10 hours would be allowed: 10 too few. "
        "The month will end with between 25.00 % and 97.22 % of its hours within the limit."
    )
    assert "还可超过限值 16 小时" in zh
    assert "2026-11-15 23:00" in zh


@pytest.mark.parametrize(
    ("of", "said"),
    [
        pytest.param(look(100, 36, to_come=584), "The next hour above the limit is one too many.", id="none_left"),
        pytest.param(look(200, 1, to_come=519), "At the present pace they last to the end of the month.", id="lasts"),
        pytest.param(
            look(100, 37, to_come=583), "The month can no longer be saved: 37 hours above the limit", id="lost"
        ),
        pytest.param(look(to_come=720), "No hour has been valid yet.", id="no_hour_yet"),
        pytest.param(look(99, 1, to_come=620), "35 hours above the limit may still come: 1 of 36", id="one_used"),
        pytest.param(look(400, 35, to_come=285), "1 hour above the limit may still come", id="one_left"),
        pytest.param(look(99, 1, to_come=620), "5 hours would be allowed: enough", id="may_stop"),
        pytest.param(look(94, 6), "The month has ended with 6 hours above the limit; 5 were allowed.", id="ended"),
        pytest.param(look(stopped=720), "Too few hours are valid for a verdict on the month.", id="undecidable"),
        pytest.param(look(100, undecided=500, to_come=120), "Too few hours are valid", id="will_be_undecidable"),
    ],
)
def test_every_state_of_a_month_has_its_sentence(of: Outlook, said: str) -> None:
    en, zh = words(of)
    assert said in en
    assert zh.endswith("。")


def test_a_share_is_never_rounded_up_to_a_pass() -> None:
    assert "94.99 %" in words(look(0, 1001, to_come=19018))[0]
    assert "between 0.00 % and 95.00 %" in words(look(0, 1, to_come=19))[0]
