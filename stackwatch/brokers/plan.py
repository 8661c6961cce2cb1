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

    @property
    def by_certificate(self) -> bool:
        return not self.passwords


def bracketed(host: str) -> str:
    """*host* as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host
