"""Flags and marks that come when values rise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from alerts.rules.claims_follow_values import RULE
from alerts.rules.history import History, Span
from alerts.rules.rule import MAJOR
from history_builders import ULE, a_history, a_stack, assert_same_in_parts, found, outcomes, scaled, shown
from plant.periods import HOUR

FOUR_HOURLY = tuple(range(300, 340, 4))


def claimed(
    history: History, hours: Sequence[int], *, high: float = 100.0, low: float = 18.0, seconds: float = 3600.0
) -> History:
    """*history* in which SO2 has these extremes under a flag in *hours*."""
    return shown(history, "so2", list(hours), other_s=seconds, claim_high=high, claim_q25=low)


def marked(history: History, hours: Sequence[int], kind: str = "maintenance") -> tuple[Span, ...]:
    start = int(history.start[0])
    return tuple(Span(start=start + h * HOUR, end=start + (h + 1) * HOUR, kind=kind, status="pending") for h in hours)


def test_quiet_hours_are_clear() -> None:
    assert found(RULE, a_history()) == []


def test_claims_that_cover_what_is_above_the_limit_are_found_from_the_fifth_on() -> None:
    hours = found(RULE, claimed(a_history(), FOUR_HOURLY))
    assert hours == list(range(FOUR_HOURLY[4], FOUR_HOURLY[-1] + 24))


def test_the_evidence_has_the_counts_and_the_chance() -> None:
    said = outcomes(RULE, claimed(a_history(), FOUR_HOURLY))[ULE, "so2", None]
    evidence = said.evidence(340)
    assert (evidence["episodes"], evidence["episodes_above"], evidence["other_hours_above"]) == (10, 10, 0)
    assert evidence["other_hours"] == 9 * 24 - 10
    assert evidence["chance"] == pytest.approx((1 / 208) ** 10)
    assert said.observed[340] == 1.0
    assert said.limit[340] == pytest.approx(1 / 208)
    assert said.level[340] == MAJOR


def test_four_claims_are_a_mishap() -> None:
    assert found(RULE, claimed(a_history(), FOUR_HOURLY[:4])) == []


def test_claims_at_ordinary_values_are_clear() -> None:
    assert found(RULE, claimed(a_history(), FOUR_HOURLY, high=25.0)) == []


def test_claims_under_which_the_line_carried_zero_gas_are_clear() -> None:
    assert found(RULE, claimed(a_history(), FOUR_HOURLY, high=240.0, low=0.1)) == []


def test_purges_are_too_short_to_be_claims() -> None:
    assert found(RULE, claimed(a_history(), FOUR_HOURLY, seconds=120.0)) == []


def test_values_that_are_not_sent_under_a_flag_say_nothing() -> None:
    assert found(RULE, claimed(a_history(), FOUR_HOURLY, high=np.nan, low=np.nan)) == []


def test_one_long_claim_is_one_episode() -> None:
    assert found(RULE, claimed(a_history(), range(300, 340))) == []


def test_a_stack_that_is_above_the_limit_anyway_has_no_reason_to_hide() -> None:
    often = shown(a_history(), "so2", slice(0, None, 2), high=80.0)
    assert found(RULE, claimed(often, FOUR_HOURLY)) == []


def test_claims_among_many_honest_ones_are_found_when_they_are_too_many() -> None:
    honest = claimed(a_history(), range(260, 300, 2), high=22.0)
    assert found(RULE, claimed(honest, FOUR_HOURLY)) != []


@pytest.mark.parametrize(
    ("kind", "any_found"),
    [("maintenance", True), ("fault", True), ("start-up", False), ("shut-down", False), ("stopped", False)],
)
def test_marks_of_the_instrument_are_claims_and_those_of_the_process_are_not(kind: str, any_found: bool) -> None:
    history = scaled(a_history(), "so2", list(FOUR_HOURLY), 3.0)
    history = a_history(channels=history.channels, marks=marked(history, FOUR_HOURLY, kind))
    assert bool(found(RULE, history, "so2")) is any_found


def test_the_limit_is_taken_back_to_what_the_instrument_shows() -> None:
    """At another oxygen, or wet, or in ppm, what is sent is another number than what is judged."""
    half = scaled(a_history(), "so2", slice(None), 0.4)
    assert found(RULE, claimed(half, FOUR_HOURLY, high=20.0, low=7.0)) != []
    assert found(RULE, claimed(a_history(), FOUR_HOURLY, high=20.0)) == []


def test_nitrogen_oxides_made_of_two_channels_are_seen_in_the_monoxide() -> None:
    from_two = a_history(
        stack=a_stack(nox_from="no_no2"),
        levels={"no": (20.0, 1.0, 0.1), "nox": (33.0, 1.2, 0.1), "o2": (15.8, 0.1, 0.01)},
    )
    history = shown(from_two, "no", list(FOUR_HOURLY), other_s=3600.0, claim_high=60.0, claim_q25=18.0)
    assert found(RULE, history, "nox") != []


def test_an_hour_depends_on_what_it_reaches_back_to_and_no_further() -> None:
    history = claimed(claimed(a_history(40 * 24), FOUR_HOURLY), range(600, 700, 5))
    assert_same_in_parts(RULE, history, parts=9)
