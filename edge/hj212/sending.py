"""One connection of an uplink: packets out, one after the other, each until its 9014; requests of the platform in.

backlog ─▶ packet ─▶ 9014: confirmed ─▶ what was confirmed, as rows
              └─ nothing: again under the same QN, with RF=1 (2025), three times; then the connection is given up
              └─ a code: password and MN hold everything up, others set the packet aside after three times
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edge.hj212.backlog import Backlog, Waiting
from edge.hj212.commands import Command, ExeRtn, Kind, QnRtn
from edge.hj212.composing import Item
from edge.hj212.decoder import Decoder, Packet
from edge.hj212.encoder import encode
from edge.hj212.line import Line
from edge.hj212.loggers import Logger
from edge.hj212.messages import Message, Parameter, build, exchange_of, execution_result, message, request_reply
from edge.hj212.responding import Identity, Response, Terms, respond
from edge.hj212.rows import to_rows
from edge.hj212.segment import NUMBERED, Segment, Version
from edge.hj212.session import Numbers
from edge.sources import Row
from edge.waiting import set_within
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 60.0
_LOOK_S: Final = 5.0
_SILENCE_S: Final = 86_400.0
_MOST_REQUESTS: Final = 8
_PAGE: Final = 50
_ALL_OR_NOTHING: Final = frozenset({"PW_WRONG", "MN_WRONG"})
PLATFORM: Final = "platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a platform wants to be spoken to."""

    identity: Identity
    key: bytes | None = field(repr=False)
    realtime_reply: bool  #: it confirms real-time data too


