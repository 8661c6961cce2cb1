"""The grid of instants at which a group is read: whole intervals of the wall clock, with the time as an argument.

A row that is named by t stands for [t, t + interval) and is read as soon after t as the line allows.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

SET_BACK_MS: Final = 60_000
"""A clock that goes back by less is waited for: an instant must not be given two values. One that goes back by more was
wrong before, and is believed: what it dated wrongly cannot be mended here."""


def start_of(at_ms: int, interval_ms: int) -> int:
    """The instant of the grid at or before *at_ms*."""
    return at_ms - at_ms % interval_ms


class Ticks:
    """Which instant is to be read now. Never the same twice."""

    def __init__(self, interval_ms: int, now_ms: int) -> None:
        self._interval_ms = interval_ms
        self._last_ms = start_of(now_ms, interval_ms)  # that one began before us

    def due(self, now_ms: int, tolerated: Counter[str]) -> int | None:
        """The instant to read now, or None; what was missed is counted."""
        tick_ms = start_of(now_ms, self._interval_ms)
        if now_ms < self._last_ms - SET_BACK_MS:
            tolerated["clock_set_back"] += 1
            self._last_ms = tick_ms
            return None
        if tick_ms <= self._last_ms:
            return None
        missed = (tick_ms - self._last_ms) // self._interval_ms - 1
        if missed:
            tolerated["instant_missed"] += missed
        self._last_ms = tick_ms
        return tick_ms

    def wait_ms(self, now_ms: int) -> int:
        """How long until the next instant is due, by this clock."""
        return max(0, self._last_ms + self._interval_ms - now_ms)
