"""Quarters: how much of the running time was captured, the rates that follow, and the audit's due date.

Regulation sheet, 3.4 and 3.5. Which hours are valid is known already; this module counts them.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from plant.conversion import Values
from plant.periods import HOUR, Instants, instant, micros

Counts = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

EXPECTED_CAPTURE: Final = 0.75
"""Expected of a quarter; below it nothing is substituted (3.4, 3.5). Mark K-H, seen in working code V-S S32."""
FULL_CAPTURE: Final = 0.90
"""From here on the short look-backs of the substitution hold (3.5). Mark K-H, V-S S32."""
AUDIT_WORKING_DAYS: Final = 5
"""The quarter audit is due within the first five working days of the next quarter (3.4). Mark K-H, V-S S31."""


class Capture(StrEnum):
    """What the capture rate of a quarter allows."""

    FULL = "full"
    REDUCED = "reduced"
    NOT_VALID = "not_valid"
    NOTHING_RAN = "nothing_ran"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarter:
    """The hours of a local quarter that have ended."""

    first_day: date
    hours: int
    valid: int
    shutdown: int

    @property
    def invalid(self) -> int:
        """Hours in which the source ran, or may have run, and nothing valid was measured."""
        return self.hours - self.valid - self.shutdown

    @property
    def capture_rate(self) -> float:
        return capture_rate(self.hours, self.invalid, self.shutdown)

    @property
    def capture(self) -> Capture:
        return Capture(capture_of(self.capture_rate).item())


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """The rates of national supervision, over the hours in which the source ran (3.4). Mark V-S S33, S34."""

    transmission: float  #: received of those due
    validity: float  #: valid of those received
    effective: float  #: their product


def capture_rate(hours: npt.ArrayLike, invalid: npt.ArrayLike, shutdown: npt.ArrayLike) -> float:
    """Valid data capture rate of one quarter: (Q - invalid - shutdown) / (Q - shutdown); NaN where nothing ran.

    Comparing it with 0.75 or 0.90 is exact: a quotient of counts that is not 9/10 lies much further from it than
    the one rounding of the division moves it.

    Examples
    --------
    >>> capture_rate(2208, 201, 198)
    0.9
    """
    return float(capture_rates(hours, invalid, shutdown))


def capture_rates(hours: npt.ArrayLike, invalid: npt.ArrayLike, shutdown: npt.ArrayLike) -> Values:
    """`capture_rate` of many quarters: whole numbers of any one shape in, the same shape out."""
    q, lost, off = (np.asarray(count, dtype=np.int64) for count in (hours, invalid, shutdown))
    running = np.asarray(q - off)
    if np.any((lost < 0) | (off < 0) | (lost > running)):
        raise ValueError("invalid and shutdown hours together must lie between 0 and the hours of the quarter")
    rates: Values = np.divide(running - lost, running, out=np.full(running.shape, np.nan), where=running > 0)
    return rates


def capture_of(rate: npt.ArrayLike) -> npt.NDArray[np.object_]:
    """What each *rate* allows, of any shape: `Capture` values."""
    rates = np.asarray(rate, dtype=np.float64)
    kinds: npt.NDArray[np.object_] = np.select(
        [np.isnan(rates), rates >= FULL_CAPTURE, rates >= EXPECTED_CAPTURE],
        [Capture.NOTHING_RAN, Capture.FULL, Capture.REDUCED],
        Capture.NOT_VALID,
    ).astype(object)
    return kinds


def transmission(due: int, received: int, valid: int) -> Transmission:
    """Transmission rate x validity rate; *due* leaves out the periods in which the source was stopped.

    Counts of hours, or of the daily packets that were due, all three of one kind.
    """
    if not 0 <= valid <= received <= due:
        raise ValueError("of what was due some was received, and of that some was valid")
    return Transmission(
        transmission=received / due if due else float("nan"),
        validity=valid / received if received else float("nan"),
        effective=valid / due if due else float("nan"),
    )


def quarter_of(day: date) -> date:
    """The first day of the quarter that holds the local *day*."""
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def next_quarter(first_day: date) -> date:
    return quarter_of(first_day.replace(day=1) + timedelta(days=93))


def quarter_bounds(first_day: date, zone: ZoneInfo) -> tuple[int, int]:
    """Start and end of a local quarter, in microseconds since the epoch."""
    start, end = (datetime(d.year, d.month, d.day, tzinfo=zone) for d in (first_day, next_quarter(first_day)))
    return micros(start), micros(end)


def count_quarters(
    start: Instants, valid: Truths, shutdown: Truths, zone: ZoneInfo, *, until: int
) -> tuple[Quarter, ...]:
    """The quarters that the hours touch, each with all of its hours that end at or before the instant *until*.

    *start*, *valid* and *shutdown* have shape (n_hours,), each hour once, in any order. An hour without a row is
    invalid; so are those before the first row, as in a month. An hour that was shut down counts as that even if
    it is valid.
    """
    ended = start + HOUR <= until
    start, valid, shutdown = start[ended], valid[ended], shutdown[ended]
    if start.size == 0:
        return ()
    first = quarter_of(instant(int(start.min())).astimezone(zone).date())
    quarters, edges = [first], [quarter_bounds(first, zone)[0]]
    while (edge := quarter_bounds(quarters[-1], zone)[1]) <= start.max():
        edges.append(edge)
        quarters.append(next_quarter(quarters[-1]))
    edges.append(edge)
    which = np.searchsorted(np.array(edges), start, side="right") - 1
    n_valid = np.bincount(which[valid & ~shutdown], minlength=len(quarters))
    n_shutdown = np.bincount(which[shutdown], minlength=len(quarters))
    return tuple(
        Quarter(
            first_day=day,
            hours=(min(end, until) - begin) // HOUR,
            valid=int(n_valid[n]),
            shutdown=int(n_shutdown[n]),
        )
        for n, (day, begin, end) in enumerate(zip(quarters, edges[:-1], edges[1:], strict=True))
    )


def audit_due(first_day: date, *, days_off: Container[date] = (), workdays: Container[date] = ()) -> date:
    """The last day on which the data of the quarter may be audited: the fifth working day of the next one.

    Monday to Friday are working days. *days_off* are public holidays, *workdays* the weekend days worked in exchange
    for one; both are the caller's, for they are decreed each year.
    """
    day = next_quarter(first_day)
    left = AUDIT_WORKING_DAYS
    while True:
        works = day in workdays or (day.weekday() < 5 and day not in days_off)
        left -= works
        if left == 0:
            return day
        day += timedelta(days=1)
