"""One question to a broker: would it let this client in? An MQTT 3.1.1 CONNECT by hand, no client library."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from contextlib import suppress
from typing import Final

from plant.broker import BrokerAddress
from plant.errors import Refused, Unavailable

_DEADLINE_S: Final = 5.0
_CONNECT: Final = 0x10
_CLEAN_SESSION: Final = 0x02
_HAS_PASSWORD: Final = 0x40
_HAS_USER: Final = 0x80
_DISCONNECT: Final = b"\xe0\x00"
_ANSWER: Final = b"\x20\x02"  # CONNACK and its length; two bytes follow, the second one says how it went
_REFUSALS: Final = {
    1: "unacceptable protocol version",
    2: "client id rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}


async def ask(address: BrokerAddress) -> None:
    """Return when the broker at *address* lets us in, within a few seconds.

    Raises
    ------
    Refused
        If it answers, and does not let us in.
    Unavailable
        If nobody answers there, or not in MQTT.
    """
    connected = False
    try:
        async with asyncio.timeout(_DEADLINE_S):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=_tls(address))
            connected = True
            try:
                writer.write(connect_packet(f"probe-{secrets.token_hex(8)}", address.username, address.password))
                answer = await reader.readexactly(len(_ANSWER) + 2)
                writer.write(_DISCONNECT)
                await writer.drain()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        told = "it takes the connection and says nothing" if connected else "no answer in time"
        raise Unavailable(told) from error
    except EOFError as error:
        raise Unavailable("it closed the connection") from error
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(f"its certificate is not good: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise Refused(f"TLS: {error.reason}") from error
    except OSError as error:
        raise Unavailable(error.strerror or str(error)) from error
    _judge(answer)


async def answers(host: str, port: int, *, user: str | None = None, password: str | None = None) -> bool:
    """Whether the broker answers a connection within a few seconds, and accepts it."""
    try:
        await ask(BrokerAddress(host=host, port=port, username=user, password=password))
    except (Refused, Unavailable):
        return False
    return True


def _tls(address: BrokerAddress) -> ssl.SSLContext | None:
    if not address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
        if address.cert_file is not None:
            context.load_cert_chain(address.cert_file, address.key_file)
    except OSError as error:
        raise Unavailable(f"the files of TLS cannot be read: {error}") from error
    return context


def _judge(answer: bytes) -> None:
    if not answer.startswith(_ANSWER):
        raise Unavailable("what answers there speaks no MQTT")
    if code := answer[-1]:
        raise Refused(_REFUSALS.get(code, f"code {code}"))


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
