"""Cutting a stream of bytes into packets: header, declared length, tail (HJ 212-2017, 6.3.2). What is inside is left
to `edge.hj212.area` and `edge.hj212.decoder`.

Where a packet ends, in this order:

1. before the next packet, where a tail stands directly before its header (`&&1C80`, CR LF, `##0101`), whatever length
   was declared: nobody has that inside a value;
2. where the declared length says, if `&&` stands there and a check value after it;
3. at the next tail (`&&`, four hex digits, CR LF), but not past the header of the next packet: there it was cut off.

The outcome is a function of the bytes alone, however they were cut into chunks. What would need more bytes waits for
them; `quiet` and `close` decide without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edge.hj212.faults import Fault, FaultKind

MAX_PACKET: Final = 65_536
"""Bytes after which a packet without an end is cut off. The longest that four digits can declare has 9,999; enciphered
text takes five bytes a byte."""
MIN_MAX_PACKET: Final = 10_100
HEADER_REACH: Final = 24
"""Bytes after `##` within which a header, however misprinted, is recognised."""
TAIL_REACH: Final = 20

_MARK: Final = b"##"
_CLOSE: Final = b"&&"
_HEADER: Final = re.compile(rb"##(?:(\d{4})(?!\d)|[ \t]{0,4}(\d{0,6})[ \t]{0,4}(?=[A-Za-z]{2,4}=))")
_NEXT: Final = re.compile(rb"##\d{4}[A-Za-z]{2,4}=")
_SPLICE: Final = re.compile(rb"&&([0-9A-Fa-f]{4})(\r\n|\n|\r)?(?=##\d{4}[A-Za-z]{2,4}=)")
_TAIL: Final = re.compile(rb"&&([0-9A-Fa-f]{4})(\r\n)")
_TAIL_LIKE: Final = re.compile(
    rb"&&(?:([0-9A-Fa-f]{4})[ \t\0]{0,4}(\r\n|\n|\r|(?<!CP=&&[0-9A-Fa-f]{4})\Z)"  # CP=&&a210: an area that begins
    rb"|([0-9A-Za-z]{0,8})[ \t\0]{0,4}(\r\n|\n))"
)
_AFTER: Final = re.compile(rb"([0-9A-Fa-f]{4})(?:[ \t\0]{0,4}(\r\n|\n|\r))?|([0-9A-Za-z]{0,8})[ \t\0]{0,4}(\r\n|\n|\r)")
_BLANK_BYTES: Final = b"\r\n\t \0"
_BLANKS: Final = re.compile(rb"[\r\n\t \0]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One packet of the stream, not yet read. `offset`: of its `##`; `length`: of all its bytes."""

    offset: int
    length: int
    declared: int | None  #: None where no number stands
    start: int  #: of the data segment, from `offset`
    segment: bytes  #: from the first header field to the closing `&&`
    crc: bytes | None  #: the check value as it stands; None where the packet was cut off
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _End:
    """Where a data segment ends, where the packet ends, the check value, and the line end after it."""

    segment: int
    packet: int
    crc: bytes | None
    line: bytes


