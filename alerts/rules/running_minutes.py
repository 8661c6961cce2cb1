"""The minutes of an hour as they are known while it runs: what the rules on running hours look at.

An hour is looked at by its *known* minutes: those with a valid mean, in the order of time. While the hour may still
change, the newest of them is not known (a row of it may be on its way) and every other minute is *open*: it has not
passed, or its rows may come late, as a backlog drains behind the live rows. So what is certain of an hour does not
hang on the order in which rows arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alerts.subject import Watched
from plant.envelopes import Envelope
from plant.hours import MINUTES, HourMeans
from plant.periods import MINUTE, written
from plant.readings import Counts, Truths, Values
from plant.verdicts import HourVerdicts

Places = npt.NDArray[np.intp]  #: of hours among the means, rising


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The known minutes of some hours, moved to the front; NaN behind them. Shape (n, 60) where not said."""

    place: Places  #: of the hours among the means they are of; shape (n,)
    count: Counts  #: shape (n,)
    mean: Values  #: mg/m3, dry, standard state
    o2: Values  #: vol %, dry
    minute: Counts  #: of the hour, from 0

    def passed(self, row: int, count: int) -> int:
        """How many minutes of the hour had passed after its first *count* known ones."""
        return int(self.minute[row, count - 1]) + 1


def does_not_count(watched: Watched, means: HourMeans) -> Truths:
    """Hours so many minutes of which did not run that they end excluded, or without enough valid ones."""
    rule = watched.pack.averaging
    most = min(rule.not_running_minutes - 1, MINUTES - rule.min_valid_minutes)
    stopped: Truths = means.not_running_minutes > most
    return stopped


def with_minute_above(watched: Watched, means: HourMeans, places: Places) -> Places:
    """Those of *places* with a minute above: without one no mean of its minutes is, nor what it may still end with.

    The corrected mean of any minutes is a weighted mean of theirs corrected.
    """
    target = watched.target
    minutes = means.minute_mean[places]
    if target.base_o2_vol_pct is None:
        return places[_above(watched, np.fmax.reduce(minutes, axis=1))]
    o2 = means.minute_o2[places]
    most_o2: Values = np.fmax.reduce(o2, axis=1)
    at_ambient = most_o2 >= target.ambient_vol_pct
    # First the highest mean at the highest oxygen, which no minute is above; then the minutes of what remains.
    highest = target.corrected(np.fmax.reduce(minutes, axis=1), np.where(at_ambient, np.nan, most_o2))
    above = _above(watched, highest)
    above[above] = _above(watched, np.fmax.reduce(target.corrected(minutes[above], o2[above]), axis=1))
    return places[above | at_ambient]


def _above(watched: Watched, corrected: Values) -> Truths:
    above: Truths = ~np.isnan(corrected) & ~watched.target.within(corrected)
    return above


def known(means: HourMeans, verdicts: HourVerdicts, places: Places) -> Known:
    """The known minutes of the hours at *places*."""
    mean, o2 = means.minute_mean[places], means.minute_o2[places]
    is_known = ~np.isnan(mean)
    running = np.flatnonzero(~verdicts.final[places])
    newest = MINUTES - 1 - np.argmax(is_known[running, ::-1], axis=1)
    is_known[running, newest] = False
    mean[running, newest], o2[running, newest] = np.nan, np.nan
    minute = np.broadcast_to(np.arange(MINUTES), mean.shape).copy()
    gaps = np.flatnonzero((is_known[:, 1:] & ~is_known[:, :-1]).any(axis=1))
    if gaps.size:
        order = np.argsort(~is_known[gaps], axis=1, kind="stable")
        minute[gaps] = order
        mean[gaps] = np.take_along_axis(mean[gaps], order, axis=1)
        o2[gaps] = np.take_along_axis(o2[gaps], order, axis=1)
    return Known(place=places, count=is_known.sum(axis=1), mean=mean, o2=o2, minute=minute)


def conditions(envelope: Envelope) -> dict[str, Any]:
    """What every statement on minutes to come stands on, beside that the hour stays valid and with its instrument."""
    o2_low, o2_high = envelope.o2 or (None, None)
    high = envelope.high if np.isfinite(envelope.high) else None
    return {"low": envelope.low, "high": high, "o2_low": o2_low, "o2_high": o2_high}


def text(start: int, minutes: int) -> str:
    """The instant so many minutes after the start of an hour."""
    return written(start + minutes * MINUTE)


def how_it_ended(means: HourMeans, verdicts: HourVerdicts, at: int) -> dict[str, Any] | None:
    """The verdict of an hour that has ended; None while it may still change."""
    if not verdicts.final[at]:
        return None
    corrected = float(verdicts.corrected[at])
    return {
        "verdict": str(verdicts.verdict[at]),
        "reason": str(verdicts.reason[at]),
        "corrected": corrected if np.isfinite(corrected) else None,
        "valid_minutes": int(means.valid_minutes[at]),
    }
