"""A comparison is due by the calendar, from the last one on record or from the first row."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from alerts.rules.comparison_overdue import RULE, interval_of
from alerts.rules.history import History
from history_builders import a_history, a_stack, assert_same_in_parts, found, outcomes
from plant.periods import HOUR, instant, micros
from plant.register import Channel

DAY = 24 * HOUR


def registered(**kinds: str) -> History:
    return a_history(stack=a_stack(channels={name: Channel(cems=kind) for name, kind in kinds.items()}))


def compared(history: History, *days_before: float) -> History:
    """Comparisons so many days before the history begins."""
    at = sorted(int(history.start[0] - days * DAY) for days in days_before)
    return replace(history, records={**history.records, "comparison": tuple(at)})


def test_nobody_knows_where_neither_register_nor_record_says_anything() -> None:
    history = a_history()
    assert outcomes(RULE, history) == {}
    assert outcomes(RULE, replace(history, records={"began": (int(history.start[0] - 400 * DAY),)})) == {}


@pytest.mark.parametrize(
    ("kind", "months"), [("extractive_automatic", 6), ("extractive_manual", 3), ("pm_manual", 3), ("flow_automatic", 6)]
)
def test_the_kind_of_cems_sets_the_months(kind: str, months: int) -> None:
    interval = interval_of(registered(so2=kind))
    assert interval is not None
    assert interval.months == months


def test_the_shortest_of_the_channels_holds() -> None:
    interval = interval_of(registered(so2="extractive_automatic", pm="pm_manual"))
    assert interval is not None
    assert interval.months == 3


def test_it_is_due_by_the_local_calendar() -> None:
    history = registered(so2="extractive_manual")
    history = compared(history, 85)
    last = history.records["comparison"][0]
    local = instant(last).astimezone(history.site.zone)
    due = micros(local.replace(month=local.month + 3))
    places = found(RULE, history)
    assert places[0] == int(np.searchsorted(history.start, due))
    assert places[-1] == history.n_hours - 1
    (said,) = outcomes(RULE, history).values()
    assert datetime.fromisoformat(said.evidence(places[0])["due"]) == instant(due)
    assert said.evidence(places[0])["recorded"] is True


def test_another_comparison_ends_it() -> None:
    history = compared(registered(so2="extractive_manual"), 100)
    at = int(history.start[200]) + 5
    again = replace(history, records={"comparison": (*history.records["comparison"], at)})
    assert found(RULE, again) == list(range(200))


def test_a_record_of_what_comes_later_changes_no_hour_before() -> None:
    history = compared(registered(so2="extractive_manual"), 100)
    later = int(history.start[-1]) + 30 * DAY
    again = replace(history, records={"comparison": (*history.records["comparison"], later)})
    assert found(RULE, again) == found(RULE, history)


def test_a_stack_that_never_recorded_one_counts_from_its_first_row() -> None:
    history = registered(so2="extractive_automatic")
    young = replace(history, records={"began": (int(history.start[0] - 30 * DAY),)})
    old = replace(history, records={"began": (int(history.start[0] - 200 * DAY),)})
    assert found(RULE, young) == []
    assert found(RULE, old)
    (said,) = outcomes(RULE, old).values()
    assert said.evidence(0)["recorded"] is False


def test_a_stack_that_was_compared_before_its_first_row_counts_from_there() -> None:
    history = registered(so2="extractive_manual")
    history = replace(history, records={"began": (int(history.start[0]),)})
    assert found(RULE, compared(history, 100))
    assert found(RULE, compared(history, 30)) == []


def test_where_only_records_tell_the_longest_interval_holds() -> None:
    assert found(RULE, compared(a_history(), 150)) == []
    assert found(RULE, compared(a_history(), 190))


def test_the_figures_are_days() -> None:
    (said,) = outcomes(RULE, compared(registered(so2="extractive_manual"), 100)).values()
    assert said.observed[24] == pytest.approx(101)
    assert said.limit[24] == pytest.approx(timedelta(days=92).days, abs=1)


def test_it_is_the_same_in_parts() -> None:
    assert_same_in_parts(RULE, compared(registered(so2="extractive_manual"), 85))
