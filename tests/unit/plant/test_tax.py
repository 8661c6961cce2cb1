"""The environmental protection tax of a month: what the mean of its hours earns, and one hour can lose."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hour_builders import ULE, a_stack, judge, samples
from plant.packs import pack
from plant.tax import TaxForecast, forecast, forecast_under

STANDARD: Final = 180.0  # GB 28662 special, SO2 of a sinter head


def of(hours: list[float], *, to_come: int = 0, standard: float = STANDARD) -> TaxForecast:
    means = np.array(hours, dtype=np.float64)
    return forecast(means, means > standard, np.ones(means.shape, dtype=bool), standard, hours_to_come=to_come)


@pytest.mark.parametrize(
    ("mean", "payable"),
    [
        pytest.param(180.0, 1.0, id="at_the_standard"),
        pytest.param(126.001, 1.0, id="not_quite_30_percent_below"),
        pytest.param(126.0, 0.75, id="30_percent_below"),
        pytest.param(90.001, 0.75, id="not_quite_50_percent_below"),
        pytest.param(90.0, 0.5, id="50_percent_below"),
        pytest.param(0.0, 0.5, id="nothing"),
    ],
)
def test_a_month_pays_less_the_further_it_lies_below_the_standard(mean: float, payable: float) -> None:
    """Law art 13."""
    found = of([mean] * 700)
    assert float(found.payable) == payable
    assert float(found.mean) == mean


def test_one_hour_above_the_standard_removes_the_reduction() -> None:
    """Implementing Regulation art 10."""
    at, above = of([10.0] * 700 + [180.0]), of([10.0] * 700 + [180.001], to_come=19)
    assert (float(at.payable), int(at.hours_above)) == (0.5, 0)
    assert (float(above.payable), int(above.hours_above)) == (1.0, 1)
    assert np.isnan(above.keep_mean_below).all()


def test_an_hour_that_is_not_valid_gives_no_hourly_mean() -> None:
    means = np.array([10.0, 500.0, np.nan])
    found = forecast(means, means > STANDARD, np.array([True, False, True]), STANDARD)
    assert (int(found.hours), int(found.hours_above), float(found.payable)) == (1, 0, 0.5)


def test_without_a_valid_hour_there_is_no_result() -> None:
    for found in (of([]), of([np.nan])):
        assert np.isnan(found.payable)
        assert np.isnan(found.mean)
    assert of([], to_come=720).keep_mean_below.tolist() == [126.0, 90.0]


def test_the_forecast_says_what_the_rest_of_the_month_must_keep_below() -> None:
    found = of([100.0] * 360, to_come=360)
    assert found.keep_mean_below.tolist() == pytest.approx([152.0, 80.0])
    assert of([100.0] * 700, to_come=20).keep_mean_below.tolist() == pytest.approx([180.0, np.nan], nan_ok=True)


def test_only_a_statutory_standard_earns_or_loses_a_reduction() -> None:
    judged = judge(samples(60, so2=30.0, o2=16.0))
    with pytest.raises(ValueError, match="policy"):
        forecast_under(pack(ULE), judged.verdicts)


def test_an_hour_above_its_standard_is_the_one_that_the_pack_calls_so() -> None:
    standard = pack("cn-gb28662-special")
    for so2, payable in ((180.0, 0.75), (180.001, 1.0), (80.0, 0.5)):
        rows = samples(60, so2=so2, o2=16.0) + samples(60, start=3600, so2=10.0, o2=16.0)
        found = forecast_under(standard, judge(rows, n_hours=2, under=standard).verdicts)
        assert int(found.hours_above) == (so2 > 180.0)
        assert float(found.payable) == payable


def test_an_hour_above_ultra_low_emission_and_below_the_standard_keeps_the_reduction() -> None:
    rows = samples(60, so2=40.0, o2=16.0) + samples(30, start=3600, so2=900.0, o2=16.0)
    standard = pack("cn-gb28662-special")
    assert judge(rows, n_hours=2).said(0) == ("breached", "above")
    verdicts = judge(rows, n_hours=2, under=standard, stack=a_stack("sinter_head")).verdicts
    found = forecast_under(standard, verdicts, hours_to_come=10)
    # The second hour has too few minutes: its 900 is no hourly mean.
    assert (int(found.hours), float(found.mean), float(found.payable)) == (1, 40.0, 0.5)


means_of_a_month = st.lists(st.floats(0.0, 200.0), min_size=1, max_size=60)


@settings(deadline=None, max_examples=200)
@given(means_of_a_month, st.integers(1, 700))
def test_what_is_kept_earns_what_was_promised(hours: list[float], to_come: int) -> None:
    found = of(hours, to_come=to_come)
    for keep, payable in zip(found.keep_mean_below.tolist(), (0.75, 0.5), strict=True):
        if not np.isnan(keep):
            assert keep <= STANDARD
            assert float(of(hours + [keep] * to_come).payable) <= payable
            if keep + 0.01 <= STANDARD:
                assert float(of(hours + [keep + 0.01] * to_come).payable) > payable
        elif not (np.array(hours) > STANDARD).any():
            assert float(of(hours + [0.0] * to_come).payable) > payable


@settings(deadline=None, max_examples=100)
@given(means_of_a_month)
def test_the_order_of_the_hours_and_other_months_do_not_matter(hours: list[float]) -> None:
    other = list(reversed(hours))
    together = np.array([hours, other])
    both = forecast(together, together > STANDARD, np.ones(together.shape, dtype=bool), STANDARD, hours_to_come=3)
    alone = of(hours, to_come=3)
    assert both.payable[0] == both.payable[1] == alone.payable
    assert both.mean[0] == alone.mean
    assert both.keep_mean_below.shape == (2, 2)


@settings(deadline=None, max_examples=100)
@given(means_of_a_month, st.floats(0.0, 50.0))
def test_a_dirtier_month_never_pays_less(hours: list[float], more: float) -> None:
    assert float(of([hour + more for hour in hours]).payable) >= float(of(hours).payable)
