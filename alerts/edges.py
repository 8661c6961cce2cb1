"""Alerts about what edges sent: the losses that the books were left with, judged by edge and hour.

Like `alerts.judge` for stacks this only carries values from the store to the rules and back. Nothing is scanned: looked
at are the hours whose losses changed or grew old enough, and those that an alert is open for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from alerts.rules import rows_dropped, rows_unexplained
from alerts.rules.finding import Finding, Series, alert_id
from alerts.rules.lost import GRACE, Lost
from plant.periods import instant, micros
from store import findings, losses, tallying
from store.books import codes_of_sites
from store.findings import AlertRow
from store.losses import EdgeHour, Loss
from store.pool import Connection

RULES: Final = {rows_unexplained.NAME: rows_unexplained.judge, rows_dropped.NAME: rows_dropped.judge}


async def keep_books(conn: Connection, *, now: datetime) -> bool:
    """Fold what was noted since and judge what it left, as of the tick *now*; whether there is more to fold."""
    folded = await tallying.fold(conn, now=now)
    await _judge(conn, folded.changed, now)
    return folded.more


async def _judge(conn: Connection, changed: set[EdgeHour], now: datetime) -> None:
    standing = await findings.open_of_edges(conn, list(RULES))
    asked = changed | {(site_id, edge, hour) for _, site_id, edge, hour in standing}
    asked |= await losses.unjudged(conn, since=instant(micros(now) - GRACE))
    if not asked:
        return
    codes = await codes_of_sites(conn)
    clean = await losses.next_hours_without_drops(conn, asked)
    running: list[AlertRow] = []
    ended: list[AlertRow] = []
    ends: dict[str, datetime] = {}
    for key, listed in (await losses.of_hours(conn, asked)).items():
        site_id, edge, hour = key
        lost = [_lost(loss) for loss in listed]
        for rule, judge in RULES.items():
            series = Series(rule=rule, site=codes[site_id], edge=edge)
            stands = (rule, *key) in standing
            finding, end = judge(series, micros(hour), lost, now=micros(now), stands=stands), None
            if finding is None and stands:
                end = now
            elif finding is not None and rule == rows_dropped.NAME:
                end = clean[key]
            if finding is not None:
                (running if end is None else ended).append(_row(site_id, finding))
            if end is not None:
                ends[alert_id(series, micros(hour))] = end
    events = await findings.apply_of_edges(conn, running, ended=ended)
    events += await findings.resolve(conn, ends)
    await findings.announce(conn, events)


def _lost(loss: Loss) -> Lost:
    assert loss.since is not None, "the fold has noted when"
    return Lost(
        session=loss.session,
        first=loss.first,
        last=loss.last,
        fate=loss.fate,
        rows=loss.rows,
        counted_at=micros(loss.counted_at),
        since=micros(loss.since),
    )


def _row(site_id: int, finding: Finding) -> AlertRow:
    return AlertRow(
        alert_id=finding.alert_id,
        rule=finding.series.rule,
        severity=finding.severity,
        site_id=site_id,
        stack_id=None,
        pollutant=None,
        pack=None,
        period_start=instant(finding.period_start),
        period_end=instant(finding.period_end),
        observed=finding.observed,
        limit_value=finding.limit,
        unit=finding.unit,
        clause=finding.clause,
        evidence=finding.evidence,
        settled=finding.settled,
    )
