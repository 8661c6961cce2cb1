"""Which hours of a folder are judged, and what is shown of them."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.backtest.folder import FolderSource
from alerts.backtest.recorded import open_folder
from alerts.backtest.results import Result
from alerts.backtest.running import LEAD, TAIL, Asked, Span, cuts_of, judge_history
from folder_builders import registered, two_heads, write_rows
from plant.periods import HOUR, MINUTE, micros
from plant.register import Site

BEGIN = datetime(2026, 3, 1, 5, 30, tzinfo=UTC)  # half past one in the afternoon at the works
DAY = 24 * HOUR
DAYS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of a row each ten minutes; above the limit for the first three hours of the 40th day."""
    path = tmp_path_factory.mktemp("rows")
    so2 = [90.0 if 0 <= n - 39 * 144 < 18 else 12.0 + n % 7 for n in range(DAYS * 144)]
    write_rows(path, BEGIN, so2, step=timedelta(minutes=10))
    return path


def source(folder: Path, *, first: int | None = None, end: int | None = None, now: int | None = None) -> FolderSource:
    register = registered(two_heads("SILENT", interval_s=600))
    return FolderSource(open_folder(folder, register), Asked(first=first, end=end, now=now))


def above(result: Result) -> list[int]:
    return sorted(alert.period_start for alert in result.alerts.values() if alert.rule == "hour_above_limit")


def test_a_folder_is_judged_from_the_local_day_of_its_first_row_until_the_hour_of_its_last(folder: Path) -> None:
    (site,) = source(folder).sites.values()
    span = source(folder).span(site)

    assert span is not None
    assert span.first == micros(datetime(2026, 2, 28, 16, tzinfo=UTC))  # midnight at the works
    last = micros(BEGIN + timedelta(days=DAYS)) - 10 * MINUTE
    assert span.end - HOUR <= span.now
    assert last < span.now <= span.end


def test_what_is_asked_for_is_judged_with_what_lies_before_it(folder: Path) -> None:
    first = micros(BEGIN) + 50 * DAY
    (site,) = source(folder).sites.values()

    span = source(folder, first=first, end=first + DAY).span(site)

    assert span is not None
    assert first - LEAD - DAY < span.first <= first - LEAD


def test_it_is_judged_with_what_lies_behind_it_until_its_month_has_ended_and_its_alerts_with_it(folder: Path) -> None:
    end = micros(BEGIN) + 10 * DAY
    month_end = micros(datetime(2026, 3, 31, 16, tzinfo=UTC))
    (site,) = source(folder).sites.values()

    span = source(folder, end=end).span(site)

    assert span is not None
    assert month_end + TAIL <= span.now <= span.end <= month_end + TAIL + 2 * HOUR


def test_a_folder_whose_rows_end_before_what_is_asked_for_has_nothing_to_judge(folder: Path) -> None:
    asked = source(folder, first=micros(BEGIN) + 70 * DAY)
    (site,) = asked.sites.values()

    assert asked.span(site) is None
    assert judge_history(asked).alerts == {}


def test_an_alert_that_ends_behind_the_time_that_is_asked_for_is_shown_with_its_end(folder: Path) -> None:
    whole = judge_history(source(folder))
    hours = above(whole)
    assert len(hours) in (3, 4)

    asked = judge_history(source(folder, first=hours[-1], end=hours[-1] + HOUR))

    assert above(asked) == [hours[-1]]
    (alert_id,) = (key for key, alert in asked.alerts.items() if alert.rule == "hour_above_limit")
    assert asked.alerts[alert_id] == whole.alerts[alert_id]
    assert asked.alerts[alert_id].ended_at == hours[-1] + HOUR
    assert {int(start) for hours in asked.hours.values() for start in hours.start} == {above(asked)[0]}


def test_what_is_asked_for_has_the_alerts_of_the_whole_that_touch_it(folder: Path) -> None:
    first = micros(BEGIN) + 38 * DAY
    end = first + 3 * DAY
    whole, asked = judge_history(source(folder)), judge_history(source(folder, first=first, end=end))

    touching = {key for key, of in whole.alerts.items() if of.period_start < end and of.period_end > first}
    assert asked.alerts.keys() == touching != set()


def test_as_of_an_instant_later_hours_are_not_there_yet(folder: Path) -> None:
    hours = above(judge_history(source(folder)))
    then = hours[1] + HOUR + 30 * MINUTE  # the second has ended, the third runs

    found = judge_history(source(folder, now=then, end=then))

    assert above(found) == hours[:2]


def test_as_of_an_instant_later_rows_are_not_there_yet_and_nothing_is_judged_of_them(folder: Path) -> None:
    """Early rules look at an hour that still runs, and find in it what had come."""
    then = above(judge_history(source(folder)))[0] - HOUR
    then -= then % HOUR - 30 * MINUTE
    cut_off = source(folder, now=then)
    (site,) = cut_off.sites.values()
    span = cut_off.span(site)
    assert span is not None
    assert span.end <= then + HOUR
    subject = cut_off.asked.subject(site, site.stacks[0])
    (cut,) = [cut for cut in cuts_of(site, span) if cut.first <= then < cut.end]
    running = cut_off.judge(cut)[subject.stack.code]
    assert running.features.outlet["covered_s"][-1] == 1800.0


@pytest.mark.parametrize("years", [-1, 1])
def test_before_the_first_row_and_behind_the_last_there_is_nothing_to_judge(folder: Path, years: int) -> None:
    first = micros(BEGIN) + years * 365 * DAY
    asked = source(folder, first=first, end=first + DAY)
    (site,) = asked.sites.values()
    assert asked.span(site) is None
    assert source(folder, now=micros(BEGIN) - 365 * DAY).span(site) is None


def test_a_stack_that_never_sent_a_row_is_judged_and_has_nothing(folder: Path) -> None:
    result = judge_history(source(folder))
    assert {key.stack for key in result.hours} == {"A"}
    assert {alert.stack for alert in result.alerts.values()} == {"A"}


def test_read_by_the_week_and_stack_by_stack_it_comes_to_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that reach over the edge of a cut are read on both sides of it."""
    whole = judge_history(source(folder))

    def weeks(span: Span, site: Site) -> list[tuple[int, int]]:
        return [(at, min(span.end, at + 7 * DAY)) for at in range(span.first, span.end, 7 * DAY)]

    monkeypatch.setattr("alerts.backtest.running.STACKS_AT_ONCE", 1)
    monkeypatch.setattr("alerts.backtest.running.Span.months", weeks)
    in_parts = judge_history(source(folder))

    assert in_parts.alerts == whole.alerts != {}
    assert in_parts.months == whole.months != {}
    assert in_parts.rows == whole.rows == DAYS * 144


def test_a_source_can_be_sent_to_another_machine(folder: Path) -> None:
    here = source(folder)
    there: FolderSource = pickle.loads(pickle.dumps(here))
    assert judge_history(there).alerts == judge_history(here).alerts
