"""From the number in a register or node to the number of a channel, exactly, or to null with the reason.

    value = raw * scale + offset            in decimals as they are written; rounded once, to the nearest double

What is no number, is a code for "not available", or lies outside the valid range is null: it is never clipped. What
lies above the measuring range keeps its value and is flagged `T`: it is a lower bound, not a hole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final

from plant.reading import Reader

_EXACT: Final = Context(prec=60)  # 20 digits of an int64 times more than anybody writes
_ONE: Final = Decimal(1)
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    scale: Decimal = _ONE
    offset: Decimal = _ZERO
    low: Decimal | None = None  #: of the raw number, inclusive
    high: Decimal | None = None
    not_available: frozenset[Decimal] = frozenset()  #: raw numbers that stand for no value
    range_end: Decimal | None = None  #: the raw number at the upper end of the measuring range

    def is_over_range(self, raw: float) -> bool:
        return self.range_end is not None and Decimal(raw) > self.range_end

    def apply(self, raw: float) -> tuple[float | None, str | None]:
        """The value of *raw*; or None and why, as a word to count by."""
        if not math.isfinite(raw):
            return None, "not_a_number"
        number = Decimal(raw)
        if number in self.not_available:
            return None, "not_available"
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            return None, "outside_valid_range"
        if self.scale == _ONE and not self.offset:
            return float(raw) + 0.0, None  # + 0.0: one zero
        value = float(_EXACT.fma(number, self.scale, self.offset))
        return (value + 0.0, None) if math.isfinite(value) else (None, "not_a_number")


def read_scaling(table: Reader) -> Scaling:
    """The keys `scale`, `offset`, `valid`, `not_available` and `range_end` of *table*."""
    scale = table.exact("scale", _ONE)
    if not scale:
        table.fault("scale", "must not be 0: every value would be the same")
    low, high = _valid(table)
    return Scaling(
        scale=scale,
        offset=table.exact("offset", _ZERO),
        low=low,
        high=high,
        not_available=frozenset(_numbers(table, "not_available") or ()),
        range_end=table.exact("range_end") if "range_end" in table else None,
    )


def _valid(table: Reader) -> tuple[Decimal | None, Decimal | None]:
    found = _numbers(table, "valid")
    if found is None:
        return None, None
    if len(found) != 2 or found[0] > found[1]:
        table.fault("valid", "must be [lowest, highest] of the raw number")
        return None, None
    return found[0], found[1]


def _numbers(table: Reader, key: str) -> Sequence[Decimal] | None:
    listed = table.raw(key)
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(_is_number(item) for item in listed):
        table.fault(key, f"must be a list of numbers, got {listed!r}")
        return None
    return [Decimal(str(item)) for item in listed]


def _is_number(item: Any) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item)
