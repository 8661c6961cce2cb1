"""Messages of several packets (PNUM, PNO) put together: a pure step after the decoder, for who needs the whole.

Each packet of a split upload is acknowledged by itself and carries its own DataTime, so that `edge.hj212.rows` needs no
assembly: the rows of the parts fill each other in. A peer may wait for the reply to a part before it sends the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from edge.hj212.decoder import Packet
from edge.hj212.faults import Fault, FaultKind
from edge.hj212.segment import Group

_Key = tuple[str | None, str | None, int, object]


@dataclass(slots=True)
class _Open:
    since_s: float
    parts: dict[int, Packet] = field(default_factory=dict)


class Assembler:
    """Puts the packets of one peer together, at most *most_open* messages of *most_parts* packets at a time.

    What is given up (too old, too many) comes out as it is, with a fault `parts_missing`: nothing is held for good.
    """

    def __init__(self, *, deadline_s: float = 60.0, most_open: int = 8, most_parts: int = 64) -> None:
        self._deadline_s, self._most_open, self._most_parts = deadline_s, most_open, most_parts
        self._open: dict[_Key, _Open] = {}

    @property
    def held(self) -> int:
        """Packets that wait for others."""
        return sum(len(message.parts) for message in self._open.values())

    def add(self, packet: Packet, *, now_s: float) -> list[Packet]:
        """*packet* itself where it is whole, a message that it completes, messages that had to make room.

        A part that comes again takes the place of the first: it was sent again for want of a reply.
        """
        total, number = packet.pnum, packet.pno
        if total is None or number is None or total <= 1 or not 1 <= number <= total:
            return [packet]
        if total > self._most_parts:
            return [_incomplete([packet], total)]
        key = _key(packet, total)
        out: list[Packet] = []
        if key not in self._open:
            if len(self._open) >= self._most_open:
                out.append(self._give_up(next(iter(self._open))))
            self._open[key] = _Open(now_s)
        parts = self._open[key].parts
        parts[number] = packet
        if len(parts) == total:
            del self._open[key]
            out.append(_merged([parts[n] for n in sorted(parts)]))
        return out

    def expire(self, *, now_s: float) -> list[Packet]:
        """Messages that waited longer than their deadline."""
        old = [key for key, message in self._open.items() if now_s - message.since_s >= self._deadline_s]
        return [self._give_up(key) for key in old]

    def _give_up(self, key: _Key) -> Packet:
        parts = self._open.pop(key).parts
        return _incomplete([parts[n] for n in sorted(parts)], key[2])


def _key(packet: Packet, total: int) -> _Key:
    """Parts of one message: same peer, command, number of parts and time. Each part has a QN of its own (4.6)."""
    time: Final = packet.data_time_ms
    return packet.mn, packet.cn, total, packet.qn if time is None else time


def _incomplete(parts: list[Packet], total: int) -> Packet:
    numbers = [part.pno for part in parts]
    fault = Fault(FaultKind.PARTS_MISSING, parts[0].offset, 0, f"only the parts {numbers} of {total} came")
    merged = _merged(parts)
    return replace(merged, faults=(*merged.faults, fault))


def _merged(parts: list[Packet]) -> Packet:
    """One packet with the head of the first part and the groups of all; what each part repeats stands once."""
    groups: list[Group] = []
    for part in parts:
        groups += [group for group in part.fields if not ("DataTime" in group and group in groups)]
    return replace(
        parts[0],
        fields=tuple(groups),
        faults=tuple(fault for part in parts for fault in part.faults),
        crc_ok=all(part.crc_ok for part in parts),
        length_ok=all(part.length_ok for part in parts),
    )
