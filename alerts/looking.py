"""When a stack should be looked at again: not before it can have lost an hour.

A hint for the order of work (`alerts.agenda`), no finding. An hour is lost when it ends above its limit even if every
minute left brings the least of the outlet's envelope, which is then

    (S + n_low) (air - base) / (air T - O) > limit        sums over the T minutes seen and to come

(`plant.bounds`). How many minutes at the top of the analyser's range, at the oxygen of now, that takes at least is
linear, so it is worked out here without a walk over minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.hours import JudgedHours, JudgedSeries
from alerts.rules import irrecoverable_hour
from plant.envelopes import Envelope
from plant.hours import MINUTES
from plant.periods import HOUR, MINUTE, SECOND
from plant.readings import Values

NEVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class NextLook:
    """From when on the newest hour of a stack, or else the one behind it, can be lost; instants [us]."""

    at: int
    above_at: int = NEVER
    """The same of what is above its limit so far: it has to be, long before it is lost, and mostly will be."""


def next_look(judged: JudgedHours) -> NextLook | None:
    """None where no outlet's envelope is known, or no minute is valid that says what its oxygen is."""
    if not judged.start.size:
        return None
    told = {finding.series for finding in judged.findings if finding.series.rule == irrecoverable_hour.NAME}
    found, above = [], []
    for series in judged.series:
        is_told = series.watched.series(irrecoverable_hour.NAME) in told
        at = _of_series(series, told=is_told)
        if at is not None:
            found.append(at)
            verdicts = series.verdicts
            if not is_told and not verdicts.final[-1] and verdicts.corrected[-1] > verdicts.limit:
                above.append(at)
    return NextLook(min(found), min(above, default=NEVER)) if found else None


def _of_series(series: JudgedSeries, *, told: bool) -> int | None:
    envelope, means = series.watched.envelope, series.means
    if envelope is None or not math.isfinite(envelope.high):
        return None
    valid = ~np.isnan(means.minute_mean[-1])
    if series.watched.target.base_o2_vol_pct is not None:
        valid &= ~np.isnan(means.minute_o2[-1])
    seen = np.flatnonzero(valid)
    if not seen.size:
        return None
    start, passed = int(means.start[-1]), int(seen[-1]) + 1
    mean, o2 = means.minute_mean[-1][seen], means.minute_o2[-1][seen]
    if not series.verdicts.final[-1]:
        minutes = _minutes_to_lose(series, envelope, mean, o2, MINUTES - passed, o2_now=float(o2[-1]))
        if minutes < MINUTES - passed and not told:
            # The newest minute of a running hour is not judged yet: it takes one more that is valid.
            shown = start + (passed + math.floor(max(minutes, -1.0)) + 1) * MINUTE
            return shown + _valid_after(series)
    minutes = _minutes_to_lose(series, envelope, mean[:0], o2[:0], MINUTES, o2_now=float(o2[-1]))
    return start + HOUR + int(min(max(minutes, 0.0), MINUTES)) * MINUTE


def _valid_after(series: JudgedSeries) -> int:
    """How long after its start a minute is valid at the earliest, by the start of the row that makes it so [us]."""
    watched = series.watched
    cover_s = watched.pack.averaging.min_minute_cover * 60
    return max(0, int(cover_s - watched.stack.interval_s)) * SECOND


def _minutes_to_lose(
    series: JudgedSeries, envelope: Envelope, mean: Values, o2: Values, to_come: int, *, o2_now: float
) -> float:
    """More minutes than this at the top lose an hour of which so many are to come; below zero where it is lost."""
    target, low = series.watched.target, envelope.low
    limit, total, sum_mean = target.limit.mg_m3, mean.size + to_come, float(mean.sum())
    if target.base_o2_vol_pct is None or envelope.o2 is None:
        return (limit * total - sum_mean - to_come * low) / max(envelope.high - low, 1e-9)
    air, least_o2 = target.pack.averaging.oxygen_in_air_vol_pct, envelope.o2[0]
    dry = air - target.base_o2_vol_pct
    left = limit * (air * total - float(o2.sum()) - to_come * least_o2) - (sum_mean + to_come * low) * dry
    return left / max((envelope.high - low) * dry + limit * (o2_now - least_o2), 1e-9)
