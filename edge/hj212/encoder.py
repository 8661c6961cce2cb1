"""A segment as bytes: header, length, data, check value, tail. What this writes, `edge.hj212.decoder` reads without a
fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from edge.hj212 import cipher
from edge.hj212.crc import STANDARD, VARIANTS
from edge.hj212.decoder import MAX_SEGMENT
from edge.hj212.segment import NUMBERED, Group, Segment, Value

_NAME: Final = re.compile(r"[^\s=;,&#\x00-\x1f\x7f]+")
_VALUE: Final = re.compile(r"[^=;,&#\x00-\x1f\x7f]*")
_TEXT: Final = re.compile(r"//[^&#\x00-\x1f\x7f/]*//")
_MAX_DECLARED: Final = 9999


def encode(segment: Segment, *, crc: str = STANDARD, key: bytes | None = None) -> bytes:
    """The packet of *segment*; enciphered with SM4 where a *key* of 16 bytes is given and there is data.

    Raises
    ------
    ValueError
        If a name or value cannot be written, or the data segment is longer than four digits can say.
    """
    head = "".join(f"{name}={_checked(value)};" for name, value in segment.header()).encode()
    area = _area(segment.fields).encode()
    plain = head + b"CP=&&" + area + b"&&"
    if len(plain) > _MAX_DECLARED:
        raise ValueError(f"a data segment of {len(plain)} bytes cannot be declared: split it")
    sent = (
        plain if key is None or not area else head + b"CP=&&" + cipher.write_bytes(cipher.encipher(area, key)) + b"&&"
    )
    return b"##%04d" % len(plain) + sent + b"%04X\r\n" % VARIANTS[crc](plain)


def split(segment: Segment, *, qn_of: Callable[[int], str], limit: int = MAX_SEGMENT) -> list[Segment]:
    """*segment* in as few packets as its groups need, each at most *limit* bytes long before enciphering.

    Each has its own QN, `qn_of(number)` with numbers from 1, its PNUM and PNO, and the first group (DataTime) again
    (HJ 212-2017, 4.6). One packet is enough: *segment* as it is.

    Raises
    ------
    ValueError
        If one group alone is too long.
    """
    if _length(segment) <= limit:
        return [segment]
    flag = (segment.flag or 0) | NUMBERED
    widest = replace(segment, flag=flag, pnum=9999, pno=9999, fields=())
    first, *rest = segment.fields
    parts: list[list[Group]] = [[first]]
    for group in rest:
        if _length(replace(widest, fields=[*parts[-1], group])) > limit:
            parts.append([first])
        parts[-1].append(group)
        if _length(replace(widest, fields=parts[-1])) > limit:
            raise ValueError(f"one group alone is longer than {limit} bytes: {list(group)[:3]}")
    return [
        replace(segment, qn=qn_of(number), flag=flag, pnum=len(parts), pno=number, fields=tuple(part))
        for number, part in enumerate(parts, start=1)
    ]


def _length(segment: Segment) -> int:
    return len(encode(segment)) - len(b"##0000") - len(b"0000\r\n")


def _area(fields: Sequence[Group]) -> str:
    return ";".join(",".join(_item(name, value) for name, value in group.items()) for group in fields)


def _item(name: str, value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name!r} must have one value")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of an item")
    return f"{name}={_checked(value)}"


def can_be_written(value: str) -> bool:
    """Whether *value* would be read as it is."""
    return value.strip() == value and bool(_VALUE.fullmatch(value) or _TEXT.fullmatch(value))


def _checked(value: str) -> str:
    if not can_be_written(value):
        raise ValueError("a value that cannot be written: separators belong between // and //")
    return value
