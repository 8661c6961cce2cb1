"""A mean against a limit as a pack compares them: confidence interval off, rounded half to even, above or not.

Scalars, or arrays of any one shape, the same out. NaN stays NaN and is above nothing.
"""

from __future__ import annotations

from typing import Final, overload

import numpy as np
import numpy.typing as npt

from plant.packs.model import MINUTES_OF, DayRule, Limit, Outlet, Pack, Period

Values = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

DUST: Final = 1e-12
"""Relative: nearer than this to a tie, a mean of written figures is the tie, and the rest is float noise."""


@overload
def rounded(value: float, decimals: int) -> float: ...
@overload
def rounded(value: Values, decimals: int) -> Values: ...
def rounded(value: float | Values, decimals: int) -> float | Values:
    """*value* to *decimals*, half to even: 四舍六入五成双 (HJ 212-2025 as implementations have it, regulation 4.10).

    What lies within float noise of a tie is the tie: 2.675 is one in writing and not in binary.

    Examples
    --------
    >>> [rounded(x, 0) for x in (34.5, 35.5, 35.4999)]
    [34.0, 36.0, 35.0]
    >>> rounded(2.675, 2)
    2.68
    """
    scale = 10.0**decimals
    scaled = np.asarray(value, dtype=np.float64) * scale
    doubled = np.rint(scaled * 2.0)
    tie = np.abs(scaled - doubled / 2.0) <= DUST * np.abs(scaled)
    result: Values = np.asarray(np.rint(np.where(tie, doubled / 2.0, scaled)) / scale)
    return result if result.ndim else float(result)


@overload
def credited(mean: float, pack: Pack, outlet: Outlet, limit: Limit) -> float: ...
@overload
def credited(mean: Values, pack: Pack, outlet: Outlet, limit: Limit) -> Values: ...
def credited(mean: float | Values, pack: Pack, outlet: Outlet, limit: Limit) -> float | Values:
    """*mean* with the confidence interval of its pollutant taken off, never below zero; as it is where there is none.

    Only the means that are averaged from minutes are credited: longer ones are averaged from credited ones.

    Raises
    ------
    UnsetFigure
        If the interval is a percentage of a daily limit whose number is not established.

    References
    ----------
    .. [1] Directive 2010/75/EU, Annex VI, part 6 point 1.3 and part 8 point 1.2 (regulation, section 9).
    """
    rule = pack.confidence
    if rule is None or limit.pollutant not in rule.percent or limit.period not in MINUTES_OF:
        return mean
    share = rule.percent[limit.pollutant] / 100.0
    off = mean * share if rule.of == "value" else share * outlet.limits_of(Period.DAY)[limit.pollutant].mg_m3
    result: Values = np.asarray(np.maximum(mean - off, 0.0))
    return result if result.ndim else float(result)


@overload
def is_above(mean: float, pack: Pack, outlet: Outlet, limit: Limit) -> bool: ...
@overload
def is_above(mean: Values, pack: Pack, outlet: Outlet, limit: Limit) -> Truths: ...
def is_above(mean: float | Values, pack: Pack, outlet: Outlet, limit: Limit) -> bool | Truths:
    """Whether *mean* [mg/m3, at base oxygen] is above *limit* as *pack* compares: at the limit is within."""
    above: Truths = np.asarray(rounded(credited(mean, pack, outlet, limit), pack.decimals) > limit.mg_m3)
    return above if above.ndim else bool(above)


def is_valid_day(valid: Counts, running: Counts, rule: DayRule) -> Truths:
    """Whether a day counts that had *valid* of *running* periods `rule.of`; both of shape (n_days,).

    A day that did not run at all is not valid.

    References
    ----------
    .. [1] HJ 212-2017 App. D eq. 25: at least 20 valid hours.
    .. [2] Directive 2010/75/EU, Annex VI, part 8 point 1.2: no more than five half-hours discarded.
    .. [3] 40 CFR 60.1260(c): 75 % of the operating hours.
    """
    counts: Truths = (running > 0) & (valid > 0)
    if rule.min_valid is not None:
        counts = counts & (valid >= rule.min_valid)
    if rule.max_invalid is not None:
        counts = counts & (running - valid <= rule.max_invalid)
    if rule.min_valid_share is not None:
        over, under = rule.min_valid_share.as_integer_ratio()
        counts = counts & (valid * under >= running * over)
    return counts
