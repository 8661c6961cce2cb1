"""What to write of a newly judged thing beside what stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from plant.months import JudgedHour, judge_month
from plant.packs import pack
from plant.periods import micros
from plant.verdicts import Verdict
from store.judging import HourMean, HourVerdict, MonthRow, Step, month_row, revise
from store.migrate import migrations

START: Final = datetime(2026, 11, 10, tzinfo=UTC)
MEAN: Final = HourMean(
    pollutant="so2",
    start=START,
    averaging="cover=0.75",
    instrument="main",
    rows=60,
    valid=True,
    valid_minutes=60,
    not_running_minutes=0,
    over_range_minutes=0,
    claimed_minutes=0,
    zero_minutes=0,
    mean=30.0,
    o2=16.0,
    mass_kg=None,
    rows_hash=b"a",
    final=True,
)
VERDICT: Final = HourVerdict(
    pollutant="so2",
    start=START,
    pack="cn-steel-ule-2019",
    pack_version="1+0",
    averaging="cover=0.75",
    mean_revision=1,
    month=date(2026, 11, 1),
    corrected=30.0,
    corrected_from_minutes=30.0,
    method_sensitive=False,
    limit_value=35.0,
    verdict="clear",
    reason="within",
    claimed=False,
    final=True,
)


def a_month(*, within: int = 100, final: bool = False, as_of: datetime = START) -> MonthRow:
    rule = pack("cn-steel-ule-2019").month
    assert rule is not None
    month = judge_month(
        {JudgedHour(Verdict.CLEAR, "within", claimed=False): within},
        rule,
        hours_ended=within,
        hours_to_come=0 if final else 720 - within,
        has_ended=final,
    )
    return month_row(
        month, pollutant="so2", first_day=date(2026, 11, 1), pack="p", pack_version="1", as_of=micros(as_of)
    )


def test_the_first_is_revision_one() -> None:
    assert revise(None, MEAN) == Step(1, in_place=False, changed=True)


def test_the_same_again_changes_nothing() -> None:
    assert revise((MEAN, 3), replace(MEAN)) == Step(3, in_place=True, changed=False)
    assert revise((VERDICT, 3), replace(VERDICT)) == Step(3, in_place=True, changed=False)


def test_a_provisional_one_is_replaced_in_place() -> None:
    running = replace(MEAN, final=False, rows=30)
    assert revise((running, 1), MEAN) == Step(1, in_place=True, changed=True)
    assert revise((running, 1), replace(running, rows=31)) == Step(1, in_place=True, changed=True)


def test_a_final_one_is_superseded_and_stays() -> None:
    assert revise((MEAN, 1), replace(MEAN, rows_hash=b"b")) == Step(2, in_place=False, changed=True)
    assert revise((VERDICT, 4), replace(VERDICT, verdict="breached")) == Step(5, in_place=False, changed=True)


def test_a_final_hour_is_not_lost_when_a_clock_that_went_back_calls_it_running() -> None:
    assert revise((MEAN, 1), replace(MEAN, final=False)) == Step(2, in_place=False, changed=True)


def test_the_clock_alone_moves_a_running_month_in_place_and_leaves_an_ended_one() -> None:
    later = START.replace(hour=5)
    assert revise((a_month(), 1), a_month(as_of=later)) == Step(1, in_place=True, changed=True)
    assert not revise((a_month(final=True), 1), a_month(final=True, as_of=later)).changed
    assert revise((a_month(final=True), 1), a_month(final=True, within=101, as_of=later)) == Step(
        2, in_place=False, changed=True
    )


def test_keys_tell_series_apart() -> None:
    assert MEAN.key == ("so2", START, "cover=0.75")
    assert VERDICT.key == ("so2", START, "cn-steel-ule-2019")
    assert a_month().key == ("so2", date(2026, 11, 1), "p")


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=12))
def test_revisions_only_rise_and_no_final_one_is_overwritten(steps: list[tuple[int, bool]]) -> None:
    written: dict[int, HourMean] = {}
    standing: tuple[HourMean, int] | None = None
    for rows, final in steps:
        new = replace(MEAN, rows=rows, final=final)
        step = revise(standing, new)
        if step.changed:
            assert step.revision not in written or not written[step.revision].final
            assert step.revision >= max(written, default=0)
            written[step.revision] = new
            standing = (new, step.revision)
        assert standing is not None
        assert standing[0] == new
    assert sorted(written) == list(range(1, len(written) + 1))


def test_migrations_are_numbered_without_a_gap_and_each_says_what_it_is_for() -> None:
    found = migrations()
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert {migration.condition for migration in found} == {None, "timescale", "timescale-community"}
    assert all(migration.sql.startswith("--") for migration in found)
