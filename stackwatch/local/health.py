"""One question over HTTP: are you well? Asked of the API, and of the broker. By hand, no client library."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

_ASK: Final = "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nAccept: application/json\r\n\r\n"
_MAX_BYTES: Final = 65_536


async def ask(host: str, port: int, *, path: str = "/v1/health", deadline_s: float = 5.0) -> tuple[int, str]:
    """Status and body of `GET` *path*; status 0 and the reason where there is no answer."""
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_ASK.format(path=path, host=host, port=port).encode("ascii"))
                await writer.drain()
                answer = await _all_of(reader)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return 0, f"no answer within {deadline_s:g} s"
    except OSError as error:
        return 0, error.strerror or str(error)
    return _status(answer), answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while len(answer) < _MAX_BYTES and (piece := await reader.read(_MAX_BYTES)):
        answer += piece
    return bytes(answer)


def _status(answer: bytes) -> int:
    words = answer.split(b"\r\n", 1)[0].split()
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
