"""The life of an episode: walks by hand, and the laws of its table and of folding in parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.lifecycle import GOING_ON, OPEN, TRANSITIONS, Event, State
from alerts.lives import Episode, Folded, Saved, fold, plain, unwatched
from alerts.rules.finding import Series
from alerts.rules.rule import CLEAR, CRITICAL, MAJOR, SEVERITIES, UNDECIDED, WARNING, Life, Outcomes, Rule
from plant.periods import HOUR

SERIES = Series(rule="constant", site="tangshan-1", stack="DA001", pollutant="so2")
HOLD = Life(hold_h=3, keep_h=2)


def a_rule(life: Life) -> Rule:
    return Rule(name="constant", judge=lambda history: (), unit="h", clause="[D]", reach_h=0, life=life)


def outcomes_of(levels: Sequence[int], observed: Sequence[float] | None = None) -> Outcomes:
    values = np.array(levels if observed is None else observed, float)
    return Outcomes(
        level=np.array(levels, np.int8),
        observed=values,
        limit=np.full(len(levels), 0.5),
        evidence=lambda place: {"place": place},
    )


def folded(
    levels: Sequence[int],
    life: Life = HOLD,
    *,
    observed: Sequence[float] | None = None,
    first: int = 0,
    before: Saved | None = None,
    cuts: Sequence[int] = (),
) -> Folded:
    start = np.arange(len(levels), dtype=np.int64) * HOUR
    return fold(SERIES, a_rule(life), outcomes_of(levels, observed), start, first=first, before=before, cuts=cuts)


def spans(levels: Sequence[int], life: Life = HOLD) -> list[tuple[int, int, int | None]]:
    """First found hour, hour behind the last found one, and end, of each episode."""
    return [
        (each.period_start // HOUR, each.period_end // HOUR, None if each.ended_at is None else each.ended_at // HOUR)
        for each in folded(levels, life).episodes
    ]


def severities(levels: Sequence[int], life: Life) -> list[tuple[str, str]]:
    (only,) = folded(levels, life).episodes
    return [(hour[11:13], severity) for hour, severity in only.evidence["severity_since"]]


def test_the_table_has_a_row_for_every_state_and_event() -> None:
    assert set(TRANSITIONS) == {(state, event) for state in State for event in Event}


def test_every_state_is_reached_from_inactive() -> None:
    reached = {State.INACTIVE}
    while more := {TRANSITIONS[state, event] for state in reached for event in Event} - reached:
        reached |= more
    assert reached == set(State)


def test_silence_changes_nothing_that_goes_on() -> None:
    assert all(TRANSITIONS[state, Event.UNDECIDED] == state for state in GOING_ON)


def test_only_kept_clear_or_no_longer_watched_ends_what_fired() -> None:
    ends = {event for (state, event), after in TRANSITIONS.items() if state in OPEN and after not in OPEN}
    assert ends == {Event.KEPT, Event.UNWATCHED}


def test_what_is_no_longer_watched_goes_on_in_no_state() -> None:
    assert all(TRANSITIONS[state, Event.UNWATCHED] not in GOING_ON for state in State)


def test_two_found_hours_are_no_alert_where_three_must_hold() -> None:
    assert spans([0, 2, 2, 0, 2, 2, 0]) == []


def test_an_alert_begins_with_the_first_found_hour_and_ends_with_the_first_clear_one_of_those_that_ended_it() -> None:
    assert spans([0, 2, 2, 2, 2, 0, 0, 0]) == [(1, 5, 5)]


def test_one_clear_hour_between_does_not_end_what_is_kept_for_two() -> None:
    assert spans([2, 2, 2, 0, 2, 0, 0]) == [(0, 5, 5)]


def test_hours_without_an_answer_neither_break_the_hold_nor_end_the_alert() -> None:
    assert spans([2, -1, 2, -1, -1, 2, -1, 0, -1, -1]) == [(0, 6, None)]
    assert spans([2, -1, 2, -1, -1, 2, -1, 0, -1, 0]) == [(0, 6, 7)]


def test_a_second_run_is_a_second_alert() -> None:
    assert spans([2, 0, 2, 0], Life()) == [(0, 1, 1), (2, 3, 3)]


def test_numbers_and_evidence_are_those_of_the_hour_that_made_it_fire() -> None:
    (only,) = folded([2, 2, 2, 2], observed=[1.0, 5.0, 3.0, 4.0]).episodes
    assert (only.observed, only.limit, only.evidence["place"], only.evidence["hour"]) == (
        3.0,
        0.5,
        2,
        "1970-01-01T02:00:00Z",
    )
    assert only.evidence["worst"] == {"hour": "1970-01-01T01:00:00Z", "observed": 5.0, "limit": 0.5}
    assert only.evidence["last"] == {"hour": "1970-01-01T03:00:00Z", "observed": 4.0}
    assert only.evidence["hours_found"] == 4


def test_the_worst_hour_is_the_gravest_not_the_largest() -> None:
    (only,) = folded([2, 3, 2], Life(), observed=[9.0, 1.0, 8.0]).episodes
    assert only.evidence["worst"]["observed"] == 1.0


def test_of_hours_alike_the_first_is_the_worst_and_one_without_a_number_is_not() -> None:
    (only,) = folded([2, 2, 2, 0, 2], Life(keep_h=2), observed=[float("nan"), 3.0, -2.0, 0.0, float("inf")]).episodes
    assert only.evidence["worst"] == {"hour": "1970-01-01T01:00:00Z", "observed": 3.0, "limit": 0.5}
    (only,) = folded([2, 0, 2], Life(keep_h=2), observed=[3.0, 0.0, 3.0]).episodes
    assert only.evidence["worst"]["hour"] == "1970-01-01T00:00:00Z"


def test_severity_rises_at_once_and_falls_after_enough_lighter_hours() -> None:
    life = Life(step_down_after_h=3)
    assert severities([2, 4, 2, 3, 2, 2], life) == [("00", "warning"), ("01", "critical"), ("04", "major")]


def test_severity_falls_step_by_step_also_within_one_run_of_hours() -> None:
    life = Life(step_down_after_h=2)
    assert severities([4, 3, 2, 2, 2, 2], life) == [("00", "critical"), ("02", "major"), ("04", "warning")]


def test_an_hour_as_grave_begins_the_count_of_lighter_hours_again() -> None:
    assert severities([3, 2, 2, 3, 2, 2], Life(step_down_after_h=3)) == [("00", "major")]


def test_clear_and_undecided_hours_are_no_lighter_hours() -> None:
    life = Life(keep_h=9, step_down_after_h=3)
    assert severities([3, 2, 0, -1, 2, 0, 2], life) == [("00", "major"), ("06", "warning")]


def test_what_lasts_becomes_one_level_graver() -> None:
    assert severities([2, 2, 2, 2], Life(escalate_after_h=2)) == [("00", "warning"), ("02", "major")]


def test_nothing_is_graver_than_critical() -> None:
    assert severities([4, 4, 4], Life(escalate_after_h=1)) == [("00", "critical")]


def test_the_hour_of_the_last_rise_is_told_beside_the_hour_that_made_it_fire() -> None:
    life = Life(step_down_after_h=1)
    (only,) = folded([1, 2, 3, 1, 1], life).episodes
    assert only.evidence["hour"].endswith("T00:00:00Z")
    assert only.evidence["graver"]["hour"].endswith("T02:00:00Z")
    assert set(only.evidence["graver"]) == {"hour", "observed", "limit", "evidence"}


def test_an_alert_that_never_rose_tells_of_no_rise() -> None:
    (only,) = folded([3, 3, 1, 1], Life(step_down_after_h=1)).episodes
    assert "graver" not in only.evidence


def test_a_year_of_changes_keeps_only_the_last() -> None:
    (only,) = folded([2, 3] * 200, Life(step_down_after_h=1)).episodes
    assert len(only.evidence["severity_since"]) == 16
    assert only.evidence["severity_since"][-1][1] == "major"


def test_a_series_that_is_no_longer_watched_ends_there() -> None:
    (saved,) = folded([2, 2, 2, 2], cuts=[4]).states
    assert saved is not None
    ended = unwatched(SERIES, saved, at=9 * HOUR)
    assert ended is not None
    assert (ended.period_start, ended.ended_at) == (0, 9 * HOUR)


def test_one_that_was_about_to_end_ends_where_it_became_clear() -> None:
    (saved,) = folded([2, 2, 2, 0], cuts=[4]).states
    assert saved is not None
    ended = unwatched(SERIES, saved, at=9 * HOUR)
    assert ended is not None
    assert ended.ended_at == 3 * HOUR


def test_a_series_that_never_fired_leaves_nothing_when_it_is_no_longer_watched() -> None:
    (saved,) = folded([2], cuts=[1]).states
    assert saved is not None
    assert unwatched(SERIES, saved, at=9 * HOUR) is None


def test_numbers_of_arrays_are_written_as_json_can_hold_them() -> None:
    value = {"a": np.float64("nan"), "b": [np.int64(3), np.True_], "c": np.array([1.5, np.inf])}
    assert json.loads(json.dumps(plain(value))) == {"a": None, "b": [3, True], "c": [1.5, None]}


# What the table says, hour by hour: slow and plain, against what counts runs.


def told_by_hours(levels: Sequence[int], life: Life) -> list[tuple[Any, ...]]:
    told: list[tuple[Any, ...]] = []
    lighter: list[int] = []
    state, severity = State.INACTIVE, CLEAR
    begin = last = found = clear = clear_from = 0
    for hour, level in enumerate(levels):
        if level == UNDECIDED:
            continue
        if level == CLEAR:
            if state == State.FIRING:
                clear, clear_from = 0, hour
            clear += 1
            state = TRANSITIONS[state, Event.KEPT if clear >= life.keep_h else Event.CLEAR]
            if state == State.RESOLVED:
                told.append((begin, last + 1, clear_from, SEVERITIES[severity - 1], found))
            continue
        if state not in GOING_ON:
            begin, found, severity, lighter = hour, 0, CLEAR, []
        found, last = found + 1, hour
        weight = min(level + (life.escalate_after_h is not None and found > life.escalate_after_h), CRITICAL)
        lighter = [*lighter, weight] if weight < severity else []
        if weight > severity:
            severity = weight
        elif len(lighter) == life.step_down_after_h:
            severity, lighter = max(lighter), []
        state = TRANSITIONS[state, Event.HELD if found >= life.hold_h else Event.FOUND]
    if state in OPEN:
        told.append((begin, last + 1, None, SEVERITIES[severity - 1], found))
    return told


LEVELS = st.lists(st.sampled_from([UNDECIDED, CLEAR, CLEAR, 1, WARNING, WARNING, MAJOR, CRITICAL]), max_size=60)
RUNS = st.lists(
    st.tuples(st.sampled_from([UNDECIDED, CLEAR, WARNING, MAJOR, CRITICAL]), st.integers(1, 12)), max_size=12
).map(lambda runs: [level for level, n in runs for _ in range(n)])
VALUES = st.sampled_from([0.25, 1.0, 2.0, 2.0, -3.5, float("nan"), float("inf")])
LIVES = st.builds(
    Life,
    hold_h=st.integers(1, 5),
    keep_h=st.integers(1, 4),
    escalate_after_h=st.one_of(st.none(), st.integers(1, 8)),
    step_down_after_h=st.integers(1, 6),
)


def as_told(episode: Episode) -> tuple[Any, ...]:
    ended = None if episode.ended_at is None else episode.ended_at // HOUR
    begin, end = episode.period_start // HOUR, episode.period_end // HOUR
    return begin, end, ended, episode.severity, episode.evidence["hours_found"]


@settings(deadline=None)
@given(LEVELS | RUNS, LIVES)
def test_runs_are_folded_as_their_hours_would_be(levels: list[int], life: Life) -> None:
    assert [as_told(each) for each in folded(levels, life).episodes] == told_by_hours(levels, life)


def as_stored(saved: Saved | None) -> Mapping[str, Any] | None:
    stored: Mapping[str, Any] | None = json.loads(json.dumps(saved, allow_nan=False))
    return stored


@settings(deadline=None)
@given(st.data(), LEVELS | RUNS, LIVES)
def test_folding_in_parts_from_what_was_stored_gives_what_folding_at_once_gives(
    data: st.DataObject, levels: list[int], life: Life
) -> None:
    n_hours = len(levels)
    observed = data.draw(st.lists(VALUES, min_size=n_hours, max_size=n_hours))
    cuts = sorted(data.draw(st.sets(st.integers(0, n_hours), max_size=6)))
    whole = folded(levels, life, observed=observed, cuts=cuts)
    parts: dict[str, Episode] = {}
    states, state = [], None
    for first, end in pairwise([0, *cuts, n_hours]):
        part = folded(levels[:end], life, observed=observed[:end], first=first, before=state, cuts=[end])
        for each in part.episodes:
            parts[each.alert_id] = each
        state = as_stored(part.states[0])
        states.append(state)
    assert [as_stored(saved) for saved in whole.states] == states[:-1]
    assert sorted(parts.values(), key=lambda each: each.period_start) == whole.episodes


@settings(deadline=None)
@given(LEVELS | RUNS, LIVES, st.data())
def test_hours_without_an_answer_could_as_well_not_be_there(levels: list[int], life: Life, data: st.DataObject) -> None:
    told = [as_told(each)[3:] for each in folded(levels, life).episodes]
    spread: list[int] = []
    for level in levels:
        spread += [UNDECIDED] * data.draw(st.integers(0, 2)) + [level]
    assert [as_told(each)[3:] for each in folded(spread, life).episodes] == told


@settings(deadline=None)
@example([2, 2], [])
@given(LEVELS, st.lists(st.just(UNDECIDED), max_size=5))
def test_an_alert_that_fired_is_in_the_state_that_is_handed_on_until_it_ends(
    levels: list[int], rest: list[int]
) -> None:
    all_hours = [*levels, *rest]
    (saved,) = folded(all_hours, cuts=[len(all_hours)]).states
    fires = any(each.ended_at is None for each in folded(all_hours).episodes)
    assert fires == (saved is not None and saved["state"] in OPEN)


@pytest.mark.parametrize("life", [Life(), HOLD], ids=["at once", "held"])
def test_nothing_found_is_nothing(life: Life) -> None:
    assert folded([0, -1, 0], life, cuts=[1, 3]) == Folded([], [None, None])
