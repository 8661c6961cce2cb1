"""Against the reference: linearity, and relative accuracy with its confidence coefficient (regulation sheet, 3.7).

The bands of 3.7 are data with the sheet's mark, K-H. The sheet gives no formula for the relative accuracy: what
is here is that of 40 CFR Part 60 App. B PS-2 and Part 75 App. A 7.3, read in the source of EPA's check engine
(`RATAChecks.cs`, MIT; mark V-S), and again in a Chinese calculator for HJ 75 (V-S). The numbers of PS-2's equations
are K-H.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from plant.conversion import Values

Truths = npt.NDArray[np.bool_]

_DECIMALS: Final = 6

MAX_RESPONSE_S: Final = 200.0
"""Response time of a gas analyser at acceptance. Mark K-H."""

# fmt: off
T_975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)
# fmt: on
"""Student's t that 2.5 % exceed, for 1 to 30 degrees of freedom."""
MOST_PAIRS: Final = len(T_975) + 1


# --- relative accuracy ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeAccuracy:
    """Of pairs of measurements; every array has the shape of what was given without its last axis."""

    pairs: npt.NDArray[np.int64]
    mean_reference: Values
    mean_measured: Values
    mean_difference: Values  #: reference - measured (PS-2 eq. 2-3)
    standard_deviation: Values  #: of the differences (eq. 2-4); NaN for one pair
    t: Values
    confidence: Values  #: the 2.5 % error confidence coefficient (eq. 2-5)
    percent: Values  #: eq. 2-6; NaN where the mean reference is not above zero

    @property
    def absolute_error(self) -> Values:
        """Measured - reference, of the means."""
        return -self.mean_difference

    @property
    def relative_error_pct(self) -> Values:
        return _ratio(self.absolute_error, self.mean_reference) * 100.0


def relative_accuracy(reference: Values, measured: Values) -> RelativeAccuracy:
    """`RA = (|mean d| + |cc|) / mean reference x 100`, with `cc = t Sd / sqrt(n)`.

    *reference* and *measured* have shape (n_pairs,) or (..., n_pairs); a pair with a NaN does not count. At most 31
    pairs: that is as far as the table of t goes.

    Examples
    --------
    >>> found = relative_accuracy(np.array([10.0, 12.0, 11.0]), np.array([9.0, 12.0, 10.0]))
    >>> round(float(found.confidence), 3), round(float(found.percent), 2)
    (1.434, 19.1)
    """
    pair = ~(np.isnan(reference) | np.isnan(measured))
    n = pair.sum(axis=-1)
    if np.any(n > MOST_PAIRS):
        raise ValueError(f"at most {MOST_PAIRS} pairs")
    mean_reference, mean_measured = _mean(reference, pair, n), _mean(measured, pair, n)
    difference = reference - measured
    mean_difference = _mean(difference, pair, n)
    squares = np.where(pair, (difference - mean_difference[..., None]) ** 2, 0.0).sum(axis=-1)
    deviation = np.sqrt(_ratio(squares, np.asarray(n - 1, dtype=np.float64)))
    t = np.where(n > 1, np.asarray(T_975)[np.clip(n - 2, 0, None)], np.nan)
    confidence = t * deviation / np.sqrt(np.maximum(n, 1))
    return RelativeAccuracy(
        pairs=np.asarray(n, dtype=np.int64),
        mean_reference=mean_reference,
        mean_measured=mean_measured,
        mean_difference=mean_difference,
        standard_deviation=deviation,
        t=t,
        confidence=confidence,
        percent=_ratio(np.abs(mean_difference) + np.abs(confidence), mean_reference) * 100.0,
    )


def _mean(value: Values, of: Truths, n: npt.NDArray[np.int64]) -> Values:
    return _ratio(np.where(of, value, 0.0).sum(axis=-1), np.asarray(n, dtype=np.float64))


def _ratio(above: Values, below: Values) -> Values:
    """NaN where *below* is not above zero."""
    above, below = np.asarray(above), np.asarray(below)
    ratio: Values = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
    return ratio


# --- bands ---------------------------------------------------------------------------------------------------------


class Statistic(StrEnum):
    RELATIVE_ACCURACY = "relative_accuracy"  #: [%]
    RELATIVE_ERROR = "relative_error"  #: of the means [%]
    ABSOLUTE_ERROR = "absolute_error"  #: of the means, in the parameter's unit


