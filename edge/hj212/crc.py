"""The check value of HJ 212 (appendix A) and the variants that one meets in the field.

The standard shifts first and drops the high byte, so that its value differs from CRC-16/MODBUS over the same
polynomial. Which variant a site allows is the decoder's question, not this module's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

POLYNOMIAL: Final = 0xA001
STANDARD: Final = "hj212"
_FOUR: Final = re.compile(r"[0-9A-Fa-f]{4}")
_SHORT: Final = re.compile(r"[1-9A-Fa-f][0-9A-Fa-f]{0,2}|0")


def _step(value: int) -> int:
    """Eight shifts of one byte."""
    for _ in range(8):
        value = (value >> 1) ^ POLYNOMIAL if value & 1 else value >> 1
    return value


_TABLE: Final = tuple(_step(value) for value in range(256))


_HIGH: Final = bytes(value >> 8 for value in _TABLE)
"""The high byte of the register after one more byte: all of it that goes into the next step."""


def hj212(data: bytes) -> int:
    """The check value of HJ 212-2017 appendix A; that of no bytes is FFFF.

    A step is linear over XOR. So two neighbours fold into one byte: the left one through the table of one step, XOR the
    right one; what is left folds through the table of two steps, then of four. Each fold halves the data in C.
    """
    if not data:
        return 0xFFFF
    folded = bytes((data[0] ^ 0xFF,)) + data[1:]  # the register begins as FFFF
    table = _HIGH
    while len(folded) > 1:
        if len(folded) % 2:
            folded = b"\0" + folded
        left = folded[0::2].translate(table)
        mixed = int.from_bytes(left) ^ int.from_bytes(folded[1::2])
        folded = mixed.to_bytes(len(left))
        table = table.translate(table)
    return _TABLE[folded[0]]


def modbus(data: bytes) -> int:
    """CRC-16/MODBUS."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ _TABLE[(register ^ byte) & 0xFF]
    return register


def swapped(value: int) -> int:
    """*value* with its two bytes exchanged."""
    return (value & 0xFF) << 8 | value >> 8


VARIANTS: Final[Mapping[str, Callable[[bytes], int]]] = {
    STANDARD: hj212,
    "swapped": lambda data: swapped(hj212(data)),
    "modbus": modbus,
    "modbus_swapped": lambda data: swapped(modbus(data)),
}
"""Check values by name, the standard first."""
UNPADDED: Final = "unpadded"
"""The standard's value without its leading zeros: three digits or fewer."""
NAMES: Final = (*VARIANTS, UNPADDED)


def variant_of(data: bytes, digits: str) -> str | None:
    """Which variant gives *digits* over *data*, the standard one before all others; None where none does."""
    if _SHORT.fullmatch(digits):
        return UNPADDED if f"{hj212(data):x}" == digits.lower() else None
    if not _FOUR.fullmatch(digits):
        return None
    value = int(digits, 16)
    return next((name for name, check in VARIANTS.items() if check(data) == value), None)
