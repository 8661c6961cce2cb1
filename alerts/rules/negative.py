"""Value below zero for longer than noise is.

What it says    values of a channel lay below its range by more than 2 % of it for ten minutes of an hour or more. Where
                no range is registered, the hour mean lies below zero by more than a fifth of the limit.
Why it matters  no gas is less than nothing: the zero of the instrument lies too low, by accident or by hand, and so
                does all that it measures.
Not for         noise around zero, and a zero that has drifted within what is allowed.
Source          regulation sheet, section 8.3: below -2 % F.S. for 10 min [D].

Without a registered range the full scale is not known. It can hardly be more than ten times the limit: 2 % of it would
then be a fifth of the limit, and a hundredth of it could not be read. Oxygen is taken to be measured up to 25 vol %.

What else explains it    a zero calibration with the wrong gas; a moist or blocked probe; a stack that is cold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.rule import Life, Outcomes, Rule, levels
from alerts.rules.usual import other_than_first
from plant.channel_features import BELOW
from plant.features import HEAVY
from plant.packs import Pack

LEAST_S: Final = 600.0
LIMITS_OF_A_RANGE: Final = 10.0  #: the most that a full scale is, in limits [D]
OXYGEN_RANGE: Final = 25.0  #: vol % [D]


def judge(history: History) -> Iterator[Outcomes]:
    """Each gas, dust and oxygen of each instrument; what is measured from below zero is none of them."""
    for instrument, channel in history.channels:
        if channel not in HEAVY:
            continue
        if history.stack.channel(channel).range is not None:
            yield _by_seconds(history, instrument, channel)
        else:
            full_scale = _assumed_range(history, channel)
            if full_scale is not None:
                yield _by_mean(history, instrument, channel, -BELOW * full_scale)


def _by_seconds(history: History, instrument: str, channel: str) -> Outcomes:
    below = history.value(instrument, channel, "below_s")
    return Outcomes(
        level=levels(below >= LEAST_S, ~np.isnan(below)),
        observed=below,
        limit=np.full(history.n_hours, LEAST_S),
        evidence=lambda at: _evidence(history, instrument, channel, at),
        pollutant=channel,
        instrument=other_than_first(history, instrument),
    )


def _by_mean(history: History, instrument: str, channel: str, bound: float) -> Outcomes:
    """As if the whole hour were below where its mean is: shorter ones cannot be told without a range."""
    mean, seen = history.value(instrument, channel, "mean"), history.value(instrument, channel, "seen_s")
    below = np.where(np.isnan(mean), np.nan, np.where(mean < bound, seen, 0.0))
    return Outcomes(
        level=levels(below >= LEAST_S, ~np.isnan(below)),
        observed=below,
        limit=np.full(history.n_hours, LEAST_S),
        evidence=lambda at: {**_evidence(history, instrument, channel, at), "bound": bound, "bound_assumed": True},
        pollutant=channel,
        instrument=other_than_first(history, instrument),
    )


def _assumed_range(history: History, channel: str) -> float | None:
    """In mg/m3 or vol %; None for what has no limit."""
    if channel == "o2":
        return OXYGEN_RANGE
    limited = "nox" if channel in ("no", "no2") else channel
    limits = [limit for pack in history.packs if (limit := _limit(pack, history.stack.process, limited)) is not None]
    return LIMITS_OF_A_RANGE * max(limits) if limits else None


def _limit(pack: Pack, process: str, pollutant: str) -> float | None:
    limits = pack.outlet(process).limits
    return limits[pollutant].mg_m3 if pollutant in limits else None


def _evidence(history: History, instrument: str, channel: str, at: int) -> Mapping[str, Any]:
    figures = {name: float(history.value(instrument, channel, name)[at]) for name in ("seen_s", "mean", "low", "high")}
    return {"instrument": instrument, "range": history.stack.channel(channel).range, **figures}


RULE: Final = Rule(
    name="negative",
    judge=judge,
    unit="s of the hour",
    clause="regulation sheet 8.3: below -2 % of full scale for ten minutes [D]",
    reach_h=0,
    lead=True,
    life=Life(keep_h=3),
)
