"""What a month's hours mean for the environmental protection tax (regulation 6.5 [V-P S11]).

Environmental Protection Tax Law art 13: a concentration 30 % below the standard pays 75 % of the tax, 50 % below it
50 %. Implementing Regulation art 10: what counts is the monthly mean of the hourly means, and any hourly mean above
the standard removes the reduction of that month; art 11: outlet by outlet. The *standard* is national or local and
statutory: a limit of ultra-low emission is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from plant.packs import Pack
from plant.packs.comparing import rounded
from plant.readings import Counts, Truths, Values
from plant.verdicts import HourVerdicts, Verdict

REDUCTIONS: Final = ((0.30, 0.75), (0.50, 0.50))
"""(how far below the standard, share of the tax then paid), art 13. Exactly so far below counts: our reading [D]."""

FULL: Final = 1.0

DECIMALS: Final = 6
"""Means are compared with the steps rounded so: 0.7 x 180 is 125.99999999999999 as a float (contract, section 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxForecast:
    """One pollutant of one outlet in one month, or in many: every array has shape (...)."""

    mean: Values  #: of the valid hour means [mg/m3]; NaN without one
    hours: Counts  #: that count
    hours_above: Counts  #: above the standard: one is enough to lose the reduction
    payable: Values  #: share of the tax that the month so far would pay; NaN without a valid hour
    keep_mean_below: Values
    """Shape (..., 2): the mean of the hours to come at or below which the month pays 75 %, 50 %, as long as none of
    them is above the standard. NaN where that can no longer be reached, or no hour is to come."""


def forecast(
    corrected: Values, above: Truths, counted: Truths, standard: float, *, hours_to_come: int | Counts = 0
) -> TaxForecast:
    """The tax of the hours so far, and what would earn a reduction.

    Parameters
    ----------
    corrected
        Hour means at base oxygen under the standard, shape (n_hours,) or (n_months, n_hours). [mg/m3]
    above, counted
        Which of them are above the standard, and which are valid and judged, the same shape. NaN never counts.
    standard
        The statutory limit that holds for the outlet; the stricter where two do. [mg/m3]
    hours_to_come
        Hours of the month that have not ended, taken as valid; one for all or shape (n_months,).
    """
    counted = counted & ~np.isnan(corrected)
    hours = counted.sum(axis=-1)
    mean = _mean(corrected, counted, hours)
    hours_above = (counted & above).sum(axis=-1)
    payable = np.where(hours > 0, FULL, np.nan)
    keep = []
    to_come = np.broadcast_to(np.asarray(hours_to_come, dtype=np.int64), hours.shape)
    for below, share in REDUCTIONS:
        needed = rounded(standard * (1.0 - below), DECIMALS)
        payable = np.where((hours_above == 0) & (rounded(mean, DECIMALS) <= needed), share, payable)
        room = np.where(hours > 0, hours * (needed - mean), 0.0)
        more = needed + np.divide(room, to_come, out=np.full(hours.shape, np.nan), where=to_come > 0)
        keep.append(np.where((hours_above == 0) & (more >= 0), np.minimum(more, standard), np.nan))
    return TaxForecast(
        mean=mean, hours=hours, hours_above=hours_above, payable=payable, keep_mean_below=np.stack(keep, axis=-1)
    )


def forecast_under(pack: Pack, verdicts: HourVerdicts, *, hours_to_come: int = 0) -> TaxForecast:
    """The forecast of a month whose hours have these *verdicts* under the statutory *pack*.

    Clear and breached hours count. An hour that is excluded or undecided gives no hourly mean.
    """
    if pack.kind != "statutory":
        raise ValueError(f"{pack.name} is a {pack.kind}: the tax law speaks of standards")
    above: Truths = np.asarray(verdicts.verdict == Verdict.BREACHED)
    judged: Truths = above | (verdicts.verdict == Verdict.CLEAR)
    return forecast(verdicts.corrected, above, judged, verdicts.limit, hours_to_come=hours_to_come)


def _mean(value: Values, of: Truths, count: Counts) -> Values:
    """The mean of the values *of* each month, as distances from the least: equal values give that value exactly."""
    least = np.where(count > 0, np.where(of, value, np.inf).min(axis=-1, initial=np.inf), np.nan)
    distance = np.where(of, value - least[..., None], 0.0).sum(axis=-1)
    mean: Values = least + np.divide(distance, count, out=np.zeros(count.shape), where=count > 0)
    return mean
