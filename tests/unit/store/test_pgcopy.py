"""PostgreSQL's binary COPY format, as the manual describes it."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import pytest

from store import pgcopy
from store.pgcopy import Coded, Column, Fixed, Free

NULL: Final = b"\xff\xff\xff\xff"


def cell(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def copied(columns: list[Column], n_rows: int) -> bytes:
    """The rows without what surrounds them."""
    whole = b"".join(pgcopy.buffers(columns, n_rows))
    assert whole.startswith(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
    assert whole.endswith(b"\xff\xff")
    return whole[19:-2]


def test_numbers_are_big_endian_behind_their_length() -> None:
    columns: list[Column] = [
        pgcopy.int2("a", np.array([1, -2])),
        pgcopy.int4("b", np.array([70_000, 0])),
        pgcopy.int8("c", np.array([1 << 40, -1])),
        Fixed("d", ">f8", np.array([1.5, -0.25])),
    ]
    first = cell(struct.pack(">h", 1)) + cell(struct.pack(">i", 70_000)) + cell(struct.pack(">q", 1 << 40))
    second = cell(struct.pack(">h", -2)) + cell(struct.pack(">i", 0)) + cell(struct.pack(">q", -1))
    assert copied(columns, 2) == (
        b"\x00\x04" + first + cell(struct.pack(">d", 1.5)) + b"\x00\x04" + second + cell(struct.pack(">d", -0.25))
    )


def test_a_null_is_a_length_of_minus_one_without_bytes() -> None:
    column = pgcopy.float8("v", np.array([np.nan, 2.0]))
    assert column is not None
    assert copied([column], 2) == b"\x00\x01" + NULL + b"\x00\x01" + cell(struct.pack(">d", 2.0))


def test_a_column_of_nothing_but_nulls_is_left_to_its_default() -> None:
    assert pgcopy.float8("v", np.array([np.nan, np.nan])) is None


def test_times_count_from_the_year_2000() -> None:
    at = np.array([946_684_800_000_000 + 5])
    assert copied([pgcopy.timestamptz("at", at)], 1) == b"\x00\x01" + cell(struct.pack(">q", 5))
    null = pgcopy.timestamptz("at", at, np.array([True]))
    assert copied([null], 1) == b"\x00\x01" + NULL


def test_few_different_texts_of_any_length_are_coded() -> None:
    column = Coded("t", np.array([0, 1, 2, 3, 1]), (None, "主", "", "backup"))
    rows = [NULL, cell("主".encode()), cell(b""), cell(b"backup"), cell("主".encode())]
    assert copied([column], 5) == b"".join(b"\x00\x01" + row for row in rows)


def test_free_texts_lie_behind_the_numbers_of_their_row() -> None:
    columns: list[Column] = [
        Coded("t", np.array([0, 1]), ("a", "long")),
        Free("j", [None, b"\x01{}"]),
        Free("k", [b"", None]),
    ]
    assert copied(columns, 2) == (
        b"\x00\x03" + cell(b"a") + NULL + cell(b"") + b"\x00\x03" + cell(b"long") + cell(b"\x01{}") + NULL
    )


def test_free_texts_anywhere_else_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="come last"):
        copied([Free("j", [None]), pgcopy.int4("a", np.array([1]))], 1)


def test_rows_are_the_same_however_they_are_sliced(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.where(np.arange(100) % 3 == 0, np.nan, np.arange(100) / 7)
    column = pgcopy.float8("v", values)
    assert column is not None
    columns: list[Column] = [pgcopy.int4("a", np.arange(100)), column, Free("j", [b"x" * (i % 5) for i in range(100)])]
    whole = copied(columns, 100)
    monkeypatch.setattr(pgcopy, "_SLICE", 7)
    assert copied(columns, 100) == whole


def test_no_rows_are_a_head_and_an_end() -> None:
    assert copied([pgcopy.int4("a", np.array([], np.int32))], 0) == b""
