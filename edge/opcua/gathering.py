"""From values that a server tells when they change, to one row for each interval of a group. No I/O.

    value at its source's time ──▶ the interval it lies in ── interval + settling is over ──▶ row

A row holds the last value of each node in its interval. A node that told nothing in it still has the value it had: as
long as the subscription lives, the server has said that it did not change. Nothing is held over a lost connection, and
no row begins before the subscription did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge.fieldbus.grid import SET_BACK_MS, start_of
from edge.fieldbus.groups import Group
from edge.fieldbus.rows import Heard, Rows, rows_of

AHEAD_MS: Final = 300_000
"""The ingestor takes nothing that lies further ahead (contract, section 3)."""
_LATE_MS: Final = 60_000  # of our own clock: intervals that nobody listened to are missing, not made up


@dataclass(frozen=True, slots=True)
class Told:
    """One value of a node, at its source's time."""

    at_ms: int
    heard: Heard


@dataclass(slots=True, kw_only=True)
class _Open:
    """A group and what is known for rows that have not left."""

    group: Group[str]
    nodes: frozenset[str]
    next_ms: int  #: start of the interval that leaves next
    first_ms: int  #: start of the first one that we listen to
    held: dict[str, Told] = field(default_factory=dict)
    coming: dict[int, dict[str, Told]] = field(default_factory=dict)  #: by start of interval; bounded by `AHEAD_MS`


class Gathering:
    def __init__(
        self, groups: Sequence[Group[str]], *, now_ms: int, settle_ms: int, hold_ms: int | None, tolerated: Counter[str]
    ) -> None:
        self._settle_ms = settle_ms
        self._hold_ms = hold_ms
        self._tolerated = tolerated
        self._open = [_opened(group, now_ms) for group in groups]

    def tell(self, node: str, told: Told, now_ms: int) -> None:
        if told.at_ms > now_ms + AHEAD_MS:
            self._tolerated["source_time_ahead"] += 1
            return
        late = [self._place(each, node, told) for each in self._open if node in each.nodes]
        if any(late):
            self._tolerated["value_too_late"] += 1

    def _place(self, each: _Open, node: str, told: Told) -> bool:
        """Whether the row it belongs to has left; it then stands from the next one on."""
        start_ms = start_of(told.at_ms, each.group.interval_ms)
        late = start_ms < each.next_ms
        values = each.held if late else each.coming.setdefault(start_ms, {})
        if node not in values or values[node].at_ms <= told.at_ms:
            values[node] = told
        return late and start_ms >= each.first_ms

    def close(self, now_ms: int) -> list[Rows]:
        """The rows of all intervals that are over."""
        return [rows for each in self._open for rows in self._close(each, now_ms)]

    def _close(self, each: _Open, now_ms: int) -> list[Rows]:
        interval_ms = each.group.interval_ms
        self._follow_clock(each, now_ms)
        rows = []
        while each.next_ms + interval_ms + self._settle_ms <= now_ms:
            each.held.update(each.coming.pop(each.next_ms, {}))
            rows.append(rows_of(each.group, each.next_ms, self._standing(each), self._tolerated))
            each.next_ms += interval_ms
        return rows

    def _standing(self, each: _Open) -> Mapping[str, Heard]:
        """What holds in the interval that is being closed."""
        oldest_ms = -1 if self._hold_ms is None else each.next_ms - self._hold_ms
        return {node: told.heard for node, told in each.held.items() if told.at_ms >= oldest_ms}

    def _follow_clock(self, each: _Open, now_ms: int) -> None:
        """Go on at *now_ms* where nobody listened for long, or the clock was set back far."""
        interval_ms = each.group.interval_ms
        next_ms = _next_start(now_ms, interval_ms)
        if now_ms - each.next_ms - interval_ms - self._settle_ms > max(_LATE_MS, 2 * interval_ms):
            self._tolerated["instant_missed"] += (next_ms - each.next_ms) // interval_ms
        elif now_ms < each.next_ms - interval_ms - SET_BACK_MS:
            self._tolerated["clock_set_back"] += 1
        else:
            return
        for start_ms in sorted(each.coming):
            if start_ms < next_ms:
                each.held.update(each.coming.pop(start_ms))
        each.next_ms = each.first_ms = next_ms


def _opened(group: Group[str], now_ms: int) -> _Open:
    first_ms = _next_start(now_ms, group.interval_ms)
    return _Open(group=group, nodes=frozenset(group.addresses), next_ms=first_ms, first_ms=first_ms)


def _next_start(now_ms: int, interval_ms: int) -> int:
    return start_of(now_ms, interval_ms) + interval_ms
