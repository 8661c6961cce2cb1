"""Rows by column: what arrived in one message or in many, as arrays of one length.

A block says of each row what a `plant.merging.Version` says of it, and whose row it is. What is done to every row
(checking, sorting, storing) is done to the arrays; only a row that is contested is looked at as a `Version`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from plant.channels import CHANNELS, STATES
from plant.merging import NEVER, Version
from plant.periods import Instants

Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.intp]
Truths = npt.NDArray[np.bool_]

Extras = npt.NDArray[np.object_]

Key = tuple[int, str, int]  #: stack_id, instrument, sampled_at in microseconds

STATE_CODES: Final[Mapping[str | None, int]] = {state: code for code, state in enumerate((None, *STATES))}
MAIN: Final = "main"
OWN_FLAG_NONE: Final = 0  #: in `Block.flags`: the channel has the flag of its row
_STATES: Final = (None, *STATES)
_OWN_COLUMN: Final = frozenset(CHANNELS)


@dataclass(frozen=True, slots=True)
class IncomingRow:
    """One row: its identity and what it says."""

    stack_id: int
    instrument: str
    sampled_at: int  #: microseconds since the epoch
    version: Version


@dataclass(frozen=True, slots=True)
class Extra:
    """Channels without a column. Row by row, since each row of a message may name others."""

    values: Mapping[str, float]
    flags: Mapping[str, str]


_NOTHING: Final = Extra({}, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows by column; every array has shape (n_rows,)."""

    stack_id: Ints
    sampled_at: Instants
    interval_s: Ints
    revision: Ints
    sent_at: Instants  #: NEVER where it is not said
    flag: Bytes  #: ASCII
    state: Bytes  #: place in (None, *STATES)
    instrument: Ints  #: place in `instruments`
    instruments: tuple[str, ...]
    values: Mapping[str, Floats]  #: by channel of CHANNELS, NaN where there is none
    flags: Mapping[str, Bytes]  #: by channel of CHANNELS, ASCII where it is another than `flag`, else 0
    extra: Extras | None = None  #: what a row says of any other channel: `Extra`, or None

    def __len__(self) -> int:
        return self.stack_id.size

    def key(self, index: int) -> Key:
        instrument = self.instruments[self.instrument[index]]
        return int(self.stack_id[index]), instrument, int(self.sampled_at[index])

    def version(self, index: int) -> Version:
        sent_at = int(self.sent_at[index])
        values = {channel: float(column[index]) for channel, column in self.values.items()}
        extra = self.extra_of(index)
        return Version(
            revision=int(self.revision[index]),
            sent_at=None if sent_at == NEVER else sent_at,
            interval_s=int(self.interval_s[index]),
            flag=chr(self.flag[index]),
            flags=self.flags_of(index),
            state=_STATES[self.state[index]],
            values={channel: value for channel, value in values.items() if value == value}  # NaN is no value
            | dict(extra.values),
        )

    def flags_of(self, index: int) -> dict[str, str]:
        """Flags by channel that are another than the row's."""
        own = {channel: chr(column[index]) for channel, column in self.flags.items() if column[index]}
        return own | dict(self.extra_of(index).flags)

    def extra_of(self, index: int) -> Extra:
        extra = None if self.extra is None else self.extra[index]
        return _NOTHING if extra is None else extra

    def rows(self) -> list[IncomingRow]:
        """One by one: slow, for the few and for tests."""
        return [IncomingRow(*self.key(index), self.version(index)) for index in range(len(self))]

    def take(self, places: Indexes | Truths) -> Block:
        """The rows at *places*, in that order."""
        return Block(
            stack_id=self.stack_id[places],
            sampled_at=self.sampled_at[places],
            interval_s=self.interval_s[places],
            revision=self.revision[places],
            sent_at=self.sent_at[places],
            flag=self.flag[places],
            state=self.state[places],
            instrument=self.instrument[places],
            instruments=self.instruments,
            values={channel: column[places] for channel, column in self.values.items()},
            flags={channel: column[places] for channel, column in self.flags.items()},
            extra=None if self.extra is None else self.extra[places],
        )


