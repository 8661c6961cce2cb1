"""PostgreSQL's binary COPY format, written by column: arrays in, bytes out, nothing looked at row by row.

All rows of one slice have the same layout, so they are one structured array: a length word and a value for each
column. Where a value is null or a text is short its bytes are left out. Only columns of free text lie behind that
array, row by row. The format is in the manual of PostgreSQL, COPY, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from plant.blocks import Bytes, Truths
from plant.periods import Instants

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
JSONB: Final = b"\x01"  #: the version that a jsonb begins with

_NULL: Final = -1
_Y2K_US: Final = 946_684_800_000_000  # the database counts microseconds from 2000-01-01
_SLICE: Final = 16_384  # rows: a few megabytes at a time
_WORD: Final = 4


@dataclass(frozen=True, slots=True)
class Fixed:
    """A column of numbers. `dtype` is that of the database's type, big-endian."""

    name: str
    dtype: str
    values: npt.NDArray[Any]
    null: Truths | None = None


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different texts. `codes` are places in `texts`; None is null."""

    name: str
    codes: npt.NDArray[Any]
    texts: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Free:
    """A column of any bytes, one a row; None is null. Such columns come last."""

    name: str
    values: Sequence[bytes | None]


Column = Fixed | Coded | Free


def int2(name: str, values: npt.NDArray[Any]) -> Fixed:
    return Fixed(name, ">i2", values)


def int4(name: str, values: npt.NDArray[Any]) -> Fixed:
    return Fixed(name, ">i4", values)


def int8(name: str, values: npt.NDArray[Any]) -> Fixed:
    return Fixed(name, ">i8", values)


def float8(name: str, values: npt.NDArray[np.float64]) -> Fixed | None:
    """NaN is null; no column where there is nothing else."""
    null = np.isnan(values)
    if not null.any():
        return Fixed(name, ">f8", values)
    return None if null.all() else Fixed(name, ">f8", values, null)


def letter(name: str, values: Bytes) -> Fixed:
    """A text of one ASCII character."""
    return Fixed(name, "u1", values)


def timestamptz(name: str, at_us: Instants, null: Truths | None = None) -> Fixed:
    """Microseconds since the epoch."""
    return Fixed(name, ">i8", at_us - _Y2K_US, null)


def buffers(columns: Sequence[Column], n_rows: int) -> Iterator[bytes]:
    """What COPY FROM STDIN (FORMAT BINARY) reads, in pieces."""
    yield HEADER
    fixed = [column for column in columns if not isinstance(column, Free)]
    free = [column for column in columns if isinstance(column, Free)]
    assert [*fixed, *free] == list(columns), "columns of free text come last"
    for start in range(0, n_rows, _SLICE):
        rows = slice(start, min(n_rows, start + _SLICE))
        body, lengths = _fixed_part(fixed, len(columns), rows)
        yield (_with_free(body, lengths, free, rows) if free else body).tobytes()
    yield TRAILER


def _fixed_part(columns: Sequence[Fixed | Coded], n_fields: int, rows: slice) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """The bytes of *rows* without their free texts, and how many each row has."""
    n_rows = rows.stop - rows.start
    parts = [_Part(column, rows) for column in columns]
    layout = [("fields", ">i2")]
    for place, part in enumerate(parts):
        layout += [(f"length{place}", ">i4"), (f"value{place}", part.dtype)]
    table = np.empty(n_rows, dtype=np.dtype(layout))
    table["fields"] = n_fields
    for place, part in enumerate(parts):
        table[f"length{place}"] = part.lengths
        table[f"value{place}"] = part.values
    cells = table.view(np.uint8).reshape(n_rows, -1)
    if all(part.kept is None for part in parts):
        return cells.reshape(-1), np.full(n_rows, table.dtype.itemsize)
    kept = np.ones(cells.shape, dtype=bool)
    for place, part in enumerate(parts):
        if part.kept is not None:
            offset = table.dtype.fields[f"value{place}"][1]
            kept[:, offset : offset + part.width] = part.kept
    return cells[kept], kept.sum(axis=1)


class _Part:
    """One column of a slice: lengths and values, and which bytes of the values are there (None: all)."""

    __slots__ = ("dtype", "kept", "lengths", "values", "width")

    def __init__(self, column: Fixed | Coded, rows: slice) -> None:
        self.lengths: int | npt.NDArray[Any]
        self.kept: Truths | None = None
        if isinstance(column, Fixed):
            self.dtype = column.dtype
            self.values: npt.NDArray[Any] = column.values[rows]
            self.width = np.dtype(self.dtype).itemsize
            self.lengths = self.width
            if column.null is not None:
                null = column.null[rows]
                self.lengths = np.where(null, _NULL, self.width)
                self.kept = ~null[:, None]
            return
        texts = [b"" if text is None else text.encode() for text in column.texts]
        codes = column.codes[rows]
        sizes = np.array([_NULL if text is None else len(text.encode()) for text in column.texts])
        self.width = max(1, *sizes)
        self.dtype = f"V{self.width}"
        padded = np.frombuffer(b"".join(text.ljust(self.width, b"\0") for text in texts), dtype=self.dtype)
        self.values = padded[codes]
        lengths = sizes[codes]
        self.lengths = lengths
        if (sizes != self.width).any():
            self.kept = np.arange(self.width) < lengths[:, None]


def _with_free(body: Bytes, lengths: npt.NDArray[np.int64], columns: Sequence[Free], rows: slice) -> Bytes:
    """*body* with the free texts of each row behind its own part."""
    cells = [b"".join(map(_free_cell, row)) for row in zip(*(column.values[rows] for column in columns), strict=True)]
    sizes = np.empty(2 * len(cells), dtype=np.int64)
    sizes[::2], sizes[1::2] = lengths, [len(cell) for cell in cells]
    is_free = np.repeat(np.tile([False, True], len(cells)), sizes)
    whole = np.empty(is_free.size, dtype=np.uint8)
    whole[~is_free] = body
    whole[is_free] = np.frombuffer(b"".join(cells), dtype=np.uint8)
    return whole


def _free_cell(value: bytes | None) -> bytes:
    return _NULL_CELL if value is None else len(value).to_bytes(_WORD, "big") + value


_NULL_CELL: Final = b"\xff\xff\xff\xff"
