"""Bytes in, packets and faults out: framing, check value, cipher and text in their order. No I/O, no clock.

A packet whose check value is wrong is read all the same and says so: "if the CRC is wrong, processing ends" (appendix
A) is a matter for who acts on it, and `Packet.crc_ok` is what that asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from edge.hj212 import cipher
from edge.hj212.commands import Command, command_of
from edge.hj212.crc import NAMES, STANDARD, hj212, variant_of
from edge.hj212.faults import Fault, FaultKind
from edge.hj212.framing import MAX_PACKET, Frame, Framer
from edge.hj212.reading import number, read
from edge.hj212.segment import REPLY_WANTED, Group, Version, version_of
from edge.hj212.times import epoch_ms

MAX_SEGMENT: Final = 1024  #: bytes of a data segment (4.1)
ANY_MN: Final = "*"
_OPEN: Final = b"CP=&&"
_CLOSE: Final = b"&&"
_MN: Final = re.compile(rb"MN=([^;,&]*)")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet as it came. Header fields that are missing or no numbers are None."""

    offset: int  #: of its `##`, from the beginning of the stream
    length: int  #: of all its bytes
    declared: int | None
    length_ok: bool
    crc: str | None  #: as it stands
    crc_ok: bool  #: by the standard, or by a variant that the site allows
    crc_variant: str | None  #: the one that matches, allowed or not
    header: Mapping[str, str]
    fields: tuple[Group, ...]  #: one mapping a `;` group of the data area
    faults: tuple[Fault, ...]
    enciphered: bool = False
    segment: bytes = b""  #: the data segment, in plain text where the key was known

    @property
    def qn(self) -> str | None:
        return self.header.get("QN")

    @property
    def st(self) -> str | None:
        return self.header.get("ST")

    @property
    def cn(self) -> str | None:
        return self.header.get("CN")

    @property
    def pw(self) -> str | None:
        return self.header.get("PW")

    @property
    def mn(self) -> str | None:
        return self.header.get("MN")

    @property
    def flag(self) -> int | None:
        return number(self.header, "Flag")

    @property
    def pnum(self) -> int | None:
        return number(self.header, "PNUM")

    @property
    def pno(self) -> int | None:
        return number(self.header, "PNO")

    @property
    def version(self) -> Version | None:
        return version_of(self.flag)

    @property
    def command(self) -> Command | None:
        return command_of(self.cn)

    @property
    def reply_wanted(self) -> bool:
        """Bit A of Flag."""
        return bool((self.flag or 0) & REPLY_WANTED)

    @property
    def resend(self) -> bool:
        """RF=1 (2025)."""
        return self.header.get("RF") == "1"

    @property
    def data_time_ms(self) -> int | None:
        """DataTime as epoch [ms]; None where there is none that can be read."""
        for group in self.fields:
            if isinstance(text := group.get("DataTime"), str):
                return epoch_ms(text)
        return None


