"""The running hour can no longer be saved.

What it says    whatever the minutes to come bring, the hour ends above its limit if it ends valid. The evidence names
                the minute from which that was so.
Why it matters  it is the earliest instant at which an exceedance is certain: the cause can still be looked for while it
                acts, and the next hour saved.
Not for         outlets whose analysers have no registered range, for then nothing is certain; hours that are excluded.
Source          the arithmetic of the hour (HJ 212-2017 App. D eq. 24 and 28; `plant.bounds`); the pack's limit and
                clause.

It is a function of the rows, late ones too, and never early: see `alerts.rules.running_minutes`. An hour found so that
ends valid ends breached. One that was lost and then lost its data keeps its finding, which says how it ended.
The conditions are those of `plant.bounds`: minutes within the registered ranges, and an hour that keeps its instrument.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from alerts.rules.finding import Finding
from alerts.rules.hour_above_limit import severity_of
from alerts.rules.running_minutes import Known, conditions, does_not_count, how_it_ended, known, text, with_minute_above
from alerts.subject import Watched
from plant.bounds import NEVER, bound_hours, irrecoverable_since
from plant.envelopes import Envelope
from plant.hours import MINUTES, HourMeans
from plant.periods import HOUR
from plant.verdicts import HourVerdicts

NAME: Final = "irrecoverable_hour"


def judge_hours_of(watched: Watched, means: HourMeans, verdicts: HourVerdicts, *, now: int) -> list[Finding]:
    """The findings of the hours that are lost, or were before their last minute; *now* is in the verdicts already."""
    envelope = watched.envelope
    if envelope is None:
        return []
    # A lost hour is above its limit by what was seen of it: minutes at the low end of the range only lower that. Where
    # it runs the newest minute is not counted, so that is asked of the ended alone.
    above = ~watched.target.within(verdicts.corrected)
    places = np.flatnonzero((means.valid_minutes > 0) & (above | ~verdicts.final) & ~does_not_count(watched, means))
    places = with_minute_above(watched, means, places)
    if not places.size:
        return []
    seen = known(means, verdicts, places)
    since = irrecoverable_since(seen.mean, seen.o2, seen.count, watched.target, envelope)
    # After the sixtieth every hour is what it is.
    lost = np.flatnonzero((since != NEVER) & (since > 0) & (since < MINUTES))
    return [_finding(watched, envelope, means, verdicts, seen, row, int(since[row])) for row in lost.tolist()]


def _finding(
    watched: Watched,
    envelope: Envelope,
    means: HourMeans,
    verdicts: HourVerdicts,
    seen: Known,
    row: int,
    since: int,
) -> Finding:
    pack, outlet, place = watched.pack, watched.rule.outlet, int(seen.place[row])
    start, final = int(means.start[place]), bool(verdicts.final[place])
    passed = np.array([since, int(seen.count[row])])
    bounds = bound_hours(
        np.repeat(seen.mean[[row]], 2, axis=0), np.repeat(seen.o2[[row]], 2, axis=0), passed, watched.target, envelope
    )
    minute = seen.passed(row, since)
    return Finding(
        series=watched.series(NAME),
        severity=severity_of(watched, float(bounds.low[1])),
        period_start=start,
        period_end=start + HOUR,
        observed=float(bounds.low[1]),
        limit=verdicts.limit,
        unit="mg/m3",
        clause=f"{pack.instrument}, {pack.clause}: {outlet.name}",
        evidence={
            "pack_version": pack.version,
            "minute": minute,
            "lost_at": text(start, minute),
            "known_minutes": since,
            "lowest_then": float(bounds.low[0]),
            "lowest_now": float(bounds.low[1]),
            "base_o2": outlet.base_o2_vol_pct,
            "conditions": conditions(envelope),
            "instrument": str(means.instrument[place]),
            "rows_hash": means.rows_hash[place].hex(),
            "ended": how_it_ended(means, verdicts, place),
            "mark": watched.rule.limit.mark,
        },
        settled=final,
        ended_at=start + HOUR if final else None,
    )