class Framer:
    """Bytes in, frames and faults out. Holds at most *max_packet* bytes and the chunk that it is given."""

    def __init__(self, *, max_packet: int = MAX_PACKET) -> None:
        if max_packet < MIN_MAX_PACKET:
            raise ValueError(f"max_packet must be at least {MIN_MAX_PACKET}: four digits can declare 9999")
        self._max = max_packet
        self._buffer = bytearray()
        self._offset = 0  # of the first byte in the buffer, from the beginning of the stream
        self._searched = 0  # how far the packet at the front was searched for its end
        self._noise = 0  # bytes before the buffer that belong to no packet
        self._noise_is_blank = True
        self._out: list[Frame | Fault] = []

    @property
    def held(self) -> int:
        """Bytes that wait for more."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> list[Frame | Fault]:
        """What *chunk* completes."""
        self._buffer += chunk
        self._cut(final=False)
        return self._told()

    def quiet(self) -> list[Frame | Fault]:
        """What can be decided when the peer waits: a packet whose tail came, but not its line end or declared length.

        A packet without a tail stays: the rest may come.
        """
        while self._find_header(final=False) and (end := self._end(final=True, partial=False)):
            self._take(end)
        return self._told()

    def close(self) -> list[Frame | Fault]:
        """All that is left, as if nothing more comes."""
        self._cut(final=True)
        self._skip(len(self._buffer))
        self._tell_noise()
        return self._told()

    def _told(self) -> list[Frame | Fault]:
        told, self._out = self._out, []
        return told

    def _cut(self, *, final: bool) -> None:
        while self._find_header(final=final):
            end = self._end(final=final, partial=final)
            if end is not None:
                self._take(end)
            elif len(self._buffer) > self._max:
                self._give_up()
            else:
                return

    # ---- headers, and what stands between packets ----

    def _find_header(self, *, final: bool) -> bool:
        """Bring the next header to the front of the buffer; what stood before it belongs to no packet."""
        buffer, at = self._buffer, 0
        while (at := buffer.find(_MARK, at)) >= 0:
            match = _HEADER.match(buffer, at)
            if match and (final or match[1] is None or match.end() < len(buffer)):
                self._skip(at)
                return True
            if not final and len(buffer) - at < HEADER_REACH:
                self._skip(at)
                return False
            at += 1
        self._skip(len(buffer) - buffer.endswith(b"#"))
        return False

    def _skip(self, length: int) -> None:
        """Count bytes as belonging to no packet, and tell of them before they are too many."""
        while length:
            part = min(length, self._max - self._noise)
            self._noise_is_blank &= _BLANKS.fullmatch(self._buffer, 0, part) is not None
            self._noise += part
            self._drop(part)
            length -= part
            if self._noise == self._max:
                self._tell_noise()

    def _tell_noise(self) -> None:
        if not self._noise:
            return
        kind, words = FaultKind.NOISE, 'bytes without a header ("##", four digits)'
        if self._noise_is_blank:
            kind, words = FaultKind.PADDING, "blanks, line ends or zero bytes between packets"
        self._out.append(Fault(kind, self._offset - self._noise, self._noise, f"{self._noise} {words}"))
        self._noise, self._noise_is_blank = 0, True

    def _drop(self, length: int) -> None:
        del self._buffer[:length]
        self._offset += length
        self._searched = 0

    # ---- where a packet ends ----

    def _header(self) -> tuple[int | None, int]:
        """The declared length, and where the data segment starts."""
        match = _HEADER.match(self._buffer)
        assert match is not None, "a header stands at the front"
        digits = match[1] or match[2]
        return (int(digits) if digits else None), match.end()

    def _end(self, *, final: bool, partial: bool) -> _End | None:
        """The end of the packet at the front; None where that takes more bytes; *partial*: also one cut off."""
        declared, start = self._header()
        if declared is not None:
            end = start + declared
            if self._buffer.find(_MARK, start, end) >= 0 and (splice := _SPLICE.search(self._buffer, start, end)):
                return _End(splice.start() + 2, splice.end(), splice[1], splice[2] or b"")
            if len(self._buffer) < end and not final:
                return None
            if self._buffer[end - 2 : end] == _CLOSE and declared >= 2:
                after = _AFTER.match(self._buffer, end)
                line = (after[2] or after[4] or b"") if after else b""
                if not (final or line.endswith(b"\n") or len(self._buffer) >= end + TAIL_REACH):
                    return None
                if after:
                    crc = after[1] if after[1] is not None else after[3]
                    return _End(end, after.end(), crc, line)
        return self._next_tail(start, final=final, partial=partial)

    def _next_tail(self, start: int, *, final: bool, partial: bool) -> _End | None:
        limit = min(len(self._buffer), self._max)
        at = max(start, self._searched)
        following = _NEXT.search(self._buffer, at, limit)
        until = following.start() if following else limit
        if tail := _TAIL.search(self._buffer, at, until):
            return _End(tail.start() + 2, tail.end(), tail[1], tail[2])
        if not (following or final):
            self._searched = max(start, limit - TAIL_REACH)
            return None
        if tail := _TAIL_LIKE.search(self._buffer, start, until):
            crc, line = (tail[1], tail[2]) if tail[1] is not None else (tail[3], tail[4])
            return _End(tail.start() + 2, tail.end(), crc, line)
        return _End(until, until, None, b"") if following or partial else None

    def _take(self, end: _End) -> None:
        self._tell_noise()
        declared, start = self._header()
        segment = bytes(self._buffer[start : end.segment])
        frame = Frame(
            offset=self._offset,
            length=end.packet,
            declared=declared,
            start=start,
            segment=segment if end.crc is not None else segment.rstrip(_BLANK_BYTES),
            crc=end.crc,
            faults=tuple(self._faults(end, start)),
        )
        self._out.append(frame)
        self._drop(end.packet)

    def _faults(self, end: _End, start: int) -> list[Fault]:
        faults: list[Fault] = []
        if start != 6:
            text = "the length is not four digits directly after ##"
            faults.append(Fault(FaultKind.LENGTH_FIELD, self._offset + 2, start - 2, text))
        if end.crc is None:
            text = "no tail (&&, check value, CR LF) before the next packet or the end"
            faults.append(Fault(FaultKind.TRUNCATED, self._offset + end.packet, 0, text))
        elif not end.line:
            faults.append(Fault(FaultKind.TAIL_MISSING, self._offset + end.packet, 0, "no CR LF after the check value"))
        elif end.packet - end.segment != len(end.crc) + 2 or end.line != b"\r\n":
            at = end.segment + len(end.crc)
            text = "something else than CR LF after the check value"
            faults.append(Fault(FaultKind.TAIL_MALFORMED, self._offset + at, end.packet - at, text))
        return faults

    def _give_up(self) -> None:
        """No end in as many bytes as a packet may have."""
        self._tell_noise()
        length = self._max - TAIL_REACH
        text = f"no end within {self._max} bytes"
        self._out.append(Fault(FaultKind.OVERLONG, self._offset, length, text))
        self._drop(length)
