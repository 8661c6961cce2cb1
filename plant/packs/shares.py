"""Shares of means other than the month's: so many within a column over a window, one of several alternatives.

The share of one rule is judged by the arithmetic of a month (`plant.months`): what is counted are the means of the
rule's period instead of hours. This module only says which rules hold for a pollutant and how they go together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from plant.months import JudgedHour, Month, MonthVerdict, judge_month
from plant.packs.model import MonthRule, Outlet, Pack, ShareRule
from plant.verdicts import Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The means of one rule's period in its window so far."""

    within: int
    above: int
    undecided: int = 0
    to_come: int = 0  #: not ended yet

    @property
    def ended(self) -> int:
        return self.within + self.above + self.undecided


def rules_for(pack: Pack, outlet: Outlet, pollutant: str) -> list[ShareRule]:
    """The share rules that *pollutant* must meet at *outlet*: those that name it, else those that name none."""
    named = [rule for rule in pack.shares if pollutant in rule.pollutants]
    rules = named or [rule for rule in pack.shares if not rule.pollutants]
    return [rule for rule in rules if _has_limit(outlet, rule, pollutant)]


def _has_limit(outlet: Outlet, rule: ShareRule, pollutant: str) -> bool:
    limits = outlet.limits_of(rule.of, rule.column)
    return pollutant in limits or pollutant in limits.unset


def judge_share(rule: ShareRule, counted: Counted, *, has_ended: bool) -> Month:
    """The window of *rule* with what was *counted*; the words of a month stand for its periods."""
    month = MonthRule(required=rule.required, min_valid_share=Decimal(0), clause=rule.clause, mark=rule.mark)
    means = {
        JudgedHour(Verdict.CLEAR, Reason.WITHIN, claimed=False): counted.within,
        JudgedHour(Verdict.BREACHED, Reason.ABOVE, claimed=False): counted.above,
    }
    return judge_month(means, month, hours_ended=counted.ended, hours_to_come=counted.to_come, has_ended=has_ended)


def judge_shares(rules: Iterable[ShareRule], counted: Mapping[str, Counted], *, has_ended: bool) -> MonthVerdict:
    """All *rules* of a pollutant over one window: every group must be clear, of alternatives one.

    *counted* by `ShareRule.key`. Without a rule there is nothing to decide: undecided.
    """
    groups: dict[str, list[MonthVerdict]] = {}
    for rule in rules:
        verdict = judge_share(rule, counted[rule.key], has_ended=has_ended).verdict
        groups.setdefault(f"either {rule.either}" if rule.either else f"rule {rule.key}", []).append(verdict)
    order = (MonthVerdict.BREACHED, MonthVerdict.UNDECIDED, MonthVerdict.RUNNING, MonthVerdict.CLEAR)
    best = [max(verdicts, key=order.index) for verdicts in groups.values()]
    return min(best, key=order.index, default=MonthVerdict.UNDECIDED)
