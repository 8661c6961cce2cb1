"""Mass that stands in for invalid hours, and tonnes against the permit."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.conversion import Values
from plant.periods import HOUR, Instants, micros
from plant.quarters import capture_rate
from plant.substitution import LOOK_BACKS, Method, Substitution, substitute, tonnage

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
NAN: Final = float("nan")
FIRST: Final = micros(datetime(2026, 7, 1, tzinfo=SHANGHAI))


def hours(n: int) -> Instants:
    return FIRST + np.arange(n, dtype=np.int64) * HOUR


def history_then(n_invalid: int, *, n_valid: int = 3000) -> Values:
    """Falling masses, so that the highest of a look-back is its oldest hour, then *n_invalid* hours without."""
    return np.concatenate([np.arange(n_valid, 0, -1, dtype=np.float64), np.full(n_invalid, NAN)])


def stand_in(n_invalid: int, rate: float, *, n_valid: int = 3000) -> Substitution:
    mass = history_then(n_invalid, n_valid=n_valid)
    return substitute(hours(mass.size), mass, np.ones(mass.size, dtype=bool), rate)


@pytest.mark.parametrize(
    ("n_invalid", "rate", "method", "look_back"),
    [
        pytest.param(1, 0.95, Method.HIGHEST_OF_180, 180, id="one_hour"),
        pytest.param(24, 0.95, Method.HIGHEST_OF_180, 180, id="24_hours"),
        pytest.param(25, 0.95, Method.HIGHEST_OF_720, 720, id="25_hours"),
        pytest.param(24, 0.90, Method.HIGHEST_OF_180, 180, id="24_hours_at_0.90"),
        pytest.param(25, 0.90, Method.HIGHEST_OF_720, 720, id="25_hours_at_0.90"),
        pytest.param(24, 0.8999, Method.HIGHEST_OF_2160, 2160, id="24_hours_at_0.8999"),
        pytest.param(25, 0.8999, Method.HIGHEST_OF_2160, 2160, id="25_hours_at_0.8999"),
        pytest.param(1, 0.75, Method.HIGHEST_OF_2160, 2160, id="one_hour_at_0.75"),
    ],
)
def test_the_run_and_the_quarter_name_the_look_back(
    n_invalid: int, rate: float, method: Method, look_back: int
) -> None:
    """Regulation 3.5; the masses fall, so the highest of the last 180 of 3000 is the 180th from the end."""
    found = stand_in(n_invalid, rate)
    assert set(found.method[-n_invalid:]) == {method}
    assert found.mass_kg[-n_invalid:].tolist() == [float(look_back)] * n_invalid
    assert found.look_back_hours[-n_invalid:].tolist() == [look_back] * n_invalid
    assert found.run_hours[-n_invalid:].tolist() == [n_invalid] * n_invalid


@pytest.mark.parametrize("rate", [0.7499, 0.0, NAN], ids=["0.7499", "nothing", "nothing_ran"])
def test_below_three_quarters_nothing_stands_in(rate: float) -> None:
    found = stand_in(3, rate)
    assert set(found.method[-3:]) == {Method.QUARTER_NOT_VALID}
    assert np.isnan(found.mass_kg[-3:]).all()


def test_the_rate_of_real_counts_meets_its_boundary_exactly() -> None:
    assert stand_in(1, capture_rate(2208, 201, 198)).method[-1] == Method.HIGHEST_OF_180
    assert stand_in(1, capture_rate(2208, 202, 198)).method[-1] == Method.HIGHEST_OF_2160


def test_the_measured_mass_stays_beside_and_is_never_touched() -> None:
    mass = history_then(5)
    before = mass.copy()
    found = substitute(hours(mass.size), mass, np.ones(mass.size, dtype=bool), 0.95)
    assert np.array_equal(mass, before, equal_nan=True)
    assert np.array_equal(found.measured_kg, before, equal_nan=True)
    valid = ~np.isnan(before)
    assert np.array_equal(found.mass_kg[valid], before[valid])
    assert set(found.method[valid]) == {Method.MEASURED}


def test_there_is_no_substituted_concentration_to_be_had() -> None:
    names = {field.name for field in fields(Substitution)}
    assert names == {"measured_kg", "mass_kg", "method", "run_hours", "look_back_hours"}


def test_only_valid_hours_count_in_the_look_back() -> None:
    """180 valid hours reach further back than 180 hours."""
    mass = history_then(1)
    running = np.ones(mass.size, dtype=bool)
    running[-101:-1] = False
    found = substitute(hours(mass.size), mass, running, 0.95)
    assert found.mass_kg[-1] == 280.0
    assert set(found.method[-101:-1]) == {Method.NOT_RUNNING}
    assert found.mass_kg[-101:-1].tolist() == [0.0] * 100


def test_a_stop_neither_ends_a_run_nor_counts_in_it() -> None:
    mass = history_then(13 + 50 + 12)
    running = np.ones(mass.size, dtype=bool)
    running[-62:-12] = False
    found = substitute(hours(mass.size), mass, running, 0.95)
    assert set(found.run_hours[~running]) == {0}
    assert set(found.run_hours[-12:]) == {25}
    assert set(found.method[-12:]) == set(found.method[-75:-62]) == {Method.HIGHEST_OF_720}


def test_a_valid_hour_ends_a_run_and_joins_the_history_of_the_next() -> None:
    mass = np.concatenate([history_then(20), [5000.0], np.full(20, NAN)])
    found = substitute(hours(mass.size), mass, np.ones(mass.size, dtype=bool), 0.95)
    assert set(found.run_hours[-20:]) == {20}
    assert set(found.mass_kg[-20:]) == {5000.0}
    assert set(found.mass_kg[-41:-21]) == {180.0}


def test_each_hour_follows_its_own_quarter_and_the_length_of_the_whole_run() -> None:
    mass = history_then(30)
    rate = np.full(mass.size, 0.95)
    rate[-10:] = 0.80
    found = substitute(hours(mass.size), mass, np.ones(mass.size, dtype=bool), rate)
    assert set(found.method[-30:-10]) == {Method.HIGHEST_OF_720}
    assert set(found.method[-10:]) == {Method.HIGHEST_OF_2160}


def test_out_of_control_looks_back_from_the_last_passed_calibration() -> None:
    """What was measured after that pass is what is in doubt: it may not stand in for itself."""
    mass = np.concatenate([np.full(300, 10.0), np.full(10, 99.0), np.full(6, NAN)])
    start = hours(mass.size)
    running = np.ones(mass.size, dtype=bool)
    doubted = np.isnan(mass)
    passed = np.full(mass.size, start[300])
    found = substitute(start, mass, running, 0.95, out_of_control=doubted, last_pass=passed)
    assert set(found.mass_kg[doubted]) == {10.0}
    for other in (
        substitute(start, mass, running, 0.95),
        substitute(start, mass, running, 0.95, out_of_control=~doubted, last_pass=passed),
        substitute(start, mass, running, 0.95, out_of_control=doubted, last_pass=np.full(mass.size, 2**63 - 1)),
    ):
        assert set(other.mass_kg[doubted]) == {99.0}


def test_an_hour_that_had_not_ended_at_the_last_pass_is_not_looked_back_on() -> None:
    mass = np.array([10.0, 20.0, 30.0, NAN])
    start = hours(4)
    doubted = np.isnan(mass)
    for at, highest in ((start[2], 20.0), (start[2] + HOUR // 2, 20.0), (start[2] + HOUR, 30.0)):
        found = substitute(start, mass, np.ones(4, dtype=bool), 0.95, out_of_control=doubted, last_pass=np.full(4, at))
        assert found.mass_kg[3] == highest


def test_too_short_a_history_gives_what_there_is_and_says_how_much() -> None:
    found = stand_in(2, 0.95, n_valid=7)
    assert found.mass_kg[-2:].tolist() == [7.0, 7.0]
    assert found.look_back_hours[-2:].tolist() == [7, 7]
    nothing = stand_in(2, 0.95, n_valid=0)
    assert set(nothing.method) == {Method.NO_HISTORY}
    assert np.isnan(nothing.mass_kg).all()


def test_hours_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="rising order"):
        substitute(hours(2)[::-1], np.ones(2), np.ones(2, dtype=bool), 0.95)


def by_hand(start: Instants, mass: Values, running: npt.NDArray[np.bool_], rate: float) -> list[tuple[str, float]]:
    """The rule of 3.5, hour by hour."""
    invalid = [bool(r and np.isnan(m)) for r, m in zip(running, mass, strict=True)]
    valid = [bool(r and not np.isnan(m)) for r, m in zip(running, mass, strict=True)]
    found: list[tuple[str, float]] = []
    for i in range(start.size):
        if not invalid[i]:
            found.append(("measured", float(mass[i])) if valid[i] else ("not_running", 0.0))
            continue
        first, last = i, i
        while first > 0 and not valid[first - 1]:
            first -= 1
        while last < start.size - 1 and not valid[last + 1]:
            last += 1
        run = sum(invalid[first : last + 1])
        before = [float(mass[j]) for j in range(first) if valid[j]]
        look_back = 2160 if rate < 0.9 else 720 if run > 24 else 180
        if rate < 0.75:
            found.append(("quarter_not_valid", NAN))
        elif not before:
            found.append(("no_history", NAN))
        else:
            found.append((f"highest_of_{look_back}", max(before[-look_back:])))
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.95, 0.90, 0.8999, 0.75, 0.7]), st.integers(0, 900))
def test_it_agrees_with_the_rule_applied_hour_by_hour(seed: int, rate: float, n_history: int) -> None:
    rng = np.random.default_rng(seed)
    n = n_history + 60
    state = np.repeat(rng.choice(3, size=n, p=[0.5, 0.35, 0.15]), rng.integers(1, 30, size=n))[:n]
    state[:n_history] = 0
    mass = np.where(state == 1, NAN, rng.uniform(0, 100, size=n))
    found = substitute(hours(n), mass, state != 2, rate)
    expected = by_hand(hours(n), mass, state != 2, rate)
    assert [str(method) for method in found.method] == [name for name, _ in expected]
    np.testing.assert_array_equal(found.mass_kg, [kg for _, kg in expected])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.sampled_from([0.95, 0.80]), st.integers(1, 400))
def test_what_stands_in_is_a_mass_that_was_measured_and_no_valid_hour_of_the_look_back_is_higher(
    n_invalid: int, rate: float, n_valid: int
) -> None:
    found = stand_in(n_invalid, rate, n_valid=n_valid)
    method = Method(found.method[-1])
    window = found.measured_kg[:n_valid][-LOOK_BACKS[method] :]
    assert found.mass_kg[-1] in window
    assert found.mass_kg[-1] == window.max()


# --- tonnes ----------------------------------------------------------------------------------------------------------


def year_of(kg_per_hour: float, n: int) -> tuple[Instants, Values]:
    start = micros(datetime(2026, 1, 1, tzinfo=SHANGHAI)) + np.arange(n, dtype=np.int64) * HOUR
    return start, np.full(n, kg_per_hour)


def at(text: str) -> int:
    return micros(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI))


def test_tonnes_of_the_year_stand_against_the_permit() -> None:
    start, mass = year_of(20.0, 100 * 24)
    (found,) = tonnage(start, mass, SHANGHAI, now=int(start[-1]) + HOUR, permit_t_per_year=120.0)
    assert found.tonnes == pytest.approx(48.0)
    assert found.fraction == pytest.approx(0.4)
    assert found.year_end_t == pytest.approx(0.48 * 365)
    assert found.exceeded_on == date(2026, 9, 8)  # after 250 days: 31 + 28 + 31 + 30 + 31 + 30 + 31 + 31 + 7
    assert not found.exceeded


def test_a_permit_that_is_used_up_names_the_day_it_was() -> None:
    start, mass = year_of(20.0, 300 * 24)
    (found,) = tonnage(start, mass, SHANGHAI, now=int(start[-1]) + HOUR, permit_t_per_year=47.9)
    assert found.exceeded
    assert found.exceeded_on == date(2026, 4, 10)  # the hundredth day brings it to 48 t


def test_a_permit_is_not_exceeded_by_meeting_it() -> None:
    start, mass = year_of(1000.0, 10)
    (found,) = tonnage(start, mass, SHANGHAI, now=at("2027-02-01"), permit_t_per_year=10.0)
    assert (found.fraction, found.exceeded, found.exceeded_on) == (1.0, False, None)


def test_a_pace_that_stays_below_the_permit_has_no_day() -> None:
    start, mass = year_of(10.0, 2400)
    (found,) = tonnage(start, mass, SHANGHAI, now=int(start[-1]) + HOUR, permit_t_per_year=120.0)
    assert found.exceeded_on is None
    assert found.year_end_t == pytest.approx(87.6)


def test_years_are_local_and_each_stands_alone() -> None:
    start = at("2025-12-31") + np.arange(48, dtype=np.int64) * HOUR
    mass = np.concatenate([np.full(24, 1000.0), np.full(24, 500.0)])
    old, new = tonnage(start, mass, SHANGHAI, now=at("2026-01-02"), permit_t_per_year=24.0)
    assert (old.year, old.tonnes, old.year_end_t) == (2025, 24.0, 24.0)
    assert (new.year, new.tonnes) == (2026, 12.0)
    assert new.exceeded_on == date(2026, 1, 3)


def test_hours_without_mass_are_counted_and_those_to_come_are_not_looked_at() -> None:
    start, mass = year_of(20.0, 100)
    mass[:10] = NAN
    (found,) = tonnage(start, mass, SHANGHAI, now=int(start[50]), permit_t_per_year=None)
    assert (found.tonnes, found.unknown_hours) == (0.8, 10)
    assert (found.permit_t, found.fraction, found.exceeded_on, found.exceeded) == (None, None, None, False)
    assert found.year_end_t == pytest.approx(0.02 * (8760 - 10))
    assert tonnage(start, mass, SHANGHAI, now=FIRST - 365 * 24 * HOUR, permit_t_per_year=None) == ()
    (nothing,) = tonnage(start[:5], mass[:5], SHANGHAI, now=int(start[50]), permit_t_per_year=1.0)
    assert (nothing.tonnes, nothing.year_end_t, nothing.exceeded_on) == (0.0, None, None)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.1, 100.0), st.floats(1.0, 500.0), st.integers(24, 8000))
def test_at_a_steady_pace_the_forecast_day_is_the_day_that_comes(kg: float, permit: float, n: int) -> None:
    start, mass = year_of(kg, 8760)
    (forecast,) = tonnage(start[:n], mass[:n], SHANGHAI, now=int(start[n - 1]) + HOUR, permit_t_per_year=permit)
    (came,) = tonnage(start, mass, SHANGHAI, now=at("2027-01-01"), permit_t_per_year=permit)
    if forecast.exceeded_on is None or came.exceeded_on is None:
        assert permit >= 0.999 * came.tonnes
    else:
        assert abs((forecast.exceeded_on - came.exceeded_on).days) <= 1
