"""The running hour that will end above if it goes on like this, and can still be saved."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.rules import keep_below
from alerts.rules.finding import Finding
from alerts.subject import Subject
from hour_builders import FIRST
from law_builders import a_subject, judged
from plant.packs.comparing import is_above
from plant.periods import HOUR
from plant.register import Channel

DUST: Final = a_subject()  # 10 mg/m3, from 0 to 100
SINTER: Final = a_subject(
    "sinter_head", channels={"so2": Channel(range=(0.0, 300.0)), "o2": Channel(range=(12.0, 19.0))}
)

Minutes = list[dict[str, float] | None]


def dust(*values: float | None) -> Minutes:
    return [None if value is None else {"pm": value} for value in values]


def found(subject: Subject, minutes: Minutes, *, now_min: float | None = None) -> Finding | None:
    ours = [
        finding
        for finding in judged(subject, minutes, now_min=now_min).findings
        if finding.series.rule == keep_below.NAME
    ]
    assert len(ours) <= 1
    return ours[0] if ours else None


def test_a_rising_hour_is_warned_of_with_what_the_rest_must_stay_below() -> None:
    rising = dust(*[4.0] * 20, *[14.0] * 6)
    warned = found(DUST, rising, now_min=26)
    assert warned is not None
    # After 24 minutes the last five were 12 in the mean: 136 and 36 x 12 are 568 of 600. A minute later they are 14.
    assert warned.evidence["minute"] == 25
    assert warned.evidence["level"] == 14.0
    assert warned.evidence["would_end_at"] == pytest.approx((80 + 5 * 14 + 35 * 14) / 60)
    assert warned.evidence["keep_below"] == pytest.approx((600 - 150) / 35)
    assert (warned.severity, warned.settled, warned.ended_at, warned.limit) == ("info", False, None, 10.0)


def test_nothing_is_foretold_of_an_hour_of_which_too_little_was_seen() -> None:
    assert found(DUST, dust(*[20.0] * 10), now_min=10) is None, "the tenth may still change"
    assert found(DUST, dust(*[20.0] * 11), now_min=11) is not None


def test_an_hour_that_nothing_can_save_is_not_told_to_stay_below() -> None:
    assert found(DUST, dust(*[99.0] * 20), now_min=20) is None


def test_a_spike_that_was_over_before_it_mattered_is_no_warning() -> None:
    assert found(DUST, dust(*[4.0] * 20, 30.0, *[4.0] * 20), now_min=41) is None


def test_what_was_warned_of_stays_with_the_hour_and_ends_with_it() -> None:
    saved = found(DUST, dust(*[4.0] * 20, *[14.0] * 6, *[3.0] * 34))
    assert saved is not None
    assert (saved.settled, saved.ended_at) == (True, FIRST + HOUR)
    assert saved.evidence["ended"]["verdict"] == "clear"
    assert saved.evidence["minute"] == 25


def test_a_quiet_hour_is_not_warned_of() -> None:
    assert found(DUST, dust(*[9.9] * 60)) is None
    assert found(DUST, dust(*[10.0] * 30), now_min=30) is None


def test_without_a_range_nothing_is_said() -> None:
    assert found(a_subject(channels={}), dust(*[20.0] * 30), now_min=30) is None


@settings(deadline=None, max_examples=100)
@given(
    seen=st.lists(st.tuples(st.sampled_from([0.0, 20.0, 60.0, 150.0]), st.floats(12.0, 19.0)), min_size=12, max_size=50)
)
def test_an_hour_that_stays_below_as_told_is_saved_and_one_that_goes_on_is_not(seen: list[tuple[float, float]]) -> None:
    so2 = next(each for each in SINTER.watched if each.pollutant == "so2")
    minutes: Minutes = [{"so2": value, "o2": o2} for value, o2 in seen]
    warned = found(SINTER, minutes, now_min=len(minutes))
    if warned is None:
        return
    known = warned.evidence["known_minutes"]
    level, o2 = warned.evidence["level"], warned.evidence["level_o2"]

    def end_with(value: float, oxygen: float) -> float:
        rest: Minutes = [{"so2": value, "o2": oxygen}] * (60 - known)
        hour = next(
            each for each in judged(SINTER, [*minutes[:known], *rest]).series if each.watched.pollutant == "so2"
        )
        return float(hour.verdicts.corrected[0])

    limit = so2.rule.limit
    assert is_above(end_with(level, o2), so2.pack, so2.target.outlet, limit), "it would have ended above"
    keep = warned.evidence["keep_below"]
    if keep is not None:
        assert not is_above(end_with(max(keep - 1e-6, 0.0), seen[known - 1][1]), so2.pack, so2.target.outlet, limit)
