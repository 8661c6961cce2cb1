"""From the feed to the outbox: each receiver reads the feed once, in order, and owes its messages by the same commit.

    feed ──▶ routes ──▶ notice_alert, notice_group ──▶ (wait) ──▶ message ──▶ outgoing
            position of the receiver, in the same transaction    what was told, in the same transaction

Both steps are transactions that hold the receiver's row: killed anywhere, the router has done a step or has not, so
that nothing is left out, and no message is made a second time under another id. Several routers share the receivers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from alerts.grouping import key_of
from alerts.notify.messages import Addressee, Message, message_of
from alerts.notify.notices import ENDS, Document, Noted, Notice, Settled, due, note, settle
from alerts.notify.routes import Hearer, Route, Subject, route_for, route_from, settings_of, subject_of
from alerts.notify.text import Place
from store import notices, outgoing, receivers
from store.alerts import FeedEvent, feed_after, feed_head
from store.notices import GroupRow, NotedRow, SiteRow
from store.pool import Connection
from store.receivers import ReceiverRow

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE: Final = 500
RECEIVERS_AT_ONCE: Final = 100
GROUPS_AT_ONCE: Final = 50

_GroupKey = tuple[int, str, str]  #: receiver, route, group


def hearer_of(row: ReceiverRow) -> Hearer:
    return Hearer(
        receiver_id=row.receiver_id,
        routes=tuple(route_from(route) for route in row.routes),
        system=row.system,
        sites=frozenset(row.sites),
        regions=frozenset(row.regions),
    )


async def route_some(conn: Connection) -> int:
    """Route the next events to the receivers that are furthest behind; how many receivers moved on."""
    newest = await feed_head(conn)
    positions = await notices.behind(conn, newest, RECEIVERS_AT_ONCE)
    if not positions:
        return 0
    first = min(positions.values())
    together = [receiver_id for receiver_id, position in positions.items() if position == first]
    events = await feed_after(conn, first, limit=EVENTS_AT_ONCE)
    if not events:
        return 0
    rows = await receivers.receivers(conn, together)
    await _note_events(conn, [hearer_of(row) for row in rows.values()], events)
    await notices.move(conn, together, events[-1].number)
    return len(together)


@dataclass(slots=True)
class _Memory:
    """What is known of the alerts and groups that some events touch, and what becomes of it."""

    now: datetime
    noted: dict[tuple[int, str], NotedRow]
    groups: dict[_GroupKey, GroupRow]
    dropped: set[tuple[int, str]] = field(default_factory=set)
    touched: set[tuple[int, str]] = field(default_factory=set)
    moved: set[_GroupKey] = field(default_factory=set)

    def hear(self, hearer: Hearer, event: FeedEvent, subject: Subject, group: str) -> None:
        key = hearer.receiver_id, event.document["id"]
        before = self.noted.get(key)
        route = route_for(hearer, subject)
        if before is not None and (route is None or event.event in ENDS):
            # Graver or lighter than it was, another route or none would take it: its end belongs to who told its
            # beginning.
            route = settings_of(hearer.routes, before.route) or route
        if route is None:
            return
        after, news = note(_noted(before), event.event, event.document)
        if after is None:
            self._drop(key)
            return
        name = route.name if before is None or news else before.route
        self.noted[key] = NotedRow(
            receiver_id=key[0], alert_id=key[1], route=name, group_key=group, news=after.news, told=after.told
        )
        self.touched.add(key)
        self.dropped.discard(key)
        if news:
            self._move(route, (key[0], name, group), event.number)

    def _move(self, route: Route, place: _GroupKey, number: int) -> None:
        """Something in a group is to be told."""
        known = self.groups.get(place)
        told_at = known.told_at if known else None
        self.groups[place] = GroupRow(
            receiver_id=place[0],
            route=place[1],
            group_key=place[2],
            due_at=due(route, self.now, told_at=told_at, due_at=known.due_at if known else None),
            told_at=told_at,
            number=number,
            messages=0,
        )
        self.moved.add(place)

    def _drop(self, key: tuple[int, str]) -> None:
        if self.noted.pop(key, None) is not None:
            self.dropped.add(key)
        self.touched.discard(key)


async def _note_events(conn: Connection, hearers: Sequence[Hearer], events: Sequence[FeedEvent]) -> None:
    ids = [hearer.receiver_id for hearer in hearers]
    keys = {key_of(event.document) for event in events}
    noted = await notices.noted_alerts(conn, ids, {event.document["id"] for event in events})
    groups = await notices.groups_of(conn, ids, keys)
    memory = _Memory(
        now=await notices.clock(conn),
        noted={(row.receiver_id, row.alert_id): row for row in noted},
        groups={(row.receiver_id, row.route, row.group_key): row for row in groups},
    )
    for event in events:
        subject, group = subject_of(event.document), key_of(event.document)
        for hearer in hearers:
            memory.hear(hearer, event, subject, group)
    await notices.drop_noted(conn, memory.dropped)
    await notices.put_noted(conn, [memory.noted[key] for key in sorted(memory.touched)])
    await notices.put_groups(conn, [memory.groups[key] for key in sorted(memory.moved)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _AtHand:
    """What the messages of some groups are made of."""

    now: datetime
    public_url: str
    noted: Mapping[_GroupKey, Sequence[NotedRow]]
    documents: Mapping[str, Document]
    places: Mapping[str, Place]


async def settle_some(conn: Connection, public_url: str) -> int:
    """Write the messages of groups whose time has come; how many groups were looked at."""
    groups = await notices.due_groups(conn, GROUPS_AT_ONCE)
    if not groups:
        return 0
    rows = await receivers.receivers(conn, {group.receiver_id for group in groups})
    noted = await notices.noted_of(conn, groups)
    by_group: dict[_GroupKey, list[NotedRow]] = {}
    for one in noted:
        by_group.setdefault((one.receiver_id, one.route, one.group_key), []).append(one)
    hand = _AtHand(
        now=await notices.clock(conn),
        public_url=public_url,
        noted=by_group,
        documents=await notices.documents_of(conn, {one.alert_id for one in noted}),
        places=await _places(conn, groups),
    )
    for group in groups:
        await _settle(conn, rows[group.receiver_id], group, hand)
    return len(groups)


async def _settle(conn: Connection, row: ReceiverRow, group: GroupRow, hand: _AtHand) -> None:
    noted = hand.noted.get((group.receiver_id, group.route, group.group_key), ())
    route = settings_of(hearer_of(row).routes, group.route)
    if route is None:  # the route was taken away: nobody asks for this any more
        await notices.drop_noted(conn, {(one.receiver_id, one.alert_id) for one in noted})
        await notices.drop_group(conn, group)
        return
    known = [one for one in (_noted(one) for one in noted) if one is not None]
    settled = settle(route, known, hand.documents, now=hand.now, told_at=group.told_at)
    after = group
    if settled.notice is not None:
        after = replace(group, told_at=hand.now, messages=group.messages + 1)
        await _owe(conn, row, _message(settled.notice, row, group, hand))
    await _keep(conn, after, noted, settled)


def _message(notice: Notice, row: ReceiverRow, group: GroupRow, hand: _AtHand) -> Message:
    return message_of(
        notice,
        hand.places[group.group_key],
        group.group_key.rpartition("/")[2],
        to=Addressee(receiver_id=row.receiver_id, name=row.name, language=row.language),
        route=group.route,
        group_key=group.group_key,
        number=group.number,
        count=group.messages,
        at=hand.now,
        public_url=hand.public_url,
    )


async def _owe(conn: Connection, row: ReceiverRow, message: Message) -> None:
    await outgoing.insert_once(
        conn,
        outgoing_id=message.message_id,
        kind=row.kind,
        receiver_id=row.receiver_id,
        payload=message.payload,
    )
    logger.info("notice_written", extra={"receiver": row.name, "notice": message.message_id})


async def _keep(conn: Connection, group: GroupRow, before: Sequence[NotedRow], settled: Settled) -> None:
    """What stays in memory is told; the rest is forgotten."""
    stay = {one.alert_id for one in settled.noted}
    await notices.drop_noted(conn, {(one.receiver_id, one.alert_id) for one in before if one.alert_id not in stay})
    await notices.note_told(conn, group)
    if settled.due_at is None:
        await notices.drop_group(conn, group)
    else:
        await notices.put_groups(conn, [replace(group, due_at=settled.due_at)])


async def _places(conn: Connection, groups: Sequence[GroupRow]) -> Mapping[str, Place]:
    codes = {group.group_key: group.group_key.rpartition("/")[0] for group in groups}
    sites = await notices.sites_of(conn, set(codes.values()))
    return {key: _place(sites.get(code)) for key, code in codes.items()}


def _place(site: SiteRow | None) -> Place:
    if site is None:
        return Place(site=None)
    return Place(site=site.site, name=site.name, name_zh=site.name_zh, region=site.region, timezone=site.timezone)


def _noted(row: NotedRow | None) -> Noted | None:
    return None if row is None else Noted(alert_id=row.alert_id, news=row.news, told=row.told)
