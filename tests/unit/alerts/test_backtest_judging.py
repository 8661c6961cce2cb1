"""Parts of a history come to what the whole comes to, wherever it was cut."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.backtest.judging import Beside, Part, as_of, conclude, join, join_blocks, judge_part
from alerts.backtest.results import Result
from alerts.backtest.running import Cut, Span, cuts_of
from alerts.rules.history import Span as Said
from alerts.subject import Subject
from history_builders import a_site, a_stack
from plant.periods import HOUR, MINUTE, Instants, month_bounds, month_of
from plant.readings import Rows, Truths
from simulated_histories import BEGIN, simulated_rows

DAYS: Final = 5
HOURS: Final = DAYS * 24
NOW: Final = BEGIN + (HOURS + 1) * HOUR
TWICE: Final = {"so2": BEGIN + np.array([3 * HOUR, 3 * HOUR + MINUTE, 70 * HOUR], dtype=np.int64)}


@cache
def sinter() -> tuple[Subject, Rows]:
    """Five days of a sinter head whose desulphurisation fails on the second."""
    site, rows = simulated_rows("faults", days=DAYS, stack="SINTER")
    (stack,) = (stack for stack in site.stacks if stack.code == "SINTER")
    return Subject(site_id=0, stack_id=0, site=site, stack=stack), rows


def a_part(first: int, end: int, *, now: int = NOW) -> Part:
    """Hours *first* to *end* of them, of the rows that a source would have read for it."""
    subject, rows = sinter()
    begins, ends = BEGIN + first * HOUR, BEGIN + end * HOUR
    read = (rows.sampled_at >= begins - HOUR) & (rows.sampled_at < ends + HOUR)
    return judge_part(subject, {"main": only(rows, read)}, first=begins, n_hours=end - first, now=now, conflicts=TWICE)


def only(rows: Rows, where: Truths) -> Rows:
    return replace(
        rows,
        sampled_at=rows.sampled_at[where],
        interval_s=rows.interval_s[where],
        not_running=rows.not_running[where],
        values={name: of[where] for name, of in rows.values.items()},
        flags={name: of[where] for name, of in rows.flags.items()},
        row_flag=rows.row_flag[where],
    )


@cache
def whole() -> Result:
    return conclude(sinter()[0], [a_part(0, HOURS)], now=NOW)


def assert_same(one: Result, other: Result) -> None:
    assert one.rows == other.rows
    assert one.alerts == other.alerts
    assert one.months == other.months
    assert one.hours.keys() == other.hours.keys()
    for key, hours in one.hours.items():
        for name in ("start", "verdict", "reason", "corrected", "limit"):
            np.testing.assert_array_equal(getattr(hours, name), getattr(other.hours[key], name))


def test_the_history_that_is_cut_has_alerts_of_many_kinds() -> None:
    rules = {alert.rule for alert in whole().alerts.values()}
    assert rules >= {"hour_above_limit", "irrecoverable_hour", "keep_below", "budget", "conflicts"}
    assert whole().rows == DAYS * 24 * 60
    assert whole().months


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(1, HOURS - 1), max_size=12))
def test_cut_at_any_hours_the_parts_give_what_the_whole_gives(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), HOURS]
    parts = [a_part(first, end) for first, end in itertools.pairwise(edges)]

    assert_same(whole(), conclude(sinter()[0], parts, now=NOW))


def test_a_part_comes_back_from_another_machine_as_it_was() -> None:
    parts: list[Part] = pickle.loads(pickle.dumps([a_part(0, 50), a_part(50, HOURS)]))
    there: Result = pickle.loads(pickle.dumps(conclude(pickle.loads(pickle.dumps(sinter()[0])), parts, now=NOW)))

    assert_same(whole(), there)


def test_parts_with_a_gap_between_them_are_refused() -> None:
    with pytest.raises(ValueError, match="have to follow one another"):
        join([a_part(0, 5), a_part(6, 9)])


def test_a_part_without_a_row_is_hours_of_which_nothing_is_known() -> None:
    subject, _ = sinter()
    silent = judge_part(subject, {}, first=BEGIN + 5 * HOUR, n_hours=3, now=NOW)
    joined = join([a_part(0, 5), silent])

    assert joined.rows == 5 * 60
    assert np.isnan(joined.features.channels["main", "so2"]["mean"][5:]).all()
    assert not joined.verdicts["cn-steel-ule-2019", "so2"].revision[5:].any()
    assert joined.conflicts["so2"].tolist() == [0, 0, 0, 2, 0, 0, 0, 0]


def test_the_blocks_of_parts_are_those_of_the_whole() -> None:
    blocks, of_parts = join_blocks([a_part(0, 48)]), join_blocks([a_part(0, 7), a_part(7, 48)])
    assert ("main", "so2") in blocks
    for key, values in blocks.items():
        for name, value in values.items():
            np.testing.assert_array_equal(value, of_parts[key][name])


def test_what_stands_beside_the_rows_is_looked_at() -> None:
    """Hours above the limit are no less above it for an order; that nobody obeyed it is said besides."""
    subject, _ = sinter()
    asked = {"unit": "S1", "mode": "stop", "value": None}
    detail = {"order_id": "or-1", "units": [asked], "safe_state_by": BEGIN + 97 * HOUR}
    order = Said(start=BEGIN + 96 * HOUR, end=None, kind="suspend", detail=detail)
    found = conclude(subject, [a_part(0, HOURS)], now=NOW, beside=Beside(orders=(order,)))

    assert whole().alerts.keys() < found.alerts.keys()
    gained = [alert for key, alert in found.alerts.items() if key not in whole().alerts]
    assert {"ordered_state_left", "stopped_but_breathing"} >= {alert.rule for alert in gained} != set()


def test_an_hour_that_has_not_ended_is_in_no_result() -> None:
    now = BEGIN + 30 * HOUR + 20 * MINUTE
    running = conclude(sinter()[0], [a_part(0, 31, now=now)], now=now)
    last = {int(hours.start[-1]) for hours in running.hours.values()}
    assert last == {BEGIN + 29 * HOUR}


def test_a_folder_is_judged_as_of_the_instant_at_which_its_last_hour_has_ended() -> None:
    subject, _ = sinter()
    at = as_of(BEGIN + 90 * MINUTE, subject)
    assert at == BEGIN + 2 * HOUR + subject.ended_after_s * 1_000_000


def test_cuts_hold_every_hour_of_every_stack_once_and_no_more_than_a_month() -> None:
    site = a_site(*(a_stack(code=f"S{n:02d}") for n in range(60)))
    first = BEGIN + 20 * 24 * HOUR
    span = Span(first=first, end=first + 75 * 24 * HOUR, now=NOW)
    cuts = cuts_of(site, span)

    assert max(len(cut.stacks) for cut in cuts) == 25
    assert {len({month_of(at, site.zone) for at in hours(cut).tolist()}) for cut in cuts} == {1}
    for stack in site.stacks:
        ours = [hours(cut) for cut in cuts if stack.code in cut.stacks]
        np.testing.assert_array_equal(np.concatenate(ours), np.arange(span.first, span.end, HOUR))
    whole_months = {month_bounds(month_of(cut.first, site.zone), site.zone) for cut in cuts}
    assert len(whole_months) == 4


def hours(cut: Cut) -> Instants:
    found: Instants = np.arange(cut.first, cut.end, HOUR)
    return found
