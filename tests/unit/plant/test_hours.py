"""Rows to minutes to hours: the contract's section 5 line by line."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hour_builders import FIRST, Judged, Sample, a_stack, as_rows, judge, samples
from plant.conversion import MOLAR_MASS_G
from plant.hours import Claim, HourMeans, Method, average_hours
from plant.packs import pack
from plant.periods import HOUR, MINUTE
from plant.register import Channel
from plant.verdicts import method_of

OXYGEN: Final[dict[str, Any]] = {"o2": 16.0}
WET: Final = Channel(wet=True)


# A minute is valid when its rows cover at least 0.75 of it.


@pytest.mark.parametrize(
    ("n", "interval_s", "valid_minutes"),
    [
        pytest.param(4, 10, 0, id="4_rows_of_10_s_cover_40_s"),
        pytest.param(5, 10, 1, id="5_rows_of_10_s_cover_50_s"),
        pytest.param(2, 15, 0, id="2_rows_of_15_s_cover_30_s"),
        pytest.param(3, 15, 1, id="3_rows_of_15_s_cover_exactly_45_s"),
        pytest.param(44, 1, 0, id="44_rows_of_1_s"),
        pytest.param(45, 1, 1, id="45_rows_of_1_s"),
        pytest.param(1, 44, 0, id="1_row_of_44_s"),
        pytest.param(1, 45, 1, id="1_row_of_45_s"),
        pytest.param(1, 60, 1, id="1_row_of_60_s"),
        pytest.param(1, 90, 1, id="1_row_of_90_s_belongs_to_the_minute_it_starts_in"),
        pytest.param(1, 119, 1, id="1_row_of_119_s"),
        pytest.param(1, 120, 2, id="1_row_of_120_s_covers_2_minutes"),
        pytest.param(1, 3600, 60, id="1_row_of_an_hour_covers_60_minutes"),
    ],
)
def test_a_minute_is_valid_when_its_rows_cover_three_quarters_of_it(
    n: int, interval_s: int, valid_minutes: int
) -> None:
    judged = judge(samples(n, step=min(interval_s, 60), interval_s=interval_s, so2=30.0, **OXYGEN))
    assert judged.means.valid_minutes.tolist() == [valid_minutes]


def test_rows_of_90_seconds_leave_every_third_minute_without_a_row() -> None:
    judged = judge(samples(40, step=90, so2=30.0, **OXYGEN))
    assert judged.means.valid_minutes.tolist() == [40]
    assert np.isnan(judged.means.minute_mean[0, 2::3]).all()
    assert not np.isnan(judged.means.minute_mean[0, 0::3]).any()


def test_a_row_in_the_middle_of_a_minute_belongs_to_that_minute() -> None:
    judged = judge([Sample(59, {"so2": 30.0, **OXYGEN})])
    assert np.flatnonzero(~np.isnan(judged.means.minute_mean[0])).tolist() == [0]


def test_a_row_of_half_an_hour_reaches_into_the_next_hour() -> None:
    judged = judge([Sample(45 * 60, {"so2": 30.0, **OXYGEN}, interval_s=1800)], n_hours=2)
    assert judged.means.valid_minutes.tolist() == [15, 15]
    assert judged.means.rows.tolist() == [1, 1]


def test_a_row_that_began_before_the_first_hour_counts_in_it() -> None:
    judged = judge([Sample(-1800, {"so2": 30.0, **OXYGEN}, interval_s=3600)])
    assert judged.means.valid_minutes.tolist() == [30]


def test_rows_outside_of_the_asked_hours_do_not_count() -> None:
    outside = samples(60, start=-3600, so2=900.0, **OXYGEN) + samples(60, start=3600, so2=900.0, **OXYGEN)
    judged = judge(outside + samples(60, so2=30.0, **OXYGEN))
    assert judged.means.mean.tolist() == [30.0]
    assert judged.means.rows.tolist() == [60]


@pytest.mark.parametrize(
    ("n", "said"),
    [
        pytest.param(44, ("undecided", "too_few_minutes"), id="44"),
        pytest.param(45, ("clear", "within"), id="45"),
    ],
)
def test_an_hour_needs_45_valid_minutes(n: int, said: tuple[str, str]) -> None:
    judged = judge(samples(n, so2=30.0, **OXYGEN))
    assert judged.said() == said
    assert judged.means.valid.tolist() == [n >= 45]


# Flags.


@pytest.mark.parametrize("flag", ["F", "M", "S", "D", "C", "B"])
def test_rows_with_any_flag_but_n_and_t_cover_nothing(flag: str) -> None:
    assert judge(samples(60, so2=30.0, flag=flag, **OXYGEN)).means.valid_minutes.tolist() == [0]
    assert judge(samples(60, so2=30.0, flags={"so2": flag}, **OXYGEN)).means.valid_minutes.tolist() == [0]


def test_the_flag_of_a_channel_overrides_that_of_its_row() -> None:
    rows = samples(60, so2=30.0, flag="C", flags={"so2": "N", "o2": "N"}, **OXYGEN)
    assert judge(rows).said() == ("clear", "within")


def test_the_flag_of_another_pollutant_is_no_matter() -> None:
    assert judge(samples(60, so2=30.0, nox=30.0, flags={"nox": "C"}, **OXYGEN)).said() == ("clear", "within")


@pytest.mark.parametrize(
    ("corrector", "channels", "process"),
    [
        pytest.param("o2", {}, "sinter_head", id="oxygen_of_an_outlet_with_a_base"),
        pytest.param("moisture", {"so2": WET}, "hot_blast_stove", id="moisture_of_a_wet_channel"),
        pytest.param("moisture", {"o2": WET}, "sinter_head", id="moisture_of_wet_oxygen"),
        pytest.param("temperature", {"so2": Channel(actual_state=True)}, "hot_blast_stove", id="temperature"),
        pytest.param("pressure", {"so2": Channel(actual_state=True)}, "hot_blast_stove", id="pressure"),
    ],
)
def test_a_flag_also_holds_for_what_the_channel_corrects(
    corrector: str, channels: dict[str, Any], process: str
) -> None:
    values: dict[str, Any] = {"so2": 10.0, "o2": 14.0, "moisture": 8.0, "temperature": 120.0, "pressure": -300.0}
    stack = a_stack(process, **channels)
    assert judge(samples(60, **values), stack=stack).means.valid_minutes.tolist() == [60]
    flagged = samples(60, flags={corrector: "C"}, **values)
    assert judge(flagged, stack=stack).means.valid_minutes.tolist() == [0]


@pytest.mark.parametrize("corrector", ["o2", "moisture", "temperature", "pressure"])
def test_a_flag_of_what_corrects_nothing_here_is_no_matter(corrector: str) -> None:
    rows = samples(60, so2=30.0, o2=16.0, moisture=8.0, temperature=120.0, pressure=-300.0, flags={corrector: "C"})
    assert judge(rows, stack=a_stack("hot_blast_stove")).said() == ("clear", "within")


def test_oxygen_of_a_channel_at_reference_oxygen_already_is_no_matter() -> None:
    stack = a_stack(so2=Channel(corrected=True))
    judged = judge(samples(60, so2=34.0, o2=20.95, flags={"o2": "D"}), stack=stack)
    assert judged.said() == ("clear", "within")
    assert judged.verdicts.corrected.tolist() == [34.0]


def test_a_flag_of_moisture_holds_for_the_oxygen_it_dries_too() -> None:
    """One row of the minute carries a moisture in calibration: its oxygen may not enter the minute's mean."""
    good = samples(300, step=12, so2=10.0, o2=15.2, moisture=8.0)
    bad = [
        Sample(at, {"so2": 10.0, "o2": 15.2, "moisture": 90.0}, 12, flags={"moisture": "C"})
        for at in range(6, 3600, 60)
    ]
    stack = a_stack(o2=WET)
    assert judge(good + bad, stack=stack).means.o2[0] == pytest.approx(15.2 / 0.92)


