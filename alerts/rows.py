"""Findings as rows of alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alerts.rules.finding import Finding
from plant.periods import instant
from store.findings import AlertRow

Events = list[tuple[str, str]]  #: (alert id, what happened to it)


def alert_row(
    finding: Finding,
    *,
    site_id: int | None = None,
    stack_id: int | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> AlertRow:
    """*finding* as it is written; *evidence* is what only the writer knows, such as revisions."""
    return AlertRow(
        alert_id=finding.alert_id,
        rule=finding.series.rule,
        severity=finding.severity,
        site_id=site_id,
        stack_id=stack_id,
        pollutant=finding.series.pollutant,
        pack=finding.series.pack,
        period_start=instant(finding.period_start),
        period_end=instant(finding.period_end),
        observed=finding.observed,
        limit_value=finding.limit,
        unit=finding.unit,
        clause=finding.clause,
        evidence={**(evidence or {}), **finding.evidence},
        settled=finding.settled,
        ended_at=None if finding.ended_at is None else instant(finding.ended_at),
    )
