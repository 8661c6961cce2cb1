"""A broker's address, taken apart: `mqtt://user:password@host:port`, or `mqtts://` with the files of TLS.

A cluster has several: `mqtt://user:password@host1:port,host2:port`. Scheme, user and files are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from plant.errors import BadDocument, Fault
from plant.settings import Settings

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where the broker is and who we are there; the password stays out of the repr."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    others: tuple[tuple[str, int], ...] = ()  #: host and port of the other nodes of a cluster

    def node(self, attempt: int) -> BrokerAddress:
        """The node to try at *attempt*, counted from 0: each in turn. An address of one place."""
        places = ((self.host, self.port), *self.others)
        host, port = places[attempt % len(places)]
        return replace(self, host=host, port=port, others=())

    @property
    def nodes(self) -> tuple[BrokerAddress, ...]:
        return tuple(self.node(n) for n in range(1 + len(self.others)))


def broker_address(url: str, *, ca_file: str = "", cert_file: str = "", key_file: str = "") -> BrokerAddress:
    """The parts of *url*; `BadDocument` where it is no broker's address."""
    head, at, places = url.rpartition("@")
    if not at:
        scheme, slashes, places = url.partition("://")
        head = scheme + slashes
    first, *others = (_one(f"{head}{at}{place}") for place in places.split(","))
    return replace(
        first,
        ca_file=ca_file or None,
        cert_file=cert_file or None,
        key_file=key_file or None,
        others=tuple((other.host, other.port) for other in others),
    )


def _one(url: str) -> BrokerAddress:
    """An address of one place, which may stand for a part of what was given."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadDocument("broker's address", [Fault("", str(error))]) from error
    if parts.scheme not in _PORTS or not host or parts.path.strip("/"):
        wanted = "must look like mqtt://[user:password@]host[:port][,host[:port]...], or mqtts://"
        raise BadDocument("broker's address", [Fault("", wanted)])
    return BrokerAddress(
        host=host,
        port=port or _PORTS[parts.scheme],
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "mqtts",
    )


def broker_of(settings: Settings) -> BrokerAddress:
    """The broker that *settings* name."""
    return broker_address(
        settings.mqtt_url,
        ca_file=settings.mqtt_ca_file,
        cert_file=settings.mqtt_cert_file,
        key_file=settings.mqtt_key_file,
    )
