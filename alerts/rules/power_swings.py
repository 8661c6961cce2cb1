"""Power that surges and swings at night, as induction furnaces draw it.

What it says    at night (20:00 to 06:00) the production power rises well above what it reaches by day and falls back
                within the hour, for hours: metal is melted in batches. Of a unit registered as an induction furnace
                every batch at night above its day counts; any other has to be one that works by day as well.
Why it matters  what is melted at night behind a works' meter leaves no gas in a watched stack; batches that come only
                when nobody looks are how banned furnaces are found.
Not for         arc and ladle furnaces, units that work at night alone and are no induction furnaces (cheap current),
                steady night shifts, units whose power is never sent. By day nothing is decided.
Source          use of power monitoring, sheet 8.1 (V-S S39, no numbers: `?`); what is learned and the shares are ours
                [D].
What else explains it
                a test of a large drive, an electric furnace with a permit, a shift that was moved to the night.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.learned import REACH_H, learned
from alerts.rules.process_values import Process, process_value
from alerts.rules.rule import WARNING, Life, Outcomes, Rule, levels
from plant.periods import HOUR, instant
from plant.readings import Truths, Values
from plant.signals import PRODUCTION_KW

NAME: Final = "power_swings"

NIGHT_FROM, NIGHT_TO = 20, 6  #: local hours
SURGE: Final = 1.25  #: times the highest that all but a twentieth of the hours by day reach [D]
FALLS_BY: Final = 0.75
"""Of the surge above the middle of its days, within the hour: a furnace is emptied and charged between heats, and what
runs beside it goes on [D]."""
WORKS_BY_DAY: Final = 0.3  #: of the surge: what a unit that is no induction furnace draws by day at least [D]
INDUCTION: Final = "induction_furnace"  #: kind of a unit in the register
MELTING_OUTLETS: Final = frozenset({"eaf", "refining"})  #: keys in the packs
MELTING_UNITS: Final = frozenset({"electric_arc_furnace", "ladle_furnace"})
_DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swings:
    """One power through the nights; arrays of shape (n_hours,)."""

    power: Process
    unit: str | None  #: whose own signal it is
    limit: Values
    found: Truths
    decided: Truths


def judge(history: History) -> Iterator[Outcomes]:
    powers = [(unit, process_value(history, PRODUCTION_KW, unit=unit)) for unit in (None, *history.stack.units)]
    night = is_night(history) if any(power is not None for _, power in powers) else np.zeros(0, dtype=bool)
    each = [_of(history, power, unit, night) for unit, power in powers if power is not None]
    if not each:
        return
    found = np.any([one.found for one in each], axis=0)
    which = np.argmax([one.found for one in each], axis=0)
    hours = np.arange(history.n_hours)
    yield Outcomes(
        level=levels(found, np.any([one.decided for one in each], axis=0), WARNING),
        observed=np.array([one.power.high for one in each])[which, hours],
        limit=np.array([one.limit for one in each])[which, hours],
        evidence=lambda i: _evidence(history, each[which[i]], i),
    )


def _of(history: History, power: Process, unit: str | None, night: Truths) -> _Swings:
    known = ~(np.isnan(power.high) | np.isnan(power.low))
    # Less cannot be: a surge by SURGE that falls by FALLS_BY. Most nights end here.
    least = FALLS_BY * (1 - 1 / SURGE)
    swings = night & known & (power.high > 0) & (power.high - power.low >= least * power.high)
    limit = np.full(history.n_hours, np.nan)
    found = np.zeros(history.n_hours, dtype=bool)
    if swings.any():
        limit = SURGE * learned(history.start, power.high, known & ~night, swings).quantile(0.95)
        middle = learned(history.start, power.mean, known & ~night, swings).quantile(0.5)
        found = swings & (power.high > limit) & (power.high - power.low >= FALLS_BY * (power.high - middle))
        if not _induction(history, unit):
            found &= middle >= WORKS_BY_DAY * power.high
    decided = history.ended & night & known & ~(swings & np.isnan(limit)) & (not _melts(history, unit))
    return _Swings(power=power, unit=unit, limit=limit, found=found & decided, decided=decided)


def is_night(history: History) -> Truths:
    """Hours that begin at night by the site's clock; on a day on which clocks change, by the one before."""
    days, place = np.unique(history.start // _DAY, return_inverse=True)
    offsets = [instant(day).astimezone(history.site.zone).utcoffset() or timedelta() for day in (days * _DAY).tolist()]
    local = history.start + np.array([offset // timedelta(microseconds=1) for offset in offsets], np.int64)[place]
    hour = local % _DAY // HOUR
    night: Truths = (hour >= NIGHT_FROM) | (hour < NIGHT_TO)
    return night


def _evidence(history: History, swings: _Swings, i: int) -> Mapping[str, Any]:
    power = swings.power
    return {
        "unit": swings.unit,
        "induction_furnace": _induction(history, swings.unit),
        "high_kw": float(power.high[i]),
        "low_kw": float(power.low[i]),
        "mean_kw": float(power.mean[i]),
        "p95_of_highs_by_day_kw": float(swings.limit[i] / SURGE),
    }


def _melts(history: History, unit: str | None) -> bool:
    """Whether it is a furnace that melts in batches with a permit, and by night where current is cheap then."""
    kinds = {each.code: each.kind for each in history.site.units}
    stack = history.stack
    if unit is None and not MELTING_OUTLETS.isdisjoint((stack.process, *stack.also_processes)):
        return True
    return any(kinds.get(code) in MELTING_UNITS for code in ((unit,) if unit else stack.units))


def _induction(history: History, unit: str | None) -> bool:
    kinds = {each.code: each.kind for each in history.site.units}
    return any(kinds.get(code) == INDUCTION for code in ((unit,) if unit else history.stack.units))


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="kW",
    clause="project rule",
    reach_h=REACH_H,
    lead=True,
    life=Life(hold_h=3, keep_h=10),
)
