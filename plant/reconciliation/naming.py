"""Which way of computing gives the logger's digits, for a run of periods of one channel.

Of several ways the one that reproduces most of what is not explained yet is taken first, then the next, until no way
reproduces anything: what is systematic is found before what fits by chance. Fewer deviations go before more, and a way
that has many alternatives (a shift of the clock has 120) must show itself in several periods before it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from plant.readings import Rows, Truths, Values
from plant.reconciliation.computing import Computing, Question
from plant.reconciliation.ways import CAUSES, OURS, Cause, Scope, Way
from plant.register import Stack

MOST_DIGITS: Final = 6
MOST_TIES: Final = 8
AS_GOOD_AS_EQUAL: Final = 5e-7  #: of the larger of 1 and the value: the comparison of verdicts has 6 decimals too
OF_A_DIGIT: Final = 1e-6  #: slack of a comparison in units of the last digit, for the dust of the arithmetic
MIN_PERIODS_OF_A_SHIFT: Final = 3
MIN_PERIODS_OF_TWO: Final = 2
WEIGHT_OF_ONE_MORE: Final = 2  #: a second deviation must reproduce that many times as many periods


@dataclass(frozen=True, slots=True)
class Explanation:
    """One way that gives the logger's digits."""

    way: Way
    causes: tuple[Cause, ...]  #: one for each deviation
    periods: int  #: of the run that this way reproduces and ours does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One period of one channel."""

    start: int
    ours: float | None
    valid_minutes: int
    reported: float | None
    difference: float | None  #: reported - ours
    digits: int
    explanations: tuple[Explanation, ...]  #: the simplest; all that are equally simple

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Every cause that takes part in an explanation, once."""
        return tuple(dict.fromkeys(cause for found in self.explanations for cause in found.causes))

    @property
    def explained(self) -> bool:
        return bool(self.explanations)


def reconcile(
    rows: Rows, stack: Stack, question: Question, scope: Scope, reported: Sequence[float | None]
) -> list[Line]:
    """Each period of *question* beside the value *reported* for it, with the cause of the difference.

    *rows*: of one instrument, all that touch the periods or an hour before or after them, by `sampled_at`.
    """
    if not question.starts.size:
        return []
    computing = Computing(rows, stack, question)
    said = np.array([np.nan if value is None else value for value in reported])
    ours = computing.mean(OURS)
    found = _explained(computing, scope, said, ours, question.digits)
    minutes = computing.valid_minutes()
    return [
        Line(
            start=start,
            ours=_number(our),
            valid_minutes=valid,
            reported=_number(value),
            difference=_number(value - our),
            digits=question.digits,
            explanations=found.get(i, ()),
        )
        for i, (start, our, valid, value) in enumerate(
            zip(question.starts.tolist(), ours.tolist(), minutes.tolist(), said.tolist(), strict=True)
        )
    ]


def digits_of(values: Iterable[float | None]) -> int:
    """The decimals that a logger gives: the most that any of *values* shows, up to 6."""
    decimals = (-int(Decimal(repr(value)).normalize().as_tuple().exponent) for value in values if value is not None)
    return min(MOST_DIGITS, max(0, *decimals, 0))


def _explained(
    computing: Computing, scope: Scope, said: Values, ours: Values, digits: int
) -> Mapping[int, tuple[Explanation, ...]]:
    """By period: what explains it."""
    found: dict[int, tuple[Explanation, ...]] = {}
    there = ~np.isnan(said)
    equal = there & (np.abs(said - ours) <= AS_GOOD_AS_EQUAL * np.maximum(1.0, np.abs(said)))
    rounded = there & ~equal & _gives(ours, said, digits)
    for cause, which in ((Cause.EQUAL, equal), (Cause.ROUNDING, rounded)):
        here = Explanation(OURS, (cause,), int(which.sum()))
        found |= dict.fromkeys(np.flatnonzero(which).tolist(), (here,))
    nothing = there & np.isnan(ours)
    open_ = there & ~equal & ~rounded
    candidates = _candidates(computing, scope, said, open_, digits)
    while candidates:
        best = max(candidates, key=lambda way: _score(way, candidates[way]))
        score, covers = _score(best, candidates[best]), candidates[best]
        ties = [way for way, gives in candidates.items() if _score(way, gives) == score and (gives == covers).all()]
        why = tuple(_explanation(way, int(covers.sum())) for way in ties[:MOST_TIES])
        found |= dict.fromkeys(np.flatnonzero(covers).tolist(), why)
        open_ &= ~covers
        candidates = {way: left for way, gives in candidates.items() if _enough(way, left := gives & open_)}
    # Nothing of ours counts in the period: whatever the logger had, it is not here.
    absent = Explanation(OURS, (Cause.MISSING_ROWS,), int((nothing & open_).sum()))
    found |= dict.fromkeys(np.flatnonzero(nothing & open_).tolist(), (absent,))
    return found


def _candidates(computing: Computing, scope: Scope, said: Values, open_: Truths, digits: int) -> dict[Way, Truths]:
    """Every way that reproduces enough of the *open_* periods, with those it does."""
    if not open_.any():
        return {}
    found = {}
    of = np.flatnonzero(open_)
    for way in scope.ways():
        gives = np.zeros_like(open_)
        gives[of] = _gives(computing.mean(way, of), said[of], digits, truncated=way.digits == "truncated")
        if _enough(way, gives):
            found[way] = gives
    return found


def _gives(value: Values, said: Values, digits: int, *, truncated: bool = False) -> Truths:
    """Whether *value* with *digits* decimals is what was *said*; a value right between two digits may go either way."""
    scale = 10.0**digits
    off = (value - said) * scale
    if truncated:
        gives: Truths = (np.abs(value) >= np.abs(said)) & (np.abs(off) < 1.0 - OF_A_DIGIT)
    else:
        gives = np.abs(off) <= 0.5 + OF_A_DIGIT
    return gives


def _enough(way: Way, gives: Truths) -> bool:
    n = int(np.count_nonzero(gives))
    deviations = way.deviations
    needed = 1 if len(deviations) == 1 else MIN_PERIODS_OF_TWO
    if "shift_s" in deviations:
        needed = MIN_PERIODS_OF_A_SHIFT * len(deviations)
    return n >= needed


def _score(way: Way, gives: Truths) -> tuple[float, int, int]:
    """Higher is better: periods reproduced for each deviation; fewer deviations; the smaller shift."""
    n = len(way.deviations)
    return float(np.count_nonzero(gives)) / WEIGHT_OF_ONE_MORE ** (n - 1), -n, -abs(way.shift_s)


def _explanation(way: Way, periods: int) -> Explanation:
    return Explanation(way, tuple(CAUSES[name] for name in way.deviations), periods)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
