"""Hour mean above the limit.

What it says    the corrected hour mean of a pollutant is above the limit of its pack.
Why it matters  the hour mean is the quantity that limits are written in; an hour above a ULE limit spends the
                month's budget, one above a standard or the permit is an exceedance.
Not for         hours not ended, excluded or undecided: missing data is neither compliance nor a breach.
Source          the pack's clause; cn-steel-ule-2019: 2019 Opinion, Annex 2.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from alerts.rules.finding import Finding, Series
from alerts.subject import Watched
from plant.hours import HourMeans
from plant.periods import HOUR
from plant.verdicts import HourVerdicts, Verdict

NAME: Final = "hour_above_limit"
GRAVE_TIMES: Final = 2.0  #: so many times the limit is one severity graver [D]


def severity_of(watched: Watched, corrected: float) -> str:
    """How grave an hour with that mean is: by what the limit binds with, and by how far it is passed.

    A policy limit binds only through another text; a standard and a permit bind by themselves.
    """
    binding = watched.pack.kind == "statutory" or watched.rule.limit.mark == "permit"
    grave = corrected > GRAVE_TIMES * watched.rule.limit.mg_m3
    return ("critical" if grave else "major") if binding else ("major" if grave else "warning")


def judge_hours_of(watched: Watched, means: HourMeans, verdicts: HourVerdicts, *, now: int) -> list[Finding]:
    """The findings of the breached hours. The revision is added by who writes them down."""
    series = watched.series(NAME)
    breached = np.flatnonzero(verdicts.verdict == Verdict.BREACHED).tolist()
    return [_finding(watched, series, means, verdicts, at) for at in breached]


def _finding(watched: Watched, series: Series, means: HourMeans, verdicts: HourVerdicts, at: int) -> Finding:
    pack, outlet, start = watched.pack, watched.rule.outlet, int(means.start[at])
    o2 = float(means.o2[at])
    return Finding(
        series=series,
        severity=severity_of(watched, float(verdicts.corrected[at])),
        period_start=start,
        period_end=start + HOUR,
        observed=float(verdicts.corrected[at]),
        limit=verdicts.limit,
        unit="mg/m3",
        clause=f"{pack.instrument}, {pack.clause}: {outlet.name}",
        evidence={
            "pack_version": pack.version,
            "mean": float(means.mean[at]),
            "corrected": float(verdicts.corrected[at]),
            "o2": o2 if math.isfinite(o2) else None,
            "base_o2": outlet.base_o2_vol_pct,
            "valid_minutes": int(means.valid_minutes[at]),
            "over_range_minutes": int(means.over_range_minutes[at]),
            "method_sensitive": bool(verdicts.method_sensitive[at]),
            "instrument": str(means.instrument[at]),
            "reason": str(verdicts.reason[at]),
            "rows_hash": means.rows_hash[at].hex(),
            "mark": watched.rule.limit.mark,
        },
        settled=True,
    )
