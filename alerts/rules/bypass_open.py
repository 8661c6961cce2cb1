"""Bypass of the abatement that is open while production runs.

What it says    in an hour in which production runs, a bypass damper stood open, more than its zero lies off.
Why it matters  gas that goes by is untreated; a bypass outside an emergency is evasion whatever the analyser shows
                (sheet, 8.1 L5; Code art 164: non-emergency bypass).
Not for         works that send no signal of a damper; hours of a mark of fault that was not rejected (the emergency
                log), source at rest.
Source          sheet, 8.1 L5 [D] and 4.9: g116 bypass damper of a desulphurisation, g307 of an SCR (V-P S01). The zero
                is ours [D].
What else explains it
                a test of the damper, a limit switch that failed, a feedback that was rescaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.learned import REACH_H, learned
from alerts.rules.process_values import Process, channel, process_value, widest
from alerts.rules.rule import MAJOR, Life, Outcomes, Rule, levels
from alerts.rules.said import marks_of, state_rests, touched_by
from plant.readings import Truths, Values
from plant.signals import BYPASSES, LOAD_PCT, PRODUCTION_KW

NAME: Final = "bypass_open"

ZERO: Final = 2.0  #: of the damper's position, in per cent or degrees: play and drift of its feedback [D]
RUNS_ABOVE: Final = 0.3  #: of what production, or else the flow, is while it works [D]


def judge(history: History) -> Iterator[Outcomes]:
    found = (widest(history, name) for name in BYPASSES)
    dampers = [damper for damper in found if damper is not None]
    if not dampers:
        return
    position = np.array([damper.mean for damper in dampers])
    worst = np.argmax(np.nan_to_num(position, nan=-np.inf), axis=0)
    open_by = position[worst, np.arange(history.n_hours)]
    runs = _runs(history)
    excused = touched_by(history, marks_of(history, "fault", rejected=False))
    yield Outcomes(
        level=levels(runs & ~excused & (open_by > ZERO), history.ended & ~np.isnan(open_by), MAJOR),
        observed=open_by,
        limit=np.full(history.n_hours, ZERO),
        evidence=lambda i: {"signal": dampers[worst[i]].name, **_figures(dampers[worst[i]], i)},
    )


def _runs(history: History) -> Truths:
    """Hours in which production runs: by its power, else its load, else the flow, else by what the rows say."""
    runs, known = ~state_rests(history), np.zeros(history.n_hours, dtype=bool)
    for value in (_mean(history, PRODUCTION_KW), _mean(history, LOAD_PCT), channel(history, "flow", "mean")):
        if value is not None:
            usual = learned(history.start, value, ~np.isnan(value)).working()
            new = ~known & ~np.isnan(value) & ~np.isnan(usual)
            runs = np.where(new, value > RUNS_ABOVE * usual, runs)
            known |= new
    return runs


def _mean(history: History, name: str) -> Values | None:
    process = process_value(history, name)
    return None if process is None else process.mean


def _figures(damper: Process, i: int) -> dict[str, float]:
    return {"mean": float(damper.mean[i]), "low": float(damper.low[i]), "high": float(damper.high[i])}


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="% or degrees",
    clause="project rule; Code arts 164, 1108",
    reach_h=REACH_H,
    lead=True,
    life=Life(hold_h=1, keep_h=1),
)
