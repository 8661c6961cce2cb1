"""One question to a broker: would it let this client in? An MQTT 3.1.1 CONNECT by hand, no client library."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Final

_DEADLINE_S: Final = 5.0
_CONNECT: Final = 0x10
_CLEAN_SESSION: Final = 0x02
_HAS_PASSWORD: Final = 0x40
_HAS_USER: Final = 0x80
_DISCONNECT: Final = b"\xe0\x00"
_ACCEPTED: Final = b"\x20\x02\x00\x00"


async def answers(host: str, port: int, *, user: str | None = None, password: str | None = None) -> bool:
    """Whether the broker answers a connection within a few seconds, and accepts it."""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(connect_packet(f"probe-{secrets.token_hex(8)}", user, password))
                accepted = await reader.readexactly(len(_ACCEPTED)) == _ACCEPTED
                writer.write(_DISCONNECT)
                await writer.drain()
                return accepted
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, EOFError, TimeoutError):
        return False


def connect_packet(client_id: str, user: str | None, password: str | None) -> bytes:
    flags = _CLEAN_SESSION
    payload = _text(client_id)
    if user is not None:
        flags |= _HAS_USER
        payload += _text(user)
    if password is not None:
        flags |= _HAS_PASSWORD
        payload += _text(password)
    keep_alive_s = 10
    body = _text("MQTT") + bytes([4, flags]) + keep_alive_s.to_bytes(2, "big") + payload
    return bytes([_CONNECT]) + _length(len(body)) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(number: int) -> bytes:
    """The variable length of MQTT: seven bits a byte, the eighth says that more follow."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)
