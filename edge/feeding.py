"""How sources fill the outbox: live rows under its policy, recorded ones as fast as receipts come.

    live sources ── put ──▶ gathered for up to a second ── one transaction ──▶ outbox
    a trace, a simulator ── feed ──▶ waits for room ── frames with their position ──▶ outbox

Nothing is held here that its source does not wait for, so memory is bounded by what sources put at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge.columns import check_rows, frames_of
from edge.orders import Orders
from edge.publisher import Publisher
from edge.sources import MEASUREMENT, Listener, Row
from edge.waiting import set_within
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

HELD_FRAMES: Final = 128
"""Frames without receipt at which a trace or a simulator pauses: twice the publisher's window keeps it busy."""
GATHER_S: Final = 1.0
"""One sync of the disk a second is what a gateway's flash card bears for years."""
_MOST_ROWS: Final = 2_000  # gathered: then they leave at once
_REPORT_EVERY_S: Final = 60.0
_RETRY_S: Final = 1.0

Frames = Sequence[tuple[Mapping[str, Any], int]]


async def feed(publisher: Publisher, frames: Frames, position: tuple[str, str]) -> list[int]:
    """Append *frames* and their source's *position* in one transaction, as soon as there is room; their numbers.

    Waits for as long as it takes: a recorded or computed row can come later, so none is given up.
    """
    while True:
        while not await publisher.room(HELD_FRAMES, deadline_s=_REPORT_EVERY_S):
            logger.warning("source_waited", extra={"frames": publisher.outbox.waiting})
        try:
            return await asyncio.to_thread(publisher.outbox.append_many, frames, position=position, can_wait=True)
        except Unavailable as error:  # full or failing disk
            logger.warning("outbox_unavailable", extra={"reason": str(error)})
            await asyncio.sleep(_RETRY_S)


@dataclass(slots=True)
class _Gathering:
    """Rows that go into the outbox together, and who waits for that."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    count: int = 0
    positions: dict[str, str] = field(default_factory=dict)
    kept: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class OutboxFeed:
    """The feed of one edge while it is entered. Rows of one source and kind keep their order."""

    def __init__(self, publisher: Publisher, orders: Orders | None = None, *, gather_s: float = GATHER_S) -> None:
        self._publisher = publisher
        self._orders = orders
        self._gather_s = gather_s
        self._gathering: _Gathering | None = None
        self._listeners: list[Listener] = []
        self._uncounted = 0  # rows dropped while the disk could not even count them
        self._ending = False
        self._some = asyncio.Event()
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> OutboxFeed:
        self._task = asyncio.create_task(self._run(), name="feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._ending = True
        self._some.set()
        self._soon.set()
        await self._task  # not cancelled: what sources gave is kept first, and nobody closes the outbox meanwhile

    def check(self) -> None:
        """Raise what ended the feed, if anything did."""
        if self._task is not None and self._task.done():
            self._task.result()

    @property
    def publisher(self) -> Publisher:
        return self._publisher

    @property
    def orders(self) -> Orders | None:
        return self._orders

    async def put(
        self,
        rows: Sequence[Row],
        *,
        kind: str = MEASUREMENT,
        at_once: bool = False,
        position: tuple[str, str] | None = None,
    ) -> bool:
        check_rows(rows, kind)
        if self._ending or self._task is None or self._task.done():
            raise RuntimeError("this feed has ended")
        if not rows and position is None:
            return True
        for listener in tuple(self._listeners):
            listener(kind, rows)
        if self._gathering is None:
            self._gathering = _Gathering()
        gathering = self._gathering
        gathering.rows.setdefault(kind, []).extend(rows)
        gathering.count += len(rows)
        if position is not None:
            gathering.positions.update([position])
        self._some.set()
        if at_once or gathering.count >= _MOST_ROWS:
            self._soon.set()
        return await asyncio.shield(gathering.kept)

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def _run(self) -> None:
        while not self._ending or self._gathering is not None:
            await self._some.wait()
            if not self._ending:
                await set_within(self._soon, self._gather_s)
            await self._keep_gathered()

    async def _keep_gathered(self) -> None:
        gathering, self._gathering = self._gathering, None
        self._some.clear()
        self._soon.clear()
        if gathering is None:
            return
        kept = False
        try:
            kept = await asyncio.to_thread(self._append, gathering)
        finally:
            if not gathering.kept.done():
                gathering.kept.set_result(kept)

    def _append(self, gathering: _Gathering) -> bool:
        """Keep all rows or none; what is not kept is counted, now or when the disk can."""
        outbox = self._publisher.outbox
        frames = [frame for kind, rows in gathering.rows.items() for frame in frames_of(rows, kind)]
        try:
            if self._uncounted:
                outbox.count_dropped(self._uncounted)
                self._uncounted = 0
            outbox.append_many(frames)
        except (Unavailable, ValueError) as error:  # full under `refuse`, a failing disk; a frame larger than the bound
            self._uncounted += gathering.count
            logger.error("rows_dropped", extra={"rows": gathering.count, "reason": str(error)})
            with contextlib.suppress(Unavailable):
                outbox.count_dropped(self._uncounted)
                self._uncounted = 0
            return False
        try:
            for position in gathering.positions.items():  # after the rows: what is asked for again is a duplicate
                outbox.append_many([], position=position)
        except Unavailable as error:
            logger.warning("position_not_kept", extra={"reason": str(error)})
        return True
