"""Where messages may go: the guard against a receiver that makes us knock at doors inside our own network.

Whoever may name a URL makes this program send to it. So: `https` to addresses of the public internet; anything else
only to networks that the installation lists (`STACKWATCH_NOTIFY_NETWORKS`), where `http` will do. A name is judged by
every address it has at the moment of sending. Pure: who resolves names is `alerts.notify.addresses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from plant.errors import BadDocument, Fault

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL: Final = 2_000
_TRANSLATED: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("2002::/16"))
"""NAT64 and 6to4: an IPv4 address in disguise, which may be a private one."""


class Forbidden(ValueError):
    """A place that messages must not go to; the text says why."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the installation allows besides the public internet."""

    networks: tuple[Network, ...] = ()

    def lists(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)

    def check_address(self, address: Address, *, encrypted: bool) -> None:
        """`Forbidden` unless a message may go to *address*."""
        plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
        if self.lists(plain):
            return
        if not _is_public(plain):
            raise Forbidden("is no address of the public internet: list its network in STACKWATCH_NOTIFY_NETWORKS")
        if not encrypted:
            raise Forbidden("goes unencrypted to the public internet: use https")


def allowed_from(text: str) -> Allowed:
    """Read `STACKWATCH_NOTIFY_NETWORKS`: networks with commas between; `BadDocument` names every fault."""
    networks, faults = [], []
    for word in filter(None, (word.strip() for word in text.split(","))):
        try:
            networks.append(ip_network(word))
        except ValueError:
            faults.append(Fault("STACKWATCH_NOTIFY_NETWORKS", f"{word!r} is no network such as 10.1.0.0/16"))
    if faults:
        raise BadDocument("environment", faults)
    return Allowed(tuple(networks))


def check_url(url: str, allowed: Allowed) -> SplitResult:
    """The parts of a webhook's *url*; `Forbidden` for what can be told without asking for its addresses."""
    if len(url) > MAX_URL:
        raise Forbidden(f"is longer than {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Forbidden("is no URL") from None
    if parts.scheme not in ("https", "http") or not host:
        raise Forbidden("must be a URL that begins with https:// and has a host")
    if parts.username is not None or parts.password is not None:
        raise Forbidden("must not hold a user or password: requests are signed")
    if not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise Forbidden("must be written in ASCII, without spaces")
    literal = literal_address(host)
    if literal is not None:
        allowed.check_address(literal, encrypted=parts.scheme == "https")
    elif parts.scheme != "https" and not allowed.networks:
        raise Forbidden("must begin with https://")
    return parts


def literal_address(host: str) -> Address | None:
    """The address that *host* is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address.is_site_local or any(address in network for network in _TRANSLATED)
    ):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
