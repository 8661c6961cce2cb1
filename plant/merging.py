"""Which of the things that arrived for one row counts (contract, section 3).

A row is identified by stack, instrument and instant; several versions of it may arrive, in any order and any number
of times. `merge` is a function of the set of versions alone: where there was null a value fills in, a
higher revision replaces, and of two values of one revision the one with the smaller (sent_at, bytes) counts while
the other is kept as a conflict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

# What became of a version that arrived: a duplicate adds nothing, a conflict contradicts a version of its revision.
STORED, DUPLICATE, CONFLICT = 0, 1, 2

NEVER: Final = 1 << 62  #: a version that does not say when it was sent counts last


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One thing that arrived for a row. `sent_at`: microseconds since the epoch, or None where it is not said."""

    revision: int
    sent_at: int | None
    interval_s: int
    flag: str
    flags: Mapping[str, str]  #: only channels whose flag is another than `flag`
    state: str | None
    values: Mapping[str, float | None]
    _body: str = field(default="", init=False, repr=False, compare=False)  # written once: it is asked for often

    @property
    def body(self) -> str:
        """Canonical JSON of all but `sent_at`: equal bodies are the same thing sent again."""
        if not self._body:
            object.__setattr__(self, "_body", self._written())
        return self._body

    def _written(self) -> str:
        return json.dumps(
            {
                "flag": self.flag,
                "flags": dict(self.flags),
                "interval_s": self.interval_s,
                "revision": self.revision,
                "state": self.state,
                "values": {channel: value for channel, value in self.values.items() if value is not None},
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )

    @property
    def digest(self) -> bytes:
        return hashlib.blake2b(self.body.encode(), digest_size=16).digest()

    def flag_of(self, channel: str) -> str:
        return self.flags.get(channel, self.flag)


def version_from(body: str, sent_at: int | None) -> Version:
    """The version whose canonical JSON is *body*."""
    document: dict[str, Any] = json.loads(body)
    return Version(sent_at=sent_at, **document)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two or more values of one revision for one channel (or for `state`, `interval_s`): an integrity lead."""

    channel: str
    revision: int
    counted: Any
    others: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    row: Version
    conflicts: tuple[Conflict, ...]


def distinct(versions: Iterable[Version]) -> list[Version]:
    """*versions* without repeats, each with the earliest time at which it was sent, in order of precedence."""
    earliest: dict[str, Version] = {}
    for version in versions:
        known = earliest.get(version.body)
        if known is None or _sent(version) < _sent(known):
            earliest[version.body] = version
    return sorted(earliest.values(), key=_precedence)


def merge(versions: Iterable[Version]) -> Merged:
    """The row that counts, and what contradicts it; *versions* holds at least one."""
    ranked = distinct(versions)
    first = ranked[0]
    if len(ranked) == 1:
        return Merged(_alone(first), ())
    channels = sorted({channel for version in ranked for channel in (*version.values, *version.flags)})
    values: dict[str, float | None] = {}
    flags: dict[str, str] = {}
    for channel in channels:
        counting = _counting(ranked, channel)
        if (value := counting.values.get(channel)) is not None:
            values[channel] = value
        if counting.flag_of(channel) != first.flag:
            flags[channel] = counting.flag_of(channel)
    state = next((version.state for version in ranked if version.state is not None), None)
    row = replace(first, values=values, flags=flags, state=state)
    return Merged(row, tuple(_conflicts(ranked, channels)))


def _alone(version: Version) -> Version:
    """The row of a version that has no other."""
    return replace(
        version,
        values={channel: value for channel, value in version.values.items() if value is not None},
        flags={channel: flag for channel, flag in version.flags.items() if flag != version.flag},
    )


def conflicts_with(version: Version, others: Iterable[Version]) -> bool:
    """Whether *version* says another thing than one of *others* of its own revision."""
    return any(
        conflict.revision == version.revision
        for other in others
        if other.revision == version.revision
        for conflict in merge([version, other]).conflicts
    )


def _counting(ranked: list[Version], channel: str) -> Version:
    """The version that counts for *channel*: one with a value, else one with a flag of its own, else the first."""
    with_value = (version for version in ranked if version.values.get(channel) is not None)
    with_flag = (version for version in ranked if channel in version.flags)
    return next(with_value, None) or next(with_flag, None) or ranked[0]


def _conflicts(ranked: list[Version], channels: list[str]) -> Iterable[Conflict]:
    for revision in sorted({version.revision for version in ranked}):
        same = [version for version in ranked if version.revision == revision]
        if len(same) < 2:
            continue
        for channel in channels:
            cells = [
                (version.values[channel], version.flag_of(channel))
                for version in same
                if version.values.get(channel) is not None
            ]
            yield from _conflict(channel, revision, cells)
        yield from _conflict("state", revision, [version.state for version in same if version.state is not None])
        yield from _conflict("interval_s", revision, [version.interval_s for version in same])


def _conflict(channel: str, revision: int, cells: list[Any]) -> Iterable[Conflict]:
    different = list(dict.fromkeys(cells))
    if len(different) > 1:
        yield Conflict(channel, revision, different[0], tuple(different[1:]))


def _sent(version: Version) -> int:
    return NEVER if version.sent_at is None else version.sent_at


def _precedence(version: Version) -> tuple[int, int, bytes]:
    return (-version.revision, _sent(version), version.body.encode())