def test_a_minute_without_oxygen_is_not_valid_where_the_outlet_has_a_base() -> None:
    assert judge(samples(60, so2=30.0)).means.valid_minutes.tolist() == [0]
    assert judge(samples(60, so2=30.0), stack=a_stack("hot_blast_stove")).means.valid_minutes.tolist() == [60]


def test_null_covers_nothing() -> None:
    judged = judge(samples(60, so2=None, **OXYGEN))
    assert judged.means.valid_minutes.tolist() == [0]
    assert judged.said() == ("undecided", "too_few_minutes")


# Over range: a lower bound.


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        pytest.param(150.0, 200.0, id="below_the_upper_end"),
        pytest.param(250.0, 250.0, id="above_the_upper_end"),
        pytest.param(None, 200.0, id="no_value"),
    ],
)
def test_an_over_range_row_counts_as_the_higher_of_its_value_and_the_upper_end(
    value: float | None, counts: float
) -> None:
    stack = a_stack("hot_blast_stove", so2=Channel(range=(0.0, 200.0)))
    judged = judge(samples(60, so2=value, flag="T"), stack=stack)
    assert judged.means.mean.tolist() == [counts]
    assert judged.means.over_range_minutes.tolist() == [60]
    assert judged.said() == ("breached", "above")


def test_an_over_range_row_counts_as_its_value_where_no_range_is_registered() -> None:
    stack = a_stack("hot_blast_stove")
    assert judge(samples(60, so2=70.0, flag="T"), stack=stack).said() == ("breached", "above")
    assert judge(samples(60, so2=None, flag="T"), stack=stack).means.valid_minutes.tolist() == [0]


