"""The month's allowed hours go too fast, or are used up.

What it says    hours above the limit come faster than the month's share of hours allows: how many of the last valid
                hours were above, how much of the month's budget is used, and when the rest runs out.
Why it matters  a month is lost hour by hour (`month_below_share`); said early, it can still be saved.
Not for         the month itself, which is judged when it cannot be saved any more or has ended; packs without a
                share of hours; hours that are excluded or undecided, which neither use the budget nor earn it.
Source          the share: the pack's month clause (cn-steel-ule-2019: 2019 Opinion, 95 %). What is too fast: [D], after
                the practice of alerting on the rate at which a budget is spent, over a short and over a long window.

Everything is counted within the local month and starts anew with it. The budget is that of a month that runs on:
what the share allows of the hours so far valid and all those to come (`plant.budget`). The first hour of a month ends
the alert of the month before; if it is above itself, that is said with the next valid hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from alerts.rules.history import History, VerdictHours
from alerts.rules.rule import CRITICAL, INFO, MAJOR, UNDECIDED, VERDICT_REACH_H, WARNING, Life, Outcomes, Rule
from plant.budget import hour_to_come, in_words, outlook, run_out_hour
from plant.months import JudgedHour, Month, judge_month
from plant.packs import MonthRule, Pack
from plant.periods import HOUR, month_bounds, month_of, written
from plant.readings import Counts, Truths
from plant.verdicts import Verdict

SPENT: Final = ((1, 1, INFO), (3, 6, WARNING), (6, 24, MAJOR))
"""So many hours above among so many of the last valid ones, and how grave that is [D]. An hour above makes more than
its part of a month's budget of 5 % of the hours: 3 of 6 is ten times too fast, 6 of 24 five times."""

QUIET_HOURS: Final = 6  #: valid hours without one above, after which the first level is left [D]
PACE_HOURS: Final = 24  #: valid hours that a pace needs, and
PACE_ABOVE: Final = 3  #: hours above: one bad hour on the first day would foretell a lost month [D]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One series, hour by hour, counted within its local month up to the end of the hour; shape (n_hours,)."""

    month_end: Counts  #: microseconds
    valid: Truths  #: the hour itself
    hours_valid: Counts
    hours_above: Counts
    last_above: Counts  #: how many valid hours ago the last above was: 0 is this one; as far as can be where none was
    above_of: Mapping[int, Counts]  #: by a number of last valid hours, how many of them were above
    to_come: Counts
    allowed: Counts

    @property
    def used_up(self) -> Truths:
        found: Truths = (self.hours_above > 0) & (self.hours_above >= self.allowed)
        return found

    def half_used_early(self, start: Counts, month_start: Counts) -> Truths:
        """Half of the budget is used in the first half of the month."""
        early = 2 * (start + HOUR) <= month_start + self.month_end
        found: Truths = early & (self.hours_above > 0) & (2 * self.hours_above >= self.allowed)
        return found

    @property
    def runs_out(self) -> Truths:
        """At the pace of the month so far, one hour more than is allowed is above before the month is over."""
        needed = (self.allowed + 1 - self.hours_above) * self.hours_valid  # <= to_come x above, without a division
        enough = (self.hours_valid >= PACE_HOURS) & (self.hours_above >= PACE_ABOVE)
        found: Truths = enough & (needed <= self.to_come * self.hours_above)
        return found


def judge(history: History) -> Iterator[Outcomes]:
    """The budget of each pollutant under each pack with a share of hours."""
    if not history.n_hours or all(pack.month is None for pack in history.packs):
        return
    month_start, month_end = _months(history)
    for pack in history.packs:
        if pack.month is None:
            continue
        for (name, pollutant), hours in history.verdicts.items():
            if name == pack.name:
                yield _series(history, pack, pack.month, pollutant, hours, month_start, month_end)


def _series(
    history: History,
    pack: Pack,
    rule: MonthRule,
    pollutant: str,
    hours: VerdictHours,
    month_start: Counts,
    month_end: Counts,
) -> Outcomes:
    above, within = hours.is_(Verdict.BREACHED), hours.is_(Verdict.CLEAR)
    budget = _budget(history, rule, above, within, month_start, month_end)
    reasons = _reasons(history, budget, month_start)
    level = np.zeros(history.n_hours, dtype=np.int8)
    for grade, found in reasons.values():
        level = np.maximum(level, np.where(found, grade, 0)).astype(np.int8)
    # Before a month's first valid hour nothing of it is used, whatever the month before was like. Its first hour speaks
    # of nothing either, so that what the month before left open ends there: two months are never one alert.
    begins = history.start == month_start
    decided = history.ended & (budget.valid | (budget.hours_valid == 0) | begins)
    level[begins] = 0

    def evidence(at: int) -> Mapping[str, Any]:
        said = [name for name, (_, found) in reasons.items() if found[at]]
        return _evidence(history, pack, rule, hours, budget, said, at, int(month_start[at]))

    return Outcomes(
        level=np.where(decided, level, UNDECIDED).astype(np.int8),
        observed=budget.hours_above.astype(np.float64),
        limit=budget.allowed.astype(np.float64),
        evidence=evidence,
        pollutant=pollutant,
        pack=pack.name,
    )


