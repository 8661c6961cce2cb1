"""Redoing the alert of a month from the copied verdicts of its hours: counts, share, budget, verdict. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from alerts.evidence.checks import Check, compared_all, found, same
from alerts.evidence.parts import at, compared_times, series_of, subject_of, watched_of
from alerts.rules import month_below_share
from alerts.subject import Watched
from plant.months import JudgedHour, judge_month
from plant.periods import HOUR, month_bounds, month_of
from plant.verdicts import Verdict

BY: Final = "the hours give"


def check_month(
    document: Mapping[str, Any], told: Mapping[str, Any], hours: Sequence[Mapping[str, Any]]
) -> Iterator[Check]:
    """*told* is the alert as it was when the verdicts of *hours* were what they are here."""
    subject = subject_of(document)
    watched = watched_of(subject, told)
    evidence = told["evidence"]
    start = at(told["period_start"])
    first, last = month_bounds(month_of(start, subject.site.zone), subject.site.zone)
    yield compared_times("period_start", told["period_start"], first, by="the site's month gives")
    yield compared_times("period_end", told["period_end"], last, by="the site's month gives")
    yield from _hours(watched, hours, first, last)
    assert watched.pack.month is not None
    to_come = int(evidence["hours_to_come"])
    if evidence["final"] and to_come:
        yield found("evidence.hours_to_come", f"the file says {to_come}, and that the month has ended")
    counts = Counter(JudgedHour(Verdict(hour["verdict"]), hour["reason"], bool(hour["claimed"])) for hour in hours)
    month = judge_month(
        counts,
        watched.pack.month,
        hours_ended=(last - first) // HOUR - to_come,
        hours_to_come=to_come,
        has_ended=bool(evidence["final"]),
    )
    finding = month_below_share.judge(
        watched.pack,
        watched.pack.month,
        series_of(told),
        month,
        start=first,
        end=last,
        revision=int(evidence["revision"]),
    )
    if finding is None:
        yield found("finding", f"the hours give no {told['rule']}: the month is {month.verdict}, share {month.share}")
        return
    numbers = {name: getattr(finding, name) for name in ("severity", "observed", "limit", "unit", "clause")}
    yield from compared_all({name: told[name] for name in numbers}, numbers, by=BY)
    yield from compared_all(evidence, dict(finding.evidence), by=BY, prefix="evidence.")


def _hours(watched: Watched, hours: Sequence[Mapping[str, Any]], first: int, last: int) -> Iterator[Check]:
    """Each copied hour: in the month, once, and judged by its own number."""
    faults = 0
    seen: set[int] = set()
    for hour in hours:
        start, name = at(hour["start"]), f"hour {hour['start']}"
        wrong = _fault(watched, hour, start, seen, first, last)
        seen.add(start)
        if wrong is not None:
            faults += 1
            yield found(name, wrong)
    if not faults:
        yield Check("hours", True, f"{len(seen)}, each judged as its corrected mean and the limit say")


def _fault(watched: Watched, hour: Mapping[str, Any], start: int, seen: set[int], first: int, last: int) -> str | None:
    if start in seen:
        return "it is there twice"
    if not first <= start < last or (start - first) % HOUR:
        return "it is none of this month"
    limit = watched.rule.limit.mg_m3
    if not same(hour["limit"], limit):
        return f"the file says that its limit is {hour['limit']}, pack and register give {limit}"
    if hour["verdict"] not in (Verdict.CLEAR, Verdict.BREACHED):
        return None
    if hour["corrected"] is None:
        return f"the file says {hour['verdict']}, without a number"
    within = bool(watched.target.within(np.array([hour["corrected"]], dtype=np.float64))[0])
    verdict = Verdict.CLEAR if within else Verdict.BREACHED
    if hour["verdict"] != verdict:
        return f"the file says {hour['verdict']}, {hour['corrected']} against {limit} is {verdict}"
    return None
