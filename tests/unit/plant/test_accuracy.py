"""Linearity and relative accuracy against the reference method."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plant.accuracy import ACCURACY, T_975, Statistic, judge_accuracy, judge_linearity, relative_accuracy
from plant.conversion import Values, ppm_to_mg_m3

NAN: Final = float("nan")


def means(reference: float, measured: float, n: int = 9) -> tuple[Values, Values]:
    """*n* equal pairs: no scatter, so the statistics are those of the means."""
    return np.full(n, reference), np.full(n, measured)


def plain(*values: object) -> list[float]:
    """Scalars of numpy as numbers that compare."""
    return [float(np.asarray(value)) for value in values]


def tail(t: float, degrees: int, steps: int = 20_000) -> float:
    """The share of Student's distribution above *t*, by Simpson's rule over its density from 0 to *t*."""
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    x = np.linspace(0.0, t, steps + 1)
    density = scale * (1 + x**2 / degrees) ** (-(degrees + 1) / 2)
    below = (t / steps / 3) * (density[0] + density[-1] + 4 * density[1:-1:2].sum() + 2 * density[2:-1:2].sum())
    return 0.5 - float(below)


def test_each_t_of_the_table_leaves_two_and_a_half_percent_above_it() -> None:
    for degrees, t in enumerate(T_975, start=1):
        assert tail(t + 0.0005, degrees) < 0.025 < tail(t - 0.0005, degrees), degrees


def test_relative_accuracy_by_hand() -> None:
    """Differences 1, -1, 2, 0, 1, -1, 2, 0, 5: mean 1; squared distances 0 4 1 1 0 4 1 1 16 = 28, Sd = sqrt(28 / 8)."""
    difference = np.array([1.0, -1.0, 2.0, 0.0, 1.0, -1.0, 2.0, 0.0, 5.0])
    reference = np.array([40.0, 42.0, 44.0, 46.0, 48.0, 50.0, 52.0, 54.0, 56.0])
    found = relative_accuracy(reference, reference - difference)
    assert plain(found.pairs, found.mean_reference, found.mean_difference, found.t) == [9, 48.0, 1.0, 2.306]
    assert found.standard_deviation == pytest.approx(math.sqrt(3.5))
    assert found.confidence == pytest.approx(2.306 * math.sqrt(3.5) / 3)
    assert found.percent == pytest.approx((1 + 1.438044) / 48 * 100, abs=1e-5)
    assert plain(found.absolute_error, found.relative_error_pct) == [-1.0, pytest.approx(-100 / 48)]


def test_without_scatter_it_is_the_difference_of_the_means() -> None:
    found = relative_accuracy(*means(50.0, 45.0))
    assert plain(found.confidence, found.percent) == [0.0, 10.0]


def test_a_pair_that_lacks_one_of_the_two_does_not_count() -> None:
    reference = np.array([10.0, 12.0, NAN, 14.0, 16.0])
    measured = np.array([9.0, 13.0, 99.0, 14.0, NAN])
    whole = relative_accuracy(np.array([10.0, 12.0, 14.0]), np.array([9.0, 13.0, 14.0]))
    part = relative_accuracy(reference, measured)
    assert plain(part.pairs, part.percent) == plain(3, whole.percent)


def test_one_pair_has_no_scatter_to_judge_by_and_no_pair_nothing_at_all() -> None:
    one = relative_accuracy(np.array([10.0]), np.array([9.0]))
    assert plain(one.mean_difference, one.pairs) == [1.0, 1]
    assert np.isnan([one.percent, one.confidence, one.t]).all()
    none = relative_accuracy(np.array([NAN]), np.array([9.0]))
    assert np.isnan([none.mean_reference, none.percent]).all()


def test_many_tests_at_once_are_each_as_alone_and_too_many_pairs_are_refused() -> None:
    rng = np.random.default_rng(7)
    reference, measured = rng.uniform(5, 50, (4, 9)), rng.uniform(5, 50, (4, 9))
    together = relative_accuracy(reference, measured)
    for n in range(4):
        assert relative_accuracy(reference[n], measured[n]).percent == together.percent[n]
    assert relative_accuracy(np.ones(31), np.ones(31)).t == 2.042
    with pytest.raises(ValueError, match="31 pairs"):
        relative_accuracy(np.ones(32), np.ones(32))


@pytest.mark.parametrize(
    ("parameter", "reference", "measured", "statistic", "passed"),
    [
        pytest.param("so2", 10.0, 16.0, Statistic.ABSOLUTE_ERROR, True, id="so2_below_20_by_6_ppm"),
        pytest.param("so2", 10.0, 16.1, Statistic.ABSOLUTE_ERROR, False, id="so2_below_20_by_more"),
        pytest.param("so2", 19.99, 13.99, Statistic.ABSOLUTE_ERROR, True, id="so2_just_below_20"),
        pytest.param("so2", 20.0, 26.0, Statistic.RELATIVE_ERROR, True, id="so2_at_20_by_30_percent"),
        pytest.param("so2", 20.0, 26.1, Statistic.RELATIVE_ERROR, False, id="so2_at_20_by_more"),
        pytest.param("so2", 50.0, 70.0, Statistic.ABSOLUTE_ERROR, True, id="so2_at_50_by_20_ppm"),
        pytest.param("so2", 249.0, 228.9, Statistic.ABSOLUTE_ERROR, False, id="so2_below_250_by_more"),
        pytest.param("so2", 250.0, 287.5, Statistic.RELATIVE_ACCURACY, True, id="so2_at_250_by_15_percent"),
        pytest.param("so2", 250.0, 288.0, Statistic.RELATIVE_ACCURACY, False, id="so2_at_250_by_more"),
        pytest.param("nox", 5.0, 11.0, Statistic.ABSOLUTE_ERROR, True, id="nox_has_the_same_bands"),
        pytest.param("o2", 5.0, 6.0, Statistic.ABSOLUTE_ERROR, True, id="o2_at_5_by_1"),
        pytest.param("o2", 5.1, 6.1, Statistic.RELATIVE_ACCURACY, False, id="o2_above_5_by_1"),
        pytest.param("pm", 10.0, 15.0, Statistic.ABSOLUTE_ERROR, True, id="pm_at_10_by_5"),
        pytest.param("pm", 10.1, 15.2, Statistic.ABSOLUTE_ERROR, True, id="pm_above_10_by_6"),
        pytest.param("pm", 20.0, 14.0, Statistic.ABSOLUTE_ERROR, True, id="pm_at_20_by_6"),
        pytest.param("pm", 50.0, 65.0, Statistic.RELATIVE_ERROR, True, id="pm_at_50_by_30_percent"),
        pytest.param("pm", 100.0, 126.0, Statistic.RELATIVE_ERROR, False, id="pm_at_100_by_26_percent"),
        pytest.param("pm", 200.0, 160.0, Statistic.RELATIVE_ERROR, True, id="pm_at_200_by_20_percent"),
        pytest.param("pm", 201.0, 160.0, Statistic.RELATIVE_ERROR, False, id="pm_above_200_by_20_percent"),
        pytest.param("velocity", 10.0, 11.2, Statistic.RELATIVE_ERROR, True, id="velocity_at_10_by_12_percent"),
        pytest.param("velocity", 10.1, 11.2, Statistic.RELATIVE_ERROR, False, id="velocity_above_10"),
        pytest.param("temperature", 120.0, 123.0, Statistic.ABSOLUTE_ERROR, True, id="temperature_by_3"),
        pytest.param("temperature", 120.0, 116.9, Statistic.ABSOLUTE_ERROR, False, id="temperature_by_more"),
        pytest.param("moisture", 5.0, 6.5, Statistic.ABSOLUTE_ERROR, True, id="moisture_at_5"),
        pytest.param("moisture", 8.0, 10.1, Statistic.RELATIVE_ERROR, False, id="moisture_above_5"),
    ],
)
def test_the_mean_of_the_reference_method_picks_the_band(
    parameter: str, reference: float, measured: float, statistic: Statistic, passed: bool
) -> None:
    verdict = judge_accuracy(parameter, relative_accuracy(*means(reference, measured)))
    assert verdict.statistic.item() == statistic
    assert bool(verdict.passed) == passed


def test_six_ppm_are_the_milligrams_that_the_sheet_gives() -> None:
    assert ppm_to_mg_m3(6.0, "so2") == pytest.approx(17.0, abs=0.2)
    assert ppm_to_mg_m3(6.0, "nox") == pytest.approx(12.0, abs=0.4)


def test_bands_rise_to_no_end_and_bear_their_mark() -> None:
    for table in ACCURACY.values():
        uppers = [band.upper for band in table.bands]
        assert uppers == sorted(set(uppers))
        assert math.isinf(uppers[-1])
        assert table.mark == "K-H"


def test_what_cannot_be_computed_does_not_pass() -> None:
    found = relative_accuracy(np.array([[300.0, NAN], [NAN, NAN]]), np.array([[300.0, 300.0], [1.0, 1.0]]))
    verdict = judge_accuracy("so2", found)
    assert verdict.passed.tolist() == [False, False]


pairs = arrays(np.float64, (2, 9), elements=st.floats(1.0, 1000.0).map(lambda x: round(x, 3)))


@settings(deadline=None, max_examples=100)
@given(pairs, st.floats(0.01, 100.0))
def test_relative_accuracy_has_no_unit(both: Values, factor: float) -> None:
    assert relative_accuracy(*(both * factor)).percent == pytest.approx(relative_accuracy(*both).percent, rel=1e-9)


@settings(deadline=None, max_examples=100)
@given(pairs)
def test_relative_accuracy_is_never_better_than_the_relative_error(both: Values) -> None:
    found = relative_accuracy(*both)
    assert found.percent >= abs(found.relative_error_pct) - 1e-9
    assert relative_accuracy(both[0], both[0]).percent == 0.0


@pytest.mark.parametrize(
    ("gas", "full_scale", "measured", "passed", "of_full_scale"),
    [
        pytest.param("so2", 100.0, 52.5, True, False, id="so2_5_percent_of_the_gas"),
        pytest.param("so2", 100.0, 52.6, False, False, id="so2_more_than_5_percent"),
        pytest.param("so2", 99.0, 52.4, True, True, id="so2_low_range_2.5_percent_of_full_scale"),
        pytest.param("so2", 99.0, 52.5, False, True, id="so2_low_range_more"),
        pytest.param("nox", 199.0, 45.1, True, True, id="nox_low_range_below_200"),
        pytest.param("nox", 200.0, 45.1, False, False, id="nox_at_200_is_not_low"),
        pytest.param("o2", 25.0, 52.5, True, False, id="another_gas_has_no_low_range"),
    ],
)
def test_the_indication_error_is_of_the_gas_or_at_a_low_range_of_full_scale(
    gas: str, full_scale: float, measured: float, passed: bool, of_full_scale: bool
) -> None:
    found = judge_linearity(gas, np.array([50.0]), np.array([measured]), full_scale)
    assert (found.passed.tolist(), found.of_full_scale) == ([passed], of_full_scale)
    assert found.limit_pct == (2.5 if of_full_scale else 5.0)


def test_injections_of_one_gas_are_averaged_and_a_gas_without_any_does_not_pass() -> None:
    reference = np.array([20.0, 50.0, 80.0])
    measured = np.array([[20.0, 21.0, NAN], [50.0, 50.0, 50.0], [NAN, NAN, NAN]])
    found = judge_linearity("so2", reference, measured, 500.0)
    np.testing.assert_allclose(found.error_pct, [2.5, 0.0, NAN])
    assert found.passed.tolist() == [True, True, False]
