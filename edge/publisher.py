"""Out of the outbox, into the broker, until the receipt comes.

    outbox ── pending ──▶ window of frames without receipt ── QoS 1 ──▶ {root}/{site}/{edge}/data
       ▲                                                                          │ commit
       └────────────── settle ◀── {root}/{site}/{edge}/receipt (retained) ◀───────┘

The broker's acknowledgement means nothing here: brokers lose disks. Which frame is sent again when is
decided in `edge.window`; the connection is `edge.link`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from edge.link import Link, Will
from edge.outbox import Frame, Outbox
from edge.waiting import set_within
from edge.window import DEFAULT_DRAIN_ROWS_PER_S, DEFAULT_RESEND_AFTER_S, DEFAULT_SIZE, Lane, Window
from plant import topics, wire
from plant.errors import Unavailable, Undecodable

logger = logging.getLogger(__name__)

STATE_EVERY_S: Final = 30.0
_RECEIPTS_HELD: Final = 256  # each is cumulative: the older ones only add their reasons
_RETRY_S: Final = 1.0
_RECEIPT_WITHIN_S: Final = 1.0
"""A broker gives the retained receipt at once. What it says is heard before the first frame leaves: it may show that an
older copy of the outbox was put back, whose numbers are then not used again."""
_READ_FRAMES: Final = 8  # at a time: what came meanwhile is looked at between them
_AGED_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherStats:
    connected: bool
    connections: int
    in_flight: int
    sent: int  #: frames handed to the broker, again or for the first time
    resent: int  #: of them again over the same connection
    settled_frames: int
    settled_rows: int
    refused_rows: int
    receipt_age_s: float | None  #: since a receipt of this session came; None before the first


def will(root: str, site: str, edge: str, version: str) -> Will:
    """The last will of an edge: its retained state, offline."""
    return Will(topics.state(root, site, edge), wire.state_bytes(online=False, version=version))


class Publisher:
    """Publishes what *outbox* holds while it is entered. Make it before its link is entered."""

    def __init__(
        self,
        link: Link,
        outbox: Outbox,
        *,
        root: str,
        site: str,
        edge: str,
        version: str,
        window: int = DEFAULT_SIZE,
        resend_after_s: float = DEFAULT_RESEND_AFTER_S,
        drain_rows_per_s: float = DEFAULT_DRAIN_ROWS_PER_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outbox = outbox
        self.describe: Callable[[], Mapping[str, Any]] = dict  #: what else the retained state says: small, JSON
        self._link = link
        self._data_topic = topics.data(root, site, edge)
        self._state_topic = topics.state(root, site, edge)
        self._version = version
        self._clock_s = clock_s
        self._window = Window(
            window,
            next_seq=outbox.next_seq,
            resend_after_s=resend_after_s,
            drain_rows_per_s=drain_rows_per_s,
        )
        self._receipts: deque[wire.Receipt] = deque(maxlen=_RECEIPTS_HELD)
        self._connection = 0
        self._settling = False  # the outbox is ahead of our own counts
        self._session = outbox.session
        self._state_due_s = 0.0
        self._silent_until_s: float | None = None if outbox.next_seq > 1 else float("-inf")
        self._aged_due_s = float("-inf")
        self._receipt_s: float | None = None
        self._sent = self._settled_frames = self._settled_rows = self._refused_rows = 0
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        link.subscribe(topics.receipt(root, site, edge), self._receipt_came)
        link.on_change(self._wake.set)

    async def __aenter__(self) -> Publisher:
        self.outbox.on_append = partial(_wake, asyncio.get_running_loop(), self._wake)
        self._task = asyncio.create_task(self._run(), name=f"publisher {self._data_topic}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self.outbox.on_append = None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(Unavailable):
            await self._link.deliver(self._state_topic, self._state(online=False), retain=True, deadline_s=2.0)

    @property
    def stats(self) -> PublisherStats:
        return PublisherStats(
            connected=self._link.connected,
            connections=self._link.connections,
            in_flight=self._window.in_flight,
            sent=self._sent,
            resent=self._window.resent,
            settled_frames=self._settled_frames,
            settled_rows=self._settled_rows,
            refused_rows=self._refused_rows,
            receipt_age_s=None if self._receipt_s is None else self._clock_s() - self._receipt_s,
        )

    def check(self) -> None:
        """Raise what ended the publisher or its link, if anything did."""
        self._link.check()
        if self._task is not None and self._task.done():
            self._task.result()

    def tell_state(self) -> None:
        """Publish the retained state soon: something in it has changed."""
        self._state_due_s = 0.0
        self._wake.set()

    def drain_at(self, rows_per_s: float) -> None:
        """Let a backlog leave at another rate from now on."""
        self._window.drain_at(rows_per_s)
        self._wake.set()

    async def drained(self, deadline_s: float) -> None:
        """Wait until a receipt covers everything in the outbox; `Unavailable` when it does not in time."""
        if not await self.room(1, deadline_s=deadline_s):
            raise Unavailable(f"{self.outbox.waiting} frames had no receipt after {deadline_s:g} s")

    async def room(self, frames: int, *, deadline_s: float) -> bool:
        """Wait until fewer than *frames* wait for a receipt: what holds a source back. False if they do not."""
        end = self._clock_s() + deadline_s
        while self._settling or self.outbox.waiting >= frames:
            left = end - self._clock_s()
            if left <= 0:
                return False
            assert self._task is not None
            if self._task.done():
                self._task.result()
            await set_within(self._changed, left)
        return True

    async def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                pause_s = STATE_EVERY_S
                try:
                    pause_s = await self._work()
                except Unavailable as error:  # the outbox's disk: nothing was lost
                    logger.warning("outbox_unavailable", extra={"reason": str(error)})
                    pause_s = _RETRY_S
                await set_within(self._wake, pause_s)
        finally:
            self._announce()

    async def _work(self) -> float:
        """Do everything that is due; how long there is nothing more to do. [s]"""
        self._link.check()
        self._window.kept(self.outbox.next_seq, self._clock_s())
        await self._let_go_of_old()
        if not self._link.connected:
            return STATE_EVERY_S
        if self._link.connections != self._connection:
            self._connection = self._link.connections
            self._window.reconnected()
            self._state_due_s = 0.0
            if self._silent_until_s is None:
                self._silent_until_s = self._clock_s() + _RECEIPT_WITHIN_S
        await self._settle()
        silent_s = (self._silent_until_s or 0.0) - self._clock_s()
        if silent_s <= 0:
            await self._send()
        now_s = self._clock_s()
        if now_s >= self._state_due_s:
            self._link.publish(self._state_topic, self._state(online=True), retain=True)
            self._state_due_s = now_s + STATE_EVERY_S
        again_s = silent_s if silent_s > 0 else self._window.due_in_s(now_s)
        return min(STATE_EVERY_S, again_s) if again_s is not None else STATE_EVERY_S

    async def _let_go_of_old(self) -> None:
        if self._clock_s() >= self._aged_due_s:
            await asyncio.to_thread(self.outbox.let_go_of_old)
            self._aged_due_s = self._clock_s() + _AGED_EVERY_S

    async def _send(self) -> None:
        self._window.drop_below(self.outbox.low)
        for seq in self._window.due(self._clock_s()):
            frame = await asyncio.to_thread(self.outbox.frame, seq)
            if frame is not None:
                self._publish(frame)
        while not self._receipts and (lane := self._window.next_lane(self._clock_s())):
            if not await self._send_of(lane):
                return
            self._window.kept(self.outbox.next_seq, self._clock_s())

    async def _send_of(self, lane: Lane) -> bool:
        """Publish the next few frames of *lane*; False when the link takes no more."""
        asked = min(_READ_FRAMES, lane.most)
        frames = await asyncio.to_thread(self.outbox.pending, lane.after, asked, through=lane.through)
        for frame in frames:
            if self._window.under_way(frame.seq):  # it left as live
                self._window.passed(lane, frame.seq)
            elif not lane.live and self._window.paced(self._clock_s()):
                return True
            elif not self._publish(frame, lane):
                return False
        if len(frames) < asked:
            self._window.passed(lane, lane.through)
        return True

    def _publish(self, frame: Frame, lane: Lane | None = None) -> bool:
        if not self._link.publish(self._data_topic, frame.payload):
            return False
        self._sent += 1
        self._window.sent(frame.seq, frame.rows, self._clock_s(), lane)
        return True

    async def _settle(self) -> None:
        taken = list(self._receipts)
        self._receipts.clear()
        receipt = _merged(taken, self.outbox.session)
        if receipt is None:
            return
        self._settling = True
        try:
            settled = await asyncio.to_thread(self.outbox.settle, receipt, sent=self._window.sent_ever)
        except Unavailable:
            self._receipts.extendleft(reversed(taken))
            raise
        finally:
            self._settling = False
        if self.outbox.session != self._session:
            self._session = self.outbox.session
            self._window.renumbered(self.outbox.next_seq)
            self._announce()
            return
        self._window.receipted(receipt, self._clock_s())
        self._receipt_s = self._clock_s()
        self._settled_frames += settled.frames
        self._settled_rows += settled.rows
        self._refused_rows += settled.refused_rows
        for item in settled.refused:
            logger.error(
                "rows_refused",
                extra={"seq": item.get("seq"), "rows": item.get("rows"), "reason": str(item.get("reason"))},
            )
        self._announce()

    def _receipt_came(self, payload: bytes) -> None:
        try:
            self._receipts.append(_without_strange_refusals(wire.receipt_from(payload)))
        except Undecodable as error:
            logger.warning("receipt_undecodable", extra={"reason": str(error)})
            return
        self._silent_until_s = float("-inf")
        self._wake.set()

    def _state(self, *, online: bool) -> bytes:
        stats = self.outbox.stats()
        return wire.state_bytes(
            online=online,
            version=self._version,
            outbox=stats.frames,
            oldest_ms=stats.oldest_ms,
            dropped=stats.dropped,
            more=self.describe(),
        )

    def _announce(self) -> None:
        """Wake everyone who waits for a change, once."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _without_strange_refusals(receipt: wire.Receipt) -> wire.Receipt:
    """A refusal that cannot be read must not keep the rest of the receipt from settling."""
    readable = [
        item
        for item in receipt.refused
        if isinstance(item, dict) and isinstance(item.get("seq"), int) and isinstance(item.get("rows", []), list)
    ]
    return replace(receipt, refused=tuple(readable))


def _merged(receipts: Sequence[wire.Receipt], session: str) -> wire.Receipt | None:
    """The newest receipt of *session*, with the refusals of all of them."""
    ours = [receipt for receipt in receipts if receipt.session == session]
    if not ours:
        return None
    newest = ours[-1]
    refused = {repr(sorted(item.items())): item for receipt in ours for item in receipt.refused}
    return wire.Receipt(session=session, through=newest.through, also=newest.also, refused=tuple(refused.values()))
