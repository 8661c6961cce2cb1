"""HJ 212 packets per second, decoded and mapped to rows: real-time data of 20 pollutants as a stream, one core."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.report import publish
from edge.hj212.codes import CODES
from edge.hj212.decoder import Decoder, Packet
from edge.hj212.encoder import encode
from edge.hj212.loggers import Logger
from edge.hj212.rows import to_rows
from edge.hj212.segment import Segment, Version, flag_of
from edge.hj212.times import data_time, qn

MN: Final = "010000A8900016F000169DC0"
CODES_SENT: Final = 20
PACKETS: Final = 4_000
ROUNDS: Final = 5
CHUNK: Final = 1_460  #: bytes: what one TCP segment carries, so that packets lie across chunks
START_MS: Final = 1_767_225_600_000  # 2026-01-01 08:00 at UTC+8


def a_stream() -> bytes:
    """Packets of one logger, one a minute; each value is written once only."""
    return b"".join(_packet(number) for number in range(PACKETS))


def _packet(number: int) -> bytes:
    at_ms = START_MS + number * 60_000
    groups: list[dict[str, str]] = [{"DataTime": data_time(at_ms)}]
    for place, code in enumerate(sorted(CODES)[:CODES_SENT]):
        groups.append({f"{code}-Rtd": f"{place}.{number}", f"{code}-Flag": "N"})
    flag = flag_of(Version.HJ_2017, reply_wanted=True)
    return encode(Segment(st="31", cn="2011", mn=MN, qn=qn(at_ms), flag=flag, fields=groups))


def decode(stream: bytes, *, mapped: bool) -> int:
    """How many packets of *stream* were read without a fault, and gave their row."""
    decoder, logger, good = Decoder(), Logger(mn=MN, stack="DA001"), 0
    for at in range(0, len(stream), CHUNK):
        for event in decoder.feed(stream[at : at + CHUNK]):
            if isinstance(event, Packet) and not event.faults:
                good += len(to_rows(event, logger).measurements) if mapped else 1
    return good


def rate(stream: bytes, *, mapped: bool) -> float:
    """Packets per second, the best of several rounds: the machine's other work is not ours."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        if decode(stream, mapped=mapped) != PACKETS:
            raise RuntimeError("a packet was not read")
        best = min(best, time.process_time() - began)
    return PACKETS / best


def main() -> None:
    stream = a_stream()
    publish(
        {
            "packets_per_s": round(rate(stream, mapped=True)),
            "packets_per_s_without_mapping": round(rate(stream, mapped=False)),
            "bytes_per_packet": len(stream) // PACKETS,
            "pollutants_per_packet": CODES_SENT,
        },
        __doc__,
    )


if __name__ == "__main__":
    main()
