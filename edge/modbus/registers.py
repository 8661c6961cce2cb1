"""Numbers in Modbus registers: types, and the orders in which devices lay their bytes. No I/O.

The orders are named by the bytes of a 32-bit number whose most significant is A:

    ABCD    as the protocol means it               CDAB    words swapped
    BADC    bytes swapped within each word         DCBA    both

For one word `ABCD` and `CDAB` are the same, so are `BADC` and `DCBA`. For four words, swapped means reversed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

REGISTERS: Final = ("holding", "input")
BITS: Final = ("coil", "discrete")
ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
ADDRESSES: Final = 65_536

_FORMATS: Final[Mapping[str, str]] = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}
WORDS: Final[Mapping[str, int]] = {
    **{name: struct.calcsize(layout) // 2 for name, layout in _FORMATS.items()},
    "bcd16": 1,
    "bcd32": 2,
}
"""Type -> registers it takes."""
WHOLE: Final = tuple(name for name in WORDS if not name.startswith("float"))
BIT: Final = "bit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Where a number lies: *address* counts from 0, as on the wire."""

    space: str  #: one of `REGISTERS` or `BITS`
    address: int
    type: str  #: one of `WORDS`, or `BIT`
    order: str = "ABCD"

    @property
    def size(self) -> int:
        return WORDS.get(self.type, 1)

    @property
    def end(self) -> int:
        return self.address + self.size


def decode(register: Register, words: Sequence[int]) -> float | None:
    """The number in *words*; None where they hold none, as in a BCD digit above 9."""
    if register.type == BIT:
        return int(words[0])
    data = _in_order(words, register.order)
    if register.type.startswith("bcd"):
        digits = data.hex()
        return int(digits) if digits.isdecimal() else None
    number: float = struct.unpack(_FORMATS[register.type], data)[0]
    return number


def _in_order(words: Sequence[int], order: str) -> bytes:
    """*words* as the bytes of a number, the most significant first."""
    if order in ("CDAB", "DCBA"):
        words = words[::-1]
    return b"".join(word.to_bytes(2, "little" if order in ("BADC", "DCBA") else "big") for word in words)