class Sending:
    """`Unavailable` out of `run` when the connection is over."""

    def __init__(
        self,
        line: Line,
        backlog: Backlog,
        manners: Manners,
        *,
        terms: Terms,
        numbers: Numbers,
        clock_ms: Callable[[], int],
        count: Callable[[str], None],
        on_terms: Callable[[Terms], Awaitable[None]],
        on_confirmed: Callable[[list[Row]], Awaitable[None]],
        on_change: Callable[[], None],
        stack: str,
    ) -> None:
        self._line, self._backlog, self._manners = line, backlog, manners
        self.terms = terms
        self._numbers, self._clock_ms, self._count = numbers, clock_ms, count
        self._on_terms, self._on_confirmed = on_terms, on_confirmed
        self._on_change = on_change
        self._stack = stack
        self._awaited: dict[str, asyncio.Future[str]] = {}
        self._todo: asyncio.Queue[Response] = asyncio.Queue(_MOST_REQUESTS)
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something new waits in the backlog."""
        self._wake.set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(), name="hj212 uplink reads")
                tasks.create_task(self._send_all(), name="hj212 uplink sends")
        finally:
            self._line.cut()

    async def _read(self) -> None:
        while True:
            try:
                events = await self._line.receive(_SILENCE_S)
            except TimeoutError:
                continue
            if events is None:
                raise Unavailable("the platform ended the connection")
            for event in events:
                if not isinstance(event, Packet):
                    self._count(event.kind)
                    continue
                for fault in event.faults:
                    self._count(fault.kind)
                if event.crc_ok:
                    await self._hear(event)
                else:
                    self._count("refused_crc")

    async def _hear(self, packet: Packet) -> None:
        said = message(packet)
        if said is not None and said.kind is Kind.REPLY:
            awaited = self._awaited.get(exchange_of(packet) or "")
            if awaited is None or awaited.done():
                self._count("unexpected_reply")
            else:
                awaited.set_result(verdict_of(said))
            return
        response = respond(packet, self._manners.identity, self.terms, now_ms=self._clock_ms())
        if response is None:
            self._count("unexpected_upload")
            return
        await self._respond(response)

    async def _respond(self, response: Response) -> None:
        """The first reply at once; what it promises is done between packets."""
        command = str(response.request.cn)
        if response.refused is not None:
            self._count(f"request_{response.refused.name}")
            logger.warning("hj212_request_refused", extra={"command": command, "code": response.refused.name})
        elif self._todo.full():
            self._count("request_too_many")
            response = replace(response, reply=request_reply(response.request, QnRtn.REFUSED), result=None, terms=None)
        else:
            logger.info("hj212_request_taken", extra={"command": command})
        if response.reply is not None:
            await self._line.send(response.reply)
        if response.terms is not None:
            self.terms = response.terms
            await self._on_terms(response.terms)
        if response.result is not None:
            self._todo.put_nowait(response)
            self._wake.set()

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        beat_s = loop.time()
        beats = self._manners.identity.version is Version.HJ_2025
        while True:
            self._wake.clear()
            if not self._todo.empty():
                await self._execute(self._todo.get_nowait())
            elif (waiting := await asyncio.to_thread(self._backlog.next)) is not None:
                await self._deliver(waiting)
            elif beats and loop.time() >= beat_s:
                await self._beat()
                beat_s = loop.time() + HEARTBEAT_S
            else:
                await set_within(self._wake, _LOOK_S)

    async def _beat(self) -> None:
        qn = self._numbers.next(self._clock_ms())
        await self._exchange(self._segment(Command.HEARTBEAT, qn, {}))

    async def _execute(self, response: Response) -> None:
        request, result = response.request, response.result
        assert result is not None
        command = request.command
        if response.says is not None and command is not None:
            qn = request.qn or ""
            await self._line.send(self._segment(command, qn, response.says, reply_wanted=False))
        if response.history is not None:
            result = await self._send_history(*response.history, reply_wanted=request.reply_wanted)
        await self._line.send(execution_result(request, result))

    async def _send_history(self, command: Command, first_ms: int, last_ms: int, *, reply_wanted: bool) -> ExeRtn:
        after, found = 0, False
        while page := await asyncio.to_thread(
            self._backlog.between, command, first_ms, last_ms, after=after, limit=_PAGE
        ):
            found, after = True, page[-1].id
            for waiting in page:
                qn = waiting.qn or self._numbers.next(self._clock_ms())
                segment = self._of_item(waiting.item, qn, resend=waiting.qn is not None, reply_wanted=reply_wanted)
                if reply_wanted:
                    await self._exchange(segment)
                else:
                    await self._send(segment)
        return ExeRtn.DONE if found else ExeRtn.NO_DATA

    async def _deliver(self, waiting: Waiting) -> None:
        """Until the platform confirmed it or said what it has against it."""
        item = waiting.item
        resend = waiting.qn is not None
        qn = waiting.qn or self._numbers.next(self._clock_ms())
        if not resend:
            await asyncio.to_thread(self._backlog.tried, waiting, qn)
        reply_wanted = self._manners.realtime_reply or item.command is not Command.REALTIME_DATA
        segment = self._of_item(item, qn, resend=resend, reply_wanted=reply_wanted)
        code = ""
        if reply_wanted:
            for _ in range(self.terms.retries + 1):
                code = await self._exchange(segment)
                if not code or code in _ALL_OR_NOTHING:
                    break
                await asyncio.to_thread(self._backlog.count_refused, code)
                segment = self._of_item(item, qn, resend=True, reply_wanted=True)
        else:
            await self._send(segment)
        self._on_change()
        if code in _ALL_OR_NOTHING:
            await asyncio.to_thread(self._backlog.count_refused, code)
            raise Unavailable(f"the platform refuses us: {code}")
        if code:
            logger.error("hj212_packet_set_aside", extra={"command": str(item.command), "code": code})
            await asyncio.to_thread(self._backlog.set_aside, waiting)
            return
        await self._on_confirmed(self._rows(segment) if reply_wanted else [])
        await asyncio.to_thread(self._backlog.confirm, waiting, self._clock_ms())

    async def _exchange(self, segment: Segment) -> str:
        """Send until it is answered: empty where that is well, else the platform's code by name."""
        qn = segment.qn or ""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._awaited[qn] = future
        try:
            for attempt in range(self.terms.retries + 1):
                if attempt:
                    self._count("sent_again")
                    again = self._manners.identity.version is Version.HJ_2025 and segment.cn != Command.HEARTBEAT
                    segment = replace(segment, resend=again)
                await self._send(segment)
                done, _ = await asyncio.wait([future], timeout=self.terms.timeout_s)
                if done:
                    return future.result()
        finally:
            del self._awaited[qn]
        raise Unavailable(f"the platform does not answer {segment.cn}")

    async def _send(self, segment: Segment) -> None:
        enciphered = segment.cn.startswith("2")  # 2xxx (4.10); what else may be is not sent here
        await self._line.send(segment, key=self._manners.key if enciphered else None)

    def _of_item(self, item: Item, qn: str, *, resend: bool, reply_wanted: bool) -> Segment:
        segment = self._segment(item.command, qn, {}, reply_wanted=reply_wanted)
        if item.pnum is not None:
            segment = replace(segment, flag=(segment.flag or 0) | NUMBERED, pnum=item.pnum, pno=item.pno)
        marked = resend and self._manners.identity.version is Version.HJ_2025
        return replace(segment, fields=item.fields, resend=marked)

    def _segment(
        self, command: Command, qn: str, parameters: Mapping[str, Parameter], *, reply_wanted: bool = True
    ) -> Segment:
        identity = self._manners.identity
        return build(
            command,
            qn=qn,
            st=identity.st,
            mn=identity.mn,
            pw=identity.password,
            version=identity.version,
            reply_wanted=reply_wanted,
            parameters=parameters,
        )

    def _rows(self, segment: Segment) -> list[Row]:
        """What a confirmed packet said, as it was written there: the platform's means."""
        read = Logger(
            mn=segment.mn,
            stack=self._stack,
            systems=frozenset({segment.st}),
            minute_interval_s=self.terms.minute_interval_s,
        )
        (packet,) = Decoder().feed(encode(replace(segment, resend=False)))
        assert isinstance(packet, Packet)
        return [{**row, "source": PLATFORM} for row in to_rows(packet, read).means]


def verdict_of(said: Message) -> str:
    """Empty for a reply that confirms; else what the platform has against it, by name."""
    if "QnRtn" in said.parameters and said.qn_rtn is not QnRtn.READY:
        return said.qn_rtn.name
    if "ExeRtn" in said.parameters and said.exe_rtn is not ExeRtn.DONE:
        return f"EXE_{said.exe_rtn.name}"
    return ""
