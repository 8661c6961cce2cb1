"""The alerts of single hours in the database: exactly what was found in the judged hours, and when each ended.

An alert of `hour_above_limit` ends with the first clear hour behind it (ADR 0009), whichever is judged first.
The other hour rules know themselves when they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from alerts.hours import HOUR_RULES, JudgedHours
from alerts.records import Records, Standing
from alerts.rows import Events, alert_row
from alerts.rules import hour_above_limit
from alerts.subject import Subject
from plant.periods import instant
from plant.verdicts import Verdict
from store import findings, judging
from store.findings import JudgedAlerts
from store.pool import Connection

_ENDING: Final = frozenset(
    {Verdict.CLEAR, Verdict.BREACHED}
)  # an hour of another verdict ends nothing, and is no breach


async def put_hour_alerts(
    conn: Connection, judged: JudgedHours, records: Records, starts: Sequence[datetime]
) -> Events:
    """Let the alerts of the hour rules in the judged hours be exactly the findings."""
    subject, wanted = judged.subject, set(starts)
    found = []
    for finding in judged.findings:
        start, series = instant(finding.period_start), finding.series
        assert series.pollutant is not None
        assert series.pack is not None
        if start in wanted:
            revision = records.revision(series.pollutant, start, series.pack)
            ids = {"site_id": subject.site_id, "stack_id": subject.stack_id}
            found.append(alert_row(finding, **ids, evidence={"revision": revision}))
    about = JudgedAlerts(
        stack_id=subject.stack_id,
        rules=list(HOUR_RULES),
        packs=[pack.name for pack in subject.packs],
        pollutants=sorted({each.pollutant for each in subject.watched}),
        starts=starts,
    )
    return await findings.apply_of_hours(conn, found, hours=about)


async def end_hour_alerts(conn: Connection, subject: Subject, records: Records, standing: Standing) -> Events:
    """Move the ends of alerts where an hour became clear, ceased to be, or a breach is new."""
    moved = _moved(records, standing)
    if not moved:
        return []
    starts = [start for of in moved.values() for start in of]
    with_alerts = await findings.to_end(
        conn, stack_id=subject.stack_id, rule=hour_above_limit.NAME, first=min(starts), last=max(starts)
    )
    events: Events = []
    for series in sorted(with_alerts & moved.keys()):
        events += await _end(conn, subject, *series, moved[series])
    return events


def _moved(records: Records, standing: Standing) -> dict[tuple[str, str], list[datetime]]:
    """By (pack, pollutant), the hours whose change may be another end of an alert."""
    moved: dict[tuple[str, str], list[datetime]] = {}
    for verdict in records.changed():
        old = standing.verdicts.get(verdict.key)
        before = old[0].verdict if old is not None and old[0].final else None
        after = verdict.verdict if verdict.final else None
        if before != after and _ENDING & {before, after}:
            moved.setdefault((verdict.pack, verdict.pollutant), []).append(verdict.start)
    return moved


async def _end(conn: Connection, subject: Subject, pack: str, pollutant: str, starts: Sequence[datetime]) -> Events:
    first, last = min(starts), max(starts)
    clear = await judging.clear_periods(conn, subject.stack_id, pollutant, pack, months=False, first=first, last=last)
    return await findings.end(
        conn,
        stack_id=subject.stack_id,
        rule=hour_above_limit.NAME,
        pack=pack,
        pollutant=pollutant,
        clear=clear,
        first=first,
        last=last,
    )
