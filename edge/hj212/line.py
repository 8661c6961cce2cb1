"""One TCP connection that speaks HJ 212: packets and faults in, segments out. Every wait has a deadline."""

from __future__ import annotations

import asyncio
from typing import Final

from edge.hj212.crc import STANDARD
from edge.hj212.decoder import Decoder, Packet
from edge.hj212.encoder import encode
from edge.hj212.faults import Fault
from edge.hj212.segment import Segment
from plant.errors import Unavailable

CHUNK: Final = 16_384
QUIET_S: Final = 1.0
"""Silence after which a packet may do without its line end."""
_SEND_S: Final = 10.0
_CONNECT_S: Final = 10.0


class Line:
    """Read by one task, written by any number: a packet leaves in one piece."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: Decoder) -> None:
        self._reader, self._writer, self._decoder = reader, writer, decoder
        self._ended = False
        self.crc = STANDARD  #: check value of what is sent: that of the peer, once it was taken

    @property
    def peer(self) -> str:
        """Address of the other side, for logs."""
        found = self._writer.get_extra_info("peername")
        return f"{found[0]}:{found[1]}" if found else "?"

    async def receive(self, within_s: float) -> list[Packet | Fault] | None:
        """The next ones, in their order; None at the end of the connection.

        Raises
        ------
        TimeoutError
            If nothing whole came *within_s*.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        quiet = False
        while not self._ended:
            left_s = end_s - loop.time()
            try:
                wait_s = QUIET_S if self._decoder.held and not quiet else left_s
                async with asyncio.timeout(min(wait_s, left_s)):
                    chunk = await self._reader.read(CHUNK)
            except TimeoutError:
                if quiet or not self._decoder.held:
                    raise
                quiet = True
                events = self._decoder.quiet()
            except OSError:
                self._ended = True
                events = self._decoder.close()
            else:
                quiet = False
                self._ended = not chunk
                events = self._decoder.feed(chunk) if chunk else self._decoder.close()
            if events:
                return events
        return None

    async def send(self, segment: Segment, *, key: bytes | None = None) -> None:
        """Raises `Unavailable` when the other side is gone or takes nothing."""
        await self.send_bytes(encode(segment, crc=self.crc, key=key))

    async def send_bytes(self, packet: bytes) -> None:
        try:
            self._writer.write(packet)
            async with asyncio.timeout(_SEND_S):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            self.cut()
            raise Unavailable(f"{self.peer} takes nothing: {str(error) or 'no room'}") from error

    def cut(self) -> None:
        """End the connection now, whatever is on its way."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """End the connection after what was sent."""
        self._writer.close()
        try:
            async with asyncio.timeout(_SEND_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.cut()


async def connect(host: str, port: int, decoder: Decoder) -> Line:
    """`Unavailable` where nobody answers."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(host, port, limit=CHUNK)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"{host}:{port} cannot be reached: {str(error) or 'no answer'}") from error
    return Line(reader, writer, decoder)
