"""Drafts of marks are a function of a day's rows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.marks.drafting import Draft, Stretch, draft_day, draft_id
from plant.periods import HOUR, MINUTE

DAY: Final = 24 * HOUR
STACK: Final = ("works", "DA001")


def a_stretch(start_min: float, end_min: float, **said: Any) -> Stretch:
    values: dict[str, Any] = {"instrument": "main", "flag": "N", "flags": {}, "state": None, "idle": False} | said
    rows = max(1, int(end_min - start_min))
    return Stretch(start=int(start_min * MINUTE), end=int(end_min * MINUTE), rows=rows, **values)


def drafts(*stretches: Stretch, day: int = 0) -> list[Draft]:
    return draft_day(STACK, stretches, first=day * DAY, end=(day + 1) * DAY)


def told(found: list[Draft]) -> list[tuple[str, str, float, float]]:
    return [(draft.kind, draft.cause, draft.start / MINUTE, draft.end / MINUTE) for draft in found]


@pytest.mark.parametrize(
    ("said", "kind", "cause"),
    [
        ({"state": "stopped"}, "stopped", "stopped"),
        ({"state": "starting"}, "start_up", "starting"),
        ({"state": "stopping"}, "shut_down", "stopping"),
        ({"state": "banked"}, "stopped", "banked"),
        ({"flag": "C"}, "calibration", "C"),
        ({"flag": "M"}, "maintenance", "M"),
        ({"flag": "S"}, "maintenance", "S"),
        ({"flag": "D"}, "fault", "D"),
        ({"flag": "F"}, "fault", "F"),
        ({"flags": {"o2": "C"}}, "calibration", "C"),
        ({"idle": True}, "stopped", "power"),
    ],
)
def test_what_a_row_says_names_the_kind_of_the_mark(said: dict[str, Any], kind: str, cause: str) -> None:
    assert told(drafts(a_stretch(60, 90, **said), a_stretch(90, 200))) == [(kind, cause, 60, 90)]


@pytest.mark.parametrize(
    "said", [{}, {"flag": "T"}, {"flag": "B"}, {"flags": {"velocity": "M"}}, {"idle": True, "state": "running"}]
)
def test_nothing_is_drafted_of_what_no_mark_is_for(said: dict[str, Any]) -> None:
    assert drafts(a_stretch(60, 180, **said)) == []


@pytest.mark.parametrize(("length", "drafted"), [(15, False), (16, True)])
def test_a_quarter_of_an_hour_costs_no_hour_its_minutes(length: int, drafted: bool) -> None:
    assert bool(drafts(a_stretch(60, 60 + length, flag="C"), a_stretch(60 + length, 300))) is drafted


def test_stretches_with_little_between_them_are_one_condition() -> None:
    parts = [a_stretch(60, 70, flag="C"), a_stretch(70, 75), a_stretch(75, 85, flag="C")]
    apart = [a_stretch(60, 70, flag="C"), a_stretch(70, 76), a_stretch(76, 86, flag="C")]
    assert told(drafts(*parts)) == [("calibration", "C", 60, 85)]
    assert drafts(*apart) == []


def test_a_condition_over_midnight_is_a_draft_of_each_day_even_where_one_part_is_short() -> None:
    night = a_stretch(1430, 1450, flag="M")
    after = a_stretch(1450, 1500)
    assert told(drafts(night, after)) == [("maintenance", "M", 1430, 1440)]
    assert told(drafts(night, after, day=1)) == [("maintenance", "M", 1440, 1450)]
    assert drafts(night, after)[0].draft_id != drafts(night, after, day=1)[0].draft_id


def test_a_condition_goes_on_until_a_row_says_otherwise() -> None:
    (running,) = drafts(a_stretch(60, 120, state="stopped"))
    (over,) = drafts(a_stretch(60, 120, state="stopped"), a_stretch(120, 121))
    (into_tomorrow,) = drafts(a_stretch(60, 1500, state="stopped"), a_stretch(1500, 2000))
    assert (running.goes_on, over.goes_on, into_tomorrow.goes_on) == (True, False, True)
    assert running.draft_id == over.draft_id == into_tomorrow.draft_id == draft_id(STACK, "stopped", 60 * MINUTE)


def test_what_a_second_instrument_measured_needs_no_mark() -> None:
    main, backup = a_stretch(60, 120, flag="D"), a_stretch(60, 110, instrument="backup")
    late = a_stretch(80, 120, instrument="backup")
    assert drafts(main, backup) == []
    assert told(drafts(main, late)) == [("fault", "D", 60, 120)]
    both = drafts(main, a_stretch(60, 120, instrument="backup", flag="D"))
    assert [draft.evidence["instruments"] for draft in both] == [["backup", "main"]]


def test_an_instrument_in_another_duct_stands_in_for_none() -> None:
    found = draft_day(
        STACK, [a_stretch(60, 120, flag="D"), a_stretch(60, 120, instrument="b")], first=0, end=DAY, ducts=True
    )
    assert told(found) == [("fault", "D", 60, 120)]


def test_a_stopped_source_is_the_reason_of_what_its_instruments_say_meanwhile() -> None:
    whole = a_stretch(60, 180, state="stopped")
    other = a_stretch(100, 140, instrument="backup", flag="M")
    assert told(drafts(whole, other)) == [("stopped", "stopped", 60, 180)]


def halves(one: Stretch) -> list[Stretch]:
    middle = (one.start + one.end) // 2
    return [replace(one, end=middle, rows=1), replace(one, start=middle, rows=1)]


SAID: Final = st.sampled_from(
    [{}, {"flag": "C"}, {"flag": "M"}, {"flags": {"so2": "D"}}, {"state": "stopped"}, {"state": "starting"}]
)


@given(st.lists(st.tuples(st.integers(1, 90), SAID), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_what_came_and_how_it_was_cut_change_nothing(
    said: list[tuple[int, dict[str, Any]]], rng: random.Random
) -> None:
    stretches, at = [], 0
    for length, values in said:
        stretches.append(a_stretch(at, at + length, **values))
        at += length
    whole = drafts(*stretches)
    cut = [part for one in stretches for part in halves(one)]
    rng.shuffle(cut)
    again = drafts(*cut)
    assert [(d.draft_id, d.kind, d.start, d.end, d.goes_on) for d in again] == [
        (d.draft_id, d.kind, d.start, d.end, d.goes_on) for d in whole
    ]
    assert all(0 <= draft.start < draft.end <= DAY for draft in whole)
