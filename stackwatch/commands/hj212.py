"""`hj212`: what captures of the protocol say. Bytes are read by `edge.hj212`; here they are shown."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from edge.hj212.commands import SPECS
from edge.hj212.crc import NAMES
from edge.hj212.decoder import ANY_MN, Decoder, Packet
from edge.hj212.faults import Fault
from edge.hj212.segment import Group, Value
from plant.errors import BadDocument
from plant.errors import Fault as Misuse
from stackwatch.running import fail

STDIN: Final = "-"
_CHUNK: Final = 65_536
_KEY_DIGITS: Final = 32

Told = tuple[Packet | None, Sequence[Fault]]
"""A packet and the faults of the bytes around it; None at the end of a capture without any."""


def decode(file: str, *, allowed: Sequence[str], key_file: Path | None, as_json: bool) -> None:
    """Print each packet of *file*, and what is wrong with it, in the order of the capture."""
    try:
        decoder = Decoder(allowed_crc=variants(allowed), keys=keys_in(key_file))
        if file == STDIN:
            _print(decoder, sys.stdin.buffer, as_json=as_json)
            return
        with Path(file).open("rb") as capture:
            _print(decoder, capture, as_json=as_json)
    except OSError as error:
        fail(BadDocument(file, [Misuse("", f"cannot be read: {error.strerror}")]))
    except BadDocument as error:
        fail(error)


def variants(allowed: Sequence[str]) -> Sequence[str]:
    if unknown := sorted(set(allowed) - set(NAMES)):
        raise BadDocument("arguments", [Misuse("allow-crc", f"must be of {', '.join(NAMES)}, got {unknown[0]!r}")])
    return allowed


def keys_in(file: Path | None) -> dict[str, bytes]:
    if file is None:
        return {}
    try:
        digits = file.read_text(encoding="ascii").strip()
        if len(digits) == _KEY_DIGITS:
            return {ANY_MN: bytes.fromhex(digits)}
    except ValueError:
        pass
    raise BadDocument(str(file), [Misuse("", f"must hold an SM4 key: {_KEY_DIGITS} hex digits")])


def _print(decoder: Decoder, capture: BinaryIO, *, as_json: bool) -> None:
    told = _told(_events(decoder, capture))
    if as_json:
        for packet, around in told:
            print(json.dumps(object_of(packet, around), ensure_ascii=False))
        return
    count: Counter[str] = Counter()
    packets = intact = 0
    for packet, around in told:
        if packet is not None:
            packets, intact = packets + 1, intact + packet.crc_ok
            print("\n".join(lines_of(packet)))
        for fault in around:
            print(f"   ! {shown(str(fault))}")
        count.update(fault.kind for fault in (*around, *(packet.faults if packet else ())))
    faults = ", ".join(f"{kind} {number}" for kind, number in sorted(count.items())) or "none"
    print(f"{packets} packets, {intact} intact. Faults: {faults}")


def _events(decoder: Decoder, capture: BinaryIO) -> Iterator[Packet | Fault]:
    while chunk := capture.read(_CHUNK):
        yield from decoder.feed(chunk)
    yield from decoder.close()


def _told(events: Iterable[Packet | Fault]) -> Iterator[Told]:
    """Each packet with the faults of the bytes before it; the last one with those behind it, too."""
    last: Packet | None = None
    before: list[Fault] = []
    behind: list[Fault] = []
    for event in events:
        if isinstance(event, Fault):
            behind.append(event)
            continue
        if last is not None:
            yield last, before
        last, before, behind = event, behind, []
    if last is not None or behind:
        yield last, [*before, *behind]


def object_of(packet: Packet | None, around: Sequence[Fault]) -> dict[str, Any]:
    """One line of `--json`. Header fields are text, as they stand."""
    faults = [*around, *(packet.faults if packet else ())]
    header = packet.header if packet else {}
    names = ("qn", "st", "cn", "pw", "mn", "flag", "pnum", "pno")
    canonical = ("QN", "ST", "CN", "PW", "MN", "Flag", "PNUM", "PNO")
    return {
        "offset": packet.offset if packet else around[0].offset,
        "length_ok": packet.length_ok if packet else False,
        "crc_ok": packet.crc_ok if packet else False,
        "crc_variant": packet.crc_variant if packet else None,
        **{name: header.get(field) for name, field in zip(names, canonical, strict=True)},
        "header": {name: value for name, value in header.items() if name not in canonical},
        "fields": [dict(group) for group in packet.fields] if packet else [],
        "faults": [
            {"kind": fault.kind, "offset": fault.offset, "length": fault.length, "text": fault.text}
            for fault in sorted(faults, key=lambda fault: fault.offset)
        ],
    }


def lines_of(packet: Packet) -> Iterator[str]:
    """A packet for people: its head, its data by what they are about, its faults."""
    title = SPECS[packet.command].title if packet.command else "unknown command"
    version = packet.version
    head = [f"at {packet.offset}", f"{packet.cn} {title}", f"ST {packet.st}", f"MN {packet.mn}", f"QN {packet.qn}"]
    head += [f"HJ 212-{version:d}" if version else f"Flag {packet.flag}"]
    head += ["reply wanted"] if packet.reply_wanted else []
    head += [f"part {packet.pno} of {packet.pnum}"] if packet.pnum is not None else []
    head += ["sent again"] if packet.resend else []
    yield shown(", ".join(head))
    for group in packet.fields:
        for code, items in _by_code(group).items():
            yield shown(f"   {code:<12} " + "  ".join(items))
    for fault in packet.faults:
        yield f"   ! {shown(str(fault))}"


def _by_code(group: Group) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in group.items():
        code, _, suffix = name.partition("-")
        found.setdefault(code, []).append(f"{suffix} {_value(value)}".strip())
    return found


def _value(value: Value) -> str:
    return "" if value is None else " / ".join(value) if isinstance(value, tuple) else value


def shown(text: str) -> str:
    """*text* without what could command a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