def test_the_upper_end_of_the_range_is_in_the_unit_of_the_channel() -> None:
    stack = a_stack("hot_blast_stove", so2=Channel(unit="ppm", range=(0.0, 70.0)))
    judged = judge(samples(60, so2=1.0, flag="T"), stack=stack)
    assert judged.means.mean[0] == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("so2", "said"),
    [
        pytest.param(49.0, ("undecided", "over_range"), id="below_the_limit_says_nothing"),
        pytest.param(51.0, ("breached", "above"), id="above_it_is_a_breach"),
    ],
)
def test_one_over_range_minute_decides_only_upward(so2: float, said: tuple[str, str]) -> None:
    """The bound of that minute is as low as the others, so the hour's mean is a lower bound."""
    rows = [*samples(59, so2=so2), Sample(59 * 60, {"so2": so2}, flag="T")]
    judged = judge(rows, stack=a_stack("hot_blast_stove"))
    assert judged.means.over_range_minutes.tolist() == [1]
    assert judged.said() == said


def test_oxygen_over_range_is_a_lower_bound_of_what_it_corrects() -> None:
    stack = a_stack(o2=Channel(range=(0.0, 18.0)))
    within = judge(samples(60, so2=10.0, o2=17.0, flags={"o2": "T"}), stack=stack)
    above = judge(samples(60, so2=30.0, o2=17.0, flags={"o2": "T"}), stack=stack)
    assert within.means.o2.tolist() == [18.0]
    assert within.said() == ("undecided", "over_range")
    assert above.said() == ("breached", "above")


def test_pressure_over_range_bounds_nothing_from_below() -> None:
    stack = a_stack("hot_blast_stove", so2=Channel(actual_state=True))
    rows = samples(60, so2=100.0, temperature=0.0, pressure=500.0, flags={"pressure": "T"})
    assert judge(rows, stack=stack).said() == ("undecided", "too_few_minutes")


# Not running.


@pytest.mark.parametrize("state", ["stopped", "starting", "stopping", "banked"])
@pytest.mark.parametrize(("n", "verdict"), [(44, "undecided"), (45, "excluded")])
def test_an_hour_with_45_minutes_not_running_is_excluded(state: str, n: int, verdict: str) -> None:
    rows = samples(n, so2=30.0, state=state, **OXYGEN) + samples(60 - n, start=n * 60, so2=30.0, **OXYGEN)
    judged = judge(rows)
    assert judged.means.not_running_minutes.tolist() == [n]
    assert judged.said()[0] == verdict


def test_unknown_counts_as_running() -> None:
    for state in (None, "running"):
        assert judge(samples(60, so2=30.0, state=state, **OXYGEN)).means.not_running_minutes.tolist() == [0]


