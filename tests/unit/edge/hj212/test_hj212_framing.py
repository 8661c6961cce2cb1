"""Where packets begin and end in a stream of bytes, and what is told of the rest."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.columns import check_rows
from edge.hj212.commands import QnRtn
from edge.hj212.decoder import Decoder, Packet
from edge.hj212.encoder import encode
from edge.hj212.faults import Fault, FaultKind
from edge.hj212.framing import MAX_PACKET, MIN_MAX_PACKET, Framer
from edge.hj212.loggers import Logger
from edge.hj212.messages import acknowledgement, data_reply, message, request_reply
from edge.hj212.rows import MOST_THINGS, to_rows
from fakes.hj212_streams import (
    EXAMPLES,
    HOUR,
    INTERVAL,
    KEY,
    OLD,
    REALTIME,
    REPLY,
    a_frame,
    a_spoilt_stream,
    one_of,
    seen,
)

CRLF: Final = b"\r\n"
LOGGER: Final = Logger(mn="A", stack="DA001", unit="S1")
FUZZ_S: Final = float(os.environ.get("HJ212_FUZZ_S", "2"))
"""How long the fuzzing takes; minutes of it are asked for by hand. [s]"""


@pytest.mark.parametrize("packet", EXAMPLES)
def test_the_examples_of_the_standards_are_without_fault(packet: bytes) -> None:
    found = one_of(packet + CRLF)
    assert (found.length_ok, found.crc_ok, found.crc_variant, found.faults) == (True, True, "hj212", ())
    assert (found.offset, found.length, found.segment) == (0, len(packet) + 2, packet[6:-4])


@pytest.mark.parametrize(
    ("stream", "packets", "kinds"),
    [
        pytest.param(INTERVAL + CRLF + REPLY + CRLF, 2, [], id="one_after_the_other"),
        pytest.param(INTERVAL + REPLY + CRLF, 2, ["tail_missing"], id="glued_without_a_line_end"),
        pytest.param(INTERVAL, 1, ["tail_missing"], id="no_line_end_at_the_end"),
        pytest.param(INTERVAL + b"\n", 1, ["tail_malformed"], id="line_feed_only"),
        pytest.param(INTERVAL + b"\r", 1, ["tail_malformed"], id="carriage_return_only"),
        pytest.param(INTERVAL + b" \r\n", 1, ["tail_malformed"], id="a_blank_before_the_line_end"),
        pytest.param(INTERVAL + b"\0\0\r\n", 1, ["tail_malformed"], id="zero_bytes_before_the_line_end"),
        pytest.param(INTERVAL + CRLF + b"\0\0\0\r\n" + REPLY + CRLF, 2, ["padding"], id="padding_between"),
        pytest.param(b"AT+CIPSEND\r\n" + INTERVAL + CRLF, 1, ["noise"], id="a_modem_speaks_first"),
        pytest.param(INTERVAL + CRLF + b"#", 1, ["noise"], id="half_a_mark_at_the_end"),
        pytest.param(b"###" + INTERVAL[2:] + CRLF, 1, ["noise"], id="one_hash_too_many"),
        pytest.param(INTERVAL[:60] + REPLY + CRLF, 2, ["truncated", "length_mismatch"], id="cut_by_the_next"),
        pytest.param(INTERVAL + rb"\r\n", 1, ["noise", "tail_missing"], id="line_end_written_as_text"),
        pytest.param(b"##" + CRLF, 0, ["noise"], id="a_mark_alone"),
    ],
)
def test_packets_are_found_in(stream: bytes, packets: int, kinds: list[str]) -> None:
    found = seen(stream)
    assert len(found.packets) == packets
    told = set(found.kinds)
    if "truncated" in kinds:
        assert set(kinds) <= told
        assert [packet.crc_ok for packet in found.packets] == [False, True]
    else:
        assert told == set(kinds)
        assert all(packet.crc_ok for packet in found.packets)


@pytest.mark.parametrize(
    "declared", [b"0099", b"0100", b"0102", b"0103", b"0350", b"9999", b"0000", b"101", b"00101", b"  101"]
)
def test_a_wrong_length_costs_no_packet_its_neighbour(declared: bytes) -> None:
    found = seen(REPLY + CRLF + b"##" + declared + INTERVAL[6:] + CRLF + REALTIME + CRLF)
    assert [packet.cn for packet in found.packets] == ["9014", "1062", "2011"]
    first, wrong, last = found.packets
    assert (first.faults, last.faults) == ((), ())
    assert wrong.crc_ok
    assert wrong.length_ok == (int(declared) == 101)
    assert wrong.faults
    assert not found.faults


def test_a_lone_packet_with_a_length_too_long_is_taken_when_the_peer_waits() -> None:
    decoder = Decoder()
    assert decoder.feed(b"##0350" + INTERVAL[6:] + CRLF) == []
    (packet,) = decoder.quiet()
    assert isinstance(packet, Packet)
    assert (packet.crc_ok, packet.length_ok) == (True, False)
    assert decoder.held == 0
    assert decoder.close() == []


def test_waiting_does_not_take_a_packet_whose_rest_may_come() -> None:
    decoder = Decoder()
    assert decoder.feed(REALTIME[:150]) == []
    assert decoder.quiet() == []
    (packet,) = decoder.feed(REALTIME[150:] + CRLF)
    assert packet.length == len(REALTIME) + 2


def test_waiting_does_not_take_the_beginning_of_an_area_for_a_check_value() -> None:
    packet = a_frame("ST=31;CN=2011;PW=1;MN=A;CP=&&a21026-Rtd=1&&")
    at = packet.index(b"CP=&&") + 9
    decoder = Decoder()
    assert decoder.feed(packet[:at]) == decoder.quiet() == []
    (found,) = decoder.feed(packet[at:])
    assert isinstance(found, Packet)
    assert found.faults == ()


def test_a_tail_inside_a_value_does_not_end_a_packet_of_the_right_length() -> None:
    packet = one_of(
        a_frame(b"QN=20260101080000001;ST=31;CN=3020;PW=123456;MN=A;Flag=4;CP=&&i11001-Info=//a&&1C80\r\nb//&&")
    )
    assert (packet.length_ok, packet.crc_ok) == (True, True)


def test_offsets_count_from_the_beginning_of_the_stream() -> None:
    found = seen(b"xx" + INTERVAL + CRLF + b"yyy" + REPLY[:-4] + b"FFFF" + CRLF + b"z")
    first, second = found.packets
    assert (first.offset, second.offset) == (2, 2 + len(INTERVAL) + 2 + 3)
    assert [(f.kind, f.offset, f.length) for f in found.faults] == [
        (FaultKind.NOISE, 0, 2),
        (FaultKind.NOISE, 2 + len(INTERVAL) + 2, 3),
        (FaultKind.NOISE, second.offset + second.length, 1),
    ]
    (fault,) = second.faults
    assert (fault.kind, fault.offset, fault.length) == (FaultKind.CRC_MISMATCH, second.offset + len(REPLY) - 4, 4)


@pytest.mark.parametrize(
    ("first", "endless", "kinds"),
    [
        pytest.param(b"##0101QN=1;", b"a", {"overlong", "noise"}, id="a_packet_without_an_end"),
        pytest.param(b"", b"##0101QN=1;aaaaaa", {"packet"}, id="packets_without_an_end"),
        pytest.param(b"", b"\xff" * 11, {"noise"}, id="noise"),
        pytest.param(b"", b"\0" * 9, {"padding"}, id="zero_bytes"),
        pytest.param(b"", b"####0", {"noise"}, id="marks"),
    ],
)
def test_an_endless_peer_is_told_of_and_fills_no_memory(first: bytes, endless: bytes, kinds: set[str]) -> None:
    decoder, told, most = Decoder(max_packet=20_000), Counter[str](), 0
    decoder.feed(first)
    for _ in range(200):
        events = decoder.feed(endless * (1_000 // len(endless)))
        told.update(event.kind if isinstance(event, Fault) else "packet" for event in events)
        most = max(most, decoder.held)
    assert set(told) == kinds
    assert told.total() >= 5
    assert most <= 22_000


def test_what_follows_an_endless_packet_is_read() -> None:
    found = seen(b"##0101QN=20260101080000001;" + b"a" * (MAX_PACKET + 10) + CRLF + REPLY + CRLF)
    assert [packet.cn for packet in found.packets if packet.crc_ok] == ["9014"]


def test_the_bound_must_hold_the_longest_packet_that_can_be_declared() -> None:
    with pytest.raises(ValueError, match="max_packet"):
        Framer(max_packet=MIN_MAX_PACKET - 1)


@given(st.integers(0, 2**32), st.lists(st.integers(0, 3_000), max_size=40))
@settings(max_examples=300, deadline=None)
def test_how_a_stream_is_cut_into_chunks_changes_nothing(seed: int, chunks: list[int]) -> None:
    stream = a_spoilt_stream(random.Random(seed))
    assert seen(stream, chunks=chunks) == seen(stream)


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_bytes_one_by_one_say_the_same(seed: int) -> None:
    stream = a_spoilt_stream(random.Random(seed), most=3)
    assert seen(stream, chunks=range(len(stream))) == seen(stream)


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_byte_of_a_stream_is_accounted_for(seed: int) -> None:
    stream = a_spoilt_stream(random.Random(seed))
    found = seen(stream)
    spans = [(p.offset, p.length) for p in found.packets] + [(f.offset, f.length) for f in found.faults]
    at = 0
    for offset, length in sorted(spans):
        assert offset == at
        at += length
    assert at == len(stream)


def test_no_bytes_raise() -> None:
    """Fuzzing: `HJ212_FUZZ_S=300 pytest -k no_bytes_raise` goes on for minutes."""
    seed = int(os.environ.get("HJ212_FUZZ_SEED", "1"))
    random_, until, rounds = random.Random(seed), time.monotonic() + FUZZ_S, 0
    while time.monotonic() < until or rounds < 100:
        rounds += 1
        stream = random_.randbytes(random_.randint(0, 300)) if random_.random() < 0.1 else a_spoilt_stream(random_)
        chunks = [random_.randrange(len(stream) + 1) for _ in range(random_.randint(0, 10))]
        options: dict[str, Any] = {"keys": {"*": KEY}, "allowed_crc": ("modbus",)} if random_.random() < 0.3 else {}
        found = seen(stream, chunks=chunks, **options)
        assert found == seen(stream, **options), stream
        for packet in found.packets:
            _use(packet)


def _use(packet: Packet) -> None:
    """Whatever was read can be taken for a message, answered, and mapped to rows that travel."""
    message(packet)
    for answer in (acknowledgement(packet), request_reply(packet, QnRtn.CRC_WRONG), data_reply(packet)):
        assert answer is None or one_of(encode(answer)).crc_ok
    for kind, rows in to_rows(replace(packet, crc_ok=True), LOGGER).by_kind():
        check_rows(rows, kind)


def test_more_codes_than_a_row_can_hold_are_left_out_and_told() -> None:
    area = ";".join(f"a{number:05}-Rtd=1" for number in range(3_000))
    packet = one_of(
        a_frame(f"QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;Flag=4;CP=&&DataTime=20260101080000;{area}&&")
    )
    _use(packet)
    found = to_rows(replace(packet, crc_ok=True), LOGGER)
    assert len(found.measurements[0]) == 2 + MOST_THINGS
    assert found.left_by_kind() == {"too_many": 1}


def test_old_packets_are_found_by_the_same_rules() -> None:
    assert [packet.cn for packet in seen(OLD + CRLF + HOUR + CRLF).packets] == ["2011", "2061"]
