"""A broker's address, taken apart: `mqtt://user:password@host:port`, or `mqtts://` with the files of TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
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


def broker_address(url: str, *, ca_file: str = "", cert_file: str = "", key_file: str = "") -> BrokerAddress:
    """The parts of *url*; `BadDocument` where it is no broker's address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadDocument("broker's address", [Fault("", str(error))]) from error
    if parts.scheme not in _PORTS or not host:
        wanted = "must look like mqtt://[user:password@]host[:port], or mqtts://"
        raise BadDocument("broker's address", [Fault("", wanted)])
    return BrokerAddress(
        host=host,
        port=port or _PORTS[parts.scheme],
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "mqtts",
        ca_file=ca_file or None,
        cert_file=cert_file or None,
        key_file=key_file or None,
    )


def broker_of(settings: Settings) -> BrokerAddress:
    """The broker that *settings* name."""
    return broker_address(
        settings.mqtt_url,
        ca_file=settings.mqtt_ca_file,
        cert_file=settings.mqtt_cert_file,
        key_file=settings.mqtt_key_file,
    )
