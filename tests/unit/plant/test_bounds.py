"""Bounds of the running hour: they hold for every way the hour may end, and are reached."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hour_builders import FIRST, LONG_AFTER, a_stack
from plant.bounds import NEVER, Target, bound_every_minute, bound_hours, irrecoverable_since, target_of
from plant.envelopes import Envelope
from plant.hours import HourMeans, average_hours
from plant.packs import Confidence, UnsetFigure, pack
from plant.periods import MINUTE
from plant.readings import Rows, Values
from plant.verdicts import HourVerdicts, judge_hours, method_of

ULE: Final = pack("cn-steel-ule-2019")
SINTER: Final = target_of(ULE, "sinter_head", "so2", already_corrected=False)  # 35 at base 16
STOVE: Final = target_of(ULE, "hot_blast_stove", "so2", already_corrected=False)  # 50, no base
TO_200: Final = Envelope(low=0.0, high=200.0)
SINTER_GAS: Final = Envelope(low=0.0, high=200.0, o2=(14.0, 18.0))
NONE: Final = np.full(60, np.nan)


def an_hour(*parts: tuple[int, float]) -> npt.NDArray[np.float64]:
    """60 minutes: so many of each value, the rest NaN."""
    minutes = np.concatenate([np.full(n, value) for n, value in parts])
    return np.concatenate([minutes, np.full(60 - minutes.size, np.nan)])


def test_the_target_is_what_the_pack_says() -> None:
    assert (SINTER.limit.mg_m3, SINTER.base_o2_vol_pct, SINTER.ambient_vol_pct) == (35.0, 16.0, 20.9)
    assert (STOVE.limit.mg_m3, STOVE.base_o2_vol_pct) == (50.0, None)
    assert target_of(ULE, "sinter_head", "so2", already_corrected=True).base_o2_vol_pct is None


def test_a_limit_whose_number_is_not_established_is_no_target() -> None:
    with pytest.raises(UnsetFigure):
        target_of(pack("cn-gb16171-2024"), "coke_chimney", "so2", already_corrected=False)


def test_half_an_hour_at_40_ends_between_what_the_range_allows() -> None:
    bounds = bound_hours(an_hour((30, 40.0)), NONE, 30, STOVE, TO_200)
    assert float(bounds.low) == pytest.approx(30 * 40 / 60)
    assert float(bounds.high) == pytest.approx((30 * 40 + 30 * 200) / 60)
    assert bool(bounds.saveable)
    assert not bool(bounds.irrecoverable)
    assert float(bounds.keep_below) == pytest.approx(60.0)  # (60 x 50 - 30 x 40) / 30
    assert float(bounds.keep_below_surely) == pytest.approx(60.0)


def test_minutes_that_fail_bind_an_hour_above_its_limit_harder() -> None:
    bounds = bound_hours(an_hour((30, 60.0)), NONE, 30, STOVE, TO_200)
    assert float(bounds.keep_below) == pytest.approx(40.0)  # (60 x 50 - 30 x 60) / 30
    assert float(bounds.keep_below_surely) == pytest.approx(30.0)  # (45 x 50 - 30 x 60) / 15
    full = bound_hours(an_hour((45, 51.0)), NONE, 45, STOVE, TO_200)
    assert float(full.keep_below) == pytest.approx(47.0)
    assert np.isnan(full.keep_below_surely)  # all that come may fail, and then it stays at 51
    assert float(full.low) == pytest.approx(45 * 51 / 60)


def test_an_hour_is_irrecoverable_from_the_first_minute_at_which_nothing_can_save_it() -> None:
    """At 200 of a limit of 50 a quarter of an hour is allowed: 15 x 200 = 60 x 50."""
    minutes = an_hour((60, 200.0))
    assert not bool(bound_hours(minutes, NONE, 15, STOVE, TO_200).irrecoverable)
    assert bool(bound_hours(minutes, NONE, 16, STOVE, TO_200).irrecoverable)
    assert irrecoverable_since(minutes, NONE, 60, STOVE, TO_200) == 16
    assert irrecoverable_since(minutes, NONE, 16, STOVE, TO_200) == 16
    assert irrecoverable_since(minutes, NONE, 15, STOVE, TO_200) == NEVER
    assert irrecoverable_since(an_hour((60, 50.0)), NONE, 60, STOVE, TO_200) == NEVER


def test_what_no_longer_holds_is_not_called_irrecoverable() -> None:
    """A reading below the range, against the condition, brings the hour back."""
    minutes = an_hour((16, 200.0), (44, -5.0))
    assert irrecoverable_since(minutes, NONE, 16, STOVE, TO_200) == 16
    assert irrecoverable_since(minutes, NONE, 60, STOVE, TO_200) == NEVER


def test_oxygen_widens_the_bounds_of_an_outlet_with_a_base() -> None:
    """30 minutes of 28 at 16.5: the rest at best 0 at 14 %, at worst 200 at 18 %."""
    bounds = bound_hours(an_hour((30, 28.0)), an_hour((30, 16.5)), 30, SINTER, SINTER_GAS)
    assert float(bounds.low) == pytest.approx(14.0 * 5 / (21 - 15.25))
    assert float(bounds.high) == pytest.approx(114.0 * 5 / (21 - 17.25))
    assert float(bounds.keep_below) == pytest.approx((35 * 4.5 / 5 * 60 - 30 * 28) / 30)  # 35.0


def test_the_oxygen_of_now_is_that_of_the_last_valid_minute_unless_it_is_given() -> None:
    so2, o2 = an_hour((20, 28.0), (10, np.nan)), an_hour((19, 16.0), (1, 17.0), (10, np.nan))
    end = (19 * 16.0 + 17.0 + 30 * 17.0) / 50
    by_default = bound_hours(so2, o2, 30, SINTER, SINTER_GAS)
    assert float(by_default.keep_below) == pytest.approx((35 * (21 - end) / 5 * 50 - 20 * 28) / 30)
    given_it = bound_hours(so2, o2, 30, SINTER, SINTER_GAS, o2_now=17.0)
    assert float(given_it.keep_below) == float(by_default.keep_below)
    assert float(bound_hours(so2, o2, 30, SINTER, SINTER_GAS, o2_now=18.0).keep_below) < float(by_default.keep_below)


def test_before_its_first_valid_minute_an_hour_can_be_anything_in_the_envelope() -> None:
    bounds = bound_hours(NONE, NONE, 5, SINTER, SINTER_GAS)
    assert float(bounds.low) == pytest.approx(0.0, abs=1e-9)
    assert float(bounds.high) == pytest.approx(200 * 5 / 3)
    assert np.isnan(bounds.keep_below)  # nobody knows the oxygen
    assert float(bound_hours(NONE, NONE, 5, SINTER, SINTER_GAS, o2_now=16.0).keep_below) == pytest.approx(35.0)
    assert float(bound_hours(NONE, NONE, 5, STOVE, TO_200).keep_below) == pytest.approx(50.0)


@pytest.mark.parametrize(("passed", "decidable"), [(15, True), (16, False)], ids=["45_can_come", "44_can_come"])
def test_an_hour_with_too_few_minutes_left_to_be_valid_has_no_bounds(passed: int, decidable: bool) -> None:
    bounds = bound_hours(NONE, NONE, passed, STOVE, TO_200)
    assert bool(bounds.decidable) == decidable
    assert np.isnan(bounds.low) == np.isnan(bounds.high) == np.isnan(bounds.keep_below) == (not decidable)
    assert bool(bounds.saveable) == decidable
    assert not bool(bounds.irrecoverable)


def test_an_hour_that_cannot_be_valid_any_more_does_not_end_at_ambient_oxygen_either() -> None:
    air = replace(SINTER_GAS, o2=(14.0, 21.0))
    assert bool(bound_hours(NONE, NONE, 15, SINTER, air).may_end_at_ambient)
    assert not bool(bound_hours(NONE, NONE, 16, SINTER, air).may_end_at_ambient)


def test_a_concentration_that_the_analyser_cannot_show_is_not_advised() -> None:
    minutes = an_hour((46, 60.0))
    assert float(bound_hours(minutes, NONE, 46, STOVE, TO_200).keep_below) == pytest.approx(240 / 14)
    assert np.isnan(bound_hours(minutes, NONE, 46, STOVE, Envelope(low=20.0, high=200.0)).keep_below)


def test_an_hour_that_may_end_at_ambient_oxygen_is_not_called_irrecoverable() -> None:
    """It would be undecided, not breached, however bad its minutes were."""
    air = replace(SINTER_GAS, o2=(14.0, 21.0))
    so2, o2 = an_hour((45, 200.0)), an_hour((45, 20.88))
    bounds = bound_hours(so2, o2, 45, SINTER, air)
    assert (bool(bounds.saveable), bool(bounds.may_end_at_ambient), bool(bounds.irrecoverable)) == (False, True, False)
    assert float(bounds.high) == pytest.approx(200 * 5 / 0.1)
    closed = bound_hours(so2, o2, 45, SINTER, replace(air, o2=(14.0, 20.8)))
    assert (bool(closed.saveable), bool(closed.may_end_at_ambient), bool(closed.irrecoverable)) == (False, False, True)


@pytest.mark.parametrize(("o2", "decidable"), [(20.89, True), (20.9, False), (21.0, False), (22.0, False)])
def test_an_ended_hour_at_ambient_oxygen_is_not_decidable(o2: float, decidable: bool) -> None:
    bounds = bound_hours(an_hour((60, 30.0)), an_hour((60, o2)), 60, SINTER, SINTER_GAS)
    assert bool(bounds.decidable) == decidable
    assert bool(bounds.may_end_at_ambient) == (not decidable)


def test_enough_minutes_of_low_oxygen_bring_an_hour_back_below_ambient() -> None:
    so2, o2 = an_hour((45, 1.0)), an_hour((45, 21.0))
    bounds = bound_hours(so2, o2, 45, SINTER, SINTER_GAS)
    # One minute of 14 % does: mean oxygen 20.848; all fifteen bring it to 19.25.
    assert bool(bounds.decidable)
    assert float(bounds.low) == pytest.approx(0.75 * 5 / 1.75)
    assert not bool(bound_hours(so2, o2, 45, SINTER, replace(SINTER_GAS, o2=(20.89, 20.89))).decidable)


def test_one_minute_of_low_oxygen_can_be_enough() -> None:
    bounds = bound_hours(an_hour((59, 200.0)), an_hour((59, 20.95)), 59, SINTER, SINTER_GAS)
    assert bool(bounds.decidable)
    assert float(bounds.low) == pytest.approx(59 * 200 / 60 * 5 / (21 - (59 * 20.95 + 14) / 60))


def test_an_hour_at_ambient_now_may_stay_so_if_the_minutes_to_come_fail() -> None:
    """All fifteen of 18 % or less would bring it below, but none of them need be valid."""
    bounds = bound_hours(an_hour((45, 200.0)), an_hour((45, 21.0)), 45, SINTER, SINTER_GAS)
    assert (bool(bounds.saveable), bool(bounds.may_end_at_ambient), bool(bounds.irrecoverable)) == (False, True, False)
    assert np.isnan(bounds.keep_below_surely)


@pytest.mark.parametrize(("seen", "low", "high"), [(300.0, 250.0, 300.0), (-6.0, -6.0, 1700 / 60)])
def test_minutes_seen_beyond_the_range_count_as_they_are(seen: float, low: float, high: float) -> None:
    """Then it is worst, or best, that none of the minutes to come is valid."""
    bounds = bound_hours(an_hour((50, seen)), NONE, 50, STOVE, TO_200)
    assert [float(bounds.low), float(bounds.high)] == pytest.approx([low, high])


def test_the_worst_hour_may_be_the_one_that_just_stays_below_ambient() -> None:
    """Over the range before, each minute of 200 lowers the mean; five of 22 % bring the oxygen to ambient."""
    air = replace(SINTER_GAS, o2=(14.0, 22.0))
    bounds = bound_hours(an_hour((45, 300.0)), an_hour((45, 20.8)), 45, SINTER, air)
    assert float(bounds.high) == pytest.approx((45 * 300 + 5 * 200) / 50 * 5 / 0.1)


def test_float_noise_never_puts_the_final_mean_outside_its_bounds() -> None:
    """Hours that end with the lowest, or the highest, that may come."""
    rng = np.random.default_rng(3)
    so2 = np.round(rng.uniform(20.0, 90.0, (300, 60)), 2)
    so2[:150, 40:], so2[150:, 40:] = 0.3, 199.9
    every = bound_every_minute(so2, so2, STOVE, Envelope(low=0.3, high=199.9))
    assert (every.low <= every.low[:, 60:]).all()
    assert (every.high >= every.high[:, 60:]).all()


def test_an_hour_exactly_at_its_limit_is_within_it() -> None:
    for value, saveable in ((50.0, True), (50.0 + 4e-7, True), (50.0 + 1e-5, False)):
        bounds = bound_hours(an_hour((60, value)), NONE, 60, STOVE, TO_200)
        assert (bool(bounds.saveable), bool(bounds.irrecoverable)) == (saveable, not saveable)
        assert float(bounds.low) == float(bounds.high) == value


def test_an_hour_is_saved_by_the_rounding_that_judges_it() -> None:
    coarse = replace(STOVE, pack=replace(ULE, decimals=0))
    for value, saveable in ((50.4, True), (50.6, False)):
        assert bool(bound_hours(an_hour((60, value)), NONE, 60, coarse, TO_200).saveable) == saveable


def test_a_confidence_interval_that_is_taken_off_saves_an_hour() -> None:
    """20 % off what was measured (regulation 9): 62.4 counts as 49.92."""
    credit = Confidence(of="value", percent={"so2": 20.0}, clause="c", mark="m")
    credited = replace(STOVE, pack=replace(ULE, confidence=credit))
    for value, saveable in ((62.4, True), (62.6, False)):
        assert bool(bound_hours(an_hour((60, value)), NONE, 60, credited, TO_200).saveable) == saveable


def test_without_a_known_upper_end_only_the_lower_bound_is_finite() -> None:
    bounds = bound_hours(an_hour((30, 40.0)), NONE, 30, STOVE, Envelope(low=0.0, high=np.inf))
    assert float(bounds.low) == pytest.approx(20.0)
    assert float(bounds.high) == np.inf
    ended = bound_hours(an_hour((60, 40.0)), NONE, 60, STOVE, Envelope(low=0.0, high=np.inf))
    assert (float(ended.low), float(ended.high)) == (40.0, 40.0)
    silent = bound_every_minute(NONE, NONE, STOVE, Envelope(low=0.0, high=np.inf))
    assert np.isnan(silent.high).tolist() == [False] * 16 + [True] * 45


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 60"):
        bound_hours(NONE, NONE, 61, STOVE, TO_200)
    with pytest.raises(ValueError, match="needs the range of oxygen"):
        bound_hours(NONE, NONE, 0, SINTER, TO_200)
    with pytest.raises(ValueError, match="is ambient"):
        bound_hours(NONE, NONE, 0, SINTER, replace(SINTER_GAS, o2=(20.9, 21.0)))


def test_many_hours_at_once_are_each_as_alone() -> None:
    world = a_world(7, 200)
    passed = np.random.default_rng(7).integers(0, 61, 200)
    at_once = bound_hours(world.so2, world.o2, passed, SINTER, SINTER_GAS)
    every = bound_every_minute(world.so2, world.o2, SINTER, SINTER_GAS)
    for hour in range(0, 200, 17):
        alone = bound_hours(world.so2[hour], world.o2[hour], int(passed[hour]), SINTER, SINTER_GAS)
        for name in ("low", "high", "decidable", "saveable", "irrecoverable", "keep_below", "keep_below_surely"):
            value = getattr(alone, name)
            np.testing.assert_equal(value, getattr(at_once, name)[hour])
            np.testing.assert_equal(value, getattr(every, name)[hour, passed[hour]])


# Laws. The hours are judged by the code that judges real ones.


class World:
    """Random hours of a sinter head, averaged and judged from their rows; NaN minutes have no row."""

    def __init__(self, so2: Values, o2: Values, process: str = "sinter_head") -> None:
        n = so2.shape[0]
        rows = Rows(
            sampled_at=FIRST + np.arange(n * 60, dtype=np.int64) * MINUTE,
            interval_s=np.full(n * 60, 60, dtype=np.int64),
            not_running=np.zeros(n * 60, dtype=bool),
            values={"so2": so2.ravel(), "o2": o2.ravel()},
            flags={},
            row_flag=np.full(n * 60, ord("N"), dtype=np.uint8),
        )
        method = method_of(ULE, process, already_corrected=False)
        self.means: HourMeans = average_hours({"main": rows}, "so2", a_stack(process), method, first=FIRST, n_hours=n)
        now = max(LONG_AFTER, int(self.means.start[-1]) + LONG_AFTER - FIRST)
        self.verdicts: HourVerdicts = judge_hours(self.means, ULE, process, "so2", already_corrected=False, now=now)
        self.so2, self.o2 = self.means.minute_mean, self.means.minute_o2

    @property
    def breached(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.verdicts.verdict == "breached")

    @property
    def clear(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.verdicts.verdict == "clear")


def a_world(seed: int, n: int, o2_range: tuple[float, float] = (14.0, 18.0), process: str = "sinter_head") -> World:
    """*n* hours within an envelope of 0 to 200 and *o2_range*: quiet, peaking and extreme ones, with gaps."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(5.0, 70.0, (n, 1))
    so2 = np.clip(level + rng.normal(0.0, 8.0, (n, 60)), 0.0, 200.0)
    peaks = rng.random((n, 1)) < 0.4
    so2 = np.where(peaks & (np.arange(60) >= rng.integers(0, 60, (n, 1))), rng.choice([0.0, 200.0], (n, 1)), so2)
    o2 = rng.uniform(*o2_range, (n, 60))
    steady = rng.random((n, 1)) < 0.5
    o2 = np.where(steady, rng.choice(o2_range, (n, 1)), o2)
    gone = rng.random((n, 60)) < rng.choice([0.0, 0.05, 0.2, 0.3], (n, 1))
    return World(np.where(gone, np.nan, so2), np.where(gone, np.nan, o2), process)


