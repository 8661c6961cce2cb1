"""A batch of messages, each read or refused: what has to be known before a transaction is opened.

Pure, so it may run beside the transaction of the batch before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from ingestor.decode import Message, Remains, decode, remains
from ingestor.rows import KnownSite
from plant import topics
from plant.errors import Undecodable
from plant.periods import micros

_speaker_of: Final = lru_cache(maxsize=65_536)(topics.parse)  # few topics, each again and again


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as received."""

    topic: str
    payload: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that was read; rows of it may be refused all the same."""

    incoming: Incoming
    speaker: topics.Speaker
    site: KnownSite
    message: Message


@dataclass(frozen=True, slots=True)
class Refused:
    """A message of which nothing can be taken; who sent it, where that is known."""

    incoming: Incoming
    reason: str
    left: Remains
    speaker: topics.Speaker | None
    site: KnownSite | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages, and what each of them was against the register *sites*."""

    messages: Sequence[Incoming]
    found: Sequence[Taken | Refused]
    sites: Mapping[str, KnownSite]

    @property
    def doubted(self) -> bool:
        """Whether anything was refused: a register that grew meanwhile may know better."""
        return any(isinstance(one, Refused) or one.message.refused for one in self.found)

    def halves(self) -> tuple[Batch, Batch]:
        middle = len(self.messages) // 2
        return (
            Batch(self.messages[:middle], self.found[:middle], self.sites),
            Batch(self.messages[middle:], self.found[middle:], self.sites),
        )


def read_batch(messages: Sequence[Incoming], root: str, sites: Mapping[str, KnownSite]) -> Batch:
    """Each of *messages* against the register *sites*."""
    return Batch(messages, [_read(incoming, root, sites) for incoming in messages], sites)


def poisoned(incoming: Incoming, root: str, sites: Mapping[str, KnownSite], reason: str) -> Batch:
    """A message that is refused for *reason* whatever it says."""
    return Batch([incoming], [_refused(incoming, root, sites, reason)], sites)


def _read(incoming: Incoming, root: str, sites: Mapping[str, KnownSite]) -> Taken | Refused:
    try:
        speaker = _speaker_of(root, incoming.topic)
        site = sites.get(speaker.site)
        message = decode(incoming.payload, speaker, site, received_at=micros(incoming.received_at))
    except Undecodable as error:
        return _refused(incoming, root, sites, str(error))
    assert site is not None
    return Taken(incoming, speaker, site, message)


def _refused(incoming: Incoming, root: str, sites: Mapping[str, KnownSite], reason: str) -> Refused:
    left = remains(incoming.payload)
    try:
        speaker = _speaker_of(root, incoming.topic)
    except Undecodable:
        return Refused(incoming, reason, left, None, None)
    return Refused(incoming, reason, left, speaker, sites.get(speaker.site))
