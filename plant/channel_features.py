"""One channel of one instrument, hour by hour: what its values did, as they were sent.

Everything is reckoned at once over the rows of all hours: rows stand in the order of their start, so that an hour is a
run of them, and each number is a reduction over such runs. What needs minutes is `plant.minute_features`', which
channels have which numbers `plant.features`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from plant.hour_rows import Hours, Kept
from plant.minute_features import BLOCKS, digests, steps
from plant.periods import HOUR, SECOND
from plant.readings import CALIBRATION, LARGEST, NORMAL, OVER_RANGE, Counts, Letters, Truths, Values

BELOW: Final = 0.02
"""Of full scale: a value further below the range is no zero drift (-2 % F.S., regulation sheet, section 8.3 [D])."""

_IS_NORMAL = np.zeros(256, dtype=bool)
_IS_NORMAL[[NORMAL, OVER_RANGE]] = True


def channel_features(
    hours: Hours,
    value: Values,
    flag: Letters,
    row_flag: Letters,
    full_scale: tuple[float, float] | None,
    *,
    heavy: bool,
) -> dict[str, Values] | None:
    """By name, shape (n_hours,); NaN where nothing was told of the channel, None where nothing was at all.

    A row tells of a channel by a value, or by a flag of the channel's own in *flag* beside that of the row.
    *heavy*: all of `plant.features.CHANNEL`, else those of `LIGHT`.
    """
    finite = np.abs(value) < LARGEST
    told = finite | (flag != row_flag)
    if not told.any():
        return None
    flagged = flag != NORMAL
    plain = not flagged.any()
    usual = finite if plain else finite & _IS_NORMAL[flag]
    kept = Kept.of(hours, value, np.flatnonzero(usual))
    seen = np.logical_or.reduceat(np.append(told, False), hours.bounds[:-1])
    seen &= np.diff(hours.bounds) > 0
    out = {name: kept.at(of, hours.n_hours) for name, of in (_levels(kept) | _runs(kept)).items()}
    out["seen_s"] = np.where(seen & np.isnan(out["seen_s"]), 0.0, out["seen_s"])
    if not heavy:
        return out
    rare = np.flatnonzero(flagged)
    out |= _beyond(kept, full_scale, seen)
    out["top_s"] = kept.at(_at_the_top(kept), hours.n_hours)
    out |= _claims(hours, value, flag, finite, rare, seen)
    out |= steps(kept, hours, hours.minute[usual], rare[flag[rare] != OVER_RANGE])
    out |= digests(kept, hours, usual, out["grain"])
    return out


def _levels(kept: Kept) -> dict[str, Values]:
    if not kept.hours.size:
        return dict.fromkeys(("seen_s", "mean", "std", "low", "high", "first", "last"), np.zeros(0))
    first = kept.value[kept.starts]
    seen_s = kept.sum(kept.seconds)
    # Distances from the hour's first value: equal values average to themselves, and small spreads keep their digits.
    distance = kept.value - kept.spread(first)
    weighted = distance * kept.seconds
    off = kept.sum(weighted) / seen_s
    weighted *= distance
    return {
        "seen_s": seen_s,
        "mean": first + off,
        "std": np.sqrt(np.maximum(kept.sum(weighted) / seen_s - off * off, 0.0)),
        "low": np.minimum.reduceat(kept.value, kept.starts),
        "high": np.maximum.reduceat(kept.value, kept.starts),
        "first": first,
        "last": kept.value[kept.starts + kept.counts - 1],
    }


def _runs(kept: Kept) -> dict[str, Values]:
    """How long the value stays as it is, and the smallest difference that it makes."""
    if not kept.hours.size:
        return dict.fromkeys(("still_s", "lead_s", "tail_s", "grain"), np.zeros(0))
    change = np.empty(kept.value.size)
    change[0] = np.inf
    np.subtract(kept.value[1:], kept.value[:-1], out=change[1:])
    np.abs(change, out=change)
    change[kept.starts] = np.inf
    begins = np.flatnonzero(change)
    lasts = np.add.reduceat(kept.seconds, begins)
    run = np.searchsorted(begins, kept.starts)
    grain = np.minimum.reduceat(change[begins], run)
    return {
        "still_s": np.maximum.reduceat(lasts, run),
        "lead_s": lasts[run],
        "tail_s": lasts[np.append(run[1:], begins.size) - 1],
        "grain": np.where(np.isinf(grain), np.nan, grain),
    }


def _beyond(kept: Kept, full_scale: tuple[float, float] | None, seen: Truths) -> dict[str, Values]:
    """Seconds outside the registered range; 0 where none is registered."""
    below, over = np.where(seen, 0.0, np.nan), np.where(seen, 0.0, np.nan)
    if full_scale is not None and kept.hours.size:
        low, high = full_scale
        deep = kept.value < low - BELOW * (high - low)
        far = kept.value > high
        if deep.any():
            below[kept.hours] = kept.sum(kept.seconds * deep)
        if far.any():
            over[kept.hours] = kept.sum(kept.seconds * far)
    return {"below_s": below, "over_s": over}


def _at_the_top(kept: Kept) -> Values:
    """Seconds at the highest value: gas peaks, a value that is cut off lies flat."""
    if not kept.hours.size:
        return np.zeros(0)
    return kept.sum(kept.seconds * (kept.value == kept.spread(np.maximum.reduceat(kept.value, kept.starts))))


def _claims(
    hours: Hours, value: Values, flag: Letters, finite: Truths, rare: Counts, seen: Truths
) -> dict[str, Values]:
    """Seconds under each flag, and what the values were under those that are claims."""
    n = hours.n_hours
    if not rare.size:
        none, nothing = np.where(seen, 0.0, np.nan), np.full(n, np.nan)
        return {
            "c_s": none,
            "t_s": none,
            "other_s": none,
            **dict.fromkeys(("claim_high", "claim_q25", "quiet_s"), nothing),
        }
    hour = hours.minute[rare] // 60
    letters, seconds = flag[rare], hours.seconds[rare]
    claim = (letters != CALIBRATION) & (letters != OVER_RANGE)

    def time(of: Truths) -> Values:
        return np.where(seen, np.bincount(hour[of], seconds[of], n), np.nan)

    ends = np.full(n, np.nan)
    line = letters != OVER_RANGE
    ends[hour[line]] = hours.offset[rare[line]] / SECOND + seconds[line]  # of several, the last one written stays
    shown = claim & finite[rare]
    high, quarter = _extremes(hour[shown], value[rare[shown]], n)
    return {
        "c_s": time(letters == CALIBRATION),
        "t_s": time(letters == OVER_RANGE),
        "other_s": time(claim),
        "claim_high": high,
        "claim_q25": quarter,
        "quiet_s": np.where(seen, (np.arange(n) + 1) * (HOUR / SECOND) - ends, np.nan),
    }


def _extremes(hour: Counts, value: Values, n_hours: int) -> tuple[Values, Values]:
    """By the hour, the highest of *value*, and the one that a quarter of them lie below."""
    order = np.lexsort((value, hour))
    bounds = np.searchsorted(hour, np.arange(n_hours + 1))  # hours rise already
    count = np.diff(bounds)
    present = np.flatnonzero(count)
    high, quarter = np.full(n_hours, np.nan), np.full(n_hours, np.nan)
    high[present] = value[order[bounds[1:][present] - 1]]
    quarter[present] = value[order[bounds[:-1][present] + (count[present] - 1) // 4]]
    return high, quarter


NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "light": ("seen_s", "mean", "std", "low", "high", "first", "last", "still_s", "lead_s", "tail_s", "grain"),
    "heavy": (
        *("below_s", "over_s", "c_s", "t_s", "other_s", "claim_high", "claim_q25", "top_s", "quiet_s"),
        *("minute_first", "minute_last", "step", "step_minute", "step_before", "step_after"),
        *(f"block{i}" for i in range(BLOCKS)),
    ),
}