@cache
def ten_thousand(o2_range: tuple[float, float], process: str = "sinter_head") -> tuple[World, Any]:
    world = a_world(20_261_121, 10_000, o2_range, process)
    target = SINTER if process == "sinter_head" else STOVE
    return world, bound_every_minute(world.so2, world.o2, target, replace(SINTER_GAS, o2=o2_range))


WORLDS: Final = pytest.mark.parametrize(
    ("o2_range", "process"),
    [
        pytest.param((14.0, 18.0), "sinter_head", id="oxygen_14_to_18"),
        pytest.param((17.0, 21.0), "sinter_head", id="oxygen_up_to_air"),
        pytest.param((14.0, 18.0), "hot_blast_stove", id="no_base"),
    ],
)


@WORLDS
def test_bounds_bracket_the_final_mean_of_ten_thousand_hours_after_every_minute(
    o2_range: tuple[float, float], process: str
) -> None:
    world, bounds = ten_thousand(o2_range, process)
    decided = world.breached | world.clear
    assert decided.sum() > 3_000
    final = world.verdicts.corrected[decided][:, None]
    assert bounds.decidable[decided].all()
    assert (bounds.low[decided] <= final).all()
    assert (bounds.high[decided] >= final).all()
    # And they close in: no minute within the conditions widens them.
    for side in (bounds.high[decided], -bounds.low[decided]):
        assert (np.diff(side, axis=1) <= 1e-9 * (1 + np.abs(side[:, 1:]))).all()
    assert (bounds.low[decided][:, 60] == final[:, 0]).all()
    assert (bounds.high[decided][:, 60] == final[:, 0]).all()


