"""Days above the limit of the day, where a pack has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from alerts.lives import fold
from alerts.rules import day_above_limit
from alerts.rules.finding import Series
from alerts.rules.rule import CLEAR, MAJOR, UNDECIDED, WARNING, Outcomes
from law_builders import NOVEMBER, a_verdict_history, verdict_hours
from plant.packs import Pack, Period, pack
from plant.packs.parsing import parse_pack
from plant.periods import HOUR, micros

NAME = "cn-gb28662-special"


def with_days(*, of: str = "hour", kind: str = "statutory", pollutant: str = "so2") -> Pack:
    """A pack of its own: 180 mg/m3 of SO2 in the hour as before, 100 in the day."""
    text = pack(NAME).text.replace('of = "hour"', f'of = "{of}"', 1).replace('kind = "statutory"', f'kind = "{kind}"')
    marker = "[outlet.sinter_head]"
    assert marker in text
    head, rest = text.split(marker, 1)
    body, *others = rest.split("\n[outlet.", 1)
    day = f'\n  [[outlet.sinter_head.also]]\n  period = "day"\n  limits = {{ {pollutant} = 100 }}\n  mark = "K-L"\n'
    return parse_pack(head + marker + body + day + "".join("\n[outlet." + other for other in others), "with days")


def judged(
    values: Sequence[float],
    *,
    under: Pack | None = None,
    letters: str = "",
    timezone: str = "Asia/Shanghai",
    start: int = NOVEMBER,
    n_running: int = 0,
) -> list[Outcomes]:
    rules = under or with_days()
    history = a_verdict_history(
        {(NAME, "so2"): verdict_hours(letters or "." * len(values), corrected=values)},
        packs=(rules,),
        timezone=timezone,
        n_running=n_running,
        start=start,
    )
    return list(day_above_limit.RULE.judge(history))


def test_a_day_above_is_found_with_its_last_hour() -> None:
    (found,) = judged([110.0] * 24 + [90.0] * 24)
    assert found.level.tolist() == [*[CLEAR] * 23, MAJOR, *[CLEAR] * 24]
    assert (found.observed[23], found.limit[23]) == (110.0, 100.0)
    told = found.evidence(23)
    assert (told["day"], told["valid_hours"], told["hours"]) == ("2026-11-01", 24, 24)
    assert told["clause"].endswith("limit of the day")


def test_a_day_at_its_limit_is_within() -> None:
    (found,) = judged([100.0] * 24)
    assert found.level.tolist() == [CLEAR] * 24


def test_a_day_with_too_few_valid_hours_is_undecided() -> None:
    (found,) = judged([150.0] * 24, letters="." * 19 + "u" * 5)
    assert found.level[23] == UNDECIDED
    (found,) = judged([150.0] * 24, letters="." * 20 + "uxux")
    assert found.level[23] == MAJOR
    assert found.evidence(23)["valid_hours"] == 20


def test_hours_above_count_like_the_others() -> None:
    (found,) = judged([400.0] * 6 + [10.0] * 18, letters="a" * 6 + "." * 18)
    assert found.observed[23] == pytest.approx((6 * 400 + 18 * 10) / 24)
    assert found.level[23] == MAJOR


def test_a_day_that_is_not_over_is_not_judged() -> None:
    (found,) = judged([150.0] * 40)
    assert found.level.tolist()[24:] == [CLEAR] * 16
    (found,) = judged([150.0] * 24, n_running=1)
    assert found.level[23] == UNDECIDED


def test_a_day_on_which_clocks_change_has_its_own_hours() -> None:
    start = micros(datetime(2026, 10, 25, tzinfo=ZoneInfo("Europe/Berlin")))
    (found,) = judged([150.0] * 25, timezone="Europe/Berlin", start=start)
    assert found.level.tolist() == [*[CLEAR] * 24, MAJOR]
    assert found.evidence(24)["hours"] == 25


def test_a_policy_binds_less_than_a_standard() -> None:
    (found,) = judged([150.0] * 24, under=with_days(kind="policy"))
    assert found.level[23] == WARNING


def test_packs_without_a_limit_of_the_day_or_with_days_of_something_shorter_say_nothing() -> None:
    assert not judged([1e6] * 24, under=pack(NAME))
    assert not judged([1e6] * 24, under=with_days(pollutant="pm"))
    days = with_days()
    assert days.day is not None
    assert not judged([1e6] * 24, under=replace(days, day=replace(days.day, of=Period.HALF_HOUR)))


def test_there_is_one_alert_for_each_day_above() -> None:
    (found,) = judged([150.0] * 72)
    start = micros(datetime(2026, 11, 1, tzinfo=ZoneInfo("Asia/Shanghai"))) + np.arange(72, dtype=np.int64) * HOUR
    series = Series(rule="day_above_limit", site="works", pack=NAME, stack="DA001", pollutant="so2")
    episodes = fold(series, day_above_limit.RULE, found, start, first=0, before=None, cuts=[]).episodes
    assert [episode.period_start for episode in episodes] == [start[23], start[47], start[71]]
    assert [episode.ended_at is None for episode in episodes] == [False, False, True]


def test_packs_say_that_their_days_are_judged() -> None:
    days = with_days()
    assert days.judged == (Period.HOUR, Period.DAY)
    assert not [item for item in days.skipped(days.outlet("sinter_head")) if item.period == "day"]
    others = with_days(pollutant="co")
    assert [item.pollutant for item in others.skipped(others.outlet("sinter_head")) if item.period == "day"] == ["co"]
    assert pack("eu-waste-incineration").judged == ()
