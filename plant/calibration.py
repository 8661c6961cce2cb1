"""Calibrations: drift, control, what a failed one voids, and when the next is due (regulation sheet, 3.7).

The tables are data; HJ 75-2017 itself was not read, so each row bears the mark of the sheet, K-H. The error of a
calibration by 40 CFR Part 75 stands beside them. Linearity and relative accuracy are in `plant.accuracy`.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from plant.conversion import Values
from plant.periods import HOUR, Instants

Controls = npt.NDArray[np.object_]  #: shape (n,), values of `Control`
Dates = npt.NDArray[np.datetime64]
Truths = npt.NDArray[np.bool_]

NEVER: Final = int(np.iinfo(np.int64).max)
"""The instant of what has not come: an episode that still lasts, a pass that never was."""

_DECIMALS: Final = 6
"""Comparisons are made on values rounded so far, as of hours, so that float noise decides nothing."""


# --- drift ---------------------------------------------------------------------------------------------------------


class Check(StrEnum):
    PM_ZERO = "pm_zero"
    PM_SPAN = "pm_span"
    GAS_ZERO = "gas_zero"
    GAS_SPAN = "gas_span"
    FLOW_ZERO = "flow_zero"


class Control(StrEnum):
    OK = "ok"
    ADJUST = "adjust"  #: beyond the specification, not out of control
    OUT_OF_CONTROL = "out_of_control"
    UNKNOWN = "unknown"  #: a check without a reading shows nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLimit:
    """Drift of full scale; where there is also a speed, it is ok by either and out of control only by both."""

    ok_pct: float
    out_pct: float
    ok_m_s: float | None = None
    out_m_s: float | None = None
    mark: str


DRIFT_LIMITS: Final[Mapping[Check, DriftLimit]] = {
    Check.PM_ZERO: DriftLimit(ok_pct=2.0, out_pct=8.0, mark="K-H"),
    Check.PM_SPAN: DriftLimit(ok_pct=2.0, out_pct=8.0, mark="K-H"),
    Check.GAS_ZERO: DriftLimit(ok_pct=2.5, out_pct=5.0, mark="K-H"),
    Check.GAS_SPAN: DriftLimit(ok_pct=2.5, out_pct=10.0, mark="K-H"),
    Check.FLOW_ZERO: DriftLimit(ok_pct=3.0, out_pct=8.0, ok_m_s=0.9, out_m_s=1.8, mark="K-H"),
}


def drift_pct(reading: npt.ArrayLike, reference: npt.ArrayLike, full_scale: npt.ArrayLike) -> Values:
    """Signed drift of a reading from what it should be [% of full scale]; arrays of one shape, or scalars.

    Examples
    --------
    >>> round(float(drift_pct(3.2, 0.0, 200.0)), 6)
    1.6
    """
    shown, right, scale = (np.asarray(x, dtype=np.float64) for x in (reading, reference, full_scale))
    drift: Values = (shown - right) / scale * 100.0
    return drift


def judge_drift(check: Check, reading: npt.ArrayLike, reference: npt.ArrayLike, full_scale: npt.ArrayLike) -> Controls:
    """What each drift says of the instrument: `Control` values of the shape given; speeds in m/s."""
    limit = DRIFT_LIMITS[check]
    pct = np.round(np.abs(drift_pct(reading, reference, full_scale)), _DECIMALS)
    ok, out = pct <= limit.ok_pct, pct > limit.out_pct
    if limit.ok_m_s is not None and limit.out_m_s is not None:
        speed = np.round(np.abs(np.asarray(reading, dtype=np.float64) - np.asarray(reference)), _DECIMALS)
        ok, out = ok | (speed <= limit.ok_m_s), out & (speed > limit.out_m_s)
    controls: Controls = np.select(
        [np.isnan(pct), out, ok], [Control.UNKNOWN, Control.OUT_OF_CONTROL, Control.OK], Control.ADJUST
    ).astype(object)
    return controls


@dataclass(frozen=True, slots=True, kw_only=True)
class SevenDays:
    """The drift of seven consecutive days, one check a day."""

    worst_pct: float  #: the largest drift, either way; NaN without a reading
    days: int  #: different days with a reading
    complete: bool
    passed: bool


def judge_seven_days(day: Dates, drift: Values, limit_pct: float) -> SevenDays:
    """Whether the drift stays within *limit_pct* on each of seven consecutive days.

    *day* (unit D) and *drift* [% of full scale] have shape (n,); several checks a day all count. *limit_pct* is that
    of `DRIFT_LIMITS`, or another regulation's. That the days follow each other without a gap is our reading [D].
    """
    read = ~np.isnan(drift)
    days = np.unique(day[read].astype("datetime64[D]"))
    worst = float(np.abs(drift[read]).max()) if read.any() else float("nan")
    complete = days.size >= 7 and bool(days[-1] - days[0] == np.timedelta64(days.size - 1, "D"))
    return SevenDays(
        worst_pct=worst,
        days=int(days.size),
        complete=complete,
        passed=complete and bool(np.round(worst, _DECIMALS) <= limit_pct),
    )


# --- out of control ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Episode:
    """A time out of control, in microseconds since the epoch."""

    last_pass: int | None  #: the last check before it that was not out of control
    detected: int
    until: int  #: the first check that met the specification again; NEVER while it lasts


def out_of_control(at: Instants, control: Controls) -> tuple[Episode, ...]:
    """The episodes in a series of checks of one kind at one instrument.

    *at* rises and *control* holds `Control` values, both of shape (n_checks,). It is out of control from the
    detection until it meets the specification again (3.5, K-H): `ok` ends an episode, `adjust` neither begins nor
    ends one, `unknown` shows nothing.
    """
    if np.any(at[1:] <= at[:-1]):
        raise ValueError("checks must be in rising order, one an instant")
    known = control != Control.UNKNOWN
    at, control = at[known], control[known]
    index = np.arange(at.size)
    turns = (control == Control.OK) | (control == Control.OUT_OF_CONTROL)
    last_turn = np.maximum.accumulate(np.where(turns, index, -1))
    out = (last_turn >= 0) & (control[last_turn] == Control.OUT_OF_CONTROL)
    before = np.concatenate([[False], out[:-1]])
    begins, ends = np.flatnonzero(out & ~before), np.flatnonzero(~out & before)
    return tuple(
        Episode(
            last_pass=int(at[i - 1]) if i else None,
            detected=int(at[i]),
            until=int(at[ends[n]]) if n < ends.size else NEVER,
        )
        for n, i in enumerate(begins)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Voided:
    """What episodes do to hours; arrays of shape (n_hours,)."""

    out_of_control: Truths
    last_pass: Instants
    """Of the episode that voids the hour, the earliest if several do; NEVER where none does or nothing ever passed."""


def void(start: Instants, episodes: Sequence[Episode], *, back_dated: bool = True) -> Voided:
    """The hours, in rising order, that *episodes* void: all that they touch, even in part.

    A failed check says that the instrument may have been wrong ever since the last that passed, so what lies between
    is void too, and everything before if none ever passed. Without *back_dated* only what follows the
    detection is, as 3.5 words the period (K-H).
    """
    ends = start + HOUR
    touched = np.zeros(start.size, dtype=bool)
    last_pass = np.full(start.size, NEVER)
    for episode in episodes:
        since = episode.last_pass if back_dated else episode.detected
        first = 0 if since is None else int(np.searchsorted(ends, since, side="right"))
        hours = slice(first, int(np.searchsorted(start, episode.until, side="left")))
        touched[hours] = True
        if episode.last_pass is not None:
            last_pass[hours] = np.minimum(last_pass[hours], episode.last_pass)
    return Voided(out_of_control=touched, last_pass=last_pass)


# --- due dates -----------------------------------------------------------------------------------------------------


class Task(StrEnum):
    ZERO_SPAN = "zero_span"
    FLOW_ZERO = "flow_zero"
    FULL_SYSTEM = "full_system"
    VERIFICATION = "verification"  #: 校验, against the reference method
    PATROL = "patrol"


class Cems(StrEnum):
    """What 3.7 tells apart: what is measured, how, and whether it calibrates itself."""

    PM_AUTOMATIC = "pm_automatic"
    PM_MANUAL = "pm_manual"
    EXTRACTIVE_AUTOMATIC = "extractive_automatic"
    EXTRACTIVE_MANUAL = "extractive_manual"
    IN_SITU_AUTOMATIC = "in_situ_automatic"
    IN_SITU_MANUAL = "in_situ_manual"
    FLOW_AUTOMATIC = "flow_automatic"
    FLOW_MANUAL = "flow_manual"

    @property
    def automatic(self) -> bool:
        return self.value.endswith("_automatic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    hours: int = 0
    months: int = 0
    mark: str = "K-H"

    def after(self, last: datetime, zone: ZoneInfo) -> datetime:
        """The end of the interval: whole hours elapsed, months by the local calendar (31 November is the 30th)."""
        if not self.months:
            return last + timedelta(hours=self.hours)
        local = last.astimezone(zone)
        years, month = divmod(local.month - 1 + self.months, 12)
        year, month = local.year + years, month + 1
        day = min(local.day, calendar.monthrange(year, month)[1])
        return local.replace(year=year, month=month, day=day)


_DAY: Final = 24
_PATROL: Final = Interval(hours=7 * _DAY)
_ZERO_SPAN: Final = {
    Cems.PM_MANUAL: Interval(hours=15 * _DAY),
    Cems.EXTRACTIVE_MANUAL: Interval(hours=7 * _DAY),
    Cems.IN_SITU_MANUAL: Interval(hours=15 * _DAY),
}


def intervals(cems: Cems) -> Mapping[Task, Interval]:
    """What has to be done at *cems*, and how often (3.7)."""
    of: dict[Task, Interval] = {}
    if cems in (Cems.FLOW_AUTOMATIC, Cems.FLOW_MANUAL):
        of[Task.FLOW_ZERO] = Interval(hours=_DAY if cems.automatic else 30 * _DAY)
    else:
        of[Task.ZERO_SPAN] = Interval(hours=_DAY) if cems.automatic else _ZERO_SPAN[cems]
    if cems in (Cems.EXTRACTIVE_AUTOMATIC, Cems.EXTRACTIVE_MANUAL):
        of[Task.FULL_SYSTEM] = Interval(months=3)
    of[Task.VERIFICATION] = Interval(months=6 if cems.automatic else 3)
    of[Task.PATROL] = _PATROL
    return of


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    task: Task
    last: datetime | None
    due: datetime | None  #: None where it was never done: it is due now
    overdue: bool


def due_tasks(cems: Cems, last: Mapping[Task, datetime], zone: ZoneInfo, *, now: datetime) -> tuple[Due, ...]:
    """When each task is due, after when it was *last* done. Data of an overdue one are invalid (3.4, K-H)."""
    found = []
    for task, interval in intervals(cems).items():
        done = last.get(task)
        due = interval.after(done, zone) if done is not None else None
        found.append(Due(task=task, last=done, due=due, overdue=due is None or now > due))
    return tuple(found)


# --- 40 CFR Part 75 ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationError:
    """Of injections of SO2 or NOx by Part 75; every array has the shape of what was given."""

    error: Values  #: % of span, to one decimal; by the alternative specification ppm, to whole ones
    alternative: Truths
    passed: Truths


CALIBRATION_ERROR_PCT: Final = 2.5
ALTERNATIVE_BELOW_SPAN_PPM: Final = 200.0
ALTERNATIVE_PPM: Final = 5.0
DILUENT_ERROR_VOL_PCT: Final = 0.5
"""Of a seven-day test, as EPA's own check engine (`CalibrationChecks.cs`, MIT) applies them. Mark V-S."""