def test_one_row_that_says_stopped_stops_its_whole_minute() -> None:
    rows = [
        *samples(360, step=10, so2=30.0, **OXYGEN),
        *[Sample(minute * 60 + 5, {}, 10, state="stopped") for minute in range(45)],
    ]
    assert judge(rows).said() == ("excluded", "not_running")


def test_being_stopped_goes_before_every_reason_for_doubt() -> None:
    for values in ({"so2": 30.0, "o2": 21.0}, {"so2": None, "o2": None}, {"so2": 300.0, "o2": 16.0}):
        assert judge(samples(60, state="stopped", **values)).said() == ("excluded", "not_running")


def test_a_state_that_another_instrument_sends_holds_for_the_source() -> None:
    stack = a_stack(judged_from=("main", "backup"))
    rows = {"main": samples(60, so2=30.0, **OXYGEN), "backup": samples(60, state="stopped")}
    assert judge(rows, stack=stack).said() == ("excluded", "not_running")


# Means.


def test_the_mean_of_an_hour_weighs_every_minute_alike_however_many_rows_it_has() -> None:
    one = samples(30, so2=10.0)  # a row a minute
    many = samples(30 * 6, start=1800, step=10, so2=40.0)  # six rows a minute
    assert judge(one + many, stack=a_stack("hot_blast_stove")).means.mean.tolist() == [25.0]


def test_minutes_that_are_not_valid_or_not_running_stay_out_of_the_mean() -> None:
    rows = [
        *samples(46, so2=10.0),
        *samples(7, start=46 * 60, so2=900.0, flag="C"),
        *samples(7, start=53 * 60, so2=900.0, state="stopped"),
    ]
    judged = judge(rows, stack=a_stack("hot_blast_stove"))
    assert judged.means.mean.tolist() == [10.0]
    assert judged.said() == ("clear", "within")


def test_oxygen_is_averaged_over_the_minutes_of_the_pollutant() -> None:
    rows = [
        *samples(45, so2=10.0, o2=15.0),
        *samples(15, start=45 * 60, so2=10.0, o2=20.0, flags={"so2": "C"}),
    ]
    assert judge(rows).means.o2.tolist() == [15.0]


def test_negative_values_enter_the_mean_as_they_are() -> None:
    rows = samples(30, so2=-2.0) + samples(30, start=1800, so2=4.0)
    assert judge(rows, stack=a_stack("hot_blast_stove")).means.mean.tolist() == [1.0]


def test_an_hour_that_no_row_touches_has_no_rows_and_no_instrument() -> None:
    judged = judge(samples(60, so2=10.0, **OXYGEN), n_hours=2)
    assert judged.means.rows.tolist() == [60, 0]
    assert judged.said(1) == ("undecided", "too_few_minutes")
    empty = judge({"elsewhere": samples(60, so2=10.0)})
    assert empty.means.rows.tolist() == [0]
    assert empty.means.rows_hash == [b""]


def test_the_mass_of_an_hour_takes_the_measured_concentration_and_the_flow() -> None:
    judged = judge(samples(60, so2=31.056, o2=16.522, flow=684_591.0))
    assert judged.means.mass_kg[0] == pytest.approx(21.26, abs=0.005)
    unflagged = judge(samples(60, so2=31.056, o2=16.522, flow=684_591.0, flags={"flow": "D"}))
    assert np.isnan(unflagged.means.mass_kg[0])


# The worked vectors of the regulation sheet, 3.3, in an hour of such minutes.


