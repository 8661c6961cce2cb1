"""The running hour: between which values its corrected mean will end, and what can still be done about it.

The corrected hour mean is mean(C) (21 - base) / (21 - mean(O2)) over the same valid minutes (HJ 212-2017 App. D eq. 24
and 28; contract, section 5). From the minutes seen, and from what the minutes to come are known to keep to (the
*envelope*: the analyser's range and the outlet's registered oxygen), follow exact bounds of that value for every
way the hour may end valid. Which of the minutes to come become valid is left open, at the worst.

Conditions of every figure here, to be shown with it: the hour stays valid and its mean oxygen below ambient; minutes
that have passed do not change; the hour keeps its instrument; the minutes to come lie within the envelope. A
minute over range counts with its lower bound, as it is judged, and so bounds the hour from below only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from plant.conversion import to_reference_oxygen
from plant.envelopes import Envelope
from plant.hours import MINUTES
from plant.packs import Limit, Outlet, Pack
from plant.packs.comparing import is_above
from plant.readings import Counts, Truths, Values

NEVER: Final = -1  #: of `irrecoverable_since`: the hour can still be saved, or need not be judged

_NOISE: Final = 1e-11
"""More than the order of adding up an hour can change, relative or of values near zero; bounds are wider by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How the hour will be judged when it has ended."""

    pack: Pack
    outlet: Outlet
    limit: Limit
    base_o2_vol_pct: float | None  #: None: judged as measured, oxygen does not matter

    @property
    def ambient_vol_pct(self) -> float:
        """Mean oxygen from here on leaves the hour undecided."""
        return self.pack.averaging.oxygen_at_ambient_vol_pct

    def corrected(self, mean: Values, o2: Values) -> Values:
        """The value that is judged: *mean* at base oxygen. *o2* is below that of the formula's air, or NaN."""
        if self.base_o2_vol_pct is None:
            return mean
        return to_reference_oxygen(mean, o2, self.base_o2_vol_pct, self.pack.averaging.oxygen_in_air_vol_pct)

    def within(self, corrected: Values) -> Truths:
        return ~np.isnan(corrected) & ~np.asarray(is_above(corrected, self.pack, self.outlet, self.limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class HourBounds:
    """Of running hours; every array has the same shape, one element an hour (or an hour and minute)."""

    low: Values  #: the lowest corrected mean that the hour can end with; NaN where it is not decidable
    high: Values  #: the highest (at ambient oxygen the least upper bound, which is not reached)
    decidable: Truths  #: the hour can still end valid and with its oxygen below ambient
    may_end_at_ambient: Truths  #: it can end valid with its oxygen at ambient, which would leave it undecided
    saveable: Truths  #: it can still end at or below the limit
    irrecoverable: Truths  #: whatever comes, it ends breached if it stays valid
    keep_below: Values
    """With every minute to come valid and at the oxygen of now, their mean at or below this ends the hour within the
    limit (no confidence interval taken off). NaN where none is left, the oxygen is unknown or nothing in the
    analyser's range would do."""
    keep_below_surely: Values  #: the same, whichever of the minutes to come turn out invalid


def target_of(
    pack: Pack, process: str, pollutant: str, *, already_corrected: bool, limit: Limit | None = None
) -> Target:
    """How *pack* judges the outlet of *process*; `UnsetFigure` where its number is not established.

    *limit* stands for the outlet's own, as in `plant.verdicts.judge_hours`.
    """
    outlet = pack.outlet(process)
    return Target(
        pack=pack,
        outlet=outlet,
        limit=outlet.limits[pollutant] if limit is None else limit,
        base_o2_vol_pct=None if already_corrected else outlet.base_oxygen(),
    )


def bound_hours(
    minute_mean: Values,
    minute_o2: Values,
    passed: int | Counts,
    target: Target,
    envelope: Envelope,
    *,
    o2_now: float | Values | None = None,
) -> HourBounds:
    """Bounds of hours of which *passed* minutes have passed.

    Parameters
    ----------
    minute_mean, minute_o2
        As in `plant.hours.HourMeans`, NaN where a minute is not valid; shape (60,) or (n_hours, 60). What stands in
        minutes that have not passed is ignored. `minute_o2` only counts where the target has a base oxygen.
    passed
        From 0 to 60; one for all, or shape (n_hours,).
    o2_now
        The oxygen that `keep_below` reckons with; by default that of the last valid minute. [vol %, dry]

    Returns
    -------
    HourBounds
        Arrays of shape (n_hours,), or () for a single hour.
    """
    n_passed = np.broadcast_to(np.asarray(passed, dtype=np.int64), minute_mean.shape[:-1])
    if ((n_passed < 0) | (n_passed > MINUTES)).any():
        raise ValueError(f"an hour has from 0 to {MINUTES} minutes, {passed} have not passed")
    seen = _after_each_minute(minute_mean, minute_o2, target).at(n_passed)
    return _bound(seen, MINUTES - n_passed, target, envelope, o2_now)


def bound_every_minute(minute_mean: Values, minute_o2: Values, target: Target, envelope: Envelope) -> HourBounds:
    """The bounds as they were after 0, 1, .. 60 minutes: arrays of shape (61,) or (n_hours, 61)."""
    seen = _after_each_minute(minute_mean, minute_o2, target)
    return _bound(seen, MINUTES - np.arange(MINUTES + 1), target, envelope, None)


def irrecoverable_since(
    minute_mean: Values, minute_o2: Values, passed: int | Counts, target: Target, envelope: Envelope
) -> Counts:
    """After how many minutes nothing could save the hour any more; `NEVER` where that is not so after *passed*.

    Shapes as in `bound_hours`. While the conditions hold, what is irrecoverable stays so.
    """
    n_passed = np.broadcast_to(np.asarray(passed, dtype=np.int64), minute_mean.shape[:-1])
    lost = bound_every_minute(minute_mean, minute_o2, target, envelope).irrecoverable
    minute = np.arange(MINUTES + 1)
    still_open = ~lost & (minute <= n_passed[..., None])
    last_open = np.where(still_open, minute, NEVER).max(axis=-1)
    return np.where(last_open < n_passed, last_open + 1, NEVER)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The valid minutes seen; every array has the same shape."""

    count: Counts
    mean: Values
    o2: Values
    o2_now: Values  #: of the last of them

    def at(self, passed: Counts) -> _Seen:
        """Of all minutes along the last axis the one after *passed*."""

        def pick(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.take_along_axis(values, passed[..., None], axis=-1)[..., 0]

        return _Seen(pick(self.count), pick(self.mean), pick(self.o2), pick(self.o2_now))


def _after_each_minute(minute_mean: Values, minute_o2: Values, target: Target) -> _Seen:
    """What had been seen after 0, 1, .. 60 minutes: arrays of shape (..., 61)."""
    of = ~np.isnan(minute_mean)
    if target.base_o2_vol_pct is not None:
        of &= ~np.isnan(minute_o2)
    count = _from_nothing(np.cumsum(of, axis=-1), 0)
    last = np.maximum.accumulate(np.where(of, np.arange(MINUTES), 0), axis=-1)
    now = np.where(count[..., 1:] > 0, np.take_along_axis(minute_o2, last, axis=-1), np.nan)
    return _Seen(count, _means(minute_mean, of), _means(minute_o2, of), _from_nothing(now, np.nan))


def _means(minutes: Values, of: Truths) -> Values:
    """The mean of the minutes *of* the hour up to each: distances from the first, added up in order.

    So the last is equal to the hour mean of `plant.hours` to the last digit.
    """
    count = np.cumsum(of, axis=-1)
    first = np.take_along_axis(minutes, of.argmax(axis=-1)[..., None], axis=-1)
    distance = np.cumsum(np.where(of, minutes - first, 0.0), axis=-1)
    return _from_nothing(first + np.divide(distance, count, out=np.full(of.shape, np.nan), where=count > 0), np.nan)


def _from_nothing(values: npt.NDArray[Any], nothing: float) -> npt.NDArray[Any]:
    """*values* along the minutes with *nothing* before the first."""
    return np.concatenate([np.full_like(values[..., :1], nothing), values], axis=-1)


def _bound(
    seen: _Seen, to_come: Counts, target: Target, envelope: Envelope, o2_now: float | Values | None
) -> HourBounds:
    """Bounds after what was *seen* with so many minutes *to_come*."""
    if target.base_o2_vol_pct is not None and envelope.o2 is None:
        raise ValueError("the outlet has a base oxygen: its envelope needs the range of oxygen")
    least = np.maximum(target.pack.averaging.min_valid_minutes - seen.count, 0)
    valid = least <= to_come
    least_decided = np.maximum(least, _least_below_ambient(seen, target, envelope))
    decidable = valid & (least_decided <= to_come)

    more = _turning_points(seen, np.minimum(least_decided, to_come), to_come, target, envelope)
    low = _extreme(seen, more, envelope.low, target, envelope).min(axis=0)
    high = _extreme(seen, more, envelope.high, target, envelope).max(axis=0)
    # Where nothing is open any more the value is the one that will be judged, to the last digit.
    low = np.where(to_come > 0, low - _NOISE * (1.0 + np.abs(low)), low)
    high = np.where(to_come > 0, high + _NOISE * (1.0 + np.abs(high)), high)
    saveable = decidable & target.within(low)
    at_ambient = valid & _reaches_ambient(seen, least, to_come, target, envelope)
    now = seen.o2_now if o2_now is None else np.broadcast_to(np.asarray(o2_now, dtype=np.float64), seen.o2_now.shape)
    return HourBounds(
        low=np.where(decidable, low, np.nan),
        high=np.where(decidable, high, np.nan),
        decidable=decidable,
        may_end_at_ambient=at_ambient,
        saveable=saveable,
        irrecoverable=decidable & ~saveable & ~at_ambient,
        keep_below=np.where(valid, _usable(_keep(seen, to_come, now, target), envelope), np.nan),
        keep_below_surely=np.where(valid, _usable(_keep_surely(seen, least, to_come, now, target), envelope), np.nan),
    )


def _joined(seen: Values, count: Counts, coming: float | Values, more: Counts) -> Values:
    """The mean of *count* minutes with the mean *seen* and of *more* with the mean *coming*."""
    with np.errstate(invalid="ignore", divide="ignore"):
        joined = seen + (coming - seen) * (more / (count + more))
    return np.where(count == 0, coming, np.where(more == 0, seen, joined))


def _extreme(seen: _Seen, more: Counts, coming: float, target: Target, envelope: Envelope) -> Values:
    """The corrected means with *more* minutes of *coming*, at either end of the oxygen; shape (n, ...).

    With a fixed number of minutes the value is monotone in their mean and in their mean oxygen. With fixed minutes it
    is a quotient of two linear functions of their number, so it is monotone in that too, up to where the
    oxygen would pass ambient: there the hour is not decided, and the bound stays at ambient.
    """
    mean = _joined(seen.mean, seen.count, coming, more)
    if target.base_o2_vol_pct is None or envelope.o2 is None:
        return mean
    ends = [np.minimum(_joined(seen.o2, seen.count, o2, more), target.ambient_vol_pct) for o2 in envelope.o2]
    return np.concatenate([target.corrected(mean, o2) for o2 in ends])


def _turning_points(seen: _Seen, least: Counts, most: Counts, target: Target, envelope: Envelope) -> Counts:
    """The numbers of minutes to come at which a bound can lie: the ends, and where oxygen passes ambient; (n, ...)."""
    ends = [least, np.broadcast_to(most, least.shape)]
    if target.base_o2_vol_pct is not None and envelope.o2 is not None:
        crossing = np.floor(_to_ambient(seen, envelope.o2[1], target))
        ends += [np.clip(np.nan_to_num(crossing + step), least, most).astype(np.int64) for step in (0, 1)]
    return np.stack(ends)


def _to_ambient(seen: _Seen, o2: float, target: Target) -> Values:
    """How many minutes of *o2* bring the mean oxygen to ambient; not finite where none do."""
    ambient = target.ambient_vol_pct
    with np.errstate(invalid="ignore", divide="ignore"):
        return seen.count * (ambient - seen.o2) / np.float64(o2 - ambient)


def _least_below_ambient(seen: _Seen, target: Target, envelope: Envelope) -> Counts:
    """How many minutes of the lowest oxygen it takes to bring the mean oxygen below ambient."""
    none = np.zeros(seen.count.shape, dtype=np.int64)
    if target.base_o2_vol_pct is None or envelope.o2 is None:
        return none
    if envelope.o2[0] >= target.ambient_vol_pct:
        raise ValueError(f"oxygen from {envelope.o2[0]} vol % on is ambient: no hour of that outlet can be judged")
    needed = np.nan_to_num(np.floor(_to_ambient(seen, envelope.o2[0], target) - _NOISE)) + 1
    at_ambient = (seen.count > 0) & (seen.o2 >= target.ambient_vol_pct)
    return np.where(at_ambient, np.clip(needed, 1, MINUTES + 1), none).astype(np.int64)


def _reaches_ambient(seen: _Seen, least: Counts, most: Counts, target: Target, envelope: Envelope) -> Truths:
    if target.base_o2_vol_pct is None or envelope.o2 is None:
        return np.zeros(seen.count.shape, dtype=bool)
    reaches = np.zeros(seen.count.shape, dtype=bool)
    for more in (least, most):
        noise = np.where(more > 0, _NOISE, 0.0)
        reaches |= _joined(seen.o2, seen.count, envelope.o2[1], more) >= target.ambient_vol_pct - noise
    return reaches


def _keep(seen: _Seen, more: Counts, o2_now: Values, target: Target) -> Values:
    """The highest mean of *more* minutes at the oxygen of now with which the hour ends within the limit."""
    allowed: Values = np.full(seen.count.shape, target.limit.mg_m3)
    if target.base_o2_vol_pct is not None:
        o2 = _below_ambient(_joined(seen.o2, seen.count, o2_now, more), target)
        allowed = allowed / target.corrected(np.ones_like(o2), o2)
    with np.errstate(divide="ignore", invalid="ignore"):
        keep = allowed + np.where(seen.count > 0, seen.count / more * (allowed - seen.mean), 0.0)
    return np.where(more > 0, keep, np.nan)


def _keep_surely(seen: _Seen, least: Counts, most: Counts, o2_now: Values, target: Target) -> Values:
    """The same for every number of minutes from *least* to *most*: it is monotone in that, so for both ends."""
    keep = np.minimum(
        _keep(seen, np.maximum(least, 1), o2_now, target),
        _keep(seen, np.broadcast_to(most, least.shape), o2_now, target),
    )
    return np.where((least > 0) | target.within(_so_far(seen, target)), keep, np.nan)


def _so_far(seen: _Seen, target: Target) -> Values:
    """The corrected mean of the minutes seen; NaN where their oxygen is at ambient."""
    return target.corrected(seen.mean, _below_ambient(seen.o2, target))


def _below_ambient(o2: Values, target: Target) -> Values:
    return np.where(o2 < target.ambient_vol_pct, o2, np.nan)


def _usable(keep: Values, envelope: Envelope) -> Values:
    """*keep* where an analyser of that range can show it."""
    return np.where(keep >= envelope.low, keep, np.nan)
