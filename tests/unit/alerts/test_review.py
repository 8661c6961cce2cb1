"""All rules on the hours of a stack: what becomes of their outcomes, and that parts give what the whole gives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.lives import Episode
from alerts.review import Checkpoint, Reviewed, review
from alerts.rules.history import History, Span
from alerts.rules.rule import UNDECIDED, Life, Outcomes, Rule
from plant.packs import all_packs
from plant.periods import HOUR, micros
from plant.register import Site, Stack

PACK: Final = "cn-steel-ule-2019"
MIDNIGHT: Final = micros(datetime(2026, 11, 9, 16, tzinfo=UTC))  # of 10 November in China
FIRST_DAY: Final = date(2026, 11, 10)


def a_history(
    n_hours: int,
    *,
    start: int = MIDNIGHT,
    n_ended: int | None = None,
    stopped_s: Sequence[float] | None = None,
    marks: tuple[Span, ...] = (),
    packs: tuple[str, ...] = (PACK,),
    timezone: str = "Asia/Shanghai",
) -> History:
    stack = Stack(code="DA001", name="Sinter head", process="sinter_head", packs=packs, interval_s=60)
    site = Site(code="works", name="A works", region="hebei", timezone=timezone, stacks=(stack,))
    begins = start + np.arange(n_hours, dtype=np.int64) * HOUR
    return History(
        site=site,
        stack=stack,
        packs=tuple(all_packs()[name] for name in packs),
        now=start + n_hours * HOUR,
        start=begins,
        ended=np.arange(n_hours) < (n_hours if n_ended is None else n_ended),
        outlet={
            "rows": np.full(n_hours, 60.0),
            "stopped_s": np.zeros(n_hours) if stopped_s is None else np.array(stopped_s, float),
        },
        channels={},
        verdicts={},
        marks=marks,
    )


def a_rule(
    levels: Sequence[int] | None,
    name: str = "constant",
    *,
    pack: str | None = None,
    instrument: str | None = None,
    early: bool = False,
    life: Life = Life(),  # noqa: B008 - frozen
) -> Rule:
    """A rule that says *levels* of the hours of 10 November on, whatever part of them it is given; None: nothing."""

    def judge(history: History) -> Iterable[Outcomes]:
        if levels is None:
            return
        places = (history.start - MIDNIGHT) // HOUR
        said = np.array([levels[place] if 0 <= place < len(levels) else UNDECIDED for place in places], np.int8)
        numbers = np.where(said > 0, said.astype(float) * 10, np.nan)
        yield Outcomes(
            level=said,
            observed=numbers,
            limit=np.full(history.n_hours, 5.0),
            evidence=lambda place: {"value": np.float64(numbers[place])},
            pollutant="so2",
            pack=pack,
            instrument=instrument,
        )

    return Rule(name=name, judge=judge, unit="h", clause="[D]", reach_h=0, early=early, life=life)


def stored(checkpoint: Checkpoint) -> Checkpoint:
    text: Checkpoint = json.loads(json.dumps(dict(checkpoint), allow_nan=False))
    return text


def test_an_episode_is_an_alert_with_the_numbers_of_its_rule() -> None:
    reviewed = review(a_history(24), rules=[a_rule([0, 2, 3, 0], pack=PACK)])
    (only,) = reviewed.episodes
    assert (only.series.rule, only.series.stack, only.series.pollutant, only.series.pack) == (
        "constant",
        "DA001",
        "so2",
        PACK,
    )
    assert (only.severity, only.observed, only.limit, only.unit, only.clause) == ("major", 20.0, 5.0, "h", "[D]")
    assert only.ended_at == MIDNIGHT + 3 * HOUR
    assert only.evidence["value"] == 20.0


def test_the_running_hour_is_heard_only_from_a_rule_that_speaks_early() -> None:
    rules = [a_rule([0, 2], "constant"), a_rule([0, 2], "data_missing", early=True)]
    reviewed = review(a_history(2, n_ended=1), rules=rules)
    assert [each.series.rule for each in reviewed.episodes] == ["data_missing"]


def test_each_ended_day_leaves_what_goes_on_and_nothing_where_nothing_does() -> None:
    levels = [0] * 20 + [2] * 10 + [0] * 40
    reviewed = review(a_history(60), rules=[a_rule(levels)])
    assert {day: list(states) for day, states in reviewed.checkpoints.items()} == {
        FIRST_DAY: ["constant//so2/"],
        FIRST_DAY + timedelta(days=1): [],
    }


def test_days_are_cut_where_the_site_cuts_them_also_when_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = micros(datetime(2026, 10, 24, tzinfo=zone))
    history = a_history(24 + 25 + 24, start=start, timezone="Europe/Berlin")
    reviewed = review(history, rules=[])
    assert list(reviewed.checkpoints) == [date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 26)]
    assert not review(a_history(24 + 24, start=start, timezone="Europe/Berlin"), rules=[]).checkpoints.keys() & {
        date(2026, 10, 25)
    }


def test_two_outcomes_of_one_series_are_a_mistake_of_the_rule() -> None:
    twice = a_rule([2])
    rule = Rule(
        name="constant",
        judge=lambda history: [*twice.judge(history), *twice.judge(history)],
        unit="h",
        clause="[D]",
        reach_h=0,
    )
    with pytest.raises(ValueError, match="two things"):
        review(a_history(1), rules=[rule])


def test_a_series_of_which_nothing_is_said_any_more_stands_still() -> None:
    before = review(a_history(24), rules=[a_rule([2] * 24)])
    after = review(a_history(24, start=MIDNIGHT + 24 * HOUR), before.checkpoints[FIRST_DAY], rules=[a_rule(None)])
    assert after.episodes == before.episodes
    assert after.checkpoints[FIRST_DAY + timedelta(days=1)] == before.checkpoints[FIRST_DAY]


def test_an_instrument_may_be_called_anything() -> None:
    before = review(a_history(24), rules=[a_rule([2] * 24, instrument="duct/2")])
    next_day = a_history(24, start=MIDNIGHT + 24 * HOUR)
    after = review(next_day, stored(before.checkpoints[FIRST_DAY]), rules=[a_rule([0] * 48, instrument="duct/2")])
    assert [(each.series.instrument, each.ended_at) for each in after.episodes] == [
        ("duct/2", MIDNIGHT + 24 * HOUR),
    ]


@pytest.mark.parametrize(
    ("rules", "packs"),
    [([], (PACK,)), ([a_rule(None, pack=PACK)], ("cn-gb28662-special",))],
    ids=["no rule", "no pack"],
)
def test_a_series_whose_rule_or_pack_is_gone_ends_where_it_is_gone(rules: list[Rule], packs: tuple[str, ...]) -> None:
    before = review(a_history(24), rules=[a_rule([2] * 24, pack=PACK)])
    next_day = a_history(24, start=MIDNIGHT + 24 * HOUR, packs=packs)
    after = review(next_day, before.checkpoints[FIRST_DAY], rules=rules)
    assert [each.ended_at for each in after.episodes] == [MIDNIGHT + 24 * HOUR]
    assert after.checkpoints[FIRST_DAY + timedelta(days=1)] == {}


def test_what_was_pending_or_open_before_is_known_by_its_id() -> None:
    held = Life(hold_h=30)
    before = review(a_history(24), rules=[a_rule([2] * 24), a_rule([0] * 20 + [2] * 4, "step", life=held)])
    next_day = a_history(24, start=MIDNIGHT + 24 * HOUR)
    after = review(next_day, before.checkpoints[FIRST_DAY], rules=[a_rule([0] * 48), a_rule([0] * 48, "step")])
    assert len(after.open_before) == 2
    assert {each.alert_id for each in after.episodes} < after.open_before


LEVELS = st.lists(st.tuples(st.sampled_from([UNDECIDED, 0, 2, 3]), st.integers(1, 30)), min_size=1, max_size=10).map(
    lambda runs: [level for level, n in runs for _ in range(n)]
)


@settings(deadline=None)
@given(
    LEVELS,
    LEVELS,
    st.builds(Life, hold_h=st.integers(1, 4), keep_h=st.integers(1, 3), escalate_after_h=st.integers(1, 9)),
    st.data(),
)
def test_reviewing_again_from_any_local_day_gives_the_same_alerts(
    levels: list[int], others: list[int], life: Life, data: st.DataObject
) -> None:
    rules = [a_rule(levels, life=life), a_rule(others, "step", pack=PACK)]
    n_hours = max(len(levels), len(others))
    whole = review(a_history(n_hours), rules=rules)
    day = data.draw(st.integers(0, (n_hours - 1) // 24))
    before = stored(whole.checkpoints[FIRST_DAY + timedelta(days=day - 1)]) if day else None
    # With hours before the first to be folded, as a live stage loads them, and without.
    reach = data.draw(st.integers(0, day)) * 24
    part = a_history(n_hours - day * 24 + reach, start=MIDNIGHT + (day * 24 - reach) * HOUR)
    again = review(part, before, first=reach, rules=rules)
    assert list(again.episodes) == [each for each in whole.episodes if is_news(each, again, day)]
    assert {day: stored(state) for day, state in again.checkpoints.items()} == {
        later: stored(state) for later, state in whole.checkpoints.items() if later >= FIRST_DAY + timedelta(days=day)
    }


def is_news(episode: Episode, reviewed: Reviewed, day: int) -> bool:
    return episode.period_start >= MIDNIGHT + day * 24 * HOUR or episode.alert_id in reviewed.open_before


def test_a_source_stands_still_by_its_rows_or_an_accepted_mark_of_the_newest_hour() -> None:
    hour = Span(start=MIDNIGHT + HOUR, end=MIDNIGHT + 2 * HOUR, kind="stopped", status="accepted")
    claimed = Span(start=MIDNIGHT + HOUR, end=None, kind="stopped", status="pending")
    assert review(a_history(2, stopped_s=[0, 2700]), rules=[]).stopped
    assert not review(a_history(2, stopped_s=[3600, 0]), rules=[]).stopped
    assert not review(a_history(2, stopped_s=[0, 3600], n_ended=1), rules=[]).stopped
    assert review(a_history(2, marks=(hour,)), rules=[]).stopped
    assert not review(a_history(2, marks=(claimed,)), rules=[]).stopped
    assert not review(a_history(0), rules=[]).stopped


def test_a_year_of_a_stack_folds_in_a_fraction_of_a_second() -> None:
    rng = np.random.default_rng(7)
    rare = rng.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 2], 8760).tolist()
    rules = [a_rule([0] * 8760, f"r{n}") for n in range(100)] + [a_rule(rare, f"s{n}") for n in range(4)]
    history = a_history(8760)
    judged = {rule.name: list(rule.judge(history)) for rule in rules}
    fixed = [
        Rule(name=rule.name, judge=lambda _, of=rule.name: judged[of], unit="", clause="", reach_h=0)  # type: ignore[misc]
        for rule in rules
    ]
    before = time.process_time()
    reviewed = review(history, rules=fixed, keep_checkpoints=False)
    took = time.process_time() - before
    assert len(reviewed.episodes) > 2000
    assert took < 2.0, "an order of magnitude above what it takes"
