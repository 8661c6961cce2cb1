"""What accepting marks changes is the difference of two judgements of the same rows."""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.hours import judge_rows
from alerts.marks.effect import Judged, hours_that_differ, months_of_both
from alerts.subject import Subject
from plant.hours import Claim
from plant.months import JudgedHour
from plant.periods import HOUR, MINUTE, month_bounds
from plant.readings import Rows
from plant.register import Site, Stack
from plant.verdicts import Verdict

STACK: Final = Stack(
    code="DA001", name="head", process="sinter_head", packs=("cn-steel-ule-2019", "cn-gb28662-special"), interval_s=60
)
SITE: Final = Site(code="works", name="works", region="hebei", timezone="Asia/Shanghai", stacks=(STACK,))
SUBJECT: Final = Subject(site_id=1, stack_id=1, site=SITE, stack=STACK)
PACK: Final = "cn-steel-ule-2019"
NOVEMBER: Final = date(2026, 11, 1)
FIRST: Final = month_bounds(NOVEMBER, SITE.zone)[0]
CLEAR: Final = JudgedHour(Verdict.CLEAR, "within", claimed=False)


def rows_of(so2: list[float]) -> dict[str, Rows]:
    """An hour of one value each."""
    values = np.repeat(np.array(so2), 60)
    n = values.size
    return {
        "main": Rows(
            sampled_at=FIRST + np.arange(n, dtype=np.int64) * MINUTE,
            interval_s=np.full(n, 60, dtype=np.int64),
            not_running=np.zeros(n, dtype=bool),
            values={"so2": values, "o2": np.full(n, 16.0)},
            flags={},
            row_flag=np.full(n, ord("N"), dtype=np.uint8),
        )
    }


def both(so2: list[float], marks: list[Claim], *, now: int, others: tuple[Claim, ...] = ()) -> Judged:
    rows = rows_of(so2)
    return Judged(
        judge_rows(SUBJECT, rows, first=FIRST, n_hours=len(so2), marks=others, now=now),
        judge_rows(SUBJECT, rows, first=FIRST, n_hours=len(so2), marks=[*others, *marks], now=now),
    )


def test_a_mark_over_an_hour_above_gives_its_share_and_its_budget_back() -> None:
    now = FIRST + 100 * HOUR
    judged = both([20.0, 90.0, 20.0], [Claim(FIRST + HOUR, FIRST + 2 * HOUR)], now=now)
    differing = [hour for hour in hours_that_differ([judged]) if (hour.pack, hour.pollutant) == (PACK, "so2")]
    assert [(hour.start, hour.not_accepted.verdict, hour.accepted.reason) for hour in differing] == [
        (FIRST + HOUR, Verdict.BREACHED, "not_running")
    ]
    outside = {(NOVEMBER, PACK, "so2"): {CLEAR: 17}}
    found = months_of_both(SUBJECT, outside, [judged], now=now)
    assert {month.pack for month in found} == {PACK}  # the standard has no monthly share
    so2 = next(month for month in found if month.pollutant == "so2")
    assert (so2.not_accepted.share, so2.accepted.share) == (19 / 20, 1.0)
    assert (so2.not_accepted.hours_above, so2.accepted.hours_above) == (1, 0)
    assert so2.accepted.budget_left - so2.not_accepted.budget_left == 1
    assert so2.accepted.hours_excluded == {"not_running": 1}


def test_what_another_accepted_mark_covers_already_changes_nothing() -> None:
    mark = Claim(FIRST + HOUR, FIRST + 2 * HOUR)
    judged = both([20.0, 90.0], [mark], now=FIRST + 100 * HOUR, others=(mark,))
    assert hours_that_differ([judged]) == []
    assert all(
        month.accepted == month.not_accepted for month in months_of_both(SUBJECT, {}, [judged], now=FIRST + 100 * HOUR)
    )


def test_hours_that_have_not_ended_count_on_neither_side() -> None:
    judged = both([20.0, 90.0], [Claim(FIRST + HOUR, FIRST + 2 * HOUR)], now=FIRST + HOUR + MINUTE)
    assert hours_that_differ([judged]) == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([10.0, 34.0, 36.0, 80.0]), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 480), st.integers(1, 200)), min_size=1, max_size=3),
)
def test_accepting_moves_hours_out_and_never_adds_one_above(so2: list[float], spans: list[tuple[int, int]]) -> None:
    now = FIRST + 200 * HOUR
    marks = [Claim(FIRST + start * MINUTE, FIRST + (start + length) * MINUTE) for start, length in spans]
    for month in months_of_both(SUBJECT, {}, [both(so2, marks, now=now)], now=now):
        before, after = month.not_accepted, month.accepted
        assert after.hours_above <= before.hours_above
        assert after.hours_valid <= before.hours_valid
        assert after.hours_valid + after.hours_undecided + sum(
            after.hours_excluded.values()
        ) == before.hours_valid + before.hours_undecided + sum(before.hours_excluded.values())
