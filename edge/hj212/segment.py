"""The data segment of a packet as values: header fields, and the items of the data area by their `;` groups.

Reading it is `edge.hj212.reading`'s work, writing it `edge.hj212.encoder`'s; what the commands mean is left to
`edge.hj212.messages`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

Value = str | tuple[str, ...] | None
"""The text after `=`; several where a name stands more than once in a group; None where there is no `=`."""
Group = Mapping[str, Value]

HEADER: Final = ("QN", "ST", "CN", "PW", "MN", "Flag", "PNUM", "PNO", "RF")
"""The header fields in their order (2017: 6.3.3 table 3; RF: 2025)."""


class Version(IntEnum):
    """Of the standard, by the upper six bits of Flag. A packet without Flag is of 2005."""

    HJT_2005 = 2005
    HJ_2017 = 2017
    HJ_2025 = 2025


VERSION_BITS: Final[Mapping[int, Version]] = {0: Version.HJT_2005, 1: Version.HJ_2017, 2: Version.HJ_2025}
REPLY_WANTED: Final = 1  #: bit A of Flag
NUMBERED: Final = 2  #: bit D of Flag: PNUM and PNO are there


def flag_of(version: Version, *, reply_wanted: bool = False, numbered: bool = False) -> int:
    """The integer after `Flag=` (4.2)."""
    bits = next(bits for bits, known in VERSION_BITS.items() if known is version)
    return bits << 2 | (NUMBERED if numbered else 0) | (REPLY_WANTED if reply_wanted else 0)


def version_of(flag: int | None) -> Version | None:
    """None where the bits name a version that we do not know."""
    return Version.HJT_2005 if flag is None else VERSION_BITS.get(flag >> 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What is to be sent. None leaves a header field out, as 2005 does with `qn` and `flag`."""

    st: str
    cn: str
    mn: str
    pw: str = "123456"
    qn: str | None = None
    flag: int | None = None
    pnum: int | None = None
    pno: int | None = None
    resend: bool = False  #: RF=1 (2025)
    fields: Sequence[Group] = field(default_factory=tuple)

    def header(self) -> list[tuple[str, str]]:
        """The header fields that are there, in the order of the standard."""
        numbers = (self.flag, self.pnum, self.pno, 1 if self.resend else None)
        values = (self.qn, self.st, self.cn, self.pw, self.mn, *numbers)
        return [(name, str(value)) for name, value in zip(HEADER, values, strict=True) if value is not None]
