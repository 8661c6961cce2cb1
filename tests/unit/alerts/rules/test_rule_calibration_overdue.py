"""Checks are counted in hours with data, against what the register or the habit of days says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alerts.rules.calibration_overdue import GRACE_H, HABIT_H, RULE, WEEKS_END_H, interval_h
from alerts.rules.history import History
from alerts.rules.rule import UNDECIDED
from history_builders import a_history, a_stack, assert_same_in_parts, found, outcomes, outlet, shown, without_rows
from plant.calibration import Cems
from plant.features import names_of
from plant.periods import HOUR
from plant.register import Channel

CHECKED = ("so2", "nox", "pm", "o2")


def unchecked(history: History, hours: slice) -> History:
    for name in CHECKED:
        history = shown(history, name, hours, c_s=0.0)
    return history


def last_check(history: History, before: int) -> int:
    flagged = history.channels["main", "so2"]["c_s"] > 0
    return int(np.flatnonzero(flagged[:before])[-1])


def registered(cems: str | None, **others: str) -> History:
    kinds = {"so2": cems, **others}
    return a_history(40 * 24, stack=a_stack(channels={name: Channel(cems=kind) for name, kind in kinds.items()}))


def test_a_check_every_day_is_in_time() -> None:
    history = a_history()
    assert found(RULE, history) == []
    (said,) = outcomes(RULE, history).values()
    assert (said.level[: HABIT_H - 1] == UNDECIDED).all(), "there is no habit yet"
    assert (said.level[-24:] == 0).all()


def test_a_habit_that_ends_is_found_half_a_day_late() -> None:
    history = unchecked(a_history(), slice(300, 400))
    since = last_check(history, 300)
    again = int(np.flatnonzero(history.channels["main", "so2"]["c_s"][300:] > 0)[0]) + 300
    assert found(RULE, history) == list(range(since + 24 + GRACE_H + 1, again))
    (said,) = outcomes(RULE, history).values()
    evidence = said.evidence(350)
    assert {each["channel"] for each in evidence["channels"]} == set(CHECKED)
    assert evidence["channels"][0]["hours_since"] == 350 - since
    assert evidence["last_record"] is None


def test_a_habit_of_a_working_week_may_rest_at_its_end() -> None:
    history = unchecked(a_history(), slice(0, 250))
    first, *_, fifth = np.flatnonzero(history.channels["main", "so2"]["c_s"] > 0)[:5].tolist()
    assert fifth - first == HABIT_H + 24
    history = unchecked(history, slice(fifth + 1, 480))
    assert found(RULE, history)[0] == fifth + 24 + GRACE_H + WEEKS_END_H + 1


def test_one_channel_alone_is_enough() -> None:
    assert found(RULE, shown(a_history(), "pm", slice(300, 400), c_s=0.0))


def test_hours_without_rows_may_have_held_the_check() -> None:
    history = a_history()
    check = last_check(history, 300)
    assert found(RULE, without_rows(history, slice(check - 2, check + 7))) == []


def test_a_source_that_stands_still_is_not_calibrated() -> None:
    history = unchecked(a_history(), slice(300, 400))
    assert found(RULE, outlet(history, slice(300, 400), stopped_s=3600.0)) == []


def test_a_record_stands_for_a_check() -> None:
    history = unchecked(a_history(), slice(300, 400))
    records = tuple(int(history.start[at]) + HOUR // 2 for at in (300, 324, 348, 372, 396))
    assert found(RULE, replace(history, records={"calibration": records})) == []
    late = replace(history, records={"calibration": (int(history.start[360]) + 1,)})
    assert set(found(RULE, late)).isdisjoint(range(360, 360 + 24 + GRACE_H + 1))
    assert {359, 360 + 24 + GRACE_H + 1} <= set(found(RULE, late))


def test_a_stack_that_was_never_seen_calibrating_is_unknown() -> None:
    history = unchecked(a_history(), slice(None))
    assert found(RULE, history) == []


def test_what_is_registered_needs_no_habit() -> None:
    history = unchecked(registered("extractive_automatic"), slice(None))
    places = found(RULE, history)
    assert places[0] == 24 + GRACE_H
    assert places[-1] == history.n_hours - 1


def test_an_interval_of_a_week_is_counted_from_flags() -> None:
    history = shown(registered("extractive_manual"), "so2", slice(400, 700), c_s=0.0)
    since = last_check(history, 400)
    assert found(RULE, history)[0] == since + 7 * 24 + GRACE_H + 1


def test_an_interval_of_a_month_is_counted_from_records_alone() -> None:
    history = unchecked(registered("flow_manual"), slice(None))
    assert found(RULE, history) == []
    done = replace(history, records={"calibration": (int(history.start[5]),)})
    assert found(RULE, done)[0] == 5 + 30 * 24 + GRACE_H + 1


@pytest.mark.parametrize("cems", list(Cems))
def test_every_kind_has_an_interval(cems: Cems) -> None:
    assert interval_h(cems) in (24, 7 * 24, 15 * 24, 30 * 24)


def test_a_second_instrument_is_a_series_of_its_own() -> None:
    history = a_history()
    backup = {("backup", name): of for (_, name), of in unchecked(history, slice(300, 400)).channels.items()}
    both = replace(history, channels={**history.channels, **backup})
    said = outcomes(RULE, both)
    assert set(said) == {(None, None, None), (None, None, "backup")}
    assert (said[(None, None, None)].level <= 0).all()
    assert (said[(None, None, "backup")].level > 0).any()


def test_it_is_the_same_in_parts() -> None:
    assert_same_in_parts(RULE, unchecked(a_history(60 * 24), slice(700, 1000)))
    assert_same_in_parts(RULE, unchecked(registered("extractive_manual"), slice(300, 800)))
    history = unchecked(registered("in_situ_manual", pm="pm_manual"), slice(None))
    assert_same_in_parts(RULE, replace(history, records={"calibration": (int(history.start[30]),)}))


def test_an_instrument_that_sends_nothing_any_more_is_not_overdue() -> None:
    """The rows of the other go on: they are no data of this one."""
    stack = a_stack(judged_from=("main", "backup"), channels={"so2": Channel(cems=Cems.EXTRACTIVE_AUTOMATIC)})
    backup = a_history(40 * 24, seed=2, instrument="backup")
    history = a_history(40 * 24, stack=stack)
    history = replace(history, channels={**history.channels, **backup.channels})
    for name in CHECKED:
        nothing = dict.fromkeys(names_of(name), np.nan)
        history = shown(history, name, slice(300, None), instrument="backup", **nothing)
    assert found(RULE, history) == []
    said = {each.instrument: each for each in RULE.judge(history)}
    assert set(said["backup"].level[300:].tolist()) == {UNDECIDED}
    assert set(said[None].level[300:].tolist()) == {0}
