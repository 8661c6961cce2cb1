"""A logger's own means: the cause of a difference is found when the logger is built that way, and never made up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hour_builders import FIRST, ULE, Sample, a_stack, as_rows, judge
from plant.packs import pack
from plant.periods import HOUR, MINUTE, SECOND
from plant.reconciliation.computing import Computing, Question
from plant.reconciliation.naming import Line, digits_of, reconcile
from plant.reconciliation.ways import OURS, Cause, Scope, Way
from plant.register import Channel, Stack

BASE: Final = 16.0
HOURS: Final = 12
AVERAGING: Final = pack(ULE).averaging


@dataclass(frozen=True)
class Works:
    """Rows of a morning and how they are looked at."""

    rows: Sequence[Sample]
    stack: Stack = field(default_factory=a_stack)
    channel: str = "so2"
    base: float | None = None
    period_s: int = 3600
    n: int = HOURS

    @property
    def starts(self) -> list[int]:
        return [FIRST + i * self.period_s * SECOND for i in range(self.n)]

    def question(self, digits: int) -> Question:
        return Question(
            channel=self.channel,
            period_s=self.period_s,
            starts=np.array(self.starts, dtype=np.int64),
            base_o2=self.base,
            averaging=AVERAGING,
            digits=digits,
        )

    def scope(self) -> Scope:
        channel = self.stack.channel(self.channel)
        return Scope(
            period_s=self.period_s,
            interval_s=self.rows[0].interval_s if self.rows else 60,
            corrected=self.base is not None,
            wet=channel.wet,
            actual=channel.actual_state,
            ppm=channel.unit == "ppm",
            bases=(8.0, 18.0) if self.base is not None else (),
        )

    def beside(self, reported: Sequence[float | None], digits: int | None = None) -> list[Line]:
        asked = self.question(digits_of(reported) if digits is None else digits)
        return reconcile(as_rows(self.rows), self.stack, asked, self.scope(), reported)

    def of_period(self, i: int, *, shift_s: int = 0) -> list[Sample]:
        start = i * self.period_s + shift_s
        return [row for row in self.rows if start <= row.at < start + self.period_s]


def restless(
    seed: int, *, n_hours: int = HOURS, step: int = 60, margin_h: int = 1, drop: float = 0.0, flag: float = 0.0
) -> list[Sample]:
    """Rows that move enough for each way of averaging to give another value."""
    random = Random(seed)
    rows, so2, o2 = [], 30.0, 16.0
    for at in range(-margin_h * 3600, (n_hours + margin_h) * 3600, step):
        so2 = max(2.0, so2 + random.gauss(0.0, 4.0) * math.sqrt(step / 60))
        o2 = min(19.5, max(12.0, o2 + random.gauss(0.0, 0.5) * math.sqrt(step / 60)))
        if random.random() >= drop:
            letter = "M" if random.random() < flag else "N"
            rows.append(Sample(at, {"so2": so2, "o2": o2}, step, flag=letter))
    return rows


def values(rows: Sequence[Sample], name: str = "so2") -> list[float]:
    return [value for row in rows if (value := row.values[name]) is not None]


def mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def at_base(value: float, o2: float, base: float = BASE) -> float:
    return value * (21 - base) / (21 - o2)


def normal(rows: Sequence[Sample]) -> list[Sample]:
    return [row for row in rows if row.flag == "N"]


def hour_at_base(works: Works, i: int, base: float) -> float:
    rows = normal(works.of_period(i))
    return at_base(mean(values(rows)), mean(values(rows, "o2")), base)


def said(works: Works, logger: Callable[[Works, int], float], digits: int = 3) -> list[float]:
    return [round(logger(works, i), digits) for i in range(works.n)]


def test_our_way_gives_what_the_hours_give() -> None:
    works = Works(restless(1, drop=0.1, flag=0.1), base=BASE)
    hours = judge(works.rows, n_hours=HOURS, first=FIRST)
    lines = works.beside([0.0] * HOURS, digits=3)
    assert [line.ours for line in lines] == pytest.approx(list(hours.verdicts.corrected), rel=1e-12)
    measured = replace(works, base=None)
    # Without a base the oxygen decides nothing; here every row has one, so the minutes are the same.
    assert [line.ours for line in measured.beside([0.0] * HOURS, digits=3)] == pytest.approx(
        list(hours.means.mean), rel=1e-12
    )
    assert [line.valid_minutes for line in lines] == list(hours.means.valid_minutes)


def test_a_value_to_the_last_digit_is_equal_and_a_rounded_one_is_rounding() -> None:
    works = Works(restless(2))
    exact = [mean(values(works.of_period(i))) for i in range(HOURS)]
    assert {line.causes for line in works.beside(exact)} == {(Cause.EQUAL,)}
    assert {line.causes for line in works.beside([round(value, 2) for value in exact])} == {(Cause.ROUNDING,)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("cause", "logger", "base"),
    [
        (Cause.FLAG, lambda w, i: mean(values(w.of_period(i))), None),
        (
            Cause.AVERAGING_ORDER,
            lambda w, i: mean(
                [
                    at_base(v, o)
                    for v, o in zip(*(values(normal(w.of_period(i)), n) for n in ("so2", "o2")), strict=True)
                ]
            ),
            BASE,
        ),
        (
            Cause.CORRECTION,
            lambda w, i: at_base(
                mean(values(normal(w.of_period(i)))), mean(values(normal(w.of_period(i)), "o2")), 18.0
            ),
            BASE,
        ),
        (Cause.CORRECTION, lambda w, i: mean(values(normal(w.of_period(i)))), BASE),
        (Cause.CLOCK, lambda w, i: mean(values(normal(w.of_period(i, shift_s=-420)))), None),
        (Cause.CLOCK, lambda w, i: mean(values(normal(w.of_period(i, shift_s=60)))), None),
        (Cause.ROUNDING, lambda w, i: math.floor(mean(values(normal(w.of_period(i)))) * 1000) / 1000, None),
        (
            Cause.ROUNDING,
            lambda w, i: mean([math.floor(v * 1000 + 0.5) / 1000 for v in values(normal(w.of_period(i)))]),
            None,
        ),
    ],
    ids=["flag", "order", "base", "uncorrected", "clock-7min", "clock+1min", "truncated", "minutes-rounded"],
)
def test_the_cause_of_a_logger_that_is_built_that_way_is_found(
    seed: int, cause: Cause, logger: Callable[[Works, int], float], base: float | None
) -> None:
    works = Works(restless(100 + seed, flag=0.05), base=base)
    lines = works.beside(said(works, logger))
    assert all(line.explained for line in lines)
    # What our way gives too, to the digits reported, is rounding; at least one hour tells the two apart.
    told_apart = [line for line in lines if line.explanations[0].way is not OURS]
    assert {line.causes for line in told_apart} <= {(cause,)}
    assert told_apart or cause is Cause.ROUNDING


@pytest.mark.parametrize("seed", range(4))
def test_gaps_that_a_logger_fills_with_the_last_value_are_missing_rows(seed: int) -> None:
    works = Works(restless(200 + seed, drop=0.1))
    by_minute = {row.at: row for row in works.rows}

    def logger(w: Works, i: int) -> float:
        filled, last = [], 0.0
        for at in range(-3600, (i + 1) * 3600, 60):
            last = values([by_minute[at]])[0] if at in by_minute else last
            filled.append(last)
        return mean(filled[-60:])

    lines = works.beside(said(works, logger))
    assert {line.causes for line in lines if line.explanations[0].way is not OURS} == {(Cause.MISSING_ROWS,)}
    assert all(line.explained for line in lines)


@pytest.mark.parametrize("seed", range(4))
def test_a_mean_over_rows_is_told_from_a_mean_of_minutes(seed: int) -> None:
    works = Works(restless(300 + seed, step=10, drop=0.1))
    lines = works.beside(said(works, lambda w, i: mean(values(w.of_period(i)))))
    assert {line.causes for line in lines if line.explanations[0].way is not OURS} == {(Cause.MINUTES_VS_ROWS,)}
    assert all(line.explained for line in lines)


@pytest.mark.parametrize("seed", range(4))
def test_rows_stamped_at_their_end_are_the_clock(seed: int) -> None:
    works = Works(restless(400 + seed, step=10))

    def logger(w: Works, i: int) -> float:
        return mean(values(w.of_period(i, shift_s=-10)))

    lines = works.beside(said(works, logger))
    ways = {line.explanations[0].way for line in lines if line.explanations[0].way is not OURS}
    assert ways == {Way(shift_s=-10)}


@pytest.mark.parametrize("seed", range(4))
def test_a_logger_that_reports_ppm_left_the_conversion_out(seed: int) -> None:
    stack = a_stack(so2=Channel(unit="ppm"))
    works = Works(restless(500 + seed), stack=stack)
    lines = works.beside(said(works, lambda w, i: mean(values(w.of_period(i)))))
    assert {line.causes for line in lines} == {(Cause.CONVERSION,)}
    assert lines[0].explanations[0].way == Way(units="as_sent")
    assert lines[0].explanations[0].periods == HOURS


@pytest.mark.parametrize("seed", range(4))
def test_wet_values_are_a_conversion_that_was_left_out(seed: int) -> None:
    stack = a_stack(so2=Channel(wet=True))
    rows = [replace(row, values={**row.values, "moisture": 8.0}) for row in restless(600 + seed)]
    works = Works(rows, stack=stack)
    lines = works.beside(said(works, lambda w, i: mean(values(w.of_period(i)))))
    assert lines[0].explanations[0].way == Way(units="wet")


@pytest.mark.parametrize("seed", range(4))
def test_a_source_that_stood_still_counts_for_a_logger_that_does_not_know(seed: int) -> None:
    rows = [replace(row, state="stopped") if row.at % 3600 < 600 else row for row in restless(700 + seed)]
    works = Works(rows)
    lines = works.beside(said(works, lambda w, i: mean(values(w.of_period(i)))))
    assert {line.causes for line in lines} == {(Cause.STATE,)}


@pytest.mark.parametrize("seed", range(4))
def test_two_causes_at_once_are_found_together(seed: int) -> None:
    works = Works(restless(800 + seed, flag=0.1), base=BASE)

    def logger(w: Works, i: int) -> float:
        rows = w.of_period(i)
        return mean([at_base(v, o) for v, o in zip(values(rows), values(rows, "o2"), strict=True)])

    lines = works.beside(said(works, logger))
    assert {frozenset(line.causes) for line in lines} == {frozenset({Cause.FLAG, Cause.AVERAGING_ORDER})}


@pytest.mark.parametrize("seed", range(2))
def test_a_day_over_all_its_minutes_is_another_order_than_over_its_hours(seed: int) -> None:
    works = Works(restless(900 + seed, n_hours=48, drop=0.1), period_s=86_400, n=2)
    lines = works.beside(said(works, lambda w, i: mean(values(w.of_period(i)))))
    # Its rows are minutes: a mean of rows is the same, and stands beside it.
    assert {line.causes for line in lines} == {(Cause.MINUTES_VS_ROWS, Cause.AVERAGING_ORDER)}
    ours = works.beside([round(line.ours or 0.0, 3) for line in lines])
    assert {line.causes for line in ours} == {(Cause.ROUNDING,)}


def test_minutes_of_a_logger_with_a_late_clock_are_found() -> None:
    works = Works(restless(42), period_s=60, n=120)
    reported = [round(values(works.of_period(i, shift_s=120))[0], 2) for i in range(works.n)]
    lines = works.beside(reported)
    assert {line.explanations[0].way for line in lines if line.explanations[0].way is not OURS} == {Way(shift_s=120)}


def test_a_period_of_which_nothing_is_here_has_missing_rows() -> None:
    works = Works([row for row in restless(5) if not 2 * 3600 - 3600 <= row.at < 4 * 3600])
    reported = [30.123 if i == 2 else None for i in range(HOURS)]
    line = works.beside(reported)[2]
    assert (line.ours, line.causes) == (None, (Cause.MISSING_ROWS,))


def test_a_period_without_a_report_has_no_cause_and_no_difference() -> None:
    line = Works(restless(6)).beside([None] * HOURS)[0]
    assert (line.reported, line.difference, line.explanations) == (None, None, ())


def test_values_of_nowhere_stay_unexplained() -> None:
    random = Random(7)
    works = Works(restless(7, flag=0.1), base=BASE)
    reported = [round(500 + 100 * random.random(), 3) for _ in range(HOURS)]
    assert not any(line.explained for line in works.beside(reported))


def test_one_hour_is_not_enough_to_blame_the_clock() -> None:
    works = Works(restless(8))
    shifted = round(mean(values(works.of_period(3, shift_s=600))), 3)
    reported = [shifted if i == 3 else None for i in range(HOURS)]
    assert Cause.CLOCK not in works.beside(reported)[3].causes


def test_no_period_gives_no_line() -> None:
    assert replace(Works(restless(9)), n=0).beside([]) == []


def test_the_digits_are_the_most_that_any_value_shows() -> None:
    assert digits_of([12.0, 12.5, None]) == 1
    assert digits_of([100.0, 1e3]) == 0
    assert digits_of([0.123456789]) == 6
    assert digits_of([]) == 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), digits=st.integers(0, 3), noise=st.floats(-3, 3))
def test_what_explains_a_line_reproduces_its_digits(seed: int, digits: int, noise: float) -> None:
    works = Works(restless(seed, n_hours=4, flag=0.1, drop=0.05), base=BASE, n=4)
    reported = [round(30 + noise * i, digits) for i in range(4)]
    asked = works.question(digits)
    computing = Computing(as_rows(works.rows), works.stack, asked)
    for i, line in enumerate(works.beside(reported, digits)):
        for found in line.explanations:
            value = computing.mean(found.way)[i]
            assert abs(value - reported[i]) <= (1.0 if found.way.digits == "truncated" else 0.5) * 10**-digits + 1e-6


def test_rows_of_several_minutes_cover_each_of_them() -> None:
    rows = [Sample(at, {"so2": float(at % 7 + 1)}, 300) for at in range(-3600, HOURS * 3600 + 3600, 300)]
    works = Works(rows)
    lines = works.beside(said(works, lambda w, i: mean(values(w.of_period(i)))))
    assert {line.causes for line in lines} <= {(Cause.EQUAL,), (Cause.ROUNDING,)}
    assert lines[0].valid_minutes == (HOUR // MINUTE)
