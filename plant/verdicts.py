"""Hours against a limit: clear, breached, undecided or excluded (contract, section 5).

Missing data is neither compliance nor a breach. A value over the analyser's range is a lower bound: it can
show a breach and never the contrary. What the plant itself declared takes an hour out only visibly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from plant.conversion import to_reference_oxygen
from plant.hours import HourMeans, Method
from plant.packs import Averaging, Limit, Pack
from plant.packs.comparing import is_above
from plant.periods import HOUR, SECOND
from plant.readings import Truths, Values


class Verdict(StrEnum):
    CLEAR = "clear"
    BREACHED = "breached"
    UNDECIDED = "undecided"
    EXCLUDED = "excluded"


class Reason(StrEnum):
    WITHIN = "within"
    ABOVE = "above"
    NOT_ENDED = "not_ended"
    NOT_RUNNING = "not_running"
    TOO_FEW_MINUTES = "too_few_minutes"
    OXYGEN_AT_AMBIENT = "oxygen_at_ambient"
    OVER_RANGE = "over_range"


# What each condition of `judge_hours` means, in the order in which they are asked.
_SAYS: Final = (
    (Verdict.UNDECIDED, Reason.NOT_ENDED),
    (Verdict.EXCLUDED, Reason.NOT_RUNNING),
    (Verdict.UNDECIDED, Reason.TOO_FEW_MINUTES),
    (Verdict.UNDECIDED, Reason.OXYGEN_AT_AMBIENT),
    (Verdict.UNDECIDED, Reason.OVER_RANGE),
    (Verdict.BREACHED, Reason.ABOVE),
    (Verdict.CLEAR, Reason.WITHIN),
)
_VERDICTS: Final = np.array([verdict for verdict, _ in _SAYS], dtype=object)
_REASONS: Final = np.array([reason for _, reason in _SAYS], dtype=object)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourVerdicts:
    """The verdicts of a run of hours of one pollutant under one pack; every array has shape (n_hours,)."""

    corrected: Values  #: mg/m3 at base oxygen; NaN where there is none
    corrected_from_minutes: Values
    method_sensitive: Truths
    limit: float
    verdict: npt.NDArray[np.object_]
    reason: npt.NDArray[np.object_]
    claimed: Truths  #: excluded or undecided by the plant's own unaccepted claims
    final: Truths


def method_of(pack: Pack, process: str, *, already_corrected: bool) -> Method:
    """How *pack* averages the outlet of *process*: with oxygen where it has a base and the channel needs it."""
    with_oxygen = pack.outlet(process).base_oxygen() is not None and not already_corrected
    return Method(averaging=pack.averaging, with_oxygen=with_oxygen)


def ended(end_us: int, now_us: int, after_s: int) -> bool:
    """Whether a period that ends at *end_us* counts as ended at *now_us*."""
    return now_us >= end_us + after_s * SECOND


def judge_hours(
    means: HourMeans,
    pack: Pack,
    process: str,
    pollutant: str,
    *,
    already_corrected: bool,
    now: int,
    limit: Limit | None = None,
) -> HourVerdicts:
    """Verdicts of *means* under *pack* at the instant *now* (microseconds since the epoch).

    *limit* stands for the outlet's own where a permit states another for a shared stack (`plant.limits`).
    """
    outlet = pack.outlet(process)
    rule = pack.averaging
    limit = outlet.limits[pollutant] if limit is None else limit
    base = None if already_corrected else outlet.base_oxygen()
    at_ambient = np.zeros(means.mean.size, dtype=bool)
    corrected, from_minutes = means.mean, means.mean
    if base is not None:
        at_ambient = means.o2 >= rule.oxygen_at_ambient_vol_pct
        corrected = _corrected(means.mean, means.o2, base, rule)
        minutes = _corrected(means.minute_mean, means.minute_o2, base, rule)
        from_minutes = _mean_of_all(minutes, ~np.isnan(means.minute_mean))

    above = is_above(corrected, pack, outlet, limit)
    final = now >= means.start + HOUR + rule.ended_after_s * SECOND
    excluded = means.not_running_minutes >= rule.not_running_minutes
    too_few = means.valid_minutes < rule.min_valid_minutes
    over_range = means.over_range_minutes > 0
    conditions = [~final, excluded, too_few, at_ambient, over_range & ~above, above, np.ones_like(above)]
    said = np.argmax(conditions, axis=0)  # the first condition that holds names the verdict
    verdict, reason = _VERDICTS[said], _REASONS[said]
    decided = (verdict == Verdict.CLEAR) | (verdict == Verdict.BREACHED)
    above_by_minutes = is_above(from_minutes, pack, outlet, limit)
    return HourVerdicts(
        corrected=corrected,
        corrected_from_minutes=from_minutes,
        method_sensitive=decided & ~np.isnan(from_minutes) & (above_by_minutes != above),
        limit=limit.mg_m3,
        verdict=verdict,
        reason=reason,
        claimed=_claimed(means, pack, reason),
        final=final,
    )


def _claimed(means: HourMeans, pack: Pack, reason: npt.NDArray[np.object_]) -> Truths:
    """Hours that only flags and states that no agency accepted excluded, or left undecided."""
    rule = pack.averaging
    excluded = (reason == Reason.NOT_RUNNING) & (means.accepted_off_minutes < rule.not_running_minutes)
    with_claimed = means.valid_minutes + means.claimed_minutes >= rule.min_valid_minutes
    undecided = (reason == Reason.TOO_FEW_MINUTES) & with_claimed
    claimed: Truths = excluded | undecided | (reason == Reason.OVER_RANGE)
    return claimed


def _corrected(value: Values, o2: Values, base: float, rule: Averaging) -> Values:
    """At base oxygen; NaN where the oxygen is at ambient or unknown."""
    usable = np.where(o2 < rule.oxygen_at_ambient_vol_pct, o2, np.nan)
    corrected: Values = to_reference_oxygen(value, usable, base, rule.oxygen_in_air_vol_pct)
    return corrected


def _mean_of_all(minutes: Values, of: Truths) -> Values:
    """The mean over the minutes *of* each hour; NaN where one of them could not be corrected."""
    count = of.sum(axis=1)
    first = minutes[np.arange(count.size), of.argmax(axis=1)]
    # As in `plant.hours`: distances from the first value, added up in the order of the minutes.
    distance = np.cumsum(np.where(of, minutes - first[:, None], 0.0), axis=1)[:, -1]
    mean: Values = first + np.divide(distance, count, out=np.full(count.size, np.nan), where=count > 0)
    return mean
