"""Hours in small: what the rows of a stack did in each hour, channel by channel, so that rules need no rows again.

An hour's features depend on the rows that start in it, those of the outlet on the rows that reach into it: the same
whether a year is reckoned at once or an hour alone. Values are as sent, in the units of the instrument, under the
flags N and T where nothing else is said. What one channel's mean is `plant.channel_features`'.

Of a channel, by the hour; NaN where nothing was seen:

    seen_s               seconds that values stand for
    mean std low high    over those seconds, and the extremes
    first last           the first and the last value
    still_s              longest run in which the value does not change; lead_s and tail_s: those at either end [s]
    grain                smallest difference that neighbouring values make
    below_s over_s       seconds below the registered range by more than 2 % of it, and above it
    c_s t_s other_s      seconds under C, under T, and under F M S D B, whatever the value
    claim_high claim_q25 the highest value that was sent under F M S D B, and that which a quarter of them lie below
    top_s                seconds at the hour's highest value
    quiet_s              from the end of the last row under C or F M S D B to the hour's end [s]
    minute_first _last   mean of the hour's first and of its last minute
    step step_minute     largest difference of neighbouring minute means, and the minute in which it ends; not within
                         ten minutes after C or F M S D B
    step_before _after   mean of the five minutes on each side of it, where four are known
    block0 .. block5     digests of the values of each ten minutes with their places, to find the same values elsewhere
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from plant.channel_features import NAMES, channel_features
from plant.channels import CHANNELS, GASES
from plant.hour_rows import Hours
from plant.periods import HOUR, SECOND, Instants
from plant.readings import Rows, Truths, Values
from plant.register import Channel, Stack

LIGHT: Final = NAMES["light"]  #: of every channel
CHANNEL: Final = (*LIGHT, *NAMES["heavy"])  #: of those in HEAVY
HEAVY: Final = frozenset({*GASES, "pm", "o2"})
OUTLET: Final = ("rows", "covered_s", "stopped_s", "gap_s", "lead_gap_s", "tail_gap_s")
"""Of the rows of all instruments together: their number, seconds covered, seconds whose row says not running, the
longest stretch without rows, and those at the hour's start and end. Of an hour without rows they are the whole hour."""

_AT_ONCE: Final = 65_536  # rows whose arrays stay in a processor's cache


@dataclass(frozen=True, slots=True)
class Features:
    """Every array has shape (n_hours,)."""

    outlet: Mapping[str, Values]
    channels: Mapping[tuple[str, str], Mapping[str, Values]]  #: by (instrument, channel)


def names_of(channel: str) -> tuple[str, ...]:
    """The features that *channel* has."""
    return CHANNEL if channel in HEAVY else LIGHT


def hour_features(
    rows: Mapping[str, Rows], stack: Stack, *, first: int, n_hours: int, with_channels: bool = True
) -> Features:
    """The features of the *n_hours* hours from the instant *first*; *rows* by instrument, sorted, may hold more."""
    channels: dict[tuple[str, str], dict[str, Values]] = {}
    for instrument, sent in rows.items() if with_channels else ():
        for start, count in _pieces(sent.sampled_at, first, n_hours):
            for name, features in _of_piece(sent, stack, first + start * HOUR, count):
                if count == n_hours:
                    channels[instrument, name] = features
                    continue
                there = channels.get((instrument, name))
                if there is None:
                    nothing = np.full((len(features), n_hours), np.nan)
                    there = channels[instrument, name] = dict(zip(features, nothing, strict=True))
                for feature, values in features.items():
                    there[feature][start : start + count] = values
    return Features(_outlet(rows.values(), first, n_hours), channels)


def _pieces(at: Instants, first: int, n_hours: int) -> Iterator[tuple[int, int]]:
    """(first hour, hours) of pieces of the window that have rows, each of about as many as fit the cache."""
    low, high = np.searchsorted(at, (first, first + n_hours * HOUR))
    if low == high:
        return
    each = max(1, n_hours * _AT_ONCE // max(1, int(high - low)))
    for start in range(0, n_hours, each):
        yield start, min(each, n_hours - start)


def _of_piece(rows: Rows, stack: Stack, first: int, n_hours: int) -> Iterator[tuple[str, dict[str, Values]]]:
    low, high = np.searchsorted(rows.sampled_at, (first, first + n_hours * HOUR))
    if low == high:
        return
    window = slice(int(low), int(high))
    hours = Hours.of(rows, window, first=first, n_hours=n_hours)
    for name in CHANNELS:
        value = rows.values.get(name)
        if value is None:
            continue
        found = channel_features(
            hours,
            value[window],
            rows.flag(name)[window],
            rows.row_flag[window],
            stack.channels.get(name, _UNKNOWN).range,
            heavy=name in HEAVY,
        )
        if found is not None:
            yield name, found


_UNKNOWN: Final = Channel()


def _outlet(rows: Iterable[Rows], first: int, n_hours: int) -> dict[str, Values]:
    start, end, stopped, begun = _stretches(rows, first, n_hours)
    hour = start // HOUR
    before = np.empty_like(start)  # until when the hour is covered by the rows before
    if start.size:
        reached = np.maximum.accumulate(end)  # no stretch leaves its hour
        before[0] = 0
        before[1:] = reached[:-1]
    np.maximum(before, hour * HOUR, out=before)
    gap = np.maximum(start - before, 0) / SECOND
    fresh = np.maximum(end - np.maximum(start, before), 0) / SECOND
    ends = np.full(n_hours, HOUR / SECOND)
    leads = ends.copy()
    if start.size:
        last = np.flatnonzero(np.append(hour[1:] != hour[:-1], True))
        ends[hour[last]] = ((hour[last] + 1) * HOUR - reached[last]) / SECOND
        leads[hour[::-1]] = gap[::-1]  # of several, the last one written stays: the first in order
    longest = ends.copy()
    np.maximum.at(longest, hour, gap)
    return {
        "rows": np.bincount(hour[begun], None, n_hours).astype(np.float64),
        "covered_s": np.bincount(hour, fresh, n_hours),
        "stopped_s": np.bincount(hour[stopped], fresh[stopped], n_hours),
        "gap_s": longest,
        "lead_gap_s": leads,
        "tail_gap_s": ends,
    }


def _stretches(rows: Iterable[Rows], first: int, n_hours: int) -> tuple[Instants, Instants, Truths, Truths]:
    """What each row covers, cut at the hours and sorted: start, end, whether it says not running, whether it starts."""
    parts = [_stretches_of(sent, first, n_hours * HOUR) for sent in rows]
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    start, end, stopped, begun = (np.concatenate(of) for of in zip(*parts, strict=True))
    order = np.argsort(start, kind="stable")
    return start[order], end[order], stopped[order], begun[order]


def _stretches_of(rows: Rows, first: int, length: int) -> tuple[Instants, Instants, Truths, Truths]:
    low, high = np.searchsorted(rows.sampled_at, (first - HOUR, first + length))
    start = rows.sampled_at[low:high] - first
    end = start + rows.interval_s[low:high] * SECOND
    stopped = rows.not_running[low:high]
    border = (start // HOUR + 1) * HOUR
    over = np.flatnonzero(end > border)  # by less than an hour: no row stands for more than one
    start, end = np.concatenate([start, border[over]]), np.concatenate([np.minimum(end, border), end[over]])
    stopped = np.concatenate([stopped, stopped[over]])
    begun = np.arange(start.size) < border.size
    inside = (start >= 0) & (start < length)
    return start[inside], end[inside], stopped[inside], begun[inside]
