"""What peers send, kept and then acknowledged: the part that a server and a client share.

    events of a chunk ─▶ judged ─▶ rows ─▶ feed: on disk ─▶ 9014, 9013 in the order of the packets

A 9014 leaves only after the rows are on the outbox's disk; where they could not be kept nothing is said, and the peer
sends again. What comes again is acknowledged again and kept once: rows are remembered by their content, so it matters
neither under which QN they come nor over which connection. That memory is short; whatever it forgets is a duplicate for
the ingestor.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from edge.columns import check_rows
from edge.hj212.commands import Command, Kind
from edge.hj212.decoder import Packet
from edge.hj212.faults import Fault, FaultKind
from edge.hj212.hours import HOUR_MS, Hours
from edge.hj212.mapped import Row
from edge.hj212.peers import Peer
from edge.hj212.rows import to_rows
from edge.hj212.segment import Segment
from edge.hj212.session import Heard, Refusal, judge
from edge.sources import Feed

logger = logging.getLogger(__name__)

REMEMBERED: Final = 8_192
"""Rows whose coming again is noticed here: hours of all loggers of a works for days, real-time data for minutes."""
_MOST_WARNED: Final = 64
_SHOWN: Final = 32


@dataclass(slots=True)
class Took:
    """What became of the events of one chunk."""

    answers: list[tuple[Heard, Segment]] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    cut: bool = False  #: the connection must end


@dataclass(slots=True)
class _Batch:
    """The packets of one logger in one chunk, and what they bring."""

    heard: list[Heard] = field(default_factory=list)
    rows: dict[str, dict[bytes, Row]] = field(default_factory=dict)  #: new ones by kind and digest
    hours: Hours | None = None  #: as they will be once the rows are kept
    bringing: set[int] = field(default_factory=set)  #: places in `heard` whose answer waits for the rows


class Intake:
    """Everything that comes for the loggers *peers* of the source *name*."""

    def __init__(self, name: str, peers: Mapping[str, Peer]) -> None:
        self.peers = dict(peers)
        self.tolerated: Counter[str] = Counter()
        self.heard_ms: dict[str, int] = {}  #: when a logger was last taken
        self.refused = ""  #: the last refusal, in words
        self._name = name
        self._hours: dict[str, Hours] = {}
        self._seen: dict[bytes, None] = {}
        self._warned: set[tuple[str, str]] = set()
        # What a logger sends over two connections, the old one and its next, is kept one after the other: else both
        # would find the same row new.
        self._turns = {mn: asyncio.Lock() for mn in peers}

    async def take(self, events: Iterable[Packet | Fault], feed: Feed, *, now_ms: int) -> Took:
        """Keep what *events* bring. The answers are to be sent in their order."""
        took = Took()
        batches: dict[str, _Batch] = {}
        for event in events:
            if isinstance(event, Fault):
                self.tolerated[event.kind] += 1
                took.cut = took.cut or event.kind is FaultKind.OVERLONG
                continue
            self.tolerated.update(str(fault.kind) for fault in event.faults)
            took.cut = took.cut or any(fault.kind is FaultKind.OVERLONG for fault in event.faults)
            heard = judge(event, self.peers)
            if isinstance(heard, Refusal):
                self._refuse(heard, event)
                took.cut = took.cut or heard.cuts
                continue
            self.heard_ms[heard.peer.mn] = now_ms
            took.heard.append(heard)
            batches.setdefault(heard.peer.mn, _Batch()).heard.append(heard)
        kept = await asyncio.gather(*(self._keep(mn, batch, feed, now_ms) for mn, batch in batches.items()))
        for batch, done in zip(batches.values(), kept, strict=True):
            took.answers += _answers(batch, kept=done)
        return took

    def hours(self, peer: Peer, feed: Feed, *, now_ms: int) -> Hours:
        """Which hours of *peer* are here, as the outbox remembers it."""
        if peer.mn not in self._hours:
            position = feed.publisher.outbox.position(self._key(peer.mn))
            self._hours[peer.mn] = Hours.of(position, otherwise_ms=now_ms - peer.asks.history_ms)
        return self._hours[peer.mn]

    async def answered(self, peer: Peer, first: int, last: int, feed: Feed, *, now_ms: int) -> None:
        """*peer* has sent what it has of those hours."""
        async with self._turns[peer.mn]:
            hours = self.hours(peer, feed, now_ms=now_ms)
            absent = hours.absent
            hours.answered(first, last)
        if hours.absent > absent:
            lost = hours.absent - absent
            self.tolerated["hours_absent"] += lost
            logger.warning("hj212_hours_absent", extra={"source": self._name, "mn": peer.mn, "hours": lost})
        await feed.put([], at_once=True, position=(self._key(peer.mn), hours.position()))

    def _key(self, mn: str) -> str:
        return f"hj212.hours.{mn}"

    def _refuse(self, refusal: Refusal, packet: Packet) -> None:
        self.tolerated[refusal] += 1
        mn = "".join(c if c.isprintable() else "?" for c in (packet.mn or "")[:_SHOWN])
        self.refused = f"{refusal.removeprefix('refused_')} of {mn or 'no MN'}"
        if (refusal, mn) not in self._warned and len(self._warned) < _MOST_WARNED:
            self._warned.add((refusal, mn))
            logger.warning("hj212_refused", extra={"source": self._name, "reason": str(refusal), "mn": mn})

    async def _keep(self, mn: str, batch: _Batch, feed: Feed, now_ms: int) -> bool:
        """Whether what *batch* brings is on disk."""
        async with self._turns[mn]:
            for place, heard in enumerate(batch.heard):
                self._read(batch, place, heard, feed, now_ms)
            if not await self._put(mn, batch, feed):
                self.tolerated["not_kept"] += len(batch.bringing)
                return False
            self._remember(digest for rows in batch.rows.values() for digest in rows)
            if batch.hours is not None:
                self._hours[mn] = batch.hours
            return True

    async def _put(self, mn: str, batch: _Batch, feed: Feed) -> bool:
        waits = any(heard.answer is not None for heard in batch.heard)
        puts = [feed.put(list(rows.values()), kind=kind, at_once=waits) for kind, rows in batch.rows.items()]
        if not all(await asyncio.gather(*puts)):
            return False
        if batch.hours is None or batch.hours.position() == self._hours[mn].position():
            return True
        # After the rows, and not to be waited for: an hour that is asked for once more is a duplicate.
        return await feed.put([], at_once=waits, position=(self._key(mn), batch.hours.position()))

    def _read(self, batch: _Batch, place: int, heard: Heard, feed: Feed, now_ms: int) -> None:
        if heard.said is None:
            self.tolerated["unknown_command"] += 1
        elif heard.kind is Kind.REQUEST:
            self.tolerated["unexpected_request"] += 1  # it is for the host to ask, and we are that
        elif heard.kind is Kind.UPLOAD:
            self._map(batch, place, heard)
            self._note_hour(batch, heard, feed, now_ms)

    def _map(self, batch: _Batch, place: int, heard: Heard) -> None:
        mapped = to_rows(heard.packet, heard.peer.logger)
        self.tolerated.update(mapped.left_by_kind())
        for kind, rows in mapped.by_kind():
            new = batch.rows.setdefault(kind, {})
            for row in rows:
                digest = _digest(kind, row)
                if digest in self._seen:
                    self.tolerated["duplicate"] += 1
                elif self._can_travel(kind, row):
                    self.tolerated["duplicate"] += digest in new
                    new[digest] = row
                    batch.bringing.add(place)

    def _can_travel(self, kind: str, row: Row) -> bool:
        try:
            check_rows([row], kind)
        except ValueError as error:  # it never will, so its peer is not made to send it for ever
            self.tolerated["cannot_travel"] += 1
            logger.warning("hj212_row_left", extra={"source": self._name, "reason": str(error)})
            return False
        return True

    def _note_hour(self, batch: _Batch, heard: Heard, feed: Feed, now_ms: int) -> None:
        packet, peer = heard.packet, heard.peer
        at_ms = packet.data_time_ms
        if not peer.asks.hours or packet.command is not Command.HOUR_DATA or at_ms is None:
            return
        if batch.hours is None:
            batch.hours = self.hours(peer, feed, now_ms=now_ms).copy()
        hour_ms = at_ms - HOUR_MS if peer.logger.stamped_at_end else at_ms
        batch.hours.hear(hour_ms, packet.pno, packet.pnum, now_ms=now_ms)

    def _remember(self, digests: Iterable[bytes]) -> None:
        self._seen.update(dict.fromkeys(digests))
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]


def _answers(batch: _Batch, *, kept: bool) -> Iterator[tuple[Heard, Segment]]:
    for place, heard in enumerate(batch.heard):
        if heard.answer is not None and (kept or place not in batch.bringing):
            yield heard, heard.answer


def _digest(kind: str, row: Row) -> bytes:
    return blake2b(json.dumps([kind, row], sort_keys=True).encode(), digest_size=16).digest()
