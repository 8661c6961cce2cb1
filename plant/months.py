"""A month of hours against the share it must hold, and the budget of hours that leaves (contract, section 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from plant.packs import MonthRule
from plant.verdicts import Verdict


class MonthVerdict(StrEnum):
    CLEAR = "clear"
    BREACHED = "breached"
    UNDECIDED = "undecided"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class JudgedHour:
    """What a month needs to know of one of its hours that has ended."""

    verdict: Verdict
    reason: str
    claimed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One pollutant of one stack in one month under one pack.

    Hours within, above, undecided and excluded together are those that have ended.
    """

    hours_within: int
    hours_above: int
    hours_undecided: int
    hours_excluded: Mapping[str, int]
    hours_to_come: int
    share: float | None
    share_worst: float | None
    required: float
    budget: int
    budget_now: int
    verdict: MonthVerdict
    final: bool

    @property
    def hours_valid(self) -> int:
        return self.hours_within + self.hours_above

    @property
    def budget_left(self) -> int:
        return self.budget - self.hours_above

    def figures(self) -> dict[str, Any]:
        """As the API names them."""
        return {
            "hours_valid": self.hours_valid,
            "hours_within": self.hours_within,
            "hours_above": self.hours_above,
            "hours_undecided": self.hours_undecided,
            "hours_excluded": dict(self.hours_excluded),
            "share": self.share,
            "share_worst": self.share_worst,
            "required": self.required,
            "budget": self.budget,
            "budget_now": self.budget_now,
            "budget_left": self.budget_left,
            "verdict": self.verdict.value,
            "final": self.final,
        }


def allowed_above(hours: int, rule: MonthRule) -> int:
    """How many of *hours* may be above the limit: floor(0.05 x hours), without float noise."""
    return int((1 - Fraction(rule.required)) * hours)


def judge_month(
    hours: Mapping[JudgedHour, int], rule: MonthRule, *, hours_ended: int, hours_to_come: int, has_ended: bool
) -> Month:
    """The month whose ended hours with data are *hours*: how many there are of each kind.

    *hours_ended* counts every hour of the month that has ended, with data or without; an hour without any
    data is undecided. `has_ended` is about the month.
    """
    verdicts: Counter[Verdict] = Counter()
    excluded: Counter[str] = Counter()
    claimed = 0
    for hour, count in hours.items():
        verdicts[hour.verdict] += count
        claimed += count * hour.claimed
        if hour.verdict is Verdict.EXCLUDED:
            excluded[hour.reason] += count
    within, above = verdicts[Verdict.CLEAR], verdicts[Verdict.BREACHED]
    valid = within + above
    n_excluded = verdicts[Verdict.EXCLUDED]
    budget_now = allowed_above(valid, rule)
    budget = budget_now if has_ended else allowed_above(valid + hours_to_come, rule)
    return Month(
        hours_within=within,
        hours_above=above,
        hours_undecided=hours_ended - valid - n_excluded,
        hours_excluded=dict(sorted(excluded.items())),
        hours_to_come=hours_to_come,
        share=within / valid if valid else None,
        share_worst=within / (valid + claimed) if valid + claimed else None,
        required=float(rule.required),
        budget=budget,
        budget_now=budget_now,
        verdict=_verdict(within, above, hours_ended - n_excluded, budget, rule, has_ended=has_ended),
        final=has_ended,
    )


def _verdict(
    within: int, above: int, not_excluded: int, budget: int, rule: MonthRule, *, has_ended: bool
) -> MonthVerdict:
    valid = within + above
    if not has_ended:
        return MonthVerdict.BREACHED if above > budget else MonthVerdict.RUNNING
    if valid == 0 or valid < Fraction(rule.min_valid_share) * not_excluded:
        return MonthVerdict.UNDECIDED
    return MonthVerdict.BREACHED if within < Fraction(rule.required) * valid else MonthVerdict.CLEAR
