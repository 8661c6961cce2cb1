"""A growing set of whole numbers that mostly follow each other, such as the frames that were sent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


class Spans:
    """Numbers as disjoint spans, rising. Costs memory by holes, not by numbers."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number)
        return place > 0 and number <= self._lasts[place - 1]

    def __len__(self) -> int:
        """How many spans there are."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(first, last) of each span, rising."""
        return zip(tuple(self._firsts), tuple(self._lasts), strict=True)

    def add(self, first: int, last: int) -> None:
        """Add all numbers from *first* to *last*; what they touch becomes one span."""
        if last < first:
            return
        begin = bisect_right(self._lasts, first - 2)  # the first span that ends at first - 1 or later
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first, last = min(first, self._firsts[begin]), max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def clear(self) -> None:
        self._firsts.clear()
        self._lasts.clear()