def block_of(rows: Sequence[IncomingRow]) -> Block:
    """*rows* by column."""
    versions = [row.version for row in rows]
    instruments = tuple(sorted({row.instrument for row in rows}))
    codes = {name: code for code, name in enumerate(instruments)}
    channels = [channel for channel in CHANNELS if any(channel in version.values for version in versions)]
    flagged = [channel for channel in CHANNELS if any(channel in version.flags for version in versions)]
    return Block(
        stack_id=np.array([row.stack_id for row in rows], np.int32),
        sampled_at=np.array([row.sampled_at for row in rows], np.int64),
        interval_s=np.array([version.interval_s for version in versions], np.int32),
        revision=np.array([version.revision for version in versions], np.int32),
        sent_at=np.array([NEVER if v.sent_at is None else v.sent_at for v in versions], np.int64),
        flag=np.array([ord(version.flag) for version in versions], np.uint8),
        state=np.array([STATE_CODES[version.state] for version in versions], np.uint8),
        instrument=np.array([codes[row.instrument] for row in rows], np.int32),
        instruments=instruments,
        # numpy reads None as NaN
        values={c: np.array([v.values.get(c) for v in versions], np.float64) for c in channels},
        flags={c: np.array([ord(v.flags[c]) if c in v.flags else 0 for v in versions], np.uint8) for c in flagged},
        extra=extras([_extra(version) for version in versions]),
    )


def extras(found: Sequence[Extra | None]) -> Extras | None:
    """The column of what is said of other channels; None where nothing is."""
    if not any(found):
        return None
    column = np.empty(len(found), np.object_)
    column[:] = found
    return column


def _extra(version: Version) -> Extra | None:
    values = {c: value for c, value in version.values.items() if c not in _OWN_COLUMN and value is not None}
    flags = {c: letter for c, letter in version.flags.items() if c not in _OWN_COLUMN}
    return Extra(values, flags) if values or flags else None


def join(blocks: Sequence[Block]) -> Block:
    """The rows of all *blocks*, in their order."""
    if len(blocks) == 1:
        return blocks[0]
    if not blocks:
        return block_of([])
    instruments, codes = _joined_instruments(blocks)
    return Block(
        stack_id=np.concatenate([block.stack_id for block in blocks]),
        sampled_at=np.concatenate([block.sampled_at for block in blocks]),
        interval_s=np.concatenate([block.interval_s for block in blocks]),
        revision=np.concatenate([block.revision for block in blocks]),
        sent_at=np.concatenate([block.sent_at for block in blocks]),
        flag=np.concatenate([block.flag for block in blocks]),
        state=np.concatenate([block.state for block in blocks]),
        instrument=codes,
        instruments=instruments,
        values=_joined([block.values for block in blocks], blocks, np.nan, np.float64),
        flags=_joined([block.flags for block in blocks], blocks, OWN_FLAG_NONE, np.uint8),
        extra=_joined_extras(blocks),
    )


def _joined_instruments(blocks: Sequence[Block]) -> tuple[tuple[str, ...], Ints]:
    first = blocks[0].instruments
    if all(block.instruments == first for block in blocks):
        return first, np.concatenate([block.instrument for block in blocks])
    names = tuple(sorted({name for block in blocks for name in block.instruments}))
    place = {name: code for code, name in enumerate(names)}
    tables = [np.array([place[name] for name in block.instruments], np.int32) for block in blocks]
    return names, np.concatenate([table[block.instrument] for table, block in zip(tables, blocks, strict=True)])


def _joined_extras(blocks: Sequence[Block]) -> Extras | None:
    if all(block.extra is None for block in blocks):
        return None
    return np.concatenate([np.full(len(b), None, np.object_) if b.extra is None else b.extra for b in blocks])


def _joined(
    columns: Sequence[Mapping[str, npt.NDArray[Any]]], blocks: Sequence[Block], missing: float, dtype: npt.DTypeLike
) -> dict[str, npt.NDArray[Any]]:
    """Columns that not every block has: what is not there is *missing*."""
    names: Iterable[str] = dict.fromkeys(name for by_name in columns for name in by_name)
    return {
        name: np.concatenate(
            [
                by_name[name] if name in by_name else np.full(len(block), missing, dtype)
                for by_name, block in zip(columns, blocks, strict=True)
            ]
        )
        for name in names
    }
