"""Features of hours: by hand, against a plain reckoning row by row, and the same whether alone or in a run of hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hour_builders import FIRST, Sample, a_stack, as_rows, samples
from plant.features import CHANNEL, HEAVY, LIGHT, OUTLET, Features, hour_features, names_of
from plant.minute_features import BLOCKS, SETTLE_MIN
from plant.periods import HOUR
from plant.readings import Values
from plant.register import Channel, Stack

STACK = a_stack(so2=Channel(range=(0.0, 100.0)))


def features(
    rows: Sequence[Sample] | Mapping[str, Sequence[Sample]], n_hours: int = 1, *, first: int = FIRST
) -> Features:
    by_instrument = rows if isinstance(rows, Mapping) else {"main": rows}
    sent = {name: as_rows(of) for name, of in by_instrument.items()}
    return hour_features(sent, STACK, first=first, n_hours=n_hours)


def one_hour(rows: Sequence[Sample], channel: str = "so2") -> dict[str, float]:
    return {name: float(values[0]) for name, values in features(rows).channels["main", channel].items()}


def series(values: Sequence[float | None], **rest: object) -> list[Sample]:
    """A row a minute with these values of SO2."""
    return [
        row
        for i, value in enumerate(values)
        for row in samples(1, start=60 * i, so2=value, **rest)  # type: ignore[arg-type]
    ]


def test_a_channel_that_rules_look_at_closely_has_all_features_and_another_a_few() -> None:
    of = features(samples(60, so2=20.0, temperature=130.0)).channels
    assert set(of["main", "so2"]) == set(CHANNEL)
    assert set(of["main", "temperature"]) == set(LIGHT) < set(CHANNEL)
    assert names_of("so2") == CHANNEL
    assert names_of("temperature") == LIGHT
    assert {"so2", "nox", "no", "no2", "co", "nh3", "pm", "o2"} == HEAVY


def test_what_was_never_sent_has_no_features() -> None:
    of = features(samples(60, so2=20.0, nox=None))
    assert set(of.channels) == {("main", "so2")}
    assert set(of.outlet) == set(OUTLET)


def test_levels_are_weighted_by_the_seconds_that_rows_stand_for() -> None:
    found = one_hour([*samples(1, so2=10.0, interval_s=600), *samples(1, start=600, so2=40.0, interval_s=1200)])
    assert found["seen_s"] == 1800.0
    assert found["mean"] == 30.0
    assert found["std"] == pytest.approx(14.1421356)
    assert (found["low"], found["high"], found["first"], found["last"]) == (10.0, 40.0, 10.0, 40.0)


def test_equal_values_average_to_themselves() -> None:
    found = one_hour(samples(60, so2=61.2))
    assert found["mean"] == 61.2
    assert found["std"] == 0.0


def test_a_number_that_nothing_measures_is_no_value() -> None:
    found = one_hour(series([20.0, 1e300, -1e300, float("inf"), float("nan"), 22.0]))
    assert (found["seen_s"], found["low"], found["high"], found["mean"]) == (120.0, 20.0, 22.0, 21.0)


def test_a_row_stands_no_longer_than_to_the_next_one_or_to_the_hours_end() -> None:
    overlapping = [*samples(1, so2=1.0, interval_s=300), *samples(1, start=60, so2=2.0, interval_s=60)]
    assert one_hour(overlapping)["seen_s"] == 120.0
    assert one_hour(samples(1, start=3540, so2=1.0, interval_s=300))["seen_s"] == 60.0


def test_runs_of_one_value_are_measured_at_both_ends_and_at_their_longest() -> None:
    found = one_hour(series([5.0] * 4 + [6.0] * 9 + [5.0, 6.0, 7.0, 7.0, 7.0]))
    assert (found["lead_s"], found["still_s"], found["tail_s"]) == (240.0, 540.0, 180.0)
    assert found["grain"] == 1.0


def test_an_hour_of_one_value_is_one_run() -> None:
    found = one_hour(series([5.0] * 60))
    assert found["lead_s"] == found["still_s"] == found["tail_s"] == found["seen_s"] == 3600.0
    assert np.isnan(found["grain"])


def test_a_flagged_row_does_not_break_a_run_and_adds_nothing_to_it() -> None:
    rows = series([5.0] * 20)
    rows[7] = Sample(7 * 60, {"so2": 0.0}, flag="C")
    assert one_hour(rows)["still_s"] == 19 * 60.0


def test_seconds_outside_the_registered_range_are_counted_from_two_percent_below() -> None:
    found = one_hour(series([-2.0] * 3 + [-2.1] * 4 + [100.0] * 5 + [100.1] * 6))
    assert (found["below_s"], found["over_s"]) == (240.0, 360.0)


def test_without_a_registered_range_nothing_is_outside() -> None:
    found = one_hour([Sample(0, {"nox": -50.0}), Sample(60, {"nox": 9000.0})], "nox")
    assert (found["below_s"], found["over_s"]) == (0.0, 0.0)


def test_seconds_are_counted_by_flag_whatever_the_value() -> None:
    letters = "N" * 10 + "C" * 3 + "T" * 5 + "M" + "F" + "S" + "D" + "B"
    rows = [Sample(60 * i, {"so2": None if f in "FB" else 7.0}, flag=f) for i, f in enumerate(letters)]
    found = one_hour(rows)
    assert (found["c_s"], found["t_s"], found["other_s"]) == (180.0, 300.0, 300.0)
    assert found["seen_s"] == 900.0


def test_values_under_a_claim_are_kept_apart_from_the_others() -> None:
    values = {10: 90.0, 11: 70.0, 12: 75.0, 13: 1.0, 14: 80.0, 15: 0.0}
    flags = {**dict.fromkeys(range(10, 15), "M"), 15: "C"}
    rows = [Sample(60 * i, {"so2": values.get(i, 20.0)}, flag=flags.get(i, "N")) for i in range(60)]
    found = one_hour(rows)
    assert (found["claim_q25"], found["claim_high"]) == (70.0, 90.0)
    assert (found["low"], found["high"]) == (20.0, 20.0)
    assert found["quiet_s"] == 3600 - 16 * 60


def test_seconds_at_the_highest_value_tell_a_value_that_is_cut_off() -> None:
    assert one_hour(series([19.0, 20.0, 20.0, 18.0, 20.0]))["top_s"] == 180.0
    assert one_hour(series([19.0, 20.0, 21.0, 18.0, 20.0]))["top_s"] == 60.0


def test_an_own_flag_of_a_channel_counts_for_it_alone() -> None:
    rows = [Sample(60 * i, {"so2": 20.0, "nox": 30.0}, flags={"so2": "D"} if i < 9 else {}) for i in range(60)]
    of = features(rows).channels
    assert of["main", "so2"]["other_s"][0] == 540.0
    assert of["main", "nox"]["other_s"][0] == 0.0


def test_a_channel_without_values_is_told_of_by_its_own_flag_and_not_by_that_of_the_row() -> None:
    rows = [Sample(60 * i, {"so2": None}, flags={"so2": "D"}) for i in range(60)]
    later = [Sample(3600 + 60 * i, {"so2": None}, flag="D") for i in range(60)]
    of = features([*rows, *later, *samples(60, start=7200, so2=20.0)], 3).channels["main", "so2"]
    np.testing.assert_array_equal(of["other_s"], [3600.0, np.nan, 0.0])
    np.testing.assert_array_equal(of["seen_s"], [0.0, np.nan, 3600.0])


def test_a_step_is_the_largest_change_of_neighbouring_minutes_with_its_levels() -> None:
    found = one_hour(series([20.0, 21.0] * 10 + [40.0, 41.0] * 20))
    assert (found["step"], found["step_minute"]) == (19.0, 20.0)
    assert found["step_before"] == pytest.approx(20.6)
    assert found["step_after"] == pytest.approx(40.4)
    assert (found["minute_first"], found["minute_last"]) == (20.0, 41.0)


def test_the_levels_beside_a_step_are_not_known_at_the_turn_of_an_hour() -> None:
    early, late = one_hour(series([20.0] * 3 + [40.0] * 57)), one_hour(series([20.0] * 57 + [40.0] * 3))
    assert np.isnan([early["step_before"], late["step_after"]]).all()
    assert (early["step_after"], late["step_before"]) == (40.0, 20.0)
    assert one_hour(series([20.0] * 4 + [40.0] * 56))["step_before"] == 20.0


def test_minutes_of_several_rows_are_averaged_before_they_are_compared() -> None:
    rows = [Sample(10 * i, {"so2": 20.0 + i % 2 + (10.0 if i >= 180 else 0.0)}, 10) for i in range(360)]
    found = one_hour(rows)
    assert (found["step"], found["step_minute"]) == (10.0, 30.0)
    assert found["minute_first"] == 20.5


def test_minutes_that_are_not_neighbours_make_no_step() -> None:
    rows = [*samples(10, so2=20.0), *samples(10, start=660, so2=50.0)]
    assert one_hour(rows)["step"] == 0.0


def test_the_line_recovers_from_a_calibration_before_steps_are_looked_for() -> None:
    values = [20.0] * 20 + [0.0] * 5 + [90.0] * SETTLE_MIN + [30.0] * 10
    rows = [Sample(60 * i, {"so2": v}, flag="C" if 20 <= i < 25 else "N") for i, v in enumerate(values)]
    assert one_hour(rows)["step"] == 0.0


def test_rows_further_apart_than_a_minute_make_no_step() -> None:
    assert np.isnan(one_hour(samples(12, step=300, so2=20.0))["step"])


def test_the_same_values_give_the_same_digest_at_another_instrument_whose_clock_is_seconds_off() -> None:
    rng = np.random.default_rng(7)
    values = np.round(rng.normal(20, 1, 60), 1).tolist()
    copied = [Sample(60 * i + 7, {"so2": value}) for i, value in enumerate(values)]
    other = [Sample(60 * i, {"so2": value + (0.1 if i == 33 else 0.0)}) for i, value in enumerate(values)]
    of = features({"main": series(values), "copy": copied, "other": other}).channels
    for block in range(BLOCKS):
        mine, theirs, others = (of[name, "so2"][f"block{block}"][0] for name in ("main", "copy", "other"))
        assert mine == theirs
        assert bool(mine == others) is (block != 3)
        assert mine == np.floor(mine) < 2**52


def test_values_that_hardly_move_have_no_digest() -> None:
    coarse = [20.0 + 0.1 * (i % 3) for i in range(60)]
    fine = [20.0 + 0.1 * (i % 4) for i in range(60)]
    assert np.isnan(one_hour(series(coarse))["block0"])
    assert not np.isnan(one_hour(series(fine))["block0"])
    assert np.isnan(one_hour(samples(12, step=300, so2=1.0))["block0"])


def test_an_hour_without_rows_is_one_gap_and_nothing_else() -> None:
    of = features([*samples(60, so2=20.0), *samples(60, start=7200, so2=20.0)], 3)
    assert of.outlet["rows"].tolist() == [60.0, 0.0, 60.0]
    assert of.outlet["gap_s"].tolist() == [0.0, 3600.0, 0.0]
    assert of.outlet["lead_gap_s"].tolist() == of.outlet["tail_gap_s"].tolist() == [0.0, 3600.0, 0.0]
    assert np.isnan(of.channels["main", "so2"]["seen_s"]).tolist() == [False, True, False]


def test_gaps_are_found_at_the_start_in_the_middle_and_at_the_end() -> None:
    rows = [*samples(10, start=300, so2=1.0), *samples(20, start=2100, so2=1.0)]
    outlet = {name: float(values[0]) for name, values in features(rows).outlet.items()}
    assert outlet == {
        "rows": 30.0,
        "covered_s": 1800.0,
        "stopped_s": 0.0,
        "gap_s": 1200.0,
        "lead_gap_s": 300.0,
        "tail_gap_s": 300.0,
    }


def test_instruments_cover_for_one_another() -> None:
    of = features({"main": samples(30, so2=1.0), "backup": samples(35, start=1500, so2=1.0)})
    assert of.outlet["gap_s"][0] == 0.0
    assert of.outlet["covered_s"][0] == 3600.0
    assert of.outlet["rows"][0] == 65.0


def test_a_row_that_reaches_into_the_next_hour_covers_it_and_is_counted_once() -> None:
    of = features(samples(1, start=1800, so2=20.0, interval_s=3600), 2)
    assert of.outlet["covered_s"].tolist() == [1800.0, 1800.0]
    assert of.outlet["rows"].tolist() == [1.0, 0.0]
    before = features(samples(1, start=-1800, so2=20.0, interval_s=3600))
    assert (before.outlet["covered_s"][0], before.outlet["rows"][0]) == (1800.0, 0.0)


def test_seconds_that_rows_call_not_running_are_counted() -> None:
    rows = [*samples(20, so2=1.0), *samples(40, start=1200, so2=1.0, state="stopped")]
    assert features(rows).outlet["stopped_s"][0] == 2400.0


# One value in ten is missing, one row in ten flagged; equal values and overlapping rows are common.
_ROW = st.tuples(
    st.integers(1, 900),
    st.sampled_from([1, 10, 60, 60, 60, 300, 3600]),
    st.sampled_from([None, -9.0, 0.0, *[20.0, 20.1, 20.2, 21.0] * 2, 140.0]),
    st.sampled_from("NNNNNNNNNNNNNNNNCMDT"),
    st.sampled_from([None, None, None, "stopped"]),
    st.sampled_from([{}, {}, {}, {"so2": "D"}, {"so2": "N"}]),
)


@st.composite
def sent(draw: st.DrawFn) -> list[Sample]:
    rows, at = [], draw(st.integers(-3600, 5000))
    for apart, interval_s, value, flag, state, flags in draw(st.lists(_ROW, min_size=1, max_size=60)):
        rows.append(Sample(at, {"so2": value, "temperature": value}, interval_s, flag, flags, state))
        at += apart
    return rows


@settings(max_examples=150, deadline=None)
@given(sent())
def test_features_are_those_of_a_plain_reckoning(rows: list[Sample]) -> None:
    of = features(rows, 4)
    for hour in range(4):
        there_are = [row for row in rows if hour * 3600 <= row.at < (hour + 1) * 3600]
        for channel in ("so2", "temperature"):
            expected = _plain(there_are, hour * 3600, channel)
            there = of.channels.get(("main", channel))
            for name, value in expected.items():
                if name in names_of(channel):
                    found = np.nan if there is None else there[name][hour]
                    np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-9, err_msg=f"{name} of hour {hour}")


@settings(max_examples=60, deadline=None)
@given(sent(), st.integers(1, 3))
def test_an_hour_alone_is_the_hour_in_a_run(rows: list[Sample], cut: int) -> None:
    whole = features(rows, 4)
    parts = [features(rows, cut), features(rows, 4 - cut, first=FIRST + cut * HOUR)]
    for key, there in whole.channels.items():
        for name, values in there.items():
            pieces = [_of(part, key, name, n) for part, n in zip(parts, (cut, 4 - cut), strict=True)]
            np.testing.assert_array_equal(np.concatenate(pieces), values)
    for name, values in whole.outlet.items():
        np.testing.assert_array_equal(np.concatenate([part.outlet[name] for part in parts]), values)


def test_many_rows_are_reckoned_in_pieces_that_do_not_show() -> None:
    rng = np.random.default_rng(3)
    rows = [Sample(10 * i, {"so2": float(v)}, 10) for i, v in enumerate(np.round(rng.normal(20, 1, 70_000), 1))]
    rows = [row for i, row in enumerate(rows) if i % 997]
    n_hours = 70_000 // 360
    whole = features(rows, n_hours).channels["main", "so2"]
    for hour in (0, 100, 181, 182, 183, n_hours - 1):
        alone = features(rows, 1, first=FIRST + hour * HOUR).channels["main", "so2"]
        for name in CHANNEL:
            np.testing.assert_array_equal(whole[name][hour], alone[name][0])


def _of(part: Features, key: tuple[str, str], name: str, n_hours: int) -> Values:
    there = part.channels.get(key)
    return np.full(n_hours, np.nan) if there is None else there[name]


def _plain(rows: Sequence[Sample], start: int, channel: str) -> dict[str, float]:
    """The features of one hour without reductions; none of those of steps and digests."""
    shown = [
        (row.values[channel], row.flags.get(channel, row.flag), _seconds(rows, i, start)) for i, row in enumerate(rows)
    ]
    usual = [(float(value), s) for value, flag, s in shown if value is not None and flag in "NT"]
    if all(row.values[channel] is None and row.flags.get(channel, row.flag) == row.flag for row in rows):
        return dict.fromkeys(CHANNEL, np.nan)
    out = {"seen_s": sum(s for _, s in usual)}
    for name, letters in (("c_s", "C"), ("t_s", "T"), ("other_s", "FMSDB")):
        out[name] = sum(s for _, flag, s in shown if flag in letters)
    out["below_s"] = sum(s for value, s in usual if value < -2.0)
    out["over_s"] = sum(s for value, s in usual if value > 100.0)
    claims = [value for value, flag, _ in shown if flag in "FMSDB" and value is not None]
    out["claim_high"] = max(claims) if claims else np.nan
    out["claim_q25"] = sorted(claims)[(len(claims) - 1) // 4] if claims else np.nan
    if not usual:
        return out | dict.fromkeys(("mean", "std", "low", "high", "first", "last", "still_s", "grain", "top_s"), np.nan)
    values, weights = np.array([v for v, _ in usual]), np.array([s for _, s in usual])
    mean = float(np.average(values, weights=weights))
    runs = [0.0]
    for i, (value, s) in enumerate(usual):
        runs = [*runs, s] if i and value != usual[i - 1][0] else [*runs[:-1], runs[-1] + s]
    moves = [abs(b - a) for (a, _), (b, _) in pairwise(usual) if a != b]
    return out | {
        "mean": mean,
        "std": float(np.sqrt(np.average((values - mean) ** 2, weights=weights))),
        "low": float(values.min()),
        "high": float(values.max()),
        "top_s": float(weights[values == values.max()].sum()),
        "first": usual[0][0],
        "last": usual[-1][0],
        "lead_s": runs[0],
        "tail_s": runs[-1],
        "still_s": max(runs),
        "grain": min(moves) if moves else np.nan,
    }


def _seconds(rows: Sequence[Sample], i: int, start: int) -> float:
    until = rows[i + 1].at if i + 1 < len(rows) else start + 3600
    return float(min(rows[i].interval_s, until - rows[i].at))


def test_a_stack_of_several_ducts_is_taken_like_any_other() -> None:
    ducted = Stack(
        code="A", name="A", process="sinter_head", packs=(), interval_s=60, judged_from=(), ducts=("east", "west")
    )
    sent_rows = {name: as_rows(samples(60, so2=20.0)) for name in ("east", "west")}
    of = hour_features(sent_rows, ducted, first=FIRST, n_hours=1)
    assert set(of.channels) == {("east", "so2"), ("west", "so2")}