class Decoder:
    """The packets of one stream.

    Parameters
    ----------
    allowed_crc
        Names of check values (`edge.hj212.crc.NAMES`) that this site takes beside the standard one.
    keys
        SM4 keys of 16 bytes by MN; `*` is for every other one.
    max_packet
        Bytes without an end after which a packet is cut off. [bytes]
    """

    def __init__(
        self,
        *,
        allowed_crc: Collection[str] = (),
        keys: Mapping[str, bytes] | None = None,
        max_packet: int = MAX_PACKET,
    ) -> None:
        if unknown := set(allowed_crc) - set(NAMES):
            raise ValueError(f"unknown check values {sorted(unknown)}: there are {list(NAMES)}")
        self._allowed = frozenset(allowed_crc) | {STANDARD}
        self._keys = dict(keys or {})
        if any(len(key) != cipher.KEY_BYTES for key in self._keys.values()):
            raise ValueError(f"an SM4 key has {cipher.KEY_BYTES} bytes")
        self._framer = Framer(max_packet=max_packet)

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return self._framer.held

    def feed(self, chunk: bytes) -> list[Packet | Fault]:
        """What *chunk* completes, in the order of the stream."""
        return self._read(self._framer.feed(chunk))

    def quiet(self) -> list[Packet | Fault]:
        """What can be decided when nothing more came for a while: packets without line end or declared length."""
        return self._read(self._framer.quiet())

    def close(self) -> list[Packet | Fault]:
        """All that is left at the end of the stream."""
        return self._read(self._framer.close())

    def _read(self, cut: list[Frame | Fault]) -> list[Packet | Fault]:
        return [self._packet(item) if isinstance(item, Frame) else item for item in cut]

    def _packet(self, frame: Frame) -> Packet:
        plain = self._plain(frame)
        at = frame.offset + frame.start
        found = read(plain.segment if plain.readable else plain.head, at)
        length_ok = frame.declared == plain.length
        variant = _variant(frame, plain)
        faults = [*frame.faults, *plain.faults, *found.faults]
        faults += _length_faults(frame, plain.length, length_ok=length_ok)
        faults += _crc_faults(frame, plain, variant)
        return Packet(
            offset=frame.offset,
            length=frame.length,
            declared=frame.declared,
            length_ok=length_ok,
            crc=None if frame.crc is None else frame.crc.decode("ascii"),
            crc_ok=variant in self._allowed,
            crc_variant=variant,
            header=found.header,
            fields=found.fields,
            faults=tuple(faults),
            enciphered=not plain.readable,
            segment=plain.segment,
        )

    def _plain(self, frame: Frame) -> _Plain:
        """The plain text of a data segment; length and check value are those of that (2025, appendix A.2)."""
        segment = frame.segment
        start = segment.find(_OPEN) + len(_OPEN)
        if start < len(_OPEN) or not cipher.looks_enciphered(segment[start : start + cipher.BLOCK]):
            return _Plain(segment, len(segment))
        end = segment.rfind(b"}") + 1
        head, at = segment[:start] + _CLOSE, frame.offset + frame.start + start
        written = cipher.read_bytes(segment[start:end])
        if written is None:
            fault = Fault(FaultKind.CIPHER_MALFORMED, at, len(segment) - start, "enciphered, but not as {0xNN,...}")
            return _Plain(segment, len(segment), head, readable=False, faults=(fault,))
        key = self._key(segment)
        if key is None:
            fault = Fault(FaultKind.ENCRYPTED, at, end - start, "enciphered, and no key is known for this MN")
            length = len(segment) - (end - start) + len(written)
            return _Plain(segment, length, head, readable=False, faults=(fault,))
        opened = segment[:start] + cipher.decipher(written, key) + segment[end:]
        return _Plain(opened, len(opened))

    def _key(self, segment: bytes) -> bytes | None:
        if not self._keys:
            return None
        match = _MN.search(segment)
        mn = match[1].decode("ascii", "replace").strip() if match else ANY_MN
        return self._keys.get(mn, self._keys.get(ANY_MN))


@dataclass(frozen=True, slots=True)
class _Plain:
    """A data segment without its cipher. `length`: of the plain text; `head`: what is left where no key is known."""

    segment: bytes
    length: int
    head: bytes = b""
    readable: bool = True
    faults: tuple[Fault, ...] = ()


def _variant(frame: Frame, plain: _Plain) -> str | None:
    """The check value that matches, by name."""
    if frame.crc is None or not plain.readable:
        return None
    return variant_of(plain.segment, frame.crc.decode("ascii"))


def _length_faults(frame: Frame, found: int, *, length_ok: bool) -> list[Fault]:
    faults = []
    if not length_ok:
        words = f"the length declared is {frame.declared}, the data segment has {found} bytes"
        faults.append(Fault(FaultKind.LENGTH_MISMATCH, frame.offset + 2, frame.start - 2, words))
    if found > MAX_SEGMENT:
        words = f"the data segment has {found} bytes, the standard allows {MAX_SEGMENT}"
        faults.append(Fault(FaultKind.SEGMENT_TOO_LONG, frame.offset + frame.start, len(frame.segment), words))
    return faults


def _crc_faults(frame: Frame, plain: _Plain, variant: str | None) -> list[Fault]:
    if frame.crc is None or variant == STANDARD:
        return []  # a packet that was cut off says that already
    at = frame.offset + frame.start + len(frame.segment)
    if not frame.crc:
        return [Fault(FaultKind.CRC_MISSING, at, 0, "no check value (CRC) after the closing &&")]
    found = frame.crc.decode("ascii")
    if variant is None and not _HEX.fullmatch(frame.crc):
        words = f"the check value (CRC) {found!r} is not four hex digits"
        return [Fault(FaultKind.CRC_MALFORMED, at, len(found), words)]
    if not plain.readable:
        return []
    right = f"{hj212(plain.segment):04X}"
    if variant is not None:
        words = f"the check value (CRC) {found} is that of {variant!r}; the standard's is {right}"
        return [Fault(FaultKind.CRC_VARIANT, at, len(found), words)]
    return [Fault(FaultKind.CRC_MISMATCH, at, len(found), f"the check value (CRC) is {right}, the packet says {found}")]