@WORLDS
def test_no_hour_of_ten_thousand_is_called_irrecoverable_that_does_not_breach(
    o2_range: tuple[float, float], process: str
) -> None:
    world, bounds = ten_thousand(o2_range, process)
    stays_valid = world.means.valid
    assert (bounds.irrecoverable & stays_valid[:, None]).sum() > 1_000
    assert not (bounds.irrecoverable & (stays_valid & ~world.breached)[:, None]).any()
    assert bounds.saveable[world.clear].all()
    # At its end an hour is irrecoverable exactly when it is breached, and saveable exactly when it is clear.
    assert (bounds.irrecoverable[:, 60] == world.breached).all()
    assert (bounds.saveable[:, 60] == world.clear).all()
    # Once nothing can save it, nothing does.
    lost = bounds.irrecoverable[stays_valid]
    assert (lost[:, 1:] >= lost[:, :-1]).all()


def test_the_earliest_irrecoverable_minute_is_the_first_of_those_that_follow() -> None:
    world, bounds = ten_thousand((14.0, 18.0))
    since = irrecoverable_since(world.so2[:500], world.o2[:500], 60, SINTER, SINTER_GAS)
    for hour in range(500):
        open_minutes = np.flatnonzero(~bounds.irrecoverable[hour])
        expected = open_minutes[-1] + 1 if open_minutes.size else 0
        assert since[hour] == (expected if expected <= 60 else NEVER)


