"""The text of a data segment, read: its header fields, and what is wrong with them.

The usual header is taken by `str.split`; one that is not as it should be is read again, piece by piece, which knows the
place of each fault. Both give the same values. Nothing is left out: what has no place in the header stays in it under
its own name. The data area is left to `edge.hj212.area`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edge.hj212.area import read_area
from edge.hj212.faults import Fault, FaultKind, Notes
from edge.hj212.segment import HEADER, NUMBERED, Group, Version, version_of

_CLOSE: Final = "&&"
_CP: Final = "CP"
_CANONICAL: Final = {name.lower(): name for name in (*HEADER, _CP)}
_REQUIRED: Final = ("ST", "CN", "PW", "MN")
_PLAIN: Final = re.compile(r"(?:(?:QN|ST|CN|PW|MN|Flag|PNUM|PNO|RF)=[!-+\--:<>-~]*;)+CP=")
_PIECE: Final = re.compile(r"([^;,]*)([;,]|\Z)")
_GLUED: Final = re.compile(r"(?:QN|ST|CN|PW|MN|Flag|PNUM|PNO|RF|CP)=", re.IGNORECASE)
_HALF_OPENED: Final = re.compile(r"CP=&?", re.IGNORECASE)
_MOST_FLAG: Final = 255
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "QN": re.compile(r"[0-9]{17}"),
    "ST": re.compile(r"[0-9A-Z]{2}"),
    "CN": re.compile(r"[0-9]{4}"),
    "PW": re.compile(r".+"),
    "MN": re.compile(r".+"),
    "Flag": re.compile(r"[0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5]"),
    "PNUM": re.compile(r"[0-9]{1,4}"),
    "PNO": re.compile(r"[0-9]{1,4}"),
}


@dataclass(frozen=True, slots=True)
class Read:
    """A segment as it was read. `header`: by the names of the standard, others under their own."""

    header: Mapping[str, str]
    fields: tuple[Group, ...]
    faults: tuple[Fault, ...]


def read(segment: bytes, offset: int) -> Read:
    """*segment*, from its first header field to the closing `&&`; *offset*: of its first byte in the stream."""
    text, encoding, faults = _text(segment, offset)
    notes = Notes(text, encoding, offset)
    head, area, at = _opened(text, notes)
    header = _header(head, notes, opened=at < len(text))
    fields = read_area(area, at, notes)
    return Read(header, fields, (*faults, *notes.faults))


def _text(segment: bytes, offset: int) -> tuple[str, str, list[Fault]]:
    if segment.isascii():
        return segment.decode("ascii"), "ascii", []
    try:
        return segment.decode("utf-8"), "utf-8", []
    except UnicodeDecodeError:
        pass
    try:
        fault = Fault(FaultKind.NOT_UTF8, offset, len(segment), "the text is not UTF-8; read as GB 18030")
        return segment.decode("gb18030"), "gb18030", [fault]
    except UnicodeDecodeError:
        fault = Fault(FaultKind.UNDECODABLE, offset, len(segment), "the text is neither UTF-8 nor GB 18030")
        return segment.decode("latin-1"), "latin-1", [fault]


def _opened(text: str, notes: Notes) -> tuple[str, str, int]:
    """The header up to `CP=`, the data area, and the place of the area in *text*."""
    head, opened, rest = text.partition(_CLOSE)
    at = len(text) - len(rest)
    half = _HALF_OPENED.search(head)
    if half and half.end() < len(head):  # one & only: the first && is the closing one
        notes.add(FaultKind.CP_MISSING, half.start(), len(half[0]), "the data area does not open with CP=&&")
        if opened and rest:
            notes.add(FaultKind.CP_UNCLOSED, at, len(rest), "something stands behind the data area")
        return head[: half.start()] + "CP=", head[half.end() :], half.end()
    if not opened:
        notes.add(FaultKind.CP_MISSING, len(text), 0, "no data area")
        return head, "", len(text)
    area = rest.removesuffix(_CLOSE)
    if len(area) == len(rest):
        notes.add(FaultKind.CP_UNCLOSED, len(text), 0, "the data area does not end with &&")
    return head, area, at


def _header(head: str, notes: Notes, *, opened: bool) -> dict[str, str]:
    header: dict[str, str] = {}
    if _PLAIN.fullmatch(head):
        pieces = head.split(";")
        header = dict(piece.split("=", 1) for piece in pieces[:-1])
        if len(header) != len(pieces) - 1 or any("=" in value for value in header.values()):
            header = {}
    if not header:
        header, ended = _header_by_pieces(head, notes)
        if opened and not ended:
            notes.add(FaultKind.CP_MISSING, len(head), 0, "no CP= before the data area")
    _check(header, notes)
    return header


def _pieces(head: str) -> Iterator[tuple[int, str, str]]:
    """Place and text of each piece, and the separator before it: a field name in the middle begins one of its own."""
    before = ""
    for match in _PIECE.finditer(head):
        start, text = match.start(1), match[1]
        while glued := _GLUED.search(text, text.find("=") + 1 or len(text)):
            yield start, text[: glued.start()], before
            start, text, before = start + glued.start(), text[glued.start() :], "glued"
        if text or match[2]:
            yield start, text, before
        before = match[2]


def _header_by_pieces(head: str, notes: Notes) -> tuple[dict[str, str], bool]:
    """The fields, and whether `CP=` ends them."""
    header: dict[str, str] = {}
    ended = False
    for at, piece, before in _pieces(head):
        if not piece.strip():
            notes.add(FaultKind.HEADER_SEPARATOR, at, len(piece) + 1, "a separator without a field before it")
            continue
        if before == ",":
            notes.add(FaultKind.HEADER_COMMA, at - 1, 1, "a comma between header fields")
        elif before == "glued":
            notes.add(FaultKind.HEADER_SEPARATOR, at, 0, "no separator between header fields")
        name, equals, value = ("".join(part.split()) for part in piece.partition("="))
        if len(name) + len(equals) + len(value) != len(piece):
            notes.add(FaultKind.BLANK, at, len(piece), "a blank in a header field")
        ended = _take(header, name, value if equals else None, at, notes) or ended
    return header, ended


def _take(header: dict[str, str], name: str, value: str | None, at: int, notes: Notes) -> bool:
    """Put one field where it belongs; whether it was `CP=`."""
    canonical = _CANONICAL.get(name.lower(), name)
    if value is None:
        notes.add(FaultKind.HEADER_ITEM, at, len(name), "a header field without =")
        value = ""
    if canonical != name:
        notes.add(FaultKind.KEY_CASE, at, len(name), f"{name} for {canonical}")
    if canonical == _CP:
        if value:
            notes.add(FaultKind.CP_MISSING, at, len(name), "something stands between CP= and &&")
        return True
    if canonical in header:
        notes.add(FaultKind.FIELD_DUPLICATE, at, len(name), f"{canonical} a second time: the first one counts")
    else:
        header[canonical] = value
    return False


def _check(header: Mapping[str, str], notes: Notes) -> None:
    """Whether each field has the form that the standard gives it (2017: 6.3.3 table 3; RF: 2025)."""
    for name in _REQUIRED:
        if name not in header:
            notes.add(FaultKind.FIELD_MISSING, 0, 0, name)
    for name, value in header.items():
        form = _FORMS.get(name)
        if form is not None and not form.fullmatch(value):
            _malformed(name, "a secret" if name == "PW" else repr(value[:40]), notes)
    if header.get("RF", "1") != "1":
        notes.add(FaultKind.RF_MALFORMED, notes.find("RF="), 3, f"RF={header['RF'][:40]!r}: only RF=1 is defined")
    _check_numbers(header, notes)


def _check_numbers(header: Mapping[str, str], notes: Notes) -> None:
    flag = number(header, "Flag")
    if flag is None:
        return
    if version_of(flag) is None and flag <= _MOST_FLAG:
        _malformed("Flag", f"{flag} names no version of the standard that is known", notes)
    elif version_of(flag) not in (Version.HJT_2005, None) and "QN" not in header:
        notes.add(FaultKind.FIELD_MISSING, 0, 0, "QN")
    total, this = number(header, "PNUM"), number(header, "PNO")
    if flag & NUMBERED and (total is None or this is None):
        notes.add(FaultKind.FIELD_MISSING, 0, 0, "PNUM and PNO, which bit D of Flag announces")
    elif (total is not None or this is not None) and not flag & NUMBERED:
        _malformed("Flag", f"{flag} announces neither PNUM nor PNO", notes)
    if total is not None and this is not None and not 1 <= this <= total:
        _malformed("PNO", f"{this} of {total}", notes)


def _malformed(name: str, words: str, notes: Notes) -> None:
    notes.add(FaultKind.FIELD_MALFORMED, notes.find(f"{name}="), len(name) + 1, f"{name}: {words}")


def number(header: Mapping[str, str], name: str) -> int | None:
    """The integer in a header field; None where it is missing or none."""
    text = header.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
