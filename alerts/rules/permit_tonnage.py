"""The year's permitted mass goes too fast, or is used up.

What it says    half, four fifths or all of the tonnes that the permit allows a stack in a calendar year have come out,
                or will have before the year is over if it goes on as in the last fourteen days.
Why it matters  the permit's yearly mass is a limit of its own: a stack that keeps every hour may still break it.
Not for         stacks without a registered figure; what was not measured. Hours without a mass are unknown and count
                nothing here, so the tonnes are a lower bound: what a report must put in their place is
                `plant.substitution`'s.
Source          the permit, as registered (`permit_t_per_year`); 50, 80 and 100 % and the fourteen days: [D].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, VerdictHours
from alerts.rules.rule import INFO, LONGEST_REACH_H, MAJOR, UNDECIDED, WARNING, Life, Outcomes, Rule
from alerts.rules.stretches import of_last
from plant.periods import HOUR, instant, micros
from plant.readings import Counts, Values

HALF, MOST, ALL = 0.5, 0.8, 1.0  # of the permit [D]
PACE_H: Final = LONGEST_REACH_H  #: hours whose mass is the present pace, standstill and all [D]
KNOWN_H: Final = 7 * 24  #: hours with a mass among them that a pace needs [D]
GRAMS_PER_KG: Final = 1_000.0


def judge(history: History) -> Iterator[Outcomes]:
    """The year of each pollutant that the permit of the stack has tonnes for."""
    if not history.n_hours:
        return
    for pollutant, permit_t in sorted(history.stack.permit_t_per_year.items()):
        hours = _judged_first(history, pollutant)
        if hours is not None and permit_t > 0:
            yield _series(history, pollutant, permit_t, hours.mass_kg)


def _judged_first(history: History, pollutant: str) -> VerdictHours | None:
    """A mass knows no limit: that of the first pack that has the pollutant."""
    listed = [history.verdicts.get((pack.name, pollutant)) for pack in history.packs]
    return next((hours for hours in listed if hours is not None), None)


def _series(history: History, pollutant: str, permit_t: float, mass_kg: Values) -> Outcomes:
    year_end = _year_ends(history)
    # Whole grams: their sum is the same wherever a history begins.
    grams = np.where(np.isnan(mass_kg) | ~history.ended, 0.0, np.rint(mass_kg * GRAMS_PER_KG)).astype(np.int64)
    known = ~np.isnan(mass_kg) & history.ended
    tonnes = _tonnes(grams, year_end, round(history.mass_before.get(pollutant, 0.0) * GRAMS_PER_KG))
    pace = np.where(of_last(known, PACE_H) >= KNOWN_H, of_last(grams, PACE_H) / 1e6 / PACE_H, 0.0)
    to_come = (year_end - history.start) // HOUR - 1
    at_year_end = tonnes + pace * to_come
    grades = [tonnes > permit_t, (tonnes >= MOST * permit_t) | (at_year_end > permit_t), tonnes >= HALF * permit_t]
    level = np.select([*grades], [MAJOR, WARNING, INFO], 0)

    def evidence(at: int) -> Mapping[str, Any]:
        hours_left = (permit_t - tonnes[at]) / pace[at] if pace[at] > 0 else np.inf
        runs_out = None if not 0 <= hours_left <= to_come[at] else int(history.start[at]) + int(hours_left + 1) * HOUR
        zone = history.site.zone
        return {
            "year": instant(int(history.start[at])).astimezone(zone).year,
            "tonnes": float(tonnes[at]),
            "permit_t": permit_t,
            "share": float(tonnes[at] / permit_t),
            "tonnes_per_day": float(pace[at] * 24),
            "year_end_t": float(at_year_end[at]),
            "runs_out_on": None if runs_out is None else instant(runs_out).astimezone(zone).date().isoformat(),
            "hours_without_mass_in_14_d": int((~known[max(0, at + 1 - PACE_H) : at + 1]).sum()),
        }

    return Outcomes(
        level=np.where(history.ended, level, UNDECIDED).astype(np.int8),
        observed=tonnes,
        limit=np.full(history.n_hours, permit_t),
        evidence=evidence,
        pollutant=pollutant,
    )


def _tonnes(grams: Counts, year_end: Counts, grams_before: int) -> Values:
    """Of the local year of each hour, up to its end."""
    total = np.concatenate([[0], np.cumsum(grams)])
    begun = np.searchsorted(year_end, year_end, side="left")  # the first hour of the same year
    before = np.where(begun == 0, grams_before, 0)
    tonnes: Values = (total[1:] - total[begun] + before) / 1e6
    return tonnes


def _year_ends(history: History) -> Counts:
    """The end of the local calendar year of each hour, in microseconds."""
    zone = history.site.zone
    first, last = (instant(int(at)).astimezone(zone).year for at in (history.start[0], history.start[-1]))
    ends = np.array([micros(datetime(year + 1, 1, 1, tzinfo=zone)) for year in range(first, last + 1)], np.int64)
    return ends[np.searchsorted(ends, history.start, side="right")]


RULE: Final = Rule(
    name="permit_tonnage",
    judge=judge,
    unit="t in the calendar year",
    clause="the permit's yearly mass of the stack, as registered; the shares at which it is said are our default [D]",
    reach_h=LONGEST_REACH_H,
    life=Life(keep_h=24),
)
