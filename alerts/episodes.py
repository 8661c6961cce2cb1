"""What a review found of a stack, carried into the database: its alerts, the hours they stand on, whether it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from alerts.copying import copied_hours
from alerts.lives import Episode
from alerts.review import Reviewed
from alerts.rows import Events
from alerts.rules.catalogue import RULES
from alerts.rules.history import History
from alerts.rules.rule import Rule
from alerts.subject import Subject
from alerts.suppressing import mark_stack
from plant.periods import instant
from store import episodes, suppressed
from store.episodes import EpisodeRow
from store.pool import Connection

_COPYING: Final = frozenset({"opened", "reopened", "changed", "escalated", "stepped_down", "resolved"})


async def apply(
    conn: Connection,
    subject: Subject,
    history: History,
    reviewed: Reviewed,
    *,
    first: int,
    rules: Sequence[Rule] = RULES,
) -> Events:
    """Make the alerts of the folded rules of a stack those that *reviewed* has; what is news.

    *first* is the place in *history* from which it was reviewed.
    """
    since = int(history.start[first]) if first < history.n_hours else history.now
    events = await episodes.apply(
        conn,
        [_row(episode) for episode in reviewed.episodes],
        site_id=subject.site_id,
        stack_id=subject.stack_id,
        rules=[rule.name for rule in rules],
        first=instant(since),
        open_before=reviewed.open_before,
    )
    copying = {alert_id for alert_id, event in events if event in _COPYING}
    await _copy(conn, history, [episode for episode in reviewed.episodes if episode.alert_id in copying])
    if await suppressed.note_stopped(conn, subject.stack_id, stopped=reviewed.stopped):
        events += await mark_stack(conn, subject.stack_id, events)
    return events


async def _copy(conn: Connection, history: History, listed: Iterable[Episode]) -> None:
    by_id = {episode.alert_id: episode for episode in listed}
    if by_id:
        before = await episodes.copied(conn, list(by_id))
        bodies = [
            (alert_id, copied_hours(history, episode, before.get(alert_id, ()))) for alert_id, episode in by_id.items()
        ]
        await episodes.copy(conn, bodies)


def _row(episode: Episode) -> EpisodeRow:
    return EpisodeRow(
        alert_id=episode.alert_id,
        rule=episode.series.rule,
        severity=episode.severity,
        pollutant=episode.series.pollutant,
        pack=episode.series.pack,
        period_start=instant(episode.period_start),
        period_end=instant(episode.period_end),
        ended_at=None if episode.ended_at is None else instant(episode.ended_at),
        observed=episode.observed,
        limit_value=episode.limit,
        unit=episode.unit,
        clause=episode.clause,
        evidence=_evidence(episode),
    )


def _evidence(episode: Episode) -> dict[str, object]:
    instrument = {} if episode.series.instrument is None else {"instrument": episode.series.instrument}
    return {**episode.evidence, **instrument}
