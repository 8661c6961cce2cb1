"""One connection with loggers while it lasts: reads, keeps, answers, and asks what is to be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from edge.hj212.asking import LOOK_EVERY_S, PAUSE_S, Asking
from edge.hj212.intake import Intake, Took
from edge.hj212.line import Line
from edge.hj212.peers import Peer
from edge.hj212.session import TIMEOUT_S
from edge.sources import Feed
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

IDENTIFY_S: Final = 30.0
"""Within this somebody who connects says who it is."""
IDLE_MS: Final = 3_900_000
"""The longest real-time interval is an hour (4.6)."""
_MOST_KINDS: Final = 32
_FIRST: Final = ("refused_", "not_kept", "hours_", "asked_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long anybody waits for anything on a connection. [s]"""

    identify_s: float = IDENTIFY_S
    idle_s: float = IDLE_MS / 1000
    timeout_s: float = TIMEOUT_S
    pause_s: float = PAUSE_S
    look_every_s: float = LOOK_EVERY_S


class Talk:
    """One connection. `holders`: which talk has each logger now; shared by all of a source, the newest has it."""

    def __init__(
        self,
        line: Line,
        intake: Intake,
        feed: Feed,
        *,
        holders: dict[str, Talk],
        waits: Waits,
        clock_ms: Callable[[], int],
    ) -> None:
        self.identified = False
        self.line = line
        self._intake, self._feed, self._clock_ms = intake, feed, clock_ms
        self._holders, self._waits = holders, waits
        self._asking: dict[str, tuple[Asking, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, *, ask: Peer | None = None) -> None:
        """Until the connection ends; *ask*: a logger that is known to be there."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                if ask is not None:
                    self._hold(ask)
                await self._read()
                for mn in tuple(self._asking):
                    self._let_go(mn)
        finally:
            for mn in [mn for mn, holder in self._holders.items() if holder is self]:
                del self._holders[mn]
            self.line.cut()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            within_s = self._waits.idle_s if self.identified else self._waits.identify_s
            try:
                events = await self.line.receive(max(0.0, last_s + within_s - loop.time()))
            except TimeoutError:
                self._intake.tolerated["silent_connection"] += 1
                return
            if events is None:
                return
            took = await self._intake.take(events, self._feed, now_ms=self._clock_ms())
            if took.heard:
                last_s = loop.time()
            try:
                await self._answer(took)
            except Unavailable:
                return
            if took.cut:
                logger.warning("hj212_connection_cut", extra={"peer": self.line.peer, "reason": self._intake.refused})
                return

    async def _answer(self, took: Took) -> None:
        for heard in took.heard:
            self.identified = True
            if self._holders.get(heard.peer.mn) is not self:
                self._hold(heard.peer)
            self.line.crc = heard.packet.crc_variant or self.line.crc
        for heard, answer in took.answers:
            self.line.crc = heard.packet.crc_variant or self.line.crc
            await self.line.send(answer)
        for heard in took.heard:
            if heard.peer.mn in self._asking:
                self._asking[heard.peer.mn][0].hear(heard)

    def _hold(self, peer: Peer) -> None:
        before = self._holders.get(peer.mn)
        if before is not None:
            before._let_go(peer.mn)
        self._holders[peer.mn] = self
        if not peer.asks.hours and peer.asks.realtime_interval_s is None:
            return
        asking = Asking(
            peer,
            self.line,
            self._intake,
            self._feed,
            clock_ms=self._clock_ms,
            timeout_s=self._waits.timeout_s,
            pause_s=self._waits.pause_s,
            look_every_s=self._waits.look_every_s,
        )
        assert self._tasks is not None
        self._asking[peer.mn] = asking, self._tasks.create_task(asking.run(), name=f"hj212 asks {peer.mn}")

    def _let_go(self, mn: str) -> None:
        if mn in self._asking:
            self._asking.pop(mn)[1].cancel()


def tolerated_of(counted: Mapping[str, int]) -> dict[str, int]:
    """What a state may carry: refusals first, then the most frequent."""
    ranked = sorted(
        ((str(kind), times) for kind, times in counted.items() if times),
        key=lambda item: (not item[0].startswith(_FIRST), -item[1], item[0]),
    )
    return dict(ranked[:_MOST_KINDS])


def silent_of(peers: Mapping[str, Peer], heard_ms: Mapping[str, int], *, since_ms: int, now_ms: int) -> list[str]:
    """The loggers that were not heard for longer than any interval explains."""
    return [mn for mn in peers if now_ms - heard_ms.get(mn, since_ms) > IDLE_MS]
