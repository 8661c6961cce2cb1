"""What another judgement of the same history changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alerts.backtest.difference import difference
from alerts.backtest.results import Hours, JudgedAlert, MonthKey, Result, SeriesKey
from plant.months import Month, MonthVerdict
from plant.periods import HOUR
from plant.register import Site

SITES = {"works": Site(code="works", name="Works", region="north", timezone="UTC")}
SO2 = SeriesKey("works", "A", "old-pack", "so2")


def hours(*verdicts: str) -> Hours:
    n = len(verdicts)
    return Hours(
        start=np.arange(n, dtype=np.int64) * HOUR,
        verdict=np.array(verdicts, dtype=object),
        reason=np.array(["x"] * n, dtype=object),
        corrected=np.zeros(n),
        limit=np.full(n, 35.0),
    )


def alert(start: int, hours_long: int = 1, *, pack: str = "old-pack", severity: str = "warning") -> JudgedAlert:
    return JudgedAlert(
        alert_id=f"{pack}-{start}",
        rule="constant",
        severity=severity,
        site="works",
        stack="A",
        pollutant="so2",
        pack=pack,
        period_start=start * HOUR,
        period_end=(start + hours_long) * HOUR,
        ended_at=None,
        observed=1.0,
        limit=2.0,
        unit="h",
        clause="",
        evidence={},
    )


def result(*alerts: JudgedAlert, series: SeriesKey = SO2, verdicts: tuple[str, ...] = ("clear",)) -> Result:
    return Result(hours={series: hours(*verdicts)}, alerts={item.alert_id: item for item in alerts})


def a_month(verdict: MonthVerdict) -> Month:
    return Month(
        hours_within=1,
        hours_above=0,
        hours_undecided=0,
        hours_excluded={},
        hours_to_come=0,
        share=1.0,
        share_worst=1.0,
        required=0.95,
        budget=0,
        budget_now=0,
        verdict=verdict,
        final=True,
    )


def test_the_same_twice_differs_in_nothing() -> None:
    one = result(alert(3), alert(9))

    assert difference(one, one, SITES).is_none


def test_alerts_of_two_instruments_that_begin_together_are_two() -> None:
    main, backup = (
        replace(alert(3, long), alert_id=name, evidence={"instrument": name})
        for name, long in (("main", 2), ("back", 5))
    )
    both = result(main, backup)
    assert difference(both, both, SITES).is_none

    longer = result(replace(main, period_end=main.period_end + HOUR), backup)
    (moved,) = difference(both, longer, SITES).moved
    assert (moved.before.alert_id, moved.what) == ("main", ("period_end",))

    found = difference(both, result(backup), SITES)
    assert [item.alert_id for item in found.lost] == ["main"]


def test_an_alert_that_begins_with_an_old_one_is_that_though_an_earlier_old_one_meets_it() -> None:
    found = difference(result(alert(3, 5), alert(4, 2)), result(alert(4, 2)), SITES)

    assert [item.period_start // HOUR for item in found.lost] == [3]
    assert (found.gained, found.moved) == ((), ())


def test_an_alert_that_only_one_side_has_is_gained_or_lost() -> None:
    found = difference(result(alert(3), alert(9)), result(alert(9), alert(20)), SITES)

    assert [item.period_start // HOUR for item in found.gained] == [20]
    assert [item.period_start // HOUR for item in found.lost] == [3]
    assert found.moved == ()


def test_an_alert_whose_period_meets_the_old_one_has_moved() -> None:
    found = difference(result(alert(3, 5)), result(alert(6, 5)), SITES)

    assert (found.gained, found.lost) == ((), ())
    assert [item.what for item in found.moved] == [("period_start", "period_end")]


def test_two_alerts_that_meet_one_old_one_are_one_moved_and_one_gained() -> None:
    found = difference(result(alert(3, 8)), result(alert(4, 2), alert(8, 2)), SITES)

    assert [item.after.period_start // HOUR for item in found.moved] == [4]
    assert [item.period_start // HOUR for item in found.gained] == [8]


def test_another_severity_is_a_move() -> None:
    old = alert(3)

    (moved,) = difference(result(old), result(replace(old, severity="major")), SITES).moved

    assert moved.what == ("severity",)


def test_a_pack_in_anothers_place_is_compared_with_it() -> None:
    renamed = SO2._replace(pack="draft")
    before = result(alert(3), verdicts=("clear", "breached", "clear"))
    after = result(alert(3, pack="draft"), series=renamed, verdicts=("clear", "clear", "breached"))

    found = difference(before, after, SITES, instead={"draft": "old-pack"})

    assert (found.gained, found.lost, found.moved) == ((), (), ())
    (month,) = found.months
    assert month.series == SO2
    assert month.month == "1970-01"
    assert month.hours == {("breached", "clear"): 1, ("clear", "breached"): 1}


def test_a_series_that_is_new_shows_all_its_hours() -> None:
    found = difference(Result(), result(verdicts=("clear", "breached")), SITES)

    (month,) = found.months
    assert month.hours == {(None, "clear"): 1, (None, "breached"): 1}


def test_a_months_verdict_that_changes_is_shown_even_where_no_hours_did() -> None:
    before, after = result(), result()
    before.months[MonthKey(SO2, 0, 31 * 24 * HOUR)] = a_month(MonthVerdict.CLEAR)
    after.months[MonthKey(SO2, 0, 31 * 24 * HOUR)] = a_month(MonthVerdict.UNDECIDED)

    for one, other in ((before, after), (replace(before, hours={}), replace(after, hours={}))):
        (month,) = difference(one, other, SITES).months

        assert (month.before, month.after, dict(month.hours)) == ("clear", "undecided", {})
