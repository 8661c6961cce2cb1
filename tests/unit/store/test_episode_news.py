"""What becomes of an alert when its episode is reviewed again: which state, and what is news."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from store.episodes import EpisodeRow, News, Standing, news_of

START: Final = datetime(2026, 11, 20, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)


def a_row(
    severity: str = "warning", *, ended_at: datetime | None = None, hours: int = 1, **evidence: Any
) -> EpisodeRow:
    return EpisodeRow(
        alert_id="al-1",
        rule="constant",
        severity=severity,
        pollutant="so2",
        pack=None,
        period_start=START,
        period_end=START + hours * HOUR,
        ended_at=ended_at,
        observed=4.0,
        limit_value=4.0,
        unit="h",
        clause="[D]",
        evidence={"value": 1.0, "hours_found": hours, "last": {"observed": hours}, **evidence},
    )


def standing_as(row: EpisodeRow, state: str = "firing", *, acknowledged: bool = False) -> Standing:
    return Standing(
        alert_id=row.alert_id,
        state=state,
        severity=row.severity,
        period_end=row.period_end,
        ended_at=row.ended_at,
        observed=row.observed,
        limit_value=row.limit_value,
        clause=row.clause,
        evidence=row.evidence,
        acknowledged=acknowledged,
    )


def test_a_new_episode_opens_and_one_that_is_over_already_ends_too() -> None:
    assert news_of(None, a_row()) == News("firing", ("opened",), True)
    assert news_of(None, a_row(ended_at=START + HOUR)) == News("resolved", ("opened", "resolved"), True)


def test_the_same_again_is_nothing() -> None:
    for state in ("firing", "acknowledged"):
        same = standing_as(a_row(), state, acknowledged=state == "acknowledged")
        assert news_of(same, a_row()) == News(state, (), False)
    over = a_row(ended_at=START + HOUR)
    assert news_of(standing_as(over, "resolved"), over) == News("resolved", (), False)


def test_another_hour_is_written_and_is_no_news() -> None:
    assert news_of(standing_as(a_row()), a_row(hours=2)) == News("firing", (), True)


def test_other_numbers_of_what_it_fired_on_are_news() -> None:
    assert news_of(standing_as(a_row()), a_row(value=2.0)) == News("firing", ("changed",), True)
    assert news_of(standing_as(a_row()), replace(a_row(), observed=5.0)).events == ("changed",)


def test_severity_that_moves_is_news_by_its_direction() -> None:
    assert news_of(standing_as(a_row("warning")), a_row("major")) == News("firing", ("escalated",), True)
    assert news_of(standing_as(a_row("major")), a_row("warning")) == News("firing", ("stepped_down",), True)


def test_what_gets_graver_after_somebody_saw_it_is_to_be_seen_again() -> None:
    seen = standing_as(a_row("warning"), "acknowledged", acknowledged=True)
    assert news_of(seen, a_row("major")) == News("firing", ("escalated",), True)
    seen = standing_as(a_row("major"), "acknowledged", acknowledged=True)
    assert news_of(seen, a_row("warning")).state == "acknowledged"


def test_an_end_that_comes_goes_or_moves_is_news() -> None:
    over, later = a_row(ended_at=START + HOUR), a_row(ended_at=START + 2 * HOUR)
    assert news_of(standing_as(a_row()), over) == News("resolved", ("resolved",), True)
    assert news_of(standing_as(over, "resolved"), a_row()) == News("firing", ("reopened",), True)
    assert news_of(standing_as(over, "resolved", acknowledged=True), a_row()).state == "acknowledged"
    assert news_of(standing_as(over, "resolved"), later) == News("resolved", ("changed",), True)


def test_the_severity_of_what_is_over_is_news_too() -> None:
    over = standing_as(a_row("warning", ended_at=START + HOUR), "resolved")
    assert news_of(over, a_row("major", ended_at=START + HOUR)) == News("resolved", ("changed",), True)


def test_what_opens_again_says_that_and_not_that_it_is_graver_too() -> None:
    over = standing_as(a_row("warning", ended_at=START + HOUR), "resolved")
    assert news_of(over, a_row("major")) == News("firing", ("reopened",), True)


@pytest.mark.parametrize("acknowledged", [False, True])
def test_what_was_withdrawn_and_is_found_again_is_open_as_it_was(acknowledged: bool) -> None:
    gone = standing_as(a_row(), "withdrawn", acknowledged=acknowledged)
    assert news_of(gone, a_row()) == News("acknowledged" if acknowledged else "firing", ("reopened",), True)
    assert news_of(gone, a_row(ended_at=START + HOUR)) == News("resolved", ("reopened", "resolved"), True)
