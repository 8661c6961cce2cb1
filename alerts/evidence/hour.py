"""Redoing the alert of an hour from the copied rows: minutes, hour mean, correction, verdict, finding. Pure.

The code is that of the live stage (`alerts.hours`); only the rows, the register, the pack and the accepted marks come
from the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from alerts.evidence.checks import Check, compared, compared_all, found, not_redone
from alerts.evidence.parts import at, compared_times, marks_of, rows_of, subject_of, watched_of
from alerts.hours import HOUR_RULES, judge_rows
from alerts.rules import hour_above_limit
from alerts.rules.finding import Finding
from plant.periods import HOUR, SECOND

FROM_DATABASE: Final = ("revision",)  #: which answer of the database this was; no row says that
BY: Final = "the rows give"


def check_hour(document: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Check]:
    """*told* is the alert as it was when its rows were copied."""
    subject = subject_of(document)
    watched = watched_of(subject, told)
    start = at(told["period_start"])
    if told["rule"] != hour_above_limit.NAME and told["ended_at"] is None and told["state"] != "withdrawn":
        yield not_redone("hour", "it was still running when its rows were copied: export the alert when it has ended")
        return
    judged = judge_rows(
        subject,
        rows_of(document["evidence"], subject),
        first=start,
        n_hours=1,
        marks=marks_of(document),
        now=start + HOUR + subject.ended_after_s * SECOND,
    )
    finding = next(
        (
            one
            for one in judged.findings
            if (one.series.rule, one.series.pollutant) == (told["rule"], watched.pollutant)
        ),
        None,
    )
    series = next(each for each in judged.series if each.watched.pollutant == watched.pollutant)
    rows_hash = series.means.rows_hash[0].hex()
    if finding is None:
        verdict, reason = series.verdicts.verdict[0], series.verdicts.reason[0]
        yield compared("evidence.rows_hash", told["evidence"].get("rows_hash"), rows_hash, by=BY)
        yield found("finding", f"the rows give no {told['rule']}: that hour is {verdict} ({reason})")
        return
    yield from _compared(told, finding)


def _compared(told: Mapping[str, Any], finding: Finding) -> Iterator[Check]:
    numbers = {
        "severity": finding.severity,
        "observed": finding.observed,
        "limit": finding.limit,
        "unit": finding.unit,
        "clause": finding.clause,
    }
    yield from compared_all({name: told[name] for name in numbers}, numbers, by=BY)
    yield compared_times("period_end", told["period_end"], finding.period_end, by="an hour gives")
    if finding.ended_at is not None:
        yield compared_times("ended_at", told["ended_at"], finding.ended_at, by="the hour's end gives")
    yield from compared_all(told["evidence"], dict(finding.evidence), by=BY, prefix="evidence.", unknown=FROM_DATABASE)


def is_of_hour(rule: str) -> bool:
    return rule in HOUR_RULES
