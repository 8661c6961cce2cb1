"""The host's part on one connection with one logger: sets the real-time interval, asks for hours that did not come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from edge.hj212.commands import Command
from edge.hj212.hours import HOUR_MS, Hours
from edge.hj212.intake import Intake
from edge.hj212.line import Line
from edge.hj212.messages import Parameter, build
from edge.hj212.peers import Peer
from edge.hj212.session import TIMEOUT_S, End, Exchange, Heard, Numbers
from edge.sources import Feed
from edge.waiting import set_within
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 30.0
PAUSE_S: Final = 60.0
"""After an exchange that did not bring all: a logger needs time for an hour, or for itself."""
_ANSWERED: Final = frozenset({End.DONE, End.NO_DATA})


class Asking:
    """Give it every packet of the logger by `hear` while `run` runs."""

    def __init__(
        self,
        peer: Peer,
        line: Line,
        intake: Intake,
        feed: Feed,
        *,
        clock_ms: Callable[[], int],
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._peer, self._line, self._intake, self._feed = peer, line, intake, feed
        self._clock_ms = clock_ms
        self._timeout_s, self._pause_s, self._look_every_s = timeout_s, pause_s, look_every_s
        self._numbers = Numbers()
        self._exchange: Exchange | None = None
        self._moved = asyncio.Event()

    def hear(self, heard: Heard) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._exchange is not None and self._exchange.hear(heard, now_s=now_s):
            self._moved.set()

    async def run(self) -> None:
        """Until the connection takes nothing more, or there is nothing to ask."""
        asks = self._peer.asks
        try:
            if asks.realtime_interval_s is not None:
                await self._ask(Command.SET_REALTIME_INTERVAL, {"RtdInterval": asks.realtime_interval_s})
            pause_s = 0.0
            while asks.hours:
                await asyncio.sleep(pause_s)
                pause_s = await self._ask_for_hours()
        except Unavailable:
            return  # who reads the connection sees its end

    async def _ask_for_hours(self) -> float:
        """Ask once, if anything is missing; how long to wait then. [s]"""
        now_ms = self._clock_ms()
        span = self._hours(now_ms).missing(now_ms - self._peer.asks.after_ms)
        if span is None:
            return self._look_every_s
        first, last = span
        shift = HOUR_MS if self._peer.logger.stamped_at_end else 0  # it names its hours by their end
        end = await self._ask(Command.HOUR_DATA, {"BeginTime": first + shift, "EndTime": last + shift})
        if end not in _ANSWERED:
            return self._pause_s
        now_ms = self._clock_ms()
        await self._intake.answered(self._peer, first, last, self._feed, now_ms=now_ms)
        return 0.0 if self._hours(now_ms).through_ms > last else self._pause_s

    def _hours(self, now_ms: int) -> Hours:
        return self._intake.hours(self._peer, self._feed, now_ms=now_ms)

    async def _ask(self, command: Command, parameters: Mapping[str, Parameter]) -> End:
        loop = asyncio.get_running_loop()
        peer = self._peer
        request = build(
            command,
            qn=self._numbers.next(self._clock_ms()),
            st=min(peer.logger.systems),
            mn=peer.mn,
            pw=peer.password,
            version=peer.version,
            parameters=parameters,
        )
        exchange = self._exchange = Exchange(request, now_s=loop.time(), timeout_s=self._timeout_s)
        await self._line.send(request)
        while exchange.end is None:
            self._moved.clear()
            await set_within(self._moved, exchange.due_in_s(loop.time()))
            if again := exchange.tick(loop.time()):
                await self._line.send(again)
        self._exchange = None
        if exchange.end is not End.DONE:
            self._intake.tolerated[f"asked_{exchange.end}"] += 1
            fields = {"mn": peer.mn, "command": str(command), "end": str(exchange.end), "code": exchange.code}
            logger.warning("hj212_request_not_done", extra=fields)
        return exchange.end
