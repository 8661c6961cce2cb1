"""Mass for hours without a valid measurement, and tonnes against the permit (regulation sheet, 3.5).

**Only emission mass is substituted, never a concentration or a flue-gas parameter.** The measured mass stays
beside the substituted one, and each hour names its method. Marks: the rule and its table K-H, the table also found
in working code V-S S32. Which hours are valid, and what the quarter captured, is known already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from plant.conversion import Values
from plant.periods import HOUR, Instants, instant, micros
from plant.quarters import EXPECTED_CAPTURE, FULL_CAPTURE

Counts = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

SHORT_RUN_HOURS: Final = 24
SHORT_LOOK_BACK: Final = 180
LONG_LOOK_BACK: Final = 720
REDUCED_LOOK_BACK: Final = 2160
"""Valid hours whose highest mass stands in: of a run of up to 24 hours, of a longer one, at a capture below 90 %."""


class Method(StrEnum):
    """How the mass of an hour came about."""

    MEASURED = "measured"
    NOT_RUNNING = "not_running"
    HIGHEST_OF_180 = "highest_of_180"
    HIGHEST_OF_720 = "highest_of_720"
    HIGHEST_OF_2160 = "highest_of_2160"
    QUARTER_NOT_VALID = "quarter_not_valid"  #: captured below 75 %: nothing may stand in
    NO_HISTORY = "no_history"  #: no valid hour before it


LOOK_BACKS: Final = {
    Method.HIGHEST_OF_180: SHORT_LOOK_BACK,
    Method.HIGHEST_OF_720: LONG_LOOK_BACK,
    Method.HIGHEST_OF_2160: REDUCED_LOOK_BACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """Mass hour by hour; every array has shape (n_hours,), in the order of the hours given."""

    measured_kg: Values  #: as it was given; NaN where nothing valid was measured
    mass_kg: Values  #: measured or substituted; 0 while not running; NaN where nothing may stand in
    method: npt.NDArray[np.object_]
    run_hours: Counts  #: invalid hours of the run that the hour belongs to; 0 outside
    look_back_hours: Counts  #: valid hours that were there to look back on, at most what the method asks; 0 outside


def substitute(
    start: Instants,
    mass_kg: Values,
    running: Truths,
    capture_rate: Values | float,
    *,
    out_of_control: Truths | None = None,
    last_pass: Instants | None = None,
) -> Substitution:
    """Masses with the highest of earlier valid hours standing in where there is none.

    Parameters
    ----------
    start
        Hours in rising order, shape (n_hours,); those without a row too: a gap is taken as not there. Give as
        many hours before the first invalid one as the look-back needs.
    mass_kg
        Measured mass; NaN where invalid. [kg]
    running
        False where the source was shut down: the hour emits nothing and is not substituted. It neither ends a
        run of invalid hours nor counts in it [D]: splitting one failure by a stop would make it cheaper.
    capture_rate
        Of the quarter of each hour, or one for all (`plant.quarters`). NaN allows nothing.
    out_of_control, last_pass
        Hours voided by a failed calibration, and the instant of the last passed one before each
        (`plant.calibration.void`). Their look-back ends there; that of every other hour, and of a voided one whose
        instrument never passed, ends where its run begins.

    The method is that of the hour's own quarter and of the whole run, also where a run crosses quarters [D]. With
    fewer valid hours before than the method asks for, the highest of those there are stands in [D];
    `look_back_hours` shows it.
    """
    if np.any(start[1:] <= start[:-1]):
        raise ValueError("hours must be in rising order, each once")
    rate = np.broadcast_to(np.asarray(capture_rate, dtype=np.float64), start.shape)
    invalid = running & np.isnan(mass_kg)
    valid = running & ~invalid
    run, run_start = _runs(start, invalid, valid)
    run_hours = np.where(invalid, np.bincount(run[invalid], minlength=start.size + 1)[run], 0)

    method = np.select(
        [
            ~running,
            valid,
            ~(rate >= EXPECTED_CAPTURE),
            rate < FULL_CAPTURE,
            run_hours > SHORT_RUN_HOURS,
        ],
        [
            Method.NOT_RUNNING,
            Method.MEASURED,
            Method.QUARTER_NOT_VALID,
            Method.HIGHEST_OF_2160,
            Method.HIGHEST_OF_720,
        ],
        Method.HIGHEST_OF_180,
    ).astype(object)

    until = run_start
    if out_of_control is not None and last_pass is not None:
        until = np.where(out_of_control, np.minimum(last_pass, run_start), run_start)
    # Valid hours that had ended by then.
    history = mass_kg[valid]
    n_before = np.searchsorted(start[valid] + HOUR, until, side="right")
    mass = np.where(running, mass_kg, 0.0)
    look_back = np.zeros(start.size, dtype=np.int64)
    for name, hours in LOOK_BACKS.items():
        asked = method == name
        if asked.any():
            mass[asked] = _highest(history, hours)[n_before[asked]]
            look_back[asked] = np.minimum(n_before[asked], hours)
    method[(look_back == 0) & np.isin(method, list(LOOK_BACKS))] = Method.NO_HISTORY
    return Substitution(
        measured_kg=mass_kg, mass_kg=mass, method=method, run_hours=run_hours, look_back_hours=look_back
    )


def _runs(start: Instants, invalid: Truths, valid: Truths) -> tuple[Counts, Instants]:
    """The number of the run of each hour, and the start of that run's first invalid hour.

    Valid hours divide runs: between two of them all invalid hours are one run, whatever was shut down between.
    """
    run: Counts = np.cumsum(valid, dtype=np.int64)
    run_start = np.full(start.size + 1, np.iinfo(np.int64).max)
    np.minimum.at(run_start, run[invalid], start[invalid])
    return run, run_start[run]


def _highest(history: Values, hours: int) -> Values:
    """The highest of the last *hours* of the first k values of *history*, for each k; NaN for k = 0.

    Shape (n,) in, (n + 1,) out. Windows double until two of them cover the whole: log2(hours) passes.
    """
    windows = np.concatenate([np.full(hours, -np.inf), history])
    width = 1
    while width * 2 <= hours:
        windows = np.maximum(windows[:-width], windows[width:])
        width *= 2
    n = history.size
    rest = hours - width
    highest: Values = np.maximum(windows[: n + 1], windows[rest : rest + n + 1])
    return np.where(np.isneginf(highest), np.nan, highest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tonnage:
    """The mass of one local calendar year against the permit."""

    year: int
    tonnes: float
    unknown_hours: int  #: hours without a mass: the tonnes are of the others
    permit_t: float | None
    fraction: float | None  #: of the permit; None without one, or with one of zero
    year_end_t: float | None  #: if it goes on as from the year's first known hour until now
    exceeded_on: date | None  #: the local day on which the permit is exceeded, or will be by the year's end
    exceeded: bool  #: already


def tonnage(
    start: Instants, mass_kg: Values, zone: ZoneInfo, *, now: int, permit_t_per_year: float | None
) -> tuple[Tonnage, ...]:
    """Tonnes of each local calendar year that the hours touch, up to the instant *now*.

    *start* rises, shape (n_hours,); *mass_kg* is measured or substituted, NaN where it is not known. A year that
    is over has no forecast beyond what came out.
    """
    ended = start + HOUR <= now
    start, mass_kg = start[ended], mass_kg[ended]
    if start.size == 0:
        return ()
    first, last = (instant(int(at)).astimezone(zone).year for at in (start[0], start[-1]))
    edges = [micros(datetime(year, 1, 1, tzinfo=zone)) for year in range(first, last + 2)]
    bounds = np.searchsorted(start, edges)
    return tuple(
        _of_year(first + n, start[a:b], mass_kg[a:b], zone, edges[n + 1], now, permit_t_per_year)
        for n, (a, b) in enumerate(pairwise(bounds))
    )


def _of_year(
    year: int, start: Instants, mass_kg: Values, zone: ZoneInfo, end: int, now: int, permit: float | None
) -> Tonnage:
    known = ~np.isnan(mass_kg)
    running_t = np.cumsum(mass_kg[known]) / 1000.0
    hours = start[known]
    tonnes = float(running_t[-1]) if hours.size else 0.0
    seen_until = min(now, end)
    pace = tonnes / (seen_until - int(hours[0])) if hours.size else None  #: [t/us]
    exceeded_at: int | None = None
    if permit is not None:
        over = np.flatnonzero(running_t > permit)
        if over.size:
            exceeded_at = int(hours[over[0]])
        elif pace:
            ahead = seen_until + (permit - tonnes) / pace
            exceeded_at = int(ahead) if ahead < end else None
    return Tonnage(
        year=year,
        tonnes=tonnes,
        unknown_hours=int((~known).sum()),
        permit_t=permit,
        fraction=tonnes / permit if permit else None,
        year_end_t=tonnes + pace * (end - seen_until) if pace is not None else None,
        exceeded_on=instant(exceeded_at).astimezone(zone).date() if exceeded_at is not None else None,
        exceeded=permit is not None and tonnes > permit,
    )
