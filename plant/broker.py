"""A broker's address, taken apart: `mqtt://user:password@host:port`, or `mqtts://`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from plant.errors import BadDocument, Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: bool


def broker_address(url: str) -> BrokerAddress:
    """The parts of *url*; `BadDocument` where it is no broker's address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadDocument("MQTT address", [Fault("", str(error))]) from error
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        wanted = "must look like mqtt://host:1883 or mqtts://user:password@host:8883"
        raise BadDocument("MQTT address", [Fault("", f"{wanted}, got {parts.scheme!r}://{parts.hostname or ''}")])
    tls = parts.scheme == "mqtts"
    return BrokerAddress(
        host=parts.hostname,
        port=port or (8883 if tls else 1883),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
    )
