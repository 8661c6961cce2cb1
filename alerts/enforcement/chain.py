"""The hash chain of a case: what was written once cannot be rewritten unseen.

A record's *body* is the canonical JSON of all that it says. Its hash is SHA-256 over the hash before it
(32 bytes) followed by the body in UTF-8; before the first record stands the hash of the case's head. What
is stored is what is hashed, so checking needs no second opinion on how a number is written.
A chain proves order and integrity against whoever holds one of its hashes; it does not prove time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    body: str
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Break:
    """The first record that does not hold, and what is wrong with it. Number 0 is the head."""

    number: int
    why: str

    def __str__(self) -> str:
        return f"record {self.number}: {self.why}"


def canonical(document: Mapping[str, Any]) -> str:
    """*document* as the one JSON text it has here: sorted keys, no spaces, every digit, no NaN.

    Raises
    ------
    ValueError
        For NaN, an infinity, or a text that is no Unicode (a lone surrogate).
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


def utc_text(at: datetime) -> str:
    """*at* in UTC with `Z`, the form that the database's function of this name gives too.

    >>> utc_text(datetime(2026, 11, 20, 8, 0, tzinfo=UTC))
    '2026-11-20T08:00:00Z'
    """
    precision = "microseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def head_hash(head: Mapping[str, Any]) -> bytes:
    """What the first record is chained to: the hash of the case's *head*, pinned versions included."""
    return hashlib.sha256(canonical(head).encode()).digest()


def link(previous_hash: bytes, body: Mapping[str, Any]) -> Link:
    """*body* as the record that follows the one with *previous_hash*."""
    text = canonical(body)
    return Link(text, previous_hash, _hash(previous_hash, text))


def verify(head: Mapping[str, Any], links: Sequence[Link]) -> Break | None:
    """Where the chain of *links* under *head* first breaks; None where it is whole."""
    if not links:
        return Break(0, "there is no record: a case begins with one")
    previous = head_hash(head)
    for number, item in enumerate(links, start=1):
        if item.previous_hash != previous:
            what = "the head of the case" if number == 1 else f"record {number - 1}"
            return Break(number, f"does not carry the hash of {what}")
        if item.hash != _hash(previous, item.body):
            return Break(number, "its text does not give its hash")
        if _number_in(item.body) != number:
            return Break(number, f"says that it is number {_number_in(item.body)}")
        previous = item.hash
    return None


def _hash(previous_hash: bytes, body: str) -> bytes:
    return hashlib.sha256(previous_hash + body.encode("utf-8", "surrogatepass")).digest()


def _number_in(body: str) -> Any:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document.get("number") if isinstance(document, dict) else None