@pytest.mark.parametrize(
    ("pollutant", "value", "channel", "mean", "corrected"),
    [
        pytest.param("so2", 10.0, Channel(unit="ppm", wet=True), 31.056, 34.67, id="so2_ppm_wet"),
        pytest.param("nox", 13.0, Channel(unit="ppm"), 26.696, 29.81, id="nox_ppm_dry"),
        pytest.param("pm", 5.0, Channel(wet=True, actual_state=True), 7.888, 8.81, id="pm_actual_wet"),
    ],
)
def test_hours_agree_with_the_worked_vectors(
    pollutant: str, value: float, channel: Channel, mean: float, corrected: float
) -> None:
    channels: dict[str, Any] = {"o2": WET, pollutant: channel}
    values: dict[str, Any] = {"moisture": 8.0, "o2": 15.2, "temperature": 120.0, "pressure": -300.0, pollutant: value}
    stack = a_stack(ambient_pressure_pa=100_800.0, **channels)
    rows = samples(60, **values)
    judged = judge(rows, pollutant, stack=stack)
    assert judged.means.mean[0] == pytest.approx(mean, abs=0.001)
    assert judged.means.o2[0] == pytest.approx(16.522, abs=0.001)
    assert judged.verdicts.corrected[0] == pytest.approx(corrected, abs=0.011)
    assert judged.said() == ("clear", "within")


@pytest.mark.parametrize("moisture", [100.0, 105.0, -100.0])
def test_a_moisture_that_no_gas_can_have_makes_no_value(moisture: float) -> None:
    """At 100 % it would divide by zero, above it a high value would become a low one."""
    judged = judge(samples(60, so2=900.0, moisture=moisture), stack=a_stack("hot_blast_stove", so2=WET))
    assert judged.said() == ("undecided", "too_few_minutes")


@pytest.mark.parametrize(
    ("temperature", "pressure"),
    [
        pytest.param(-273.0, 0.0, id="absolute_zero"),
        pytest.param(-400.0, 0.0, id="below_absolute_zero"),
        pytest.param(120.0, -101_325.0, id="vacuum"),
        pytest.param(120.0, -200_000.0, id="less_than_nothing"),
    ],
)
def test_a_gas_state_that_cannot_be_makes_no_value(temperature: float, pressure: float) -> None:
    stack = a_stack("hot_blast_stove", so2=Channel(actual_state=True))
    judged = judge(samples(60, so2=900.0, temperature=temperature, pressure=pressure), stack=stack)
    assert judged.said() == ("undecided", "too_few_minutes")


def test_a_value_too_large_to_be_summed_makes_no_infinite_mean() -> None:
    """1e308 is finite and passes the wire; sixty of it are not, and no JSON document could say so."""
    for channel in (Channel(), Channel(unit="ppm")):
        judged = judge(samples(60, so2=1e308, **OXYGEN), stack=a_stack(so2=channel))
        assert not np.isinf(judged.means.mean).any()
        assert not np.isinf(judged.verdicts.corrected).any()
        assert judged.said() == ("undecided", "too_few_minutes")


# Instruments by rank.


def test_an_hour_takes_the_first_instrument_that_makes_it_valid_and_never_mixes_two() -> None:
    stack = a_stack("hot_blast_stove", judged_from=("main", "backup"))
    backup = samples(120, so2=20.0)
    rows = {"main": samples(60, so2=10.0) + samples(44, start=3600, so2=10.0), "backup": backup}
    judged = judge(rows, stack=stack, n_hours=2)
    assert judged.means.instrument.tolist() == ["main", "backup"]
    assert judged.means.mean.tolist() == [10.0, 20.0]


def test_two_half_hours_of_two_instruments_make_no_valid_hour() -> None:
    stack = a_stack("hot_blast_stove", judged_from=("main", "backup"))
    judged = judge({"main": samples(30, so2=10.0), "backup": samples(30, start=1800, so2=10.0)}, stack=stack)
    assert judged.said() == ("undecided", "too_few_minutes")
    assert judged.means.instrument.tolist() == ["main"]
    assert judged.means.valid_minutes.tolist() == [30]


def test_an_instrument_that_is_not_judged_from_counts_for_nothing() -> None:
    judged = judge({"main": samples(44, so2=10.0), "other": samples(60, so2=90.0)}, stack=a_stack("hot_blast_stove"))
    assert judged.said() == ("undecided", "too_few_minutes")


def test_where_only_the_second_instrument_has_rows_it_is_shown() -> None:
    stack = a_stack("hot_blast_stove", judged_from=("main", "backup"))
    judged = judge({"main": samples(60, start=3600, so2=10.0), "backup": samples(20, so2=10.0)}, stack=stack, n_hours=2)
    assert judged.means.instrument.tolist() == ["backup", "main"]


