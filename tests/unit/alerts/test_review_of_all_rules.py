"""Every rule of the catalogue on histories with faults: reviewed again from any day, the alerts are those of the whole.

What a rule alone must hold (its outcome of an hour depends on so many hours before it) is asked of each in its own
test. This asks what a live stage relies on: that the alerts do not depend on where it began to look.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import numpy as np
import pytest

from alerts.lives import Episode
from alerts.review import Reviewed, review
from alerts.rules.history import History, Span
from alerts.rules.rule import LONGEST_REACH_H, VERDICT_REACH_H
from history_builders import FIRST, a_history, judged, outlet, part, scaled, shown, without_rows
from plant.periods import HOUR, instant
from plant.verdicts import Reason, Verdict

DAYS: Final = 70
REACH_DAYS: Final = max(LONGEST_REACH_H, VERDICT_REACH_H) // 24


def a_troubled_history(seed: int) -> History:
    """Weeks of one stack in which something is wrong every few days, each time another thing."""
    rng = np.random.default_rng(seed)
    history = a_history(DAYS * 24, seed=seed)
    history = replace(history, conflicts={"so2": np.where(rng.random(DAYS * 24) < 0.02, 3, 0)})
    for _ in range(30):
        at = int(rng.integers(0, DAYS * 24 - 60))
        hours = slice(at, at + int(rng.integers(1, 50)))
        history = TROUBLES[int(rng.integers(len(TROUBLES)))](history, hours, rng)
    marks = [int(at) for at in rng.integers(0, DAYS * 24, 4)]
    spans = tuple(
        Span(start=FIRST + at * HOUR, end=FIRST + (at + 5) * HOUR, kind="stopped", status="accepted") for at in marks
    )
    theirs = history.value("main", "so2", "mean") * np.where(rng.random(DAYS * 24) < 0.1, 0.8, 1.0)
    return replace(history, marks=spans, reported={("platform", "so2", "avg"): theirs})


def exceeding(history: History, hours: slice, rng: Any) -> History:
    history = scaled(history, "so2", hours, 2.5)
    above = history.verdicts["cn-steel-ule-2019", "so2"].corrected[hours] * 2.5
    return judged(history, "so2", hours, verdict=Verdict.BREACHED, reason=Reason.ABOVE, corrected=above)


def standing_still(history: History, hours: slice, rng: Any) -> History:
    still: dict[str, Any] = dict.fromkeys(("first", "last", "low", "high", "mean"), 20.0)
    return shown(history, "nox", hours, std=0.0, still_s=3600.0, lead_s=3600.0, tail_s=3600.0, **still)


def jumping(history: History, hours: slice, rng: Any) -> History:
    level = float(history.value("main", "so2", "mean")[hours.start])
    at = [hours.start]
    return shown(history, "so2", at, step=15.0, step_minute=30.0, step_before=level, step_after=level + 15.0)


def diluted(history: History, hours: slice, rng: Any) -> History:
    for gas in ("so2", "nox"):
        history = scaled(history, gas, hours, 0.55)
    oxygen = 21 - (21 - history.value("main", "o2", "mean")[hours]) * 0.55
    return shown(history, "o2", hours, mean=oxygen)


def claimed_when_high(history: History, hours: slice, rng: Any) -> History:
    for at in range(hours.start, min(hours.start + 60, history.n_hours), 4):
        history = shown(history, "so2", [at], other_s=1800.0, claim_high=60.0, claim_q25=50.0)
    return history


TROUBLES: Final = (
    exceeding,
    standing_still,
    jumping,
    diluted,
    claimed_when_high,
    lambda history, hours, rng: without_rows(history, hours),
    lambda history, hours, rng: shown(history, "so2", hours, below_s=900.0),
    lambda history, hours, rng: shown(history, "so2", hours, over_s=1800.0, t_s=600.0),
    lambda history, hours, rng: shown(history, "o2", hours, mean=1.2, std=0.01),
    lambda history, hours, rng: shown(history, "so2", hours, c_s=0.0, quiet_s=np.nan),
    lambda history, hours, rng: outlet(history, hours, stopped_s=3600.0),
    lambda history, hours, rng: scaled(history, "power_abatement_kw", hours, 0.2),
    lambda history, hours, rng: scaled(history, "power_abatement_kw", hours, 0.0),
)


def reviewed_from(history: History, day: int, whole: Reviewed) -> Reviewed:
    """As a live stage does when an hour of the *day* changed: with the checkpoint of the day before, as stored."""
    first_day = instant(FIRST).astimezone(history.site.zone).date()
    before = json.loads(json.dumps(whole.checkpoints[first_day + timedelta(days=day - 1)], allow_nan=False))
    begin = max(0, day - REACH_DAYS)
    return review(part(history, begin * 24, history.n_hours), before, first=(day - begin) * 24)


@pytest.mark.parametrize("seed", range(4))
def test_alerts_do_not_depend_on_where_the_review_began(seed: int) -> None:
    history = a_troubled_history(seed)
    whole = review(history)
    assert len({each.series.rule for each in whole.episodes}) >= 8, "too quiet a history shows nothing"
    for day in range(3, DAYS, 9):
        again = reviewed_from(history, day, whole)
        since = FIRST + day * 24 * HOUR
        due = [each for each in whole.episodes if each.period_start >= since or each.alert_id in again.open_before]
        assert [_key(each) for each in again.episodes] == [_key(each) for each in due], f"from day {day}"
        for now, then in zip(again.episodes, due, strict=True):
            _assert_same_numbers(now, then)


def _key(episode: Episode) -> tuple[Any, ...]:
    hour = (episode.period_start - FIRST) // HOUR
    ended = None if episode.ended_at is None else (episode.ended_at - FIRST) // HOUR
    series = episode.series
    return (series.rule, series.pollutant, series.pack, series.instrument, hour, ended, episode.severity)


def _assert_same_numbers(now: Episode, then: Episode) -> None:
    """Sums over a window may differ in their last digits by where the window's array began."""
    assert now.observed == pytest.approx(then.observed, rel=1e-9)
    assert now.limit == pytest.approx(then.limit, rel=1e-9)
    assert now.evidence.keys() == then.evidence.keys()
    assert now.evidence["severity_since"] == then.evidence["severity_since"]
    assert now.evidence["hours_found"] == then.evidence["hours_found"]
