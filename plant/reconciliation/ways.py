"""The ways in which a logger may have taken a mean: ours, and what may differ from it.

A `Way` is a point of a small lattice; every field but one at its default is one deviation, and each deviation has a
cause. The lattice is of our own design [D]: what the regulation leaves open (sheet, 3.3 the order question; 4.10
rounding; 4.7 DataTime), and what loggers are known to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from itertools import combinations
from typing import Any, Final, Literal


class Cause(StrEnum):
    EQUAL = "equal"  #: to the last digit
    ROUNDING = "rounding"
    AVERAGING_ORDER = "averaging_order"  #: corrected before or after averaging; a day by hours or by minutes
    MINUTES_VS_ROWS = "minutes_vs_rows"  #: a mean of rows, not of minute means
    MISSING_ROWS = "missing_rows"  #: gaps filled, thin minutes counted, or no row here at all
    FLAG = "flag"  #: flagged rows counted, or over-range rows left out
    STATE = "state"  #: minutes counted in which the source did not run
    CORRECTION = "correction"  #: another base oxygen, or none
    CONVERSION = "conversion"  #: unit, moisture, or gas state
    CLOCK = "clock"  #: the period lies elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a mean is taken. The defaults are ours (contract, section 5)."""

    flags: Literal["ours", "all", "normal_only"] = "ours"
    states: Literal["ours", "all"] = "ours"
    minutes: Literal["covered", "any"] = "covered"  #: which minutes count: 75 % covered, or with any row
    gaps: Literal["left_out", "last", "zero"] = "left_out"
    units: Literal["ours", "as_sent", "wet", "actual"] = "ours"
    weighing: Literal["minutes", "rows"] = "minutes"
    order: Literal["ours", "average_first", "correct_first"] = "ours"
    base_o2: float | Literal["ours", "none"] = "ours"  #: vol %
    digits: Literal["exact", "minutes_rounded", "truncated"] = "exact"
    shift_s: int = 0  #: the logger's period begins so much later than it says

    @property
    def deviations(self) -> tuple[str, ...]:
        """Names of the fields that differ from ours."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)


OURS: Final = Way()

CAUSES: Final = {
    "flags": Cause.FLAG,
    "states": Cause.STATE,
    "minutes": Cause.MISSING_ROWS,
    "gaps": Cause.MISSING_ROWS,
    "units": Cause.CONVERSION,
    "weighing": Cause.MINUTES_VS_ROWS,
    "order": Cause.AVERAGING_ORDER,
    "base_o2": Cause.CORRECTION,
    "digits": Cause.ROUNDING,
    "shift_s": Cause.CLOCK,
}

FURTHEST_SHIFT_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What can differ for one channel of one stack and one length of period."""

    period_s: int
    interval_s: int  #: of the stack's rows
    corrected: bool  #: the value at base oxygen is looked for
    wet: bool = False  #: the register says so
    actual: bool = False
    ppm: bool = False
    bases: Sequence[float] = ()  #: other base oxygens that the packs know. [vol %]

    def choices(self) -> dict[str, list[Any]]:
        """By field of `Way`, every choice but ours that can make a difference here."""
        minute = self.period_s <= 60
        day = self.period_s >= 86_400
        units = [name for name, there in (("as_sent", self.ppm), ("wet", self.wet), ("actual", self.actual)) if there]
        orders = (["average_first"] if day else []) + (["correct_first"] if self.corrected and not minute else [])
        found: dict[str, list[Any]] = {
            "flags": ["all", "normal_only"],
            "states": ["all"],
            "minutes": ["any"],
            "gaps": ["last", "zero"],
            "units": units,
            "weighing": [] if minute else ["rows"],
            "order": orders,
            "base_o2": ["none", *self.bases] if self.corrected else [],
            "digits": ["truncated"] if minute else ["truncated", "minutes_rounded"],
            "shift_s": self._shifts(),
        }
        return {name: choices for name, choices in found.items() if choices}

    def _shifts(self) -> list[int]:
        """By one row (stamped at its end), by minutes up to an hour; nearest first."""
        by_row = [self.interval_s] if self.interval_s < 60 else []
        by_minute = range(60, FURTHEST_SHIFT_S + 1, 60)
        return [sign * shift for shift in (*by_row, *by_minute) for sign in (1, -1)]

    def ways(self) -> Iterator[Way]:
        """Every way with one deviation from ours, then every way with two."""
        choices = self.choices()
        for name, values in choices.items():
            for value in values:
                yield replace(OURS, **{name: value})
        for one, other in combinations(choices, 2):
            for first in choices[one]:
                for second in choices[other]:
                    yield replace(OURS, **{one: first, other: second})
