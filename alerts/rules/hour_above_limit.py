"""Hour mean above the limit.

What it says    the corrected hour mean of a pollutant is above the limit of its pack.
Why it matters  the hour mean is the quantity that limits are written in; an hour above a ULE limit spends the
                month's budget, one above a standard or the permit is an exceedance.
Not for         hours not ended, excluded or undecided: missing data is neither compliance nor a breach.
Source          the pack's clause; cn-steel-ule-2019: 2019 Opinion, Annex 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from alerts.rules.finding import Finding, Series
from plant.limits import Governing
from plant.packs import Pack
from plant.periods import HOUR
from plant.verdicts import Verdict

NAME: Final = "hour_above_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedHourMean:
    """One final hour of a series, with the numbers it was judged on."""

    start: int
    verdict: Verdict
    reason: str
    mean: float
    corrected: float
    o2: float | None
    limit: float
    valid_minutes: int
    over_range_minutes: int
    method_sensitive: bool
    instrument: str
    revision: int
    rows_hash: str


def judge(pack: Pack, rule: Governing, series: Series, hour: JudgedHourMean) -> Finding | None:
    """The finding in *hour*, or None where it is not breached."""
    if hour.verdict is not Verdict.BREACHED:
        return None
    outlet = rule.outlet
    return Finding(
        series=series,
        # A policy limit binds only through another text; a standard is one.
        severity="major" if pack.kind == "statutory" else "warning",
        period_start=hour.start,
        period_end=hour.start + HOUR,
        observed=hour.corrected,
        limit=hour.limit,
        unit="mg/m3",
        clause=f"{pack.instrument}, {pack.clause}: {outlet.name}",
        evidence={
            "revision": hour.revision,
            "pack_version": pack.version,
            "mean": hour.mean,
            "corrected": hour.corrected,
            "o2": hour.o2,
            "base_o2": outlet.base_o2_vol_pct,
            "valid_minutes": hour.valid_minutes,
            "over_range_minutes": hour.over_range_minutes,
            "method_sensitive": hour.method_sensitive,
            "instrument": hour.instrument,
            "reason": hour.reason,
            "rows_hash": hour.rows_hash,
            "mark": rule.limit.mark,
        },
        settled=True,
    )