@pytest.mark.parametrize("surely", [False, True], ids=["all_minutes_valid", "some_fail"])
@WORLDS
def test_ten_thousand_hours_that_keep_below_end_within_the_limit(
    o2_range: tuple[float, float], process: str, surely: bool
) -> None:
    """The minutes to come scatter, their mean is what was asked for; oxygen stays that of now."""
    world, _ = ten_thousand(o2_range, process)
    target = SINTER if process == "sinter_head" else STOVE
    rng = np.random.default_rng(5)
    passed = rng.integers(1, 60, 10_000)
    bounds = bound_hours(world.so2, world.o2, passed, target, replace(SINTER_GAS, o2=o2_range))
    keep = bounds.keep_below_surely if surely else bounds.keep_below
    asked = ~np.isnan(keep)
    assert asked.sum() > 3_000
    to_come = np.arange(60) >= passed[:, None]
    gone = np.zeros_like(to_come)
    if surely:  # drop as many of the minutes to come as the hour can spare, or fewer
        seen = (~np.isnan(world.so2) & ~to_come).sum(axis=1)
        spare = np.minimum(60 - passed, seen + 60 - passed - 45)
        dropped = np.where(rng.random(10_000) < 0.5, spare, rng.integers(0, 61, 10_000) % (np.maximum(spare, 0) + 1))
        gone = to_come & (np.arange(60) >= 60 - dropped[:, None])
    scatter = np.where(to_come & ~gone, rng.normal(0.0, 3.0, to_come.shape), 0.0)
    scatter -= np.where(to_come & ~gone, scatter.sum(axis=1, keepdims=True), 0.0) / np.maximum(
        (to_come & ~gone).sum(axis=1, keepdims=True), 1
    )
    last = np.where(~np.isnan(world.o2) & ~to_come, np.arange(60), 0).max(axis=1)
    now = world.o2[np.arange(10_000), last][:, None]
    so2 = np.where(to_come, keep[:, None] + scatter, world.so2)
    o2 = np.where(to_come, now, world.o2)
    kept = World(np.where(gone, np.nan, so2)[asked], np.where(gone, np.nan, o2)[asked], process)
    assert kept.means.valid.all()
    assert kept.clear.all()
    if not surely:  # a little more is too much
        more = World((so2 + np.where(to_come, 0.001, 0.0))[asked], o2[asked], process)
        assert more.breached.all()


