"""Production that runs with its abatement switched off.

What it says    in an hour in which production ran throughout (power or load), the abatement's power was at its own off
                level at some time and below half of what is usual over the whole hour: off for half an hour or more.
Why it matters  abatement starts before production and stops after it (先启后停); what leaves the stack meanwhile is
                untreated, whatever the analyser shows (sheet, 8.1 L1).
Not for         the half hour of a restart or a changeover (t_grace), hours in which production itself begins or ends,
                stacks that send no power of their abatement.
Source          sheet, 8.1 L1 and "production on and abatement off" (K-M); Code arts 164, 1104, 1108; thresholds are
                learned by device, as the sheet says, the shares are ours [D].
What else explains it
                a meter that failed or was moved to another feeder, a spare line that took over unmetered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.learned import REACH_H, highest, learned
from alerts.rules.process_values import Process, process_value
from alerts.rules.rule import MAJOR, UNDECIDED, Levels, Life, Outcomes, Rule, levels
from plant.readings import Truths, Values
from plant.signals import ABATEMENT_KW, LOAD_PCT, PRODUCTION_KW

NAME: Final = "production_without_abatement"

OFF_BELOW: Final = 0.1  #: of what it draws while it works: lighting, heaters and controls stay on [D]
T_GRACE_SHARE: Final = 0.5  #: of an hour: t_grace is half an hour [D]
ON_ABOVE: Final = 0.5  #: of what production draws while it works, over the hour [D]
ON_THROUGHOUT: Final = 0.3  #: and at its lowest in the hour [D]

NEGLIGIBLE: Final = 0.005  #: of the highest production: no fan or pump of an abatement draws so little [D]


def judge(history: History) -> Iterator[Outcomes]:
    abatement = process_value(history, ABATEMENT_KW)
    productions = [found for name in (PRODUCTION_KW, LOAD_PCT) if (found := process_value(history, name)) is not None]
    if abatement is None or not productions:
        return
    known = ~np.isnan(abatement.mean) & ~np.all([np.isnan(p.mean) for p in productions], axis=0)
    most = highest(history.start, abatement.mean)
    decided = history.ended & known & (most > 0) & ~_forgotten(history, most, productions)
    # Only an hour whose lowest is far below the highest can be found; most years end here.
    low = decided & (abatement.low < OFF_BELOW * most)
    normal = np.full(history.n_hours, np.nan)
    level = levels(np.zeros(history.n_hours, dtype=bool), decided)
    if low.any():
        normal = learned(history.start, abatement.mean, known, low).working()
        judged = _levels(history, abatement, normal, productions, known)
        # Where most of the memory is of the abatement off, it is not known what is usual any more.
        level[low] = np.where(normal < OFF_BELOW * most, UNDECIDED, judged)[low]
    yield Outcomes(
        level=level,
        observed=abatement.mean,
        limit=T_GRACE_SHARE * normal,
        evidence=lambda i: {
            "abatement_kw": _number(abatement.mean[i]),
            "abatement_kw_low": _number(abatement.low[i]),
            "abatement_kw_usual": _number(normal[i]),
            "off_below_kw": _number(OFF_BELOW * normal[i]),
            "production": [
                {"channel": p.name, "mean": _number(p.mean[i]), "low": _number(p.low[i])} for p in productions
            ],
        },
    )


def _levels(history: History, abatement: Process, normal: Values, productions: list[Process], known: Truths) -> Levels:
    off = (abatement.low < OFF_BELOW * normal) & (abatement.mean < T_GRACE_SHARE * normal)
    produces = np.zeros(history.n_hours, dtype=bool)
    for process in productions:
        usual = learned(history.start, process.mean, known, ~np.isnan(normal)).working()
        produces |= (process.mean >= ON_ABOVE * usual) & (process.low >= ON_THROUGHOUT * usual)
    return levels(off & produces, ~np.isnan(normal), MAJOR)


def _forgotten(history: History, most: Values, productions: list[Process]) -> Truths:
    """Hours before which the abatement was off for as long as the memory reaches: that is no sign that it is on."""
    kilowatts = [process for process in productions if process.name == PRODUCTION_KW]
    if not kilowatts:
        return np.zeros(history.n_hours, dtype=bool)
    forgotten: Truths = most < NEGLIGIBLE * highest(history.start, kilowatts[0].mean)
    return forgotten


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="kW",
    clause="project rule; Code arts 164, 1104, 1108",
    reach_h=REACH_H,
    lead=True,
    life=Life(hold_h=1, keep_h=1),
)
