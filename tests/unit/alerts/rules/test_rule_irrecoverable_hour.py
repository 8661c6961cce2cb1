"""The hour that can no longer be saved: said as early as it is certain, and never before."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules import irrecoverable_hour
from alerts.rules.finding import Finding
from alerts.subject import Subject
from hour_builders import FIRST
from law_builders import a_subject, judged
from plant.periods import HOUR
from plant.register import Channel
from plant.verdicts import Verdict

DUST: Final = a_subject()  # 10 mg/m3, from 0 to 100
SINTER: Final = a_subject(
    "sinter_head", channels={"so2": Channel(range=(0.0, 300.0)), "o2": Channel(range=(12.0, 19.0))}
)  # 35 mg/m3 of SO2 at 16 % of oxygen

Minutes = list[dict[str, float] | None]


def dust(*values: float | None) -> Minutes:
    return [None if value is None else {"pm": value} for value in values]


def found(subject: Subject, minutes: Minutes, *, now_min: float | None = None) -> Finding | None:
    ours = [
        finding
        for finding in judged(subject, minutes, now_min=now_min).findings
        if finding.series.rule == irrecoverable_hour.NAME
    ]
    assert len(ours) <= 1
    return ours[0] if ours else None


def test_an_hour_is_lost_at_the_minute_from_which_zeros_would_not_save_it() -> None:
    # 45 valid minutes are enough, so zeros for all the rest are the best that can come: 600 = 60 x 10 is within.
    assert found(DUST, dust(*[50.0] * 12, 0.0), now_min=13) is None
    lost = found(DUST, dust(*[50.0] * 12, 2.0, 2.0, 2.0), now_min=15)
    assert lost is not None
    assert lost.evidence["minute"] == 13
    assert lost.evidence["lost_at"] == "2026-11-10T00:13:00Z"
    assert lost.evidence["lowest_then"] == pytest.approx(602 / 60)
    assert lost.observed == pytest.approx(604 / 60)  # the newest minute may still change
    assert (lost.limit, lost.settled, lost.ended_at) == (10.0, False, None)
    assert lost.evidence["conditions"] == {"low": 0.0, "high": 100.0, "o2_low": None, "o2_high": None}


def test_it_ends_with_its_hour_and_says_how() -> None:
    ended = found(DUST, dust(*[50.0] * 20, *[1.0] * 40))
    assert ended is not None
    assert (ended.period_start, ended.ended_at, ended.settled) == (FIRST, FIRST + HOUR, True)
    assert ended.evidence["minute"] == 13
    assert ended.evidence["ended"] == {
        "verdict": "breached",
        "reason": "above",
        "corrected": pytest.approx(1040 / 60),
        "valid_minutes": 60,
    }


def test_a_gap_may_still_be_filled_by_a_backlog_so_nothing_is_certain_of_it() -> None:
    gap = dust(*[None] * 10, *[50.0] * 12, 2.0, 2.0, 2.0)
    assert found(DUST, gap, now_min=25) is not None, "35 zeros to come and 10 in the gap: 60 minutes all the same"
    assert found(DUST, dust(*[None] * 10, *[50.0] * 12, 0.0, 0.0), now_min=59) is None
    filled = dust(*[40.0] * 10, *[50.0] * 12, 2.0, 2.0, 2.0)
    early, late = found(DUST, gap, now_min=25), found(DUST, filled, now_min=25)
    assert early is not None
    assert late is not None
    assert (early.evidence["minute"], late.evidence["minute"]) == (23, 15)
    assert early.alert_id == late.alert_id


def test_an_hour_that_was_lost_and_then_lost_its_data_keeps_its_finding() -> None:
    torn = found(DUST, dust(*[60.0] * 20, *[None] * 40))
    assert torn is not None
    assert torn.evidence["ended"]["verdict"] == "undecided"
    assert torn.ended_at == FIRST + HOUR


def test_an_hour_that_is_only_above_in_the_end_was_never_lost_before_its_last_minute() -> None:
    assert found(DUST, dust(*[10.0] * 59, 12.0)) is None
    assert found(DUST, dust(*[10.0] * 58, 31.0, 0.5)) is not None


def test_an_hour_that_does_not_run_is_not_lost() -> None:
    minutes = dust(*[80.0] * 60)
    stopped_first = ["stopped"] * 30 + [None] * 30
    assert not judged(DUST, minutes, states=stopped_first).findings
    assert not judged(DUST, minutes[:45], states=stopped_first[:45], now_min=45).findings
    assert judged(DUST, minutes, states=[None] * 60).findings


def test_of_an_analyser_without_a_range_nothing_is_certain() -> None:
    assert found(a_subject(channels={}), dust(*[500.0] * 40), now_min=45) is None


def test_oxygen_that_could_still_reach_ambient_leaves_the_hour_open() -> None:
    wide = a_subject("sinter_head", channels={"so2": Channel(range=(0.0, 300.0)), "o2": Channel(range=(0.0, 25.0))})
    minutes: Minutes = [{"so2": 200.0, "o2": 16.0}] * 21
    assert found(SINTER, minutes, now_min=21) is not None
    assert found(wide, minutes, now_min=21) is None
    assert found(wide, [*minutes, *minutes], now_min=42) is not None


def test_how_grave_it_is_follows_what_binds_and_how_far_it_is_passed() -> None:
    some, much = dust(*[50.0] * 20, *[1.0] * 40), dust(*[50.0] * 60)
    mild, grave = found(DUST, some), found(DUST, much)
    assert mild is not None
    assert grave is not None
    assert (mild.severity, grave.severity) == ("warning", "major")


MINUTE = st.one_of(
    st.none(),
    st.fixed_dictionaries({"so2": st.sampled_from([0.0, 5.0, 30.0, 60.0, 120.0, 300.0]), "o2": st.floats(12.0, 19.0)}),
)


@st.composite
def hours(draw: st.DrawFn) -> Minutes:
    """An hour in stretches, so that many are lost early, and many saved."""
    minutes: Minutes = []
    while len(minutes) < 60:
        minutes += [draw(MINUTE)] * draw(st.integers(1, 20))
    return minutes[:60]


@settings(deadline=None, max_examples=150)
@given(whole=hours(), data=st.data())
def test_what_was_said_of_a_running_hour_holds_whatever_comes_late(whole: Minutes, data: st.DataObject) -> None:
    reached = data.draw(st.integers(1, 60), label="minutes that have passed")
    late = data.draw(st.sets(st.integers(0, 59)), label="minutes that are still on their way")
    came: Minutes = [row if at < reached and at not in late else None for at, row in enumerate(whole)]
    early = found(SINTER, came, now_min=reached)
    end = judged(SINTER, whole)
    verdict = next(each for each in end.series if each.watched.pollutant == "so2").verdicts.verdict[0]
    if early is not None:
        assert verdict in (Verdict.BREACHED, Verdict.UNDECIDED), "it was certain"
        assert verdict == Verdict.BREACHED or any(row is None for row in whole)
        after = found(SINTER, whole)
        assert after is not None, "what was said stands"
        assert after.alert_id == early.alert_id


@settings(deadline=None, max_examples=100)
@given(whole=hours())
def test_an_hour_that_was_found_and_ends_valid_ends_breached(whole: Minutes) -> None:
    lost = found(SINTER, whole)
    series = next(each for each in judged(SINTER, whole).series if each.watched.pollutant == "so2")
    if lost is None or not series.means.valid[0]:
        return
    assert series.verdicts.verdict[0] == Verdict.BREACHED
