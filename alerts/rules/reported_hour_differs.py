"""Hour mean that a logger or a platform holds and that is not ours.

What it says    the reported hour mean of a pollutant differs from ours by more than its rounding and a twentieth, in
                three hours of a day; or by however little, where theirs is within the limit and ours above.
Why it matters  the platform judges by what was reported: a difference that recurs is a wrong setting, and one that only
                helps is a lead.
Not for         hours that are not valid here, differences of rounding, periods other than hours.
Source          sheet, 4.7 (DataTime, -Avg, -ZsAvg) and 3.3 (order of averaging); thresholds are ours [D].
What else explains it
                another order of averaging, flags counted otherwise, another base oxygen, a clock: the reconciliation
                page names the cause from the rows; here only what the hours themselves show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, VerdictHours
from alerts.rules.process_values import channel
from alerts.rules.rule import INFO, MAJOR, WARNING, Life, Outcomes, Rule, levels
from alerts.rules.stretches import of_last
from plant.readings import Counts, Truths, Values
from plant.reconciliation.ways import Cause
from plant.verdicts import Verdict

NAME: Final = "reported_hour_differs"

DIFFERS_BY: Final = 0.05  #: of ours: averaging orders and thin minutes make two or three per cent [D]
GREATLY: Final = 0.25  #: no averaging makes that of an ordinary hour [D]
RECURS: Final = 3  #: hours of the last 24: a single one is a late row or a restart of the logger [D]
DAY_H: Final = 24
SMALLEST: Final = 1.0  #: mg/m3: below it the resolution of the instruments is a twentieth and more [D]
_MOST_DIGITS: Final = 3
_DUST: Final = 1e-6
_FIGURES: Final = {"avg": "mean", "corrected_avg": "corrected"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One reported figure beside ours; arrays of shape (n_hours,)."""

    source: str
    figure: str
    reported: Values
    ours: Values
    under: Counts  #: place of the pack, among those that judge the pollutant, whose figure is quoted
    compared: Truths
    differs: Truths
    greatly: Truths
    otherwise: Truths  #: theirs is within the limit, ours above


def judge(history: History) -> Iterator[Outcomes]:
    for pollutant in sorted({name for _, name, _ in history.reported}):
        packs = {pack: hours for (pack, judged), hours in history.verdicts.items() if judged == pollutant}
        each = [
            _compared(list(packs.values()), source, figure, values)
            for (source, name, figure), values in sorted(history.reported.items())
            if packs and name == pollutant and figure in _FIGURES
        ]
        if each:
            yield _outcomes(history, pollutant, packs, each)


def _outcomes(history: History, pollutant: str, packs: Mapping[str, VerdictHours], each: list[_Compared]) -> Outcomes:
    otherwise = np.array([one.otherwise for one in each])
    recurring = np.array([one.differs & (of_last(one.differs, DAY_H) >= RECURS) for one in each])
    greatly = np.array([one.greatly for one in each])
    compared = np.any([one.compared for one in each], axis=0)
    level = levels(np.any(recurring, axis=0), compared & history.ended, INFO)
    level[np.any(recurring & greatly, axis=0)] = WARNING
    level[np.any(otherwise, axis=0)] = MAJOR
    # Of several figures the one that is quoted: what would have been judged otherwise, else what differs first.
    which, places = np.argmax(2 * otherwise + recurring, axis=0), np.arange(history.n_hours)
    return Outcomes(
        level=level,
        observed=np.array([one.reported for one in each])[which, places],
        limit=np.array([one.ours for one in each])[which, places],
        evidence=lambda i: _evidence(history, pollutant, packs, each[which[i]], i),
        pollutant=pollutant,
    )


def _compared(packs: Sequence[VerdictHours], source: str, figure: str, reported: Values) -> _Compared:
    """One figure against ours under every pack: a logger corrects to one base oxygen, and agrees with one pack."""
    ours = np.array([getattr(hours, _FIGURES[figure]) for hours in packs], dtype=np.float64)
    breached = np.array([hours.is_(Verdict.BREACHED) for hours in packs])
    valid = breached | np.array([hours.is_(Verdict.CLEAR) for hours in packs])
    compared = valid & ~np.isnan(reported) & ~np.isnan(ours)
    apart = np.abs(reported - ours)
    beyond = _of_all(compared, apart > _half_a_digit(reported))
    differs = beyond & _of_all(compared, apart > DIFFERS_BY * np.maximum(np.abs(ours), SMALLEST))
    within = reported <= np.array([hours.limit for hours in packs])
    # Where a pack corrects nothing, the measured mean is the one that is judged.
    as_judged = ours == np.array([hours.corrected for hours in packs])
    otherwise = compared & breached & within & beyond & as_judged
    under = np.argmax(2 * otherwise + compared, axis=0)
    return _Compared(
        source=source,
        figure=figure,
        reported=reported,
        ours=ours[under, np.arange(reported.size)],
        under=under,
        compared=compared.any(axis=0),
        differs=differs,
        greatly=differs & _of_all(compared, apart > GREATLY * np.abs(ours)),
        otherwise=otherwise.any(axis=0),
    )


def _of_all(compared: Truths, found: Truths) -> Truths:
    """Hours of which *found* holds under every pack that can be compared."""
    return np.asarray(compared.any(axis=0) & (found | ~compared).all(axis=0))


def _half_a_digit(value: Values) -> Values:
    """Half of the last decimal that each value shows, and a little for the dust of the arithmetic."""
    half = np.full(value.size, 0.5 * 10.0**-_MOST_DIGITS)
    for digits in range(_MOST_DIGITS - 1, -1, -1):
        scaled = value * 10.0**digits
        half = np.where(np.abs(scaled - np.round(scaled)) < _DUST, 0.5 * 10.0**-digits, half)
    return half + _DUST


def _evidence(
    history: History, pollutant: str, packs: Mapping[str, VerdictHours], one: _Compared, i: int
) -> Mapping[str, Any]:
    pack, hours = list(packs.items())[int(one.under[i])]
    return {
        "source": one.source,
        "figure": one.figure,
        "reported": float(one.reported[i]),
        "ours": float(one.ours[i]),
        "pack": pack,
        "limit": float(hours.limit[i]),
        "revision": int(hours.revision[i]),
        "would_be_within": bool(one.otherwise[i]),
        "looks_like": [str(cause) for cause in _causes(history, pollutant, hours, one, i)],
    }


def _causes(history: History, pollutant: str, hours: VerdictHours, one: _Compared, i: int) -> Iterator[Cause]:
    """What gives the reported digits, of the ways that hours alone can show."""
    as_sent = channel(history, pollutant, "mean")
    figures: Values = getattr(hours, _FIGURES[one.figure])
    others = {
        Cause.CLOCK: figures[i - 1] if i else np.nan,
        Cause.CONVERSION: np.nan if as_sent is None else as_sent[i],
        Cause.CORRECTION: hours.mean[i] if one.figure == "corrected_avg" else hours.corrected[i],
    }
    half = _half_a_digit(one.reported[i : i + 1])[0]
    for cause, value in others.items():
        if abs(value - one.reported[i]) <= half and abs(value - one.ours[i]) > half:
            yield cause


RULE: Final = Rule(
    name=NAME,
    judge=judge,
    unit="mg/m3",
    clause="project rule; Code arts 80, 184",
    reach_h=DAY_H,
    lead=True,
    life=Life(hold_h=1, keep_h=24),
)
