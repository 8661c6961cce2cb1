"""A mail relay on loopback that speaks as much SMTP as a client needs, and keeps what it was given."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(frozen=True, slots=True)
class Taken:
    sender: str
    to: tuple[str, ...]
    encrypted: bool
    user: str | None
    mail: EmailMessage


@dataclass(slots=True)
class SmtpRelay:
    starttls: ssl.SSLContext | None = None
    encrypted: bool = False  #: from the first byte
    refuses: frozenset[str] = frozenset()  #: addresses that it does not know
    says_no: bool = False  #: to every mail, for now
    password: str | None = None
    port: int = 0
    taken: list[Taken] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Talk(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class _Talk:
    def __init__(self, relay: SmtpRelay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.relay, self.reader, self.writer = relay, reader, writer
        self.encrypted, self.user, self.sender = relay.encrypted, None, ""
        self.to: list[str] = []

    user: str | None

    async def run(self) -> None:
        await self.say("220 relay")
        while line := (await self.reader.readline()).decode().rstrip("\r\n"):
            verb = line.split(" ")[0].upper()
            match verb:
                case "EHLO" | "HELO":
                    offers = ["STARTTLS"] if self.relay.starttls and not self.encrypted else []
                    offers += ["AUTH PLAIN"] if self.relay.password else []
                    words = ["relay", *offers]
                    for word in words[:-1]:
                        await self.say(f"250-{word}")
                    await self.say(f"250 {words[-1]}")
                case "STARTTLS" if self.relay.starttls:
                    await self.say("220 go ahead")
                    await self.writer.start_tls(self.relay.starttls)
                    self.encrypted = True
                case "AUTH":
                    _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                    self.user = user if password == self.relay.password else None
                    await self.say("235 ok" if self.user else "535 no")
                case "MAIL":
                    self.sender, self.to = _address(line), []
                    await self.say("250 ok")
                case "RCPT":
                    address = _address(line)
                    if address in self.relay.refuses:
                        await self.say("550 unknown")
                    else:
                        self.to.append(address)
                        await self.say("250 ok")
                case "DATA":
                    await self.say("354 go ahead")
                    await self.keep(await self.reader.readuntil(b"\r\n.\r\n"))
                case "RSET" | "NOOP":
                    await self.say("250 ok")
                case "QUIT":
                    await self.say("221 bye")
                    return
                case _:
                    await self.say("502 what?")

    async def keep(self, data: bytes) -> None:
        if self.relay.says_no:
            await self.say("451 later")
            return
        mail = message_from_bytes(data.removesuffix(b".\r\n"), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.relay.taken.append(Taken(self.sender, tuple(self.to), self.encrypted, self.user, mail))
        await self.say("250 ok")

    async def say(self, text: str) -> None:
        self.writer.write(f"{text}\r\n".encode())
        await self.writer.drain()


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


@asynccontextmanager
async def a_relay(relay: SmtpRelay | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[SmtpRelay]:
    """*tls*: encrypted from the first byte."""
    relay = relay or SmtpRelay()
    relay.encrypted = tls is not None
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=tls)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await server.wait_closed()
