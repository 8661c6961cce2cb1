"""How much of an hour the rows of a channel stand for, and how much they should: expected, present, missing, flagged.

A row stands for `[sampled_at, sampled_at + interval_s)`, so time is counted, not rows: six rows of 10 s are there for
one of 60 s, one row of 60 s for six, and what comes twice counts once. Time is turned into rows of the registered
interval at the very end, rounded half up, so that clocks that are a moment off make no row come or go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plant.limits import governing
from plant.packs import all_packs
from plant.periods import HOUR, SECOND, Instants
from plant.readings import NORMAL, Letters, Truths
from plant.register import Stack
from plant.verdicts import method_of

Spans = tuple[Instants, Instants]  #: starts and ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one instrument sent; every array has shape (n_rows,), in any order."""

    start: Instants
    interval_s: npt.NDArray[np.int64]
    present: Mapping[str, Truths]  #: by channel, whether the row has a value
    flags: Mapping[str, Letters]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One channel of one hour, in rows of the registered interval; `missing_us` is what they were rounded from."""

    channel: str
    expected: int
    present: int
    missing: int
    flagged: int
    missing_us: int


def expected_channels(stack: Stack) -> list[str]:
    """The channels that are registered; where none is, those that its packs judge, and the oxygen that they need."""
    if stack.channels:
        return sorted(stack.channels)
    found: set[str] = set()
    packs = all_packs()
    for pack in (packs[name] for name in stack.packs):
        for pollutant, rule in governing(pack, stack).items():
            method = method_of(pack, rule.outlet.key, already_corrected=stack.channel(pollutant).corrected)
            found |= {pollutant, "o2"} if method.with_oxygen else {pollutant}
    return sorted(found)


def window(hour: int, *, since: int, now: int, interval_s: int) -> tuple[int, int]:
    """What of *hour* rows are expected of: from *since*, and as many whole intervals of it as have passed at *now*."""
    interval = interval_s * SECOND
    passed = hour + max(0, now - hour) // interval * interval
    return max(hour, since), min(hour + HOUR, passed)


def cover(sent: Mapping[str, Sent], stack: Stack, channel: str, span: tuple[int, int]) -> Coverage:
    """What *sent*, by instrument, covers of *span* (microseconds, not empty) for *channel*.

    Any instrument that is judged may stand in for another; ducts are all needed.
    """
    first, end = span
    interval = stack.interval_s * SECOND
    instruments = [sent[name] for name in stack.ducts or stack.judged_from if name in sent]
    need = len(stack.ducts) or 1
    anything = [_merged(one, one.present[channel]) for one in instruments]
    normal = [_merged(one, one.present[channel] & (one.flags[channel] == NORMAL)) for one in instruments]
    covered, unflagged = (_length(at_least(need, spans), first, end) for spans in (anything, normal))
    missing_us = end - first - covered
    expected = _rows(end - first, interval)
    missing = min(expected, _rows(missing_us, interval))
    return Coverage(
        channel=channel,
        expected=expected,
        present=expected - missing,
        missing=missing,
        flagged=min(expected - missing, _rows(covered - unflagged, interval)),
        missing_us=missing_us,
    )


def at_least(need: int, spans: Sequence[Spans]) -> Spans:
    """When at least *need* of *spans* hold at once; those of one instrument do not overlap."""
    starts = np.concatenate([start for start, _ in spans]) if spans else np.empty(0, np.int64)
    ends = np.concatenate([end for _, end in spans]) if spans else np.empty(0, np.int64)
    times, place = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    steps = np.zeros(times.size, np.int64)
    np.add.at(steps, place[: starts.size], 1)
    np.add.at(steps, place[starts.size :], -1)
    held = np.cumsum(steps)[:-1] >= need
    return times[:-1][held], times[1:][held]


def _merged(sent: Sent, which: Truths) -> Spans:
    start = sent.start[which]
    return at_least(1, [(start, start + sent.interval_s[which] * SECOND)])


def _length(spans: Spans, first: int, end: int) -> int:
    starts, ends = spans
    return int(np.maximum(np.minimum(ends, end) - np.maximum(starts, first), 0).sum())


def _rows(length_us: int, interval_us: int) -> int:
    """*length_us* in rows, rounded half up."""
    return (2 * length_us + interval_us) // (2 * interval_us)
