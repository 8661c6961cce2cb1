"""What is usual at a stack, from its own days before, and which of its hours are ordinary ones.

What is usual of an hour is taken from whole days before the day that holds it, so that one bad day does not become the
measure of itself. Days are days of UTC: only their length matters here. Each day counts by one of its quantiles and the
days by their median, which a day or two of anything else does not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from alerts.rules.history import History
from alerts.rules.said import marks_of, touched_by
from plant.periods import HOUR
from plant.readings import Truths, Values

WEEK: Final = 7  #: days
ENOUGH_HOURS: Final = 6  #: of a day, that it counts
ENOUGH_DAYS: Final = 3  #: with fewer nothing is usual
AT_REST: Final = 0.2
"""Of the usual flow: below it only a chimney's own draught is left. Fans idle, they do not turn this low. [D]"""
LOADS: Final = ("flow", "load_pct", "power_production_kw")
QUIETEST: Final = 0.1  #: of a day's hours are its quiet ones: a source that follows the day is at lower load in them
LOWER: Final = 0.9  #: of what those have [D]
NO_FIRE: Final = 20.5  #: vol %: of gas with so much oxygen less than a fiftieth is from a fire [D]


def reach_of(days: int) -> int:
    """How many hours before an hour its usual value depends on."""
    return 24 * days + 23


def usual(history: History, values: Values, *, days: int = WEEK, share: float = 0.5) -> Values:
    """By the hour, the median over the *days* before of the quantile *share* of each day's *values*; NaN: unknown."""
    lead = int(history.start[0] // HOUR % 24) if history.n_hours else 0
    n_days = -(-(lead + values.size) // 24)
    by_day = np.full(24 * n_days, np.nan)
    by_day[lead : lead + values.size] = values
    each = _quantile(by_day.reshape(n_days, 24), share, ENOUGH_HOURS)
    before = np.concatenate([np.full(days, np.nan), each])[:-1] if n_days else np.full(days, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(before, days)
    of_days = _quantile(windows, 0.5, ENOUGH_DAYS)
    found: Values = np.repeat(of_days[:n_days], 24)[lead : lead + values.size]
    return found


def _quantile(rows: Values, share: float, enough: int) -> Values:
    """Of each row, the value with *share* of the others below it; NaN where fewer than *enough* are known."""
    ordered = np.sort(rows, axis=1)  # NaN last
    known = rows.shape[1] - np.isnan(rows).sum(axis=1)
    at = np.floor(share * np.maximum(known - 1, 0) + 0.5).astype(np.int64)
    picked = ordered[np.arange(rows.shape[0]), at]
    return np.where(known >= enough, picked, np.nan)


def running(history: History) -> Truths:
    """Hours in which the source runs: rows came, and neither they, nor a mark, nor the flow say that it stands."""
    instrument = first_instrument(history)
    covered, stopped = history.outlet["covered_s"], history.outlet["stopped_s"]
    runs: Truths = (covered > 0) & (stopped < 0.5 * covered) & ~touched_by(history, marks_of(history, "stopped"))
    if (instrument, "flow") in history.channels:
        flow = history.value(instrument, "flow", "mean")
        runs &= ~(flow < AT_REST * usual(history, flow))
    return runs


def at_ordinary_load(history: History, instrument: str, *, days: int = WEEK) -> Truths:
    """Hours in which flow, load and power are not below the quiet hours of ordinary days, as far as they are sent.

    Hours with none of them are none: what looks odd may then be lower load.
    """
    sent = [name for name in LOADS if (instrument, name) in history.channels]
    known, lower = np.zeros(history.n_hours, dtype=bool), np.zeros(history.n_hours, dtype=bool)
    for name in sent:
        mean = history.value(instrument, name, "mean")
        known |= ~np.isnan(mean)
        lower |= mean < LOWER * usual(history, mean, days=days, share=QUIETEST)
    return known & ~lower


def first_instrument(history: History) -> str:
    """The one that the stack is judged from where it can."""
    stack = history.stack
    return (stack.ducts or stack.judged_from)[0]


def other_than_first(history: History, instrument: str) -> str | None:
    """The name that a series has from its *instrument*."""
    return None if instrument == first_instrument(history) else instrument


def without_fire(history: History) -> Truths:
    """Hours in which the stack breathes air: nothing burns, whether or not anybody said so."""
    oxygen = dry_oxygen(history, first_instrument(history))
    return np.zeros(history.n_hours, dtype=bool) if oxygen is None else np.asarray(oxygen >= NO_FIRE)


def dry_oxygen(history: History, instrument: str) -> Values | None:
    """The oxygen by the hour as the stack is judged with it, dry [vol %]; None where there is none.

    Of hours that no pack corrects with it, as it is sent, if that is dry.
    """
    known = [hours.o2 for hours in history.verdicts.values()]  # each over the valid minutes of its own pollutant
    if (instrument, "o2") in history.channels and not history.stack.channel("o2").wet:
        known.append(history.value(instrument, "o2", "mean"))
    return first_known(known) if known else None


def first_known(each: Sequence[Values]) -> Values:
    """By the hour, of several the first that is known."""
    first, *others = each
    for other in others:
        first = np.where(np.isnan(first), other, first)
    return first