# Accepted marks, and claims that nobody accepted.


def a_mark(first_minute: int, end_minute: int) -> Claim:
    return Claim(FIRST + first_minute * MINUTE, FIRST + end_minute * MINUTE)


@pytest.mark.parametrize(("end", "verdict"), [(44, "undecided"), (45, "excluded")])
def test_minutes_under_an_accepted_mark_are_not_running(end: int, verdict: str) -> None:
    judged = judge(samples(60, so2=30.0, **OXYGEN), accepted=[a_mark(0, end)])
    assert judged.means.not_running_minutes.tolist() == [end]
    assert judged.said()[0] == verdict
    assert judged.verdicts.claimed.tolist() == [False]


def test_a_mark_covers_a_minute_that_it_only_touches() -> None:
    half = Claim(FIRST + MINUTE // 2, FIRST + MINUTE + 1)
    assert judge(samples(60, so2=30.0, **OXYGEN), accepted=[half]).means.not_running_minutes.tolist() == [2]


def test_a_mark_of_another_hour_covers_nothing_here() -> None:
    marks = [a_mark(-120, 0), a_mark(60, 120)]
    assert judge(samples(60, so2=30.0, **OXYGEN), accepted=marks).means.not_running_minutes.tolist() == [0]


def test_minutes_that_a_flag_took_out_are_counted_as_claimed() -> None:
    rows = samples(44, so2=30.0, **OXYGEN) + samples(16, start=44 * 60, so2=30.0, flag="C", **OXYGEN)
    judged = judge(rows)
    assert judged.means.claimed_minutes.tolist() == [16]
    assert judged.said() == ("undecided", "too_few_minutes")
    assert judged.verdicts.claimed.tolist() == [True]


def test_minutes_without_rows_are_nobodys_claim() -> None:
    judged = judge(samples(44, so2=30.0, **OXYGEN))
    assert judged.means.claimed_minutes.tolist() == [0]
    assert judged.verdicts.claimed.tolist() == [False]


def test_flags_that_could_not_have_saved_the_hour_do_not_make_it_claimed() -> None:
    rows = samples(30, so2=30.0, **OXYGEN) + samples(10, start=1800, so2=30.0, flag="C", **OXYGEN)
    assert judge(rows).verdicts.claimed.tolist() == [False]


def test_an_hour_excluded_by_states_that_nobody_accepted_is_claimed() -> None:
    judged = judge(samples(60, so2=30.0, state="stopped", **OXYGEN))
    assert judged.said() == ("excluded", "not_running")
    assert judged.verdicts.claimed.tolist() == [True]


def test_an_hour_excluded_by_states_with_hardly_a_row_is_claimed_all_the_same() -> None:
    """A plant that says `stopped` once a minute and sends nothing else has made a claim."""
    judged = judge([Sample(minute * 60, {}, 10, state="stopped") for minute in range(60)])
    assert judged.said() == ("excluded", "not_running")
    assert judged.verdicts.claimed.tolist() == [True]


def test_an_hour_that_accepted_marks_exclude_is_not_claimed_whatever_its_other_minutes_say() -> None:
    rows = samples(45, so2=30.0, state="stopped", **OXYGEN) + samples(15, start=2700, so2=30.0, flag="C", **OXYGEN)
    judged = judge(rows, accepted=[a_mark(0, 45)])
    assert judged.said() == ("excluded", "not_running")
    assert judged.verdicts.claimed.tolist() == [False]


def test_an_hour_that_over_range_left_open_is_claimed() -> None:
    judged = judge(samples(60, so2=10.0, flag="T"), stack=a_stack("hot_blast_stove"))
    assert judged.said() == ("undecided", "over_range")
    assert judged.verdicts.claimed.tolist() == [True]


# The name of a method.


def test_the_method_is_named_by_its_parameters() -> None:
    ule = pack("cn-steel-ule-2019")
    with_oxygen = method_of(ule, "sinter_head", already_corrected=False)
    without = method_of(ule, "bof_secondary", already_corrected=False)
    assert with_oxygen.name == "cover=0.75;valid=45;off=45;o2<20.9"
    assert without.name == "cover=0.75;valid=45;off=45"
    assert method_of(ule, "sinter_head", already_corrected=True) == without


# Laws.

LETTERS = "NNNNNNNFMSDCTB"


@st.composite
def stretches(draw: st.DrawFn, hours: int = 3) -> list[Sample]:
    """Runs of equal rows, as plants send them, with gaps and faults; each instant once."""
    found: dict[int, Sample] = {}
    for _ in range(draw(st.integers(1, 6))):
        step = draw(st.sampled_from([10, 15, 30, 60, 90, 120, 1800, 3600]))
        start = draw(st.integers(-3600 // 5, hours * 3600 // 5)) * 5
        flag = draw(st.sampled_from(LETTERS))
        flags = draw(st.dictionaries(st.sampled_from(["so2", "o2", "moisture"]), st.sampled_from(LETTERS), max_size=1))
        state = draw(st.sampled_from([None, None, None, "running", "stopped", "banked"]))
        level = draw(st.floats(-5, 60))
        slope = draw(st.floats(-0.1, 0.1))
        for i in range(draw(st.integers(1, 400))):
            at = start + i * step
            if at >= hours * 3600:
                break
            values = {
                "so2": level + slope * i if draw(st.booleans()) or i % 7 else None,
                "o2": 14.0 + (i * 37 % 83) / 10,
                "moisture": 8.0,
            }
            found.setdefault(at, Sample(at, values, step, flag, flags, state))
    return list(found.values())


def bits(means: HourMeans, hour: int) -> list[object]:
    """Everything that an hour's mean is, floats by their bits."""
    found: list[object] = []
    for field in fields(means):
        value = getattr(means, field.name)[hour]
        found.append(value.tobytes() if isinstance(value, np.ndarray | np.floating) else value)
    return found


@settings(deadline=None, max_examples=40)
@given(stretches(), stretches(), st.randoms(use_true_random=False))
def test_hours_judged_one_by_one_are_bit_equal_to_hours_judged_together(
    main: list[Sample], backup: list[Sample], rng: Any
) -> None:
    stack = a_stack(judged_from=("main", "backup"), so2=WET, o2=WET)
    rows = {"main": as_rows(main), "backup": as_rows(backup)}
    method: Method = method_of(pack("cn-steel-ule-2019"), "sinter_head", already_corrected=False)
    marks = [a_mark(70, 130), a_mark(20, 33)]
    together = average_hours(rows, "so2", stack, method, first=FIRST, n_hours=3, accepted=marks)
    order = [0, 1, 2]
    rng.shuffle(order)
    for hour in order:
        alone = average_hours(rows, "so2", stack, method, first=FIRST + hour * HOUR, n_hours=1, accepted=marks)
        assert bits(alone, 0) == bits(together, hour)


@settings(deadline=None, max_examples=25)
@given(stretches(hours=1), st.randoms(use_true_random=False))
def test_rows_that_were_shuffled_and_sorted_again_give_bit_equal_hours(rows: list[Sample], rng: Any) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert bits(judge(shuffled).means, 0) == bits(judge(rows).means, 0)


def by_hand(rows: list[Sample], *, base: float | None, limit: float) -> tuple[str, str, int, float | None]:
    """Section 5 of the contract in plain loops: (verdict, reason, valid minutes, corrected) of the first hour."""
    minutes: list[list[tuple[Sample, int]]] = [[] for _ in range(60)]
    for row in sorted(rows, key=lambda row: row.at):
        covered = row.interval_s // 60 if row.interval_s >= 60 and row.interval_s % 60 == 0 else 1
        for minute in range(row.at // 60, row.at // 60 + covered):
            if 0 <= minute < 60:
                minutes[minute].append((row, min(row.interval_s, 60)))
    stopped = [any(row.state in ("stopped", "banked") for row, _ in minute) for minute in minutes]
    if sum(stopped) >= 45:
        return "excluded", "not_running", -1, None
    means, oxygens, over_range = [], [], False
    for rows_of, off in zip(minutes, stopped, strict=True):
        names = ["so2"] if base is None else ["so2", "o2"]

        def letters(row: Sample, names: list[str] = names) -> set[str]:
            return {row.flags.get(name, row.flag) for name in names}

        usable = [(row, seconds) for row, seconds in rows_of if letters(row) <= {"N", "T"}]
        over_range |= not off and any("T" in letters(row) for row, _ in usable)
        counted = [(value, seconds) for row, seconds in usable if (value := row.values["so2"]) is not None]
        oxygen = [row.values["o2"] or 0.0 for row, _ in rows_of if row.flags.get("o2", row.flag) in "NT"]
        if off or sum(seconds for _, seconds in counted) < 45 or (base is not None and not oxygen):
            continue
        means.append(sum(value for value, _ in counted) / len(counted))
        oxygens.append(sum(oxygen) / max(1, len(oxygen)))
    if len(means) < 45:
        return "undecided", "too_few_minutes", len(means), None
    corrected = sum(means) / len(means)
    if base is not None:
        o2 = sum(oxygens) / len(oxygens)
        if o2 >= 20.9:
            return "undecided", "oxygen_at_ambient", len(means), None
        corrected *= (21 - base) / (21 - o2)
    if corrected > limit:
        return "breached", "above", len(means), corrected
    if over_range:
        return "undecided", "over_range", len(means), corrected
    return "clear", "within", len(means), corrected


@settings(deadline=None, max_examples=80)
@given(stretches(hours=1), st.sampled_from([("sinter_head", 16.0, 35.0), ("hot_blast_stove", None, 50.0)]))
def test_hours_agree_with_the_contract_written_as_plain_loops(
    rows: list[Sample], outlet: tuple[str, float | None, float]
) -> None:
    process, base, limit = outlet
    judged: Judged = judge(rows, stack=a_stack(process))
    verdict, reason, valid_minutes, corrected = by_hand(rows, base=base, limit=limit)
    close_to_the_limit = corrected is not None and abs(corrected - limit) < 1e-5
    assert close_to_the_limit or judged.said() == (verdict, reason)
    if valid_minutes >= 0:
        assert judged.means.valid_minutes.tolist() == [valid_minutes]
    if corrected is not None:
        assert judged.verdicts.corrected[0] == pytest.approx(corrected, rel=1e-9, abs=1e-9)


def test_the_conversion_knows_a_molar_mass_for_each_gas_that_may_come_in_ppm() -> None:
    assert set(MOLAR_MASS_G) == {"so2", "no", "no2", "nox", "co", "nh3"}


TWO_DUCTS: Final = replace(a_stack(), ducts=("north", "south"))


def test_ducts_of_one_outlet_are_weighted_by_their_flow() -> None:
    north = samples(60, so2=20.0, o2=15.0, flow=300_000.0)
    south = samples(60, so2=40.0, o2=17.0, flow=100_000.0)
    means = judge({"north": north, "south": south}, stack=TWO_DUCTS).means
    assert means.mean[0] == pytest.approx((20 * 3 + 40) / 4)
    assert means.o2[0] == pytest.approx((15 * 3 + 17) / 4)
    assert means.mass_kg[0] == pytest.approx(25.0 * 400_000 * 1e-6)
    assert means.instrument[0] == "north+south"
    assert means.valid[0]


def test_an_outlet_whose_second_duct_is_silent_is_not_valid() -> None:
    north = samples(60, so2=20.0, o2=15.0, flow=300_000.0)
    south = samples(44, so2=40.0, o2=17.0, flow=100_000.0)
    assert judge({"north": north, "south": south}, stack=TWO_DUCTS).means.valid_minutes.tolist() == [44]
    assert judge({"north": north}, stack=TWO_DUCTS).means.rows.tolist() == [0]


def test_minutes_of_exactly_zero_are_counted() -> None:
    rows = samples(10, so2=0.0, o2=16.0) + samples(50, start=600, so2=0.1, o2=16.0)
    assert judge(rows).means.zero_minutes.tolist() == [10]


def test_a_mean_below_zero_weighs_nothing() -> None:
    means = judge(samples(60, so2=-0.4, o2=16.0, flow=100_000.0)).means
    assert means.mean.tolist() == [-0.4]
    assert means.mass_kg.tolist() == [0.0]