@dataclass(frozen=True, slots=True)
class Band:
    upper: float  #: of the mean of the reference method, in the parameter's unit
    statistic: Statistic
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The accuracy that one parameter must have, by the mean of the reference method."""

    unit: str
    upper_included: bool  #: whether a mean at `upper` belongs to the band that ends there
    bands: tuple[Band, ...]
    mark: str = "K-H"


_END: Final = float("inf")
_RA, _RE, _AE = Statistic.RELATIVE_ACCURACY, Statistic.RELATIVE_ERROR, Statistic.ABSOLUTE_ERROR
# 6 ppm are 17 mg/m3 of SO2 and 12 mg/m3 of NOx counted as NO2.
_GAS: Final = Bands(
    unit="ppm",
    upper_included=False,
    bands=(Band(20.0, _AE, 6.0), Band(50.0, _RE, 30.0), Band(250.0, _AE, 20.0), Band(_END, _RA, 15.0)),
)

ACCURACY: Final[Mapping[str, Bands]] = {
    "so2": _GAS,
    "nox": _GAS,
    "o2": Bands(unit="vol %", upper_included=True, bands=(Band(5.0, _AE, 1.0), Band(_END, _RA, 15.0))),
    "pm": Bands(
        unit="mg/m3",
        upper_included=True,
        bands=(
            Band(10.0, _AE, 5.0),
            Band(20.0, _AE, 6.0),
            Band(50.0, _RE, 30.0),
            Band(100.0, _RE, 25.0),
            Band(200.0, _RE, 20.0),
            Band(_END, _RE, 15.0),
        ),
    ),
    "velocity": Bands(unit="m/s", upper_included=True, bands=(Band(10.0, _RE, 12.0), Band(_END, _RE, 10.0))),
    "temperature": Bands(unit="degC", upper_included=True, bands=(Band(_END, _AE, 3.0),)),
    "moisture": Bands(unit="vol %", upper_included=True, bands=(Band(5.0, _AE, 1.5), Band(_END, _RE, 25.0))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyVerdict:
    """Which band counts, and whether it is kept; every array has the shape of the means."""

    statistic: npt.NDArray[np.object_]
    value: Values  #: of the statistic, without its sign
    limit: Values
    passed: Truths  #: never where the value is NaN


def judge_accuracy(parameter: str, found: RelativeAccuracy) -> AccuracyVerdict:
    """*found* against the bands of *parameter*, one of `ACCURACY`, in the unit that it names."""
    table = ACCURACY[parameter]
    uppers = np.array([band.upper for band in table.bands[:-1]])
    which = np.searchsorted(
        uppers, np.round(found.mean_reference, _DECIMALS), side="left" if table.upper_included else "right"
    )
    statistic = np.array([band.statistic.value for band in table.bands], dtype=object)[which]
    limit = np.array([band.limit for band in table.bands])[which]
    value = np.abs(
        np.select([statistic == _RA, statistic == _RE], [found.percent, found.relative_error_pct], found.absolute_error)
    )
    return AccuracyVerdict(
        statistic=np.asarray(statistic, dtype=object),
        value=value,
        limit=limit,
        passed=np.asarray(np.round(value, _DECIMALS) <= limit),
    )


# --- linearity -----------------------------------------------------------------------------------------------------

LINEARITY_PCT: Final = 5.0
"""Of the gas value. Mark K-H."""
LINEARITY_LOW_RANGE_PCT: Final = 2.5
"""Of full scale, at a low range. Mark K-H."""
LOW_RANGE_PPM: Final[Mapping[str, float]] = {"so2": 100.0, "nox": 200.0}
"""A full scale below this is a low range. Mark K-H; that the sheet's figure is of the full scale is our reading [D]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearity:
    error_pct: Values  #: signed; of the gas value, or of full scale at a low range
    limit_pct: float
    of_full_scale: bool
    passed: Truths


def judge_linearity(gas: str, reference_ppm: Values, measured_ppm: Values, full_scale_ppm: float) -> Linearity:
    """The indication error of an analyser at each gas it was shown.

    *reference_ppm* has shape (n_gases,), *measured_ppm* (n_gases,) or (n_gases, n_injections): then their mean counts,
    without the NaN ones. A gas without a reading does not pass.
    """
    if measured_ppm.ndim > reference_ppm.ndim:
        shown = ~np.isnan(measured_ppm)
        measured_ppm = _mean(measured_ppm, shown, shown.sum(axis=-1))
    low = full_scale_ppm < LOW_RANGE_PPM.get(gas, 0.0)
    of = np.full(reference_ppm.shape, full_scale_ppm) if low else reference_ppm
    error = _ratio(measured_ppm - reference_ppm, of) * 100.0
    limit = LINEARITY_LOW_RANGE_PCT if low else LINEARITY_PCT
    passed = np.asarray(np.round(np.abs(error), _DECIMALS) <= limit)
    return Linearity(error_pct=error, limit_pct=limit, of_full_scale=low, passed=passed)
