"""A data logger of HJ 212 over real TCP, and what lines and firmware do to its packets.

As a client it pushes until each packet has its 9014; as a server it answers a host's requests. Its line may cut what it
carries into pieces, glue packets, put noise between them, double them, and end in the middle of a packet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from edge.hj212.commands import Command, ExeRtn, Kind, QnRtn
from edge.hj212.decoder import Decoder, Packet
from edge.hj212.encoder import encode, split
from edge.hj212.messages import (
    build,
    exchange_of,
    execution_result,
    message,
    request_reply,
)
from edge.hj212.segment import Segment
from edge.hj212.times import qn

MN: Final = "010000A8900016F000169DC0"
PASSWORD: Final = "123456"
AT_MS: Final = 1_795_161_600_000  # 2026-11-20T16:00:00+08:00
HOUR_MS: Final = 3_600_000
NOISE: Final = (b"\x00\x00", b"garbage##12", b"\r\n", b"&&&&ZZZZ", bytes(range(128, 160)))


def value_of(hour_ms: int) -> float:
    """What the logger measured in an hour: another number for each."""
    return (hour_ms // HOUR_MS) % 1000 / 10


def an_hour(hour_ms: int, *, number: int = 0, **changed: object) -> Segment:
    """The upload of one hour: 2061, reply wanted."""
    given: dict[str, object] = {"qn": qn(hour_ms + HOUR_MS + number), "st": "31", "mn": MN, "pw": PASSWORD, **changed}
    records = (
        {"a21026-Avg": f"{value_of(hour_ms)}", "a21026-Min": "0.5", "a21026-Max": "99.5", "a21026-Flag": "N"},
        {"a34013-Avg": "3.25", "a34013-ZsAvg": "4.5", "a34013-Flag": "N"},
    )
    return build(Command.HOUR_DATA, parameters={"DataTime": hour_ms}, records=records, **given)  # type: ignore[arg-type]


def a_reading(at_ms: int, value: float = 12.5, **changed: object) -> Segment:
    """Real-time data: 2011, reply wanted."""
    given: dict[str, object] = {"qn": qn(at_ms), "st": "31", "mn": MN, "pw": PASSWORD, **changed}
    records = ({"a21026-Rtd": f"{value}", "a21026-Flag": "N"},)
    return build(Command.REALTIME_DATA, parameters={"DataTime": at_ms}, records=records, **given)  # type: ignore[arg-type]


def parts_of(hour_ms: int, number: int = 0) -> list[Segment]:
    """The same hour in several packets, each with its own QN, PNUM and PNO."""
    whole = an_hour(hour_ms, number=number)
    return split(whole, qn_of=lambda part: qn(hour_ms + HOUR_MS + 100 + number + part), limit=200)


@dataclass(slots=True)
class BadLine:
    """What may happen to bytes on their way; nothing where the share is 0."""

    rng: Random
    noise: float = 0.0
    double: float = 0.0
    end: float = 0.0  #: in the middle of a packet
    pieces: bool = False

    def spoil(self, packets: Sequence[bytes]) -> tuple[list[bytes], bool]:
        """What is written, piece by piece, and whether the connection ends behind it."""
        stream = b""
        for packet in packets:
            if self.rng.random() < self.noise:
                stream += self.rng.choice(NOISE)
            stream += packet
            if self.rng.random() < self.double:
                stream += packet
        ends = self.rng.random() < self.end
        if ends:
            stream = stream[: self.rng.randrange(1, len(stream))]
        if not self.pieces:
            return [stream], ends
        cuts = sorted(self.rng.sample(range(len(stream)), k=min(5, len(stream) - 1)))
        return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)], ends


async def push(port: int, messages: Sequence[Sequence[Segment]], line: BadLine, *, at_once: int = 3) -> int:
    """Send *messages* (each in one or more packets) until every packet has its reply; how many connections it took.

    Packets leave in groups of *at_once*, glued; those without a reply go again, over a new connection if need be.
    """
    waiting = {segment.qn or "": encode(segment) for parts in messages for segment in parts}
    connections = 0
    async with asyncio.timeout(60):
        while waiting:
            connections += 1
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await _push_over(reader, writer, waiting, line, at_once)
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
    return connections


async def _push_over(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: dict[str, bytes], line: BadLine, at_once: int
) -> None:
    decoder = Decoder()
    while waiting:
        group = list(waiting)[:at_once]
        pieces, ends = line.spoil([waiting[number] for number in group])
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if ends:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while any(number in waiting for number in group):
                    chunk = await reader.read(4096)
                    if not chunk:
                        return
                    for event in decoder.feed(chunk):
                        if isinstance(event, Packet) and event.command is Command.DATA_REPLY:
                            waiting.pop(exchange_of(event) or "", None)


@dataclass(slots=True)
class AskedLogger:
    """A logger that waits for its host: keeps hours, and says how it was asked."""

    hours: set[int] = field(default_factory=set)
    requests: list[Packet] = field(default_factory=list)
    deaf: int = 0  #: requests that it does not hear
    cuts: int = 0  #: connections that end after the first record of an answer
    refuses: QnRtn | None = None
    parts: bool = False
    port: int = 0
    connections: int = 0

    @property
    def asked(self) -> list[tuple[int, int]]:
        """First and last hour of each request for hours."""
        found = []
        for packet in self.requests:
            said = message(packet)
            assert said is not None
            if said.command is Command.HOUR_DATA:
                found.append((int(said.parameters["BeginTime"]), int(said.parameters["EndTime"])))
        return found

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[AskedLogger]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        decoder = Decoder()
        with contextlib.suppress(OSError):
            while chunk := await reader.read(4096):
                for event in decoder.feed(chunk):
                    if isinstance(event, Packet) and not await self._answer(event, writer):
                        writer.close()
                        return
        writer.close()

    async def _answer(self, packet: Packet, writer: asyncio.StreamWriter) -> bool:
        said = message(packet)
        if said is None or said.kind is not Kind.REQUEST:
            return True
        self.requests.append(packet)
        if self.deaf:
            self.deaf -= 1
            return True
        if self.refuses is not None:
            writer.write(encode(request_reply(packet, self.refuses)))
            return True
        writer.write(encode(request_reply(packet, QnRtn.READY)))
        result = ExeRtn.DONE
        if said.command is Command.HOUR_DATA:
            first, last = int(said.parameters["BeginTime"]), int(said.parameters["EndTime"])
            wanted = sorted(hour for hour in self.hours if first <= hour <= last)
            for hour in wanted:
                for segment in parts_of(hour) if self.parts else [an_hour(hour)]:
                    writer.write(encode(segment))
                if self.cuts:
                    self.cuts -= 1
                    await writer.drain()
                    return False
            result = ExeRtn.DONE if wanted else ExeRtn.NO_DATA
        writer.write(encode(execution_result(packet, result)))
        await writer.drain()
        return True


async def replies_to(port: int, stream: bytes, *, until: Callable[[list[Packet]], bool]) -> list[Packet]:
    """Send *stream* and collect the packets that come back until they are enough, or the other side ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    decoder, packets = Decoder(), list[Packet]()
    try:
        writer.write(stream)
        async with asyncio.timeout(10):
            while not until(packets):
                chunk = await reader.read(4096)
                if not chunk:
                    break
                packets += [event for event in decoder.feed(chunk) if isinstance(event, Packet)]
    except ConnectionError:
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return packets


def days_of(count: int, first_ms: int = AT_MS) -> list[int]:
    """The starts of *count* hours."""
    return [first_ms + n * HOUR_MS for n in range(count)]
