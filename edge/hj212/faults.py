"""What can be wrong with a packet: a kind, where in the stream, and a few words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """The names are stable: they are printed, counted and published. docs/hj212.md explains each."""

    # the stream
    NOISE = "noise"
    PADDING = "padding"
    LENGTH_FIELD = "length_field"
    LENGTH_MISMATCH = "length_mismatch"
    SEGMENT_TOO_LONG = "segment_too_long"
    TRUNCATED = "truncated"
    OVERLONG = "overlong"
    TAIL_MISSING = "tail_missing"
    TAIL_MALFORMED = "tail_malformed"
    # the check value and the cipher
    CRC_MISSING = "crc_missing"
    CRC_MALFORMED = "crc_malformed"
    CRC_MISMATCH = "crc_mismatch"
    CRC_VARIANT = "crc_variant"
    ENCRYPTED = "encrypted"
    CIPHER_MALFORMED = "cipher_malformed"
    # the text
    NOT_UTF8 = "not_utf8"
    UNDECODABLE = "undecodable"
    BLANK = "blank"
    # the header
    CP_MISSING = "cp_missing"
    CP_UNCLOSED = "cp_unclosed"
    HEADER_COMMA = "header_comma"
    HEADER_SEPARATOR = "header_separator"
    HEADER_ITEM = "header_item"
    KEY_CASE = "key_case"
    FIELD_MISSING = "field_missing"
    FIELD_DUPLICATE = "field_duplicate"
    FIELD_MALFORMED = "field_malformed"
    RF_MALFORMED = "rf_malformed"
    PARTS_MISSING = "parts_missing"
    # the data area
    ITEM_EMPTY = "item_empty"
    ITEM_WITHOUT_VALUE = "item_without_value"
    ITEM_DUPLICATE = "item_duplicate"
    ITEM_SPLIT = "item_split"
    GROUP_MIXED = "group_mixed"
    DATA_TIME_MALFORMED = "data_time_malformed"
    VALUE_MALFORMED = "value_malformed"
    # the list
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong. `offset`: of its first byte, from the beginning of the stream; `length`: in bytes."""

    kind: FaultKind
    offset: int
    length: int
    text: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.offset}: {self.text}"


MOST: Final = 200
"""Faults of one text that are told one by one: 64 kB of commas must not become 64,000 of them."""


class Notes:
    """Collects faults by their place in a text and tells them by their place in the stream."""

    def __init__(self, text: str, encoding: str, offset: int) -> None:
        """*offset*: of the first byte of *text*, which was read by *encoding*."""
        self.faults: list[Fault] = []
        self._text, self._encoding, self._offset = text, encoding, offset

    def add(self, kind: FaultKind, at: int, length: int, words: str) -> None:
        if len(self.faults) > MOST:
            return
        if len(self.faults) == MOST:
            kind, words = FaultKind.MORE, f"and more: the first {MOST} are told"
        before, part = self._bytes(0, at), self._bytes(at, at + length)
        self.faults.append(Fault(kind, self._offset + before, part, words))

    def find(self, text: str) -> int:
        """Place of *text*; of the beginning where it does not stand like that."""
        return max(0, self._text.find(text))

    def _bytes(self, start: int, end: int) -> int:
        if self._encoding in ("ascii", "latin-1"):
            return end - start
        return len(self._text[start:end].encode(self._encoding))
