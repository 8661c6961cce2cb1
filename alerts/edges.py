"""Alerts about what edges sent, and whether they are there: judged at ticks, by the leader.

Like `alerts.judge` for stacks this only carries values from the store to the rules and back. Of the books nothing is
scanned: looked at are the hours whose losses changed or grew old enough, and those that an alert is open for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from alerts.rows import alert_row
from alerts.rules import clock_skew, edge_backlog, edge_offline, rows_dropped, rows_unexplained
from alerts.rules.edge_seen import Edge, Frame, Nothing
from alerts.rules.finding import Finding, Series, alert_id
from alerts.rules.lost import GRACE, Lost
from alerts.suppressing import mark_sites_of
from plant.periods import SECOND, instant, micros
from store import edge_watch, findings, losses, tallying
from store.books import codes_of_sites
from store.edge_watch import EdgeKey, EdgeNow
from store.findings import AlertRow
from store.health import all_well, beats
from store.losses import EdgeHour, Loss
from store.pool import Connection

RULES: Final = {rows_unexplained.NAME: rows_unexplained.judge, rows_dropped.NAME: rows_dropped.judge}
OF_STATES: Final = {edge_offline.NAME: edge_offline.judge, edge_backlog.NAME: edge_backlog.judge}
OF_FRAMES: Final = {clock_skew.NAME: clock_skew.judge}


class _JudgeEdge(Protocol):
    def __call__(self, edge: Edge, *, now: int, began: int | None) -> Finding | Nothing: ...


_Began = dict[tuple[str, int, str], datetime]  #: of the open episodes: by rule, site_id and edge


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
                (running if end is None else ended).append(alert_row(finding, site_id=site_id))
            if end is not None:
                ends[alert_id(series, micros(hour))] = end
    events = await findings.apply_of_edges(conn, running, ended=ended)
    events += await findings.resolve(conn, ends)
    await findings.announce(conn, events + await mark_sites_of(conn, events))


async def watch_edges(conn: Connection, *, now: datetime) -> None:
    """Judge, as of the tick *now*, whether edges are there, hold rows back, and tell the time."""
    began: _Began = {}
    for rule, site_id, edge, start in await findings.open_of_edges(conn, [*OF_STATES, *OF_FRAMES]):
        began[rule, site_id, edge] = min(start, began.get((rule, site_id, edge), start))
    found, ends = await _judge_states(conn, began, now)
    of_frames = await _judge_frames(conn, began, now)
    events = await findings.apply_of_edges(conn, found + of_frames[0], ended=[])
    events += await findings.resolve(conn, ends | of_frames[1])
    await findings.announce(conn, events + await mark_sites_of(conn, events))


async def _judge_states(conn: Connection, began: _Began, now: datetime) -> tuple[list[AlertRow], dict[str, datetime]]:
    listening = all_well(await beats(conn), ["ingestor"])
    edges = await edge_watch.troubled(
        conn,
        silent_since=instant(micros(now) - edge_offline.SILENT),
        old_s=edge_backlog.YOUNG / SECOND,
        also=_edges(began, OF_STATES),
    )
    seen = [(each.site_id, _edge(each, listening=listening)) for each in edges]
    return _judged(OF_STATES, seen, began, now)


async def _judge_frames(conn: Connection, began: _Began, now: datetime) -> tuple[list[AlertRow], dict[str, datetime]]:
    since = instant(micros(now) - clock_skew.RECENT)
    ahead = await edge_watch.refused_as_future(conn, since=since)
    turn = micros(now) // SECOND
    edges = await edge_watch.timed(conn, turn=turn, since=since, also=_edges(began, OF_FRAMES) | ahead.keys())
    seen = [(each.site_id, _edge(each, ahead=ahead.get((each.site_id, each.edge), ()))) for each in edges]
    return _judged(OF_FRAMES, seen, began, now)


def _edges(began: _Began, rules: Iterable[str]) -> set[EdgeKey]:
    return {(site_id, edge) for rule, site_id, edge in began if rule in rules}


def _judged(
    rules: Mapping[str, _JudgeEdge], seen: Iterable[tuple[int, Edge]], began: _Began, now: datetime
) -> tuple[list[AlertRow], dict[str, datetime]]:
    """What stands, and the ends of what is over, by alert."""
    found: list[AlertRow] = []
    ends: dict[str, datetime] = {}
    for site_id, edge in seen:
        for rule, judge in rules.items():
            start = began.get((rule, site_id, edge.edge))
            said = judge(edge, now=micros(now), began=None if start is None else micros(start))
            if isinstance(said, Finding):
                found.append(alert_row(said, site_id=site_id))
            elif said is Nothing.CLEAR and start is not None:
                series = Series(rule=rule, site=edge.site, edge=edge.edge)
                ends[alert_id(series, micros(start))] = now if edge.heard_at is None else instant(edge.heard_at)
    return found, ends


def _edge(each: EdgeNow, *, listening: bool = True, ahead: Sequence[datetime] = ()) -> Edge:
    return Edge(
        site=each.site,
        edge=each.edge,
        online=each.online,
        since=_micros(each.since),
        said_at=_micros(each.said_at),
        outbox=each.outbox,
        oldest=_micros(each.oldest),
        frame_at=_micros(each.frame_at),
        longest_interval_s=each.longest_interval_s,
        listening=listening,
        frames=tuple(Frame(sent_at=micros(sent), received_at=micros(received)) for sent, received in each.sent),
        ahead=tuple(micros(at) for at in ahead),
    )


def _micros(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


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