def completions(
    count: int, mean: float, o2: float, to_come: int, target: Target, envelope: Envelope
) -> list[tuple[float, bool]]:
    """Every corner of what may come, by the formula written out: (corrected, whether it is decided)."""
    assert envelope.o2 is not None
    ends = []
    for more in range(to_come + 1):
        n = count + more
        if n < target.pack.averaging.min_valid_minutes:
            continue
        for c in (envelope.low, envelope.high):
            for oxygen in envelope.o2:
                final_o2 = (count * o2 + more * oxygen) / n
                assume(abs(final_o2 - 20.9) > 1e-9)  # there float noise may decide
                corrected = (count * mean + more * c) / n * (21 - 16) / (21 - final_o2) if final_o2 < 20.9 else np.nan
                ends.append((corrected, final_o2 < 20.9))
    return ends


@settings(deadline=None, max_examples=150)
@given(
    count=st.integers(0, 59),
    gap=st.integers(0, 30),
    mean=st.floats(-2.0, 300.0),
    o2=st.floats(10.0, 20.85),
    ranges=st.tuples(st.floats(-5.0, 10.0), st.floats(10.0, 300.0), st.floats(5.0, 15.0), st.floats(15.0, 20.8)),
)
def test_the_bounds_are_reached_by_some_completion(
    count: int, gap: int, mean: float, o2: float, ranges: tuple[float, float, float, float]
) -> None:
    """Below ambient oxygen they are exactly the least and the greatest of all corners."""
    passed = min(60, count + gap)
    low, high, o2_low, o2_high = ranges
    envelope = Envelope(low=low, high=high, o2=(o2_low, o2_high))
    bounds = bound_hours(an_hour((count, mean)), an_hour((count, o2)), passed, SINTER, envelope)
    ends = completions(count, mean, o2, 60 - passed, SINTER, envelope)
    assert bool(bounds.decidable) == bool(ends)
    if ends:
        values = [value for value, _ in ends]
        assert float(bounds.low) == pytest.approx(min(values), rel=1e-9, abs=1e-9)
        assert float(bounds.high) == pytest.approx(max(values), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=150)
