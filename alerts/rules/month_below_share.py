"""Month that can no longer reach its share of hours within the limit, or has ended below it.

What it says    fewer than 95 % of the month's valid hours are, or can still become, within the limit.
Why it matters  the monthly share is what ultra-low emission is recognised by; it is the ground of the
                suspend-until-compliant workflow where local law says so.
Not for         single hours (`hour_above_limit`), months with too few valid hours (undecided).
Source          the pack's month clause; cn-steel-ule-2019: 2019 Opinion.
"""

from __future__ import annotations

from typing import Final

from alerts.rules.finding import Finding, Series
from plant.months import Month, MonthVerdict
from plant.packs import MonthRule, Pack

NAME: Final = "month_below_share"


def judge(
    pack: Pack, rule: MonthRule, series: Series, month: Month, *, start: int, end: int, revision: int
) -> Finding | None:
    """The finding in *month*, or None where it is not breached."""
    if month.verdict is not MonthVerdict.BREACHED or month.share is None:
        return None
    return Finding(
        series=series,
        severity="major",
        period_start=start,
        period_end=end,
        observed=month.share,
        limit=month.required,
        unit="share of valid hours",
        clause=f"{pack.instrument}, {rule.clause}",
        evidence={
            "revision": revision,
            "pack_version": pack.version,
            "final": month.final,
            "hours_valid": month.hours_valid,
            "hours_within": month.hours_within,
            "hours_above": month.hours_above,
            "hours_undecided": month.hours_undecided,
            "hours_excluded": dict(month.hours_excluded),
            "hours_to_come": month.hours_to_come,
            "share": month.share,
            "share_worst": month.share_worst,
            "budget": month.budget,
            "mark": rule.mark,
        },
        settled=month.final,
    )
