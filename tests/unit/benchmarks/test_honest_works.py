"""What stands beside the rows of a works at which nothing is wrong."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from alerts.backtest.judging import REACH_H, Beside, Part, judge_part
from alerts.rules.bypass_open import ZERO
from alerts.rules.reported_hour_differs import DIFFERS_BY
from alerts.subject import Subject
from benchmarks.honest import TO_STOP, beside_of
from edge.simulator.activity import Effect
from plant.periods import HOUR
from simulated_histories import BEGIN, simulated_rows

DAYS = 3
STOP = Effect(unit="S1", mode="stop", since_ms=BEGIN // 1_000, until_ms=BEGIN // 1_000 + 3_600_000)


@lru_cache(maxsize=2)
def works(code: str) -> tuple[Subject, Part, Beside]:
    site, rows = simulated_rows("clean-month", days=DAYS, stack=code)
    (stack,) = (stack for stack in site.stacks if stack.code == code)
    subject = Subject(site_id=1, stack_id=1, site=site, stack=stack)
    n_hours = DAYS * 24
    whole = judge_part(subject, {"main": rows}, first=BEGIN, n_hours=n_hours, now=BEGIN + (n_hours + 1) * HOUR)
    return subject, whole, beside_of(subject, whole, [STOP])


def test_what_is_said_by_the_hour_begins_with_the_silence_of_a_history() -> None:
    _, whole, beside = works("COKE")
    for values in [*beside.reported.values(), *beside.signals.values()]:
        assert values.size == REACH_H + whole.n_hours
        assert np.isnan(values[:REACH_H]).all()


def test_a_logger_reports_what_nearly_is_ours() -> None:
    subject, whole, beside = works("COKE")
    pack = subject.packs[0].name
    for pollutant in ("so2", "nox"):
        hours = whole.verdicts[pack, pollutant]
        for figure, ours in (("avg", hours.mean), ("corrected_avg", hours.corrected)):
            theirs = beside.reported["logger", pollutant, figure][REACH_H:]
            assert not np.isnan(theirs).any()
            assert np.nanmax(np.abs(theirs / ours - 1)) < DIFFERS_BY
            assert (theirs != ours).mean() > 0.5, "it is no copy"


def test_what_is_measured_raw_is_not_reported() -> None:
    assert works("SINTER")[2].reported == {}


def test_a_closed_damper_plays_about_its_zero() -> None:
    mean = works("COKE")[2].signals["", "bypass_open_pct", "mean"][REACH_H:]
    assert np.std(mean) > 0.1
    assert mean.max() < ZERO


def test_a_planned_stop_is_ordered_with_time_to_reach_it() -> None:
    (order,) = works("SINTER")[2].orders
    assert (order.kind, order.start, order.end) == ("suspend", BEGIN, BEGIN + HOUR)
    assert order.detail["safe_state_by"] == BEGIN + TO_STOP
    assert order.detail["units"] == [{"unit": "S1", "mode": "stop", "value": None}]


@pytest.mark.parametrize("kind", ["comparison", "parameter"])
def test_work_is_on_record(kind: str) -> None:
    _, whole, beside = works("COKE")
    (change,) = beside.changes
    (at,) = beside.records[kind]
    assert at > whole.first
    assert kind != "parameter" or 0 < at - change.start <= HOUR
