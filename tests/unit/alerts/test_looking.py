"""When a running hour is looked at again: before the minute at which it can be lost, and not long before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.hours import JudgedHours, judge_rows
from alerts.looking import NEVER, NextLook, next_look
from alerts.subject import Subject
from history_builders import a_site, a_stack
from hour_builders import FIRST, as_rows, samples
from plant.periods import HOUR, MINUTE

TOP = 300.0  #: of the range of SO2; its limit is 35, at base oxygen


def an_hour(*levels: float, now: int | None = None) -> JudgedHours:
    """A minute of each of *levels*, at base oxygen."""
    rows = [row for minute, so2 in enumerate(levels) for row in samples(1, start=minute * 60, so2=so2, o2=16.0)]
    subject = Subject(site_id=1, stack_id=1, site=a_site(), stack=a_stack())
    clock = FIRST + len(levels) * MINUTE if now is None else now
    return judge_rows(subject, {"main": as_rows(rows)}, first=FIRST, n_hours=1, now=clock)


def look(judged: JudgedHours) -> NextLook:
    found = next_look(judged)
    assert found is not None
    return found


def is_lost(*levels: float) -> bool:
    return any(finding.series.rule == "irrecoverable_hour" for finding in an_hour(*levels).findings)


@pytest.mark.parametrize("before", [[20.0] * 5, [20.0] * 40, [34.0] * 30, [100.0] * 12, [0.0] * 45])
def test_an_hour_is_looked_at_again_when_it_can_be_lost(before: list[float]) -> None:
    again = look(an_hour(*before)).at
    minutes = (again - FIRST) // MINUTE - len(before)
    assert not is_lost(*before, *[TOP] * minutes), "not later than it can be lost"
    assert is_lost(*before, *[TOP] * (minutes + 6)), "and not long before"


def test_the_nearer_the_limit_the_sooner() -> None:
    looks = [look(an_hour(*[level] * 20)).at for level in (5.0, 30.0, 100.0)]
    assert looks == sorted(looks, reverse=True)
    assert len(set(looks)) == 3


@pytest.mark.parametrize(
    "hour",
    [
        pytest.param(an_hour(*[20.0] * 60, now=FIRST + 2 * HOUR), id="it has ended"),
        pytest.param(an_hour(*[200.0] * 40), id="it is lost"),
        pytest.param(an_hour(*[0.0] * 57), id="nothing can lose it any more"),
    ],
)
def test_behind_an_hour_that_is_settled_the_next_one_is_looked_at_when_it_can_be_lost(hour: JudgedHours) -> None:
    again = look(hour).at
    minutes = (again - FIRST - HOUR) // MINUTE
    assert not is_lost(*[TOP] * minutes)
    assert is_lost(*[TOP] * (minutes + 9))


def test_an_hour_that_its_newest_minute_loses_is_looked_at_with_the_next_one() -> None:
    lost = next(n for n in range(1, 60) if is_lost(*[200.0] * n))
    judged = an_hour(*[200.0] * (lost - 1))
    assert not judged.findings or not is_lost(*[200.0] * (lost - 1))
    assert look(judged).at == FIRST + (lost - 1) * MINUTE  # a row is a minute here: it is valid as it begins


def test_without_a_valid_minute_nothing_is_said() -> None:
    assert next_look(an_hour(now=FIRST)) is None


def test_an_hour_that_is_above_so_far_is_told_apart_until_it_is_lost() -> None:
    below, above = look(an_hour(*[34.0] * 20)), look(an_hour(*[20.0] * 10, *[60.0] * 10))
    assert below.above_at == NEVER
    assert above.above_at == above.at
    assert look(an_hour(*[200.0] * 40)).above_at == NEVER
    assert look(an_hour(*[60.0] * 60, now=FIRST + 2 * HOUR)).above_at == NEVER, "what has ended is settled, not lost"


@given(st.lists(st.floats(0.0, TOP), min_size=1, max_size=59))
def test_no_hour_is_lost_that_is_not_above_so_far(levels: list[float]) -> None:
    judged = an_hour(*levels)
    lost = {finding.series.pollutant for finding in judged.findings if finding.series.rule == "irrecoverable_hour"}
    for series in judged.series:
        if series.watched.pollutant in lost:
            assert series.verdicts.corrected[-1] > series.verdicts.limit
