"""The addresses of a host, asked for at the moment of sending and judged one and all."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Final

from alerts.notify.destinations import Address, Allowed, literal_address

RESOLVE_S: Final = 5.0


class Unresolvable(OSError):
    """The host has no address just now."""


async def addresses_of(host: str, port: int, allowed: Allowed, *, encrypted: bool) -> list[Address]:
    """Where *host* is.

    Raises
    ------
    Forbidden
        If any of its addresses is: a name that is public today and private tomorrow is nobody's friend.
    Unresolvable
        If there is none, or no answer within `RESOLVE_S`.
    """
    literal = literal_address(host)
    found = [literal] if literal is not None else await _resolve(host, port)
    for address in found:
        allowed.check_address(address, encrypted=encrypted)
    return found


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        async with asyncio.timeout(RESOLVE_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise Unresolvable(f"the host {host} has no address just now") from None
    # An address of a link may carry its zone behind a percent sign.
    return list(dict.fromkeys(ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers))
