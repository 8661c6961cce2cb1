"""The running hour will end above its limit if it goes on like this, and can still be saved.

What it says    at the level of its last five valid minutes the hour would end above the limit; the evidence says
                below what the rest of it must stay.
Why it matters  it is the last moment at which something can be done about this hour: it is for the control room.
Not for         hours that nothing can save any more (`irrecoverable_hour`), or of which too little was seen; outlets
                whose analysers have no registered range. It is a warning, no exceedance: whether the hour was above
                `hour_above_limit` says.
Source          the arithmetic of the hour (HJ 212-2017 App. D eq. 24 and 28; `plant.bounds`). Five minutes, and ten
                before the first word: [D].

A function of the rows: what was warned of stays with the hour, as it would have been in the order of time.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from alerts.rules.finding import Finding
from alerts.rules.running_minutes import Known, conditions, does_not_count, how_it_ended, known, text, with_minute_above
from alerts.subject import Watched
from plant.bounds import bound_hours
from plant.envelopes import Envelope
from plant.hours import MINUTES, HourMeans
from plant.periods import HOUR
from plant.readings import Values
from plant.verdicts import HourVerdicts

NAME: Final = "keep_below"
LEVEL_MINUTES: Final = 5  #: whose mean is the level of now [D]
FEWEST_MINUTES: Final = 10  #: known of an hour before anything is foretold of it [D]


def judge_hours_of(watched: Watched, means: HourMeans, verdicts: HourVerdicts, *, now: int) -> list[Finding]:
    """The findings of the hours that were to end above and could be saved; *now* is in the verdicts already."""
    envelope = watched.envelope
    if envelope is None:
        return []
    places = np.flatnonzero((means.valid_minutes >= FEWEST_MINUTES) & ~does_not_count(watched, means))
    places = with_minute_above(watched, means, places)
    if not places.size:
        return []
    seen = known(means, verdicts, places)
    projected = _projected(watched, seen)
    warned = ~watched.target.within(projected) & ~np.isnan(projected)
    rows = np.flatnonzero(warned.any(axis=1))
    if not rows.size:
        return []
    count = warned[rows].argmax(axis=1) + 1
    bounds = bound_hours(seen.mean[rows], seen.o2[rows], count, watched.target, envelope)
    return [
        _finding(watched, envelope, means, verdicts, seen, row, n, float(projected[row, n - 1]), keep)
        for row, n, saveable, keep in zip(
            rows.tolist(), count.tolist(), bounds.saveable.tolist(), bounds.keep_below.tolist(), strict=True
        )
        if saveable
    ]


def _projected(watched: Watched, seen: Known) -> Values:
    """What the hour ends with if every open minute is like the last known ones, after each known minute; (n, 60)."""
    mean, o2 = _gone_on(seen.mean), _gone_on(seen.o2)
    if watched.target.base_o2_vol_pct is not None:
        o2 = np.where(o2 < watched.target.ambient_vol_pct, o2, np.nan)
    projected: Values = np.array(watched.target.corrected(mean, o2))
    projected[:, : FEWEST_MINUTES - 1] = np.nan
    projected[:, -1] = np.nan  # then nothing is open
    return projected


def _gone_on(known: Values) -> Values:
    """The mean of each hour if its open minutes are like the last `LEVEL_MINUTES`, after each known one; (n, 60)."""
    total = np.cumsum(known, axis=1)
    last = total.copy()
    last[:, LEVEL_MINUTES:] -= total[:, :-LEVEL_MINUTES]
    count = np.arange(1, MINUTES + 1)
    gone_on: Values = (total + last / np.minimum(count, LEVEL_MINUTES) * (MINUTES - count)) / MINUTES
    return gone_on


def _finding(
    watched: Watched,
    envelope: Envelope,
    means: HourMeans,
    verdicts: HourVerdicts,
    seen: Known,
    row: int,
    count: int,
    projected: float,
    keep: float,
) -> Finding:
    pack, outlet, place = watched.pack, watched.rule.outlet, int(seen.place[row])
    start, final = int(means.start[place]), bool(verdicts.final[place])
    minute = seen.passed(row, count)
    last = slice(max(0, count - LEVEL_MINUTES), count)
    with_oxygen = outlet.base_o2_vol_pct is not None and watched.target.base_o2_vol_pct is not None
    evidence: dict[str, Any] = {
        "pack_version": pack.version,
        "minute": minute,
        "warned_at": text(start, minute),
        "known_minutes": count,
        "level": float(seen.mean[row, last].mean()),
        "level_o2": float(seen.o2[row, last].mean()) if with_oxygen else None,
        "would_end_at": projected,
        "keep_below": keep if np.isfinite(keep) else None,
        "base_o2": outlet.base_o2_vol_pct,
        "conditions": conditions(envelope),
        "instrument": str(means.instrument[place]),
        "rows_hash": means.rows_hash[place].hex(),
        "ended": how_it_ended(means, verdicts, place),
        "mark": watched.rule.limit.mark,
    }
    return Finding(
        series=watched.series(NAME),
        severity="info",
        period_start=start,
        period_end=start + HOUR,
        observed=projected,
        limit=verdicts.limit,
        unit="mg/m3",
        clause=f"{pack.instrument}, {pack.clause}: {outlet.name}",
        evidence=evidence,
        settled=final,
        ended_at=start + HOUR if final else None,
    )