def _reasons(history: History, budget: Budget, month_start: Counts) -> dict[str, tuple[int, Truths]]:
    """By what is said, how grave it is and where it holds."""
    (_, _, first), *windows = SPENT
    found = {"hour_above": (first, budget.last_above < QUIET_HOURS)}
    for most, of, level in windows:
        found[f"{most}_of_{of}"] = (level, budget.above_of[of] >= most)
    found["half_used_before_mid_month"] = (WARNING, budget.half_used_early(history.start, month_start))
    found["runs_out"] = (WARNING, budget.runs_out)
    found["used_up"] = (CRITICAL, budget.used_up)
    return found


def _budget(
    history: History, rule: MonthRule, above: Truths, within: Truths, month_start: Counts, month_end: Counts
) -> Budget:
    valid = above | within
    places = np.arange(history.n_hours)
    begins = np.maximum.accumulate(np.where(np.diff(month_start, prepend=month_start[0] - 1) != 0, places, 0))
    # Totals before each place, so that one begun with the month is a difference.
    n_valid, n_above = (np.concatenate([[0], np.cumsum(of)]) for of in (valid, above))
    hours_valid = n_valid[1:] - n_valid[begins]
    hours_above = n_above[1:] - n_above[begins]
    of_valid = np.concatenate([[0], np.cumsum(above[valid])])  # the same along the valid hours alone
    to_come = (month_end - history.start) // HOUR - 1
    share = 1 - rule.required
    over, under = share.as_integer_ratio()

    def among_last(n: int) -> Counts:
        counts: Counts = of_valid[n_valid[1:]] - of_valid[np.maximum(n_valid[1:] - n, n_valid[begins])]
        return counts

    last = np.maximum.accumulate(np.where(above, n_valid[1:], 0))
    return Budget(
        month_end=month_end,
        valid=valid,
        hours_valid=hours_valid,
        hours_above=hours_above,
        last_above=np.where(hours_above > 0, n_valid[1:] - last, np.iinfo(np.int64).max),
        above_of={of: among_last(of) for _, of, _ in SPENT},
        to_come=to_come,
        allowed=(hours_valid + to_come) * over // under,
    )


def _months(history: History) -> tuple[Counts, Counts]:
    """Start and end of the local month of each hour, in microseconds."""
    zone = history.site.zone
    edges: list[int] = []
    at = int(history.start[0])
    while at <= history.start[-1]:
        start, at = month_bounds(month_of(at, zone), zone)
        edges.append(start)
    bounds = np.array([*edges, at], dtype=np.int64)
    which = np.searchsorted(bounds, history.start, side="right")
    return bounds[which - 1], bounds[which]


def _evidence(
    history: History,
    pack: Pack,
    rule: MonthRule,
    hours: VerdictHours,
    budget: Budget,
    said: list[str],
    at: int,
    month_start: int,
) -> Mapping[str, Any]:
    """What a person needs to plan the rest of the month; only counts that the verdicts up to the hour give."""
    zone, month_end = history.site.zone, int(budget.month_end[at])
    month = _month(history, rule, hours, at, month_start, month_end)
    ahead = outlook(month, rule)
    words = in_words(ahead, month_end=month_end, zone=zone)
    out = run_out_hour(ahead, month_end)
    overdrawn = ahead.overdrawn_in
    return {
        "reasons": said,
        "month": month_of(month_start, zone).isoformat()[:7],
        "pack_version": pack.version,
        "clause": f"{pack.instrument}, {rule.clause}",
        "hours_valid": month.hours_valid,
        "hours_above": month.hours_above,
        "hours_to_come": month.hours_to_come,
        "allowed_if_it_runs_on": ahead.if_it_runs_on,
        "allowed_if_it_stops_now": ahead.if_it_stops_now,
        "left": ahead.left,
        "above_of_last": {str(of): int(counts[at]) for of, counts in budget.above_of.items()},
        "last_is_used_in": None if out is None else written(out),
        "overdrawn_in": None if not overdrawn else written(hour_to_come(overdrawn, ahead.to_come, month_end)),
        "share_now": ahead.share_now,
        "share_at_best": ahead.share_at_best,
        "share_at_worst": ahead.share_at_worst,
        "words": {"en": words.en, "zh": words.zh},
        "hours": [written(hour) for hour in _above(history, hours, at, month_start)],
    }


def _above(history: History, hours: VerdictHours, at: int, month_start: int) -> Iterable[int]:
    """The starts of the month's hours above, up to the place *at*."""
    first = int(np.searchsorted(history.start, month_start))
    found = np.flatnonzero(hours.verdict[first : at + 1] == Verdict.BREACHED)
    return [int(start) for start in history.start[first + found]]


def _month(history: History, rule: MonthRule, hours: VerdictHours, at: int, month_start: int, month_end: int) -> Month:
    """The month as it stood at the end of the hour at *at*."""
    first = int(np.searchsorted(history.start, month_start))
    places = slice(first, at + 1)
    listed = zip(hours.verdict[places], hours.reason[places], hours.claimed[places].tolist(), strict=True)
    counted = Counter(JudgedHour(Verdict(v), str(r), claimed) for v, r, claimed in listed if v is not None)
    end = int(history.start[at]) + HOUR
    return judge_month(
        counted,
        rule,
        hours_ended=(end - month_start) // HOUR,
        hours_to_come=(month_end - end) // HOUR,
        has_ended=False,
    )


RULE: Final = Rule(
    name="budget",
    judge=judge,
    unit="hours above the limit",
    clause="the hours above the limit that the pack's monthly share allows; what is too fast is our default [D]",
    reach_h=VERDICT_REACH_H,
    life=Life(step_down_after_h=QUIET_HOURS),
)