@given(
    count=st.integers(1, 59),
    mean=st.floats(0.0, 300.0),
    o2=st.floats(18.0, 22.0),
    o2_high=st.floats(20.0, 21.5),
)
def test_near_ambient_oxygen_the_bounds_hold_for_every_decided_completion(
    count: int, mean: float, o2: float, o2_high: float
) -> None:
    envelope = Envelope(low=0.0, high=200.0, o2=(15.0, o2_high))
    bounds = bound_hours(an_hour((count, mean)), an_hour((count, o2)), count, SINTER, envelope)
    ends = completions(count, mean, o2, 60 - count, SINTER, envelope)
    decided = [value for value, is_decided in ends if is_decided]
    assert bool(bounds.decidable) == bool(decided)
    assert bool(bounds.may_end_at_ambient) or len(decided) == len(ends)
    if decided:
        assert float(bounds.low) == pytest.approx(min(decided), rel=1e-9, abs=1e-9)
        assert float(bounds.high) >= max(decided) * (1 - 1e-9)
        assert float(bounds.high) <= max(200.0, mean) * 5 / 0.1 * (1 + 1e-9)


@settings(deadline=None, max_examples=100)
@given(count=st.integers(1, 60), mean=st.floats(0.0, 300.0), wider=st.floats(0.0, 50.0))
def test_a_wider_envelope_never_narrows_the_bounds(count: int, mean: float, wider: float) -> None:
    minutes, o2 = an_hour((count, mean)), an_hour((count, 16.0))
    narrow = bound_hours(minutes, o2, count, SINTER, SINTER_GAS)
    wide = bound_hours(minutes, o2, count, SINTER, Envelope(low=-wider, high=200 + wider, o2=(14 - wider / 9, 18.0)))
    assert float(wide.low) <= float(narrow.low)
    assert float(wide.high) >= float(narrow.high)
    assert bool(wide.saveable) or not bool(narrow.saveable)
