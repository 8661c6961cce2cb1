"""Byte streams of HJ 212 for tests: good packets, and what real loggers and lines make of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from edge.hj212.crc import hj212
from edge.hj212.decoder import Decoder, Packet
from edge.hj212.encoder import encode
from edge.hj212.faults import Fault, FaultKind
from edge.hj212.segment import Segment

MN: Final = "010000A8900016F000169DC0"
KEY: Final = bytes(range(16))

#: The examples of the standards (regulation notes 4.4), each without its line end.
INTERVAL: Final = (
    b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80"
)
REALTIME: Final = (
    b"##0282QN=20260101080000001;ST=31;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20260101080000;"
    b"a21026-Rtd=12.3,a21026-ZsRtd=17.6,a21026-Flag=N;a21002-Rtd=25.0,a21002-ZsRtd=35.7,a21002-Flag=N;"
    b"a34013-Rtd=3.5,a34013-ZsRtd=5.0,a34013-Flag=N;a19001-Rtd=17.5,a19001-Flag=N&&90C1"
)
HOUR: Final = (
    b"##0241QN=20260101090000001;ST=31;CN=2061;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20260101080000;"
    b"a21026-Cou=1.2,a21026-Min=10.1,a21026-Avg=12.3,a21026-Max=15.0,a21026-ZsMin=14.4,a21026-ZsAvg=17.6,"
    b"a21026-ZsMax=21.4,a21026-Flag=N&&6480"
)
REPLY: Final = b"##0087QN=20260101090000001;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&2200"
HEARTBEAT: Final = b"##0087QN=20260101090000001;ST=91;CN=9015;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&&&E2C1"
OLD: Final = (
    b"##0136ST=32;CN=2011;PW=000000;MN=LD130133000015;CP=&&DataTime=20160824003817;"
    b"011-Rtd=231.0,011-Flag=N;B01-Rtd=36.91;060-Rtd=1.803,060-Flag=N&&1dc0"
)
EXAMPLES: Final = (INTERVAL, REALTIME, HOUR, REPLY, HEARTBEAT, OLD)


def a_segment(*groups: dict[str, str], cn: str = "2011", **changed: Any) -> Segment:
    """Real-time data of an air source, by HJ 212-2017."""
    given: dict[str, Any] = {"st": "31", "mn": MN, "qn": "20260101080000001", "flag": 5, **changed}
    return Segment(cn=cn, fields=groups or ({"DataTime": "20260101080000"},), **given)


def a_packet(*groups: dict[str, str], cn: str = "2011", **changed: Any) -> Packet:
    """What the decoder makes of `a_segment`."""
    return one_of(encode(a_segment(*groups, cn=cn, **changed)))


def a_frame(segment: str | bytes, *, end: bytes = b"\r\n") -> bytes:
    """*segment* with the length and check value that belong to it, whatever is in it."""
    data = segment.encode() if isinstance(segment, str) else segment
    return b"##%04d" % len(data) + data + b"%04X" % hj212(data) + end


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a decoder said of a stream."""

    packets: list[Packet]
    faults: list[Fault]  #: of bytes that belong to no packet

    @property
    def kinds(self) -> list[FaultKind]:
        """The kinds of all faults, those of packets too, without repeats."""
        found = [fault.kind for packet in self.packets for fault in packet.faults]
        return sorted({*found, *(fault.kind for fault in self.faults)})


def seen(stream: bytes, *, chunks: Sequence[int] = (), **options: Any) -> Seen:
    """*stream* through a decoder, cut where *chunks* says."""
    decoder = Decoder(**options)
    events: list[Packet | Fault] = []
    cuts = [0, *sorted(cut for cut in chunks if 0 < cut < len(stream)), len(stream)]
    for begin, end in pairwise(cuts):
        events += decoder.feed(stream[begin:end])
    events += decoder.close()
    return Seen([e for e in events if isinstance(e, Packet)], [e for e in events if isinstance(e, Fault)])


def one_of(stream: bytes, **options: Any) -> Packet:
    """The only packet of *stream*, which has no bytes beside it."""
    found = seen(stream, **options)
    assert not found.faults
    (packet,) = found.packets
    return packet


_SNIPPETS: Final = (
    *(
        b"##",
        b"#",
        b"&&",
        b"&",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"&&1C80\r\n",
        b"##0101",
        b"##9999",
        b"##0000QN=",
        b"CP=&&",
        b"CP=",
    ),
    *(
        b"QN=",
        b";",
        b",",
        b"=",
        b"-Rtd=",
        b"//",
        b"0xE4,",
        b"{0x",
        b"}",
        b"Flag=",
        b"PNUM=2;PNO=1;",
        b"\xc4\xe3",
        b"\xe6\xb8\x85",
    ),
)


def a_spoilt_stream(random_: random.Random, most: int = 6) -> bytes:
    """Good packets with what goes wrong: bytes lost, changed, doubled, moved, put in, cut, glued."""
    stream = bytearray()
    for _ in range(random_.randint(1, most)):
        stream += random_.choice(EXAMPLES) + random_.choice(
            (b"\r\n", b"\r\n", b"\r\n", b"", b"\n", b"\r\n\r\n", b" \r\n")
        )
    for _ in range(random_.randint(0, 8)):
        at = random_.randrange(len(stream) + 1)
        length = random_.choice((1, 1, 2, 5, 40))
        match random_.randrange(5):
            case 0:
                del stream[at : at + length]
            case 1:
                stream[at:at] = random_.choice(_SNIPPETS)
            case 2:
                stream[at : at + 1] = bytes([random_.randrange(256)])
            case 3:
                stream[at:at] = stream[at : at + length]
            case _:
                stream[at:at] = random_.randbytes(length)
    return bytes(stream)
