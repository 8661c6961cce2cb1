"""A platform that field units report to over HJ 212: confirms, refuses, keeps silent, goes away, and asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from edge.hj212.commands import Command, Kind, QnRtn
from edge.hj212.decoder import Decoder, Packet
from edge.hj212.encoder import encode
from edge.hj212.messages import Parameter, acknowledgement, build, exchange_of, message, request_reply
from fakes.hj212_logger import MN, PASSWORD


@dataclass(slots=True)
class Platform:
    """`uploads`: what came and was confirmed, in order, re-sends included."""

    uploads: list[Packet] = field(default_factory=list)
    replies: list[Packet] = field(default_factory=list)  #: to what we asked
    deaf: int = 0  #: uploads that are not answered
    cuts: int = 0  #: uploads that are kept, after which the connection ends without a reply
    refuses: QnRtn | None = None
    refused: int = 0
    keys: dict[str, bytes] = field(default_factory=dict)
    port: int = 0
    connections: int = 0
    _writer: asyncio.StreamWriter | None = None
    _server: asyncio.Server | None = None

    def of(self, command: str) -> list[Packet]:
        return [packet for packet in self.uploads if packet.cn == command]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Platform]:
        await self.open()
        try:
            yield self
        finally:
            await self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    def ask(
        self,
        command: Command,
        parameters: dict[str, Parameter] | None = None,
        *,
        qn: str = "20261120080000001",
        mn: str = MN,
        pw: str = PASSWORD,
        st: str = "31",
    ) -> None:
        assert self._writer is not None
        self._writer.write(encode(build(command, qn=qn, st=st, mn=mn, pw=pw, parameters=parameters)))

    def send(self, stream: bytes) -> None:
        assert self._writer is not None
        self._writer.write(stream)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writer = writer
        decoder = Decoder(keys=self.keys)
        with contextlib.suppress(OSError):
            while chunk := await reader.read(4096):
                for event in decoder.feed(chunk):
                    if isinstance(event, Packet) and not self._answer(event, writer):
                        writer.close()
                        return
        writer.close()

    def _answer(self, packet: Packet, writer: asyncio.StreamWriter) -> bool:
        assert packet.crc_ok
        said = message(packet)
        assert said is not None
        if said.kind is Kind.REPLY:
            self.replies.append(packet)
            return True
        assert not packet.faults, packet.faults
        if self.deaf:
            self.deaf -= 1
            return True
        if self.refuses is not None:
            self.refused += 1
            writer.write(encode(request_reply(packet, self.refuses)))
            return True
        self.uploads.append(packet)
        if self.cuts:
            self.cuts -= 1
            return False
        if (reply := acknowledgement(packet)) is not None:
            writer.write(encode(reply))
        return True


def code_of(reply: Packet) -> tuple[str | None, str | None, object]:
    """Command, exchange and code of a reply."""
    said = message(reply)
    assert said is not None
    return reply.cn, exchange_of(reply), said.parameters.get("QnRtn", said.parameters.get("ExeRtn"))
