"""Which hours of one logger are here: pure. What a restart needs of it is one short text.

An hour that was asked for three times, and that the logger says it does not have, is taken for absent; it is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

HOUR_MS: Final = 3_600_000
MOST_ASKED: Final = 24  #: hours of one request: a logger executes it in one go
_SPAN_MS: Final = (MOST_ASKED - 1) * HOUR_MS
_ATTEMPTS: Final = 3
_MOST_BEHIND: Final = 366 * 24


@dataclass(slots=True)
class Hours:
    """All hours before `through_ms` are here, or given up; of the later ones those in `also`. Starts of hours, UTC."""

    through_ms: int
    also: set[int] = field(default_factory=set)
    absent: int = 0  #: given up by this process
    _parts: dict[int, set[int]] = field(default_factory=dict)
    _asked: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, position: str | None, *, otherwise_ms: int) -> Hours:
        """As `position` wrote it; from *otherwise_ms* on where there is none that can be read."""
        try:
            through, also = json.loads(position or "")
            return cls(int(through), {int(hour) for hour in also})
        except (ValueError, TypeError):
            return cls(otherwise_ms - otherwise_ms % HOUR_MS)

    def position(self) -> str:
        return json.dumps([self.through_ms, sorted(self.also)], separators=(",", ":"))

    def copy(self) -> Hours:
        parts = {hour: set(numbers) for hour, numbers in self._parts.items()}
        return Hours(self.through_ms, set(self.also), self.absent, parts, Counter(self._asked))

    def hear(self, hour_ms: int, pno: int | None, pnum: int | None, *, now_ms: int) -> None:
        """The hour, or a part of it, came. What lies in the future says nothing."""
        if not self.through_ms <= hour_ms < now_ms or hour_ms % HOUR_MS:
            return
        if pno is not None and pnum is not None and 1 < pnum <= 64 and 1 <= pno <= pnum:
            parts = self._parts.setdefault(hour_ms, set())
            parts.add(pno)
            if len(parts) < pnum:
                return
        self._have(hour_ms)

    def missing(self, until_ms: int) -> tuple[int, int] | None:
        """The first hours that are not here and ended by *until_ms*: first and last of at most a day."""
        self._forget_the_oldest(until_ms)
        first = self.through_ms
        if first + HOUR_MS > until_ms:
            return None
        last = first
        while last + 2 * HOUR_MS <= until_ms and last + HOUR_MS not in self.also and last - first < _SPAN_MS:
            last += HOUR_MS
        return first, last

    def answered(self, first: int, last: int) -> None:
        """The logger said that it sent what it has of *first* to *last*."""
        for hour in range(first, last + 1, HOUR_MS):
            if hour >= self.through_ms and hour not in self.also:
                self._asked[hour] += 1
                if self._asked[hour] >= _ATTEMPTS:
                    self.absent += 1
                    self._have(hour)

    def _have(self, hour_ms: int) -> None:
        self._parts.pop(hour_ms, None)
        self._asked.pop(hour_ms, None)
        self.also.add(hour_ms)
        while self.through_ms in self.also:
            self.also.remove(self.through_ms)
            self.through_ms += HOUR_MS

    def _forget_the_oldest(self, until_ms: int) -> None:
        """Nothing asks further back than a year: what is remembered stays small."""
        bound = until_ms - until_ms % HOUR_MS - _MOST_BEHIND * HOUR_MS
        if self.through_ms < bound:
            self.absent += (bound - self.through_ms) // HOUR_MS
            self.through_ms = bound
            self.also = {hour for hour in self.also if hour >= bound}