def calibration_error(reference: npt.ArrayLike, measured: npt.ArrayLike, span_ppm: npt.ArrayLike) -> CalibrationError:
    """|reference - measured| / span x 100, to one decimal, halves up.

    Above the limit at a span below 200 ppm the absolute difference, to a whole ppm, may be within 5 instead.

    Examples
    --------
    >>> float(calibration_error(54.9, 54.6, 100.0).error)
    0.3
    """
    difference = np.abs(np.asarray(reference, dtype=np.float64) - np.asarray(measured, dtype=np.float64))
    span = np.asarray(span_ppm, dtype=np.float64)
    pct, ppm = round_half_up(difference / span * 100.0, 1), round_half_up(difference, 0)
    alternative = (pct > CALIBRATION_ERROR_PCT) & (span < ALTERNATIVE_BELOW_SPAN_PPM) & (ppm <= ALTERNATIVE_PPM)
    return CalibrationError(
        error=np.where(alternative, ppm, pct),
        alternative=alternative,
        passed=alternative | (pct <= CALIBRATION_ERROR_PCT),
    )


def diluent_error(reference: npt.ArrayLike, measured: npt.ArrayLike) -> Values:
    """|reference - measured| of O2 or CO2 [vol %], to one decimal; within `DILUENT_ERROR_VOL_PCT` it passes."""
    return round_half_up(np.abs(np.asarray(reference, dtype=np.float64) - np.asarray(measured)), 1)


def round_half_up(value: Values, decimals: int) -> Values:
    """*value*, not negative, rounded with halves up, as a person does; float noise below a half is not a half."""
    scale = 10.0**decimals
    rounded: Values = np.floor(np.round(value * scale, _DECIMALS) + 0.5) / scale
    return rounded


def days_of(at: Sequence[date]) -> Dates:
    """Local days as `judge_seven_days` takes them; shape (n,)."""
    return np.array([day.isoformat()[:10] for day in at], dtype="datetime64[D]")
