"""What the configuration of a broker is written from, and what of it is the same for every broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from stackwatch.brokers.identities import Identity

#: The window of a receiver: at least what an ingestor asks for (`ingestor.subscriber.FULL_WINDOW`), which is its
#: back-pressure. Brokers begin at 20 (Mosquitto), 32 (EMQX) or 1,024 (NATS).
IN_FLIGHT: Final = 2_000
#: A frame of an edge agent has at most 200 rows and 10 to 15 KiB; people's arrays may be larger.
LARGEST_MESSAGE: Final = 1 << 20

WRITTEN_BY: Final = "Written by `stackwatch broker-config`: run it again rather than edit this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files at the broker's machine. Without *ca* clients need no certificate."""

    cert: PurePosixPath
    key: PurePosixPath
    ca: PurePosixPath | None = None
    crl: PurePosixPath | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Several nodes of one broker. All are written the same file: a node is told its name by its environment."""

    peers: tuple[str, ...]  #: HOST:PORT at which each of them listens to the others
    port: int  #: that a node listens to the others at
    password: str = field(repr=False)  #: that they show each other; a certificate alone every edge has


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPlan:
    """One broker: where it listens, what it keeps where, and whom it lets near what."""

    root: str
    identities: tuple[Identity, ...]
    tls: Tls
    installed_at: PurePosixPath  #: where the files that are written will lie
    store: PurePosixPath
    host: str = "0.0.0.0"
    port: int = 8883
    #: by name of identity; empty: identities are the common names of client certificates
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    in_flight: int = IN_FLIGHT  #: of a subscription, where the broker counts by subscription
    cluster: Cluster | None = None

    @property
    def by_certificate(self) -> bool:
        return not self.passwords


def bracketed(host: str) -> str:
    """*host* as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host
