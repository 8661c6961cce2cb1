"""What stands in a packet: check values, header, data area, text; and what real loggers do to them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from edge.hj212 import cipher
from edge.hj212.crc import hj212, modbus, swapped, variant_of
from edge.hj212.decoder import Decoder
from edge.hj212.encoder import encode
from edge.hj212.faults import MOST, FaultKind
from edge.hj212.segment import Version
from edge.hj212.times import data_time, epoch_ms, qn
from fakes.hj212_streams import INTERVAL, KEY, MN, REALTIME, a_frame, a_segment, one_of, seen

HEAD = f"QN=20260101080000001;ST=31;CN=2011;PW=123456;MN={MN};Flag=4;"
SHORT = "QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;"
TIME = {"DataTime": "20260101080000"}
CRLF = b"\r\n"


def by_the_book(data: bytes) -> int:
    """Appendix A, bit by bit."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ byte
        for _ in range(8):
            register = (register >> 1) ^ 0xA001 if register & 1 else register >> 1
    return register


@pytest.mark.parametrize(
    ("data", "standard", "as_modbus"),
    [(b"", 0xFFFF, 0xFFFF), (b"A", 0x7080, None), (b"123456789", 0x2F80, 0x4B37), (INTERVAL[6:-4], 0x1C80, 0x0759)],
)
def test_check_values_of_the_notes(data: bytes, standard: int, as_modbus: int | None) -> None:
    assert hj212(data) == by_the_book(data) == standard
    assert as_modbus is None or modbus(data) == as_modbus


def test_the_quick_check_value_is_the_one_of_the_book() -> None:
    random_ = random.Random(1)
    for length in (*range(40), 255, 256, 257, 1024, 9999):
        data = random_.randbytes(length)
        assert hj212(data) == by_the_book(data), length


def test_the_standard_check_value_is_named_before_a_variant_that_agrees_by_chance() -> None:
    assert variant_of(b"", "FFFF") == variant_of(b"", "ffff") == "hj212"


def test_a_check_value_without_its_leading_zeros_is_a_variant_of_its_own() -> None:
    number = next(n for n in range(9_999) if hj212(f"{HEAD}CP=&&a-Rtd={n}&&".encode()) < 0x1000)
    segment = f"{HEAD}CP=&&a-Rtd={number}&&".encode()
    stream = b"##%04d%s%x\r\n" % (len(segment), segment, hj212(segment))
    strict, lenient = one_of(stream), one_of(stream, allowed_crc={"unpadded"})
    assert (strict.crc_variant, strict.crc_ok, lenient.crc_ok) == ("unpadded", False, True)
    assert [fault.kind for fault in strict.faults] == [FaultKind.CRC_VARIANT]


@pytest.mark.parametrize(
    ("name", "value"),
    [("modbus", modbus), ("swapped", lambda d: swapped(hj212(d))), ("modbus_swapped", lambda d: swapped(modbus(d)))],
)
def test_a_variant_is_always_named_and_taken_only_where_the_site_allows_it(name: str, value: Any) -> None:
    packet = REALTIME[:-4] + b"%04X" % value(REALTIME[6:-4]) + CRLF
    strict, lenient = one_of(packet), one_of(packet, allowed_crc={name})
    assert (strict.crc_variant, strict.crc_ok, lenient.crc_variant, lenient.crc_ok) == (name, False, name, True)
    assert [fault.kind for fault in (*strict.faults, *lenient.faults)] == [FaultKind.CRC_VARIANT] * 2
    assert strict.fields == lenient.fields == one_of(REALTIME + CRLF).fields


def test_a_variant_that_nobody_knows_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="crc32"):
        Decoder(allowed_crc={"crc32"})


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (b"", FaultKind.CRC_MISSING),
        (b"90c1", None),
        (b"90C", FaultKind.CRC_MALFORMED),
        (b"XYZW", FaultKind.CRC_MALFORMED),
        (b"0000", FaultKind.CRC_MISMATCH),
    ],
)
def test_a_check_value_that_is(check: bytes, kind: FaultKind | None) -> None:
    packet = one_of(REALTIME[:-4] + check + CRLF)
    assert packet.crc_ok == (kind is None)
    assert [fault.kind for fault in packet.faults] == ([] if kind is None else [kind])
    assert packet.fields == one_of(REALTIME + CRLF).fields


HEADERS = [
    pytest.param(HEAD.replace("001;ST", "001,ST"), ["header_comma"], id="comma_after_qn"),
    pytest.param(HEAD.replace("456;MN", "456,MN"), ["header_comma"], id="comma_after_pw"),
    pytest.param(HEAD.replace("Flag=4;", "Flag=4"), ["header_separator"], id="no_semicolon_before_cp"),
    pytest.param(HEAD.replace("Flag=4;", "Flag=4,"), ["header_comma"], id="comma_before_cp"),
    pytest.param(HEAD.replace("ST=31;", "ST=31;;"), ["header_separator"], id="two_semicolons"),
    pytest.param(HEAD.replace(";ST", " ;ST").replace("MN=", "MN= "), ["blank"], id="blanks"),
    pytest.param(HEAD.replace("QN=", "qn=").replace("Flag", "FLAG"), ["key_case"], id="other_letters"),
    pytest.param(HEAD.replace("MN=", "MN=A;MN="), ["field_duplicate"], id="mn_twice"),
    pytest.param("ST=31;QN=20260101080000001;CN=2011;PW=123456;Flag=4;" + f"MN={MN};", [], id="another_order"),
]


@pytest.mark.parametrize(("head", "kinds"), HEADERS)
def test_a_header_is_read_in_spite_of(head: str, kinds: list[str]) -> None:
    packet = one_of(a_frame(f"{head}CP=&&DataTime=20260101080000;a21026-Rtd=1.5,a21026-Flag=N&&"))
    assert sorted({fault.kind for fault in packet.faults}) == kinds
    expected = {"QN": "20260101080000001", "ST": "31", "CN": "2011", "PW": "123456", "MN": MN, "Flag": "4"}
    assert packet.header == expected | ({"MN": "A"} if "MN=A;" in head else {})
    assert packet.fields == ({"DataTime": "20260101080000"}, {"a21026-Rtd": "1.5", "a21026-Flag": "N"})


@pytest.mark.parametrize(
    ("head", "kinds", "version"),
    [
        pytest.param("ST=31;CN=2011;PW=123456;MN=A;", [], 2005, id="2005_has_neither_qn_nor_flag"),
        pytest.param(f"{SHORT}Flag=8;RF=1;", [], 2025, id="2025_sends_again"),
        pytest.param("ST=31;CN=2011;PW=1;MN=A;Flag=4;", ["field_missing"], 2017, id="2017_without_qn"),
        pytest.param("QN=2026;ST=31;CN=2011;PW=1;MN=A;Flag=4;", ["field_malformed"], 2017, id="qn_of_four_digits"),
        pytest.param(
            "QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;Flag=x;", ["field_malformed"], 2005, id="flag_of_letters"
        ),
        pytest.param(
            "QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;Flag=60;",
            ["field_malformed"],
            None,
            id="flag_of_a_later_standard",
        ),
        pytest.param(
            "QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;Flag=5000;", ["field_malformed"], None, id="flag_too_large"
        ),
        pytest.param(f"{SHORT}Flag=6;", ["field_missing"], 2017, id="no_pnum"),
        pytest.param(
            "QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;Flag=6;PNUM=2;PNO=3;",
            ["field_malformed"],
            2017,
            id="part_3_of_2",
        ),
        pytest.param(f"{SHORT}Flag=8;RF=2;", ["rf_malformed"], 2025, id="rf_2"),
        pytest.param(
            "QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;Flag=8;RF=;", ["rf_malformed"], 2025, id="rf_of_nothing"
        ),
        pytest.param("CN=2011;", ["field_missing"], 2005, id="hardly_anything"),
        pytest.param("QN=20260101080000001;ST=31;CN=2011;PW=1;MN=;Flag=8;", ["field_malformed"], 2025, id="no_mn"),
        pytest.param(f"{SHORT}Flag=4;Foo=7;", [], 2017, id="an_unknown_field"),
    ],
)
def test_header_fields_that_are_missing_or_wrong_are_told(head: str, kinds: list[str], version: int | None) -> None:
    packet = one_of(a_frame(f"{head}CP=&&DataTime=20260101080000&&"))
    assert sorted({fault.kind for fault in packet.faults}) == kinds
    assert packet.version == (None if version is None else Version(version))
    assert packet.resend == ("RF=1;" in head)
    assert packet.header.get("Foo") == ("7" if "Foo" in head else None)
    assert packet.data_time_ms == epoch_ms("20260101080000")


AREAS = [
    pytest.param("", (), [], id="empty"),
    pytest.param("DataTime=20260101080000;", (TIME,), ["item_empty"], id="a_semicolon_at_the_end"),
    pytest.param("a=1,;b=2", ({"a": "1"}, {"b": "2"}), ["item_empty"], id="a_comma_too_many"),
    pytest.param("a-Rtd=1;;b-Rtd=2", ({"a-Rtd": "1"}, {"b-Rtd": "2"}), ["item_empty"], id="an_empty_group"),
    pytest.param("a-Rtd", ({"a-Rtd": None},), ["item_without_value"], id="no_equals"),
    pytest.param("=5", ({"": "5"},), ["item_without_value"], id="no_name"),
    pytest.param("a-Rtd=", ({"a-Rtd": ""},), ["value_malformed"], id="no_value"),
    pytest.param("a-Rtd=--,a-Flag=D", ({"a-Rtd": "--", "a-Flag": "D"},), ["value_malformed"], id="dashes"),
    pytest.param("a-Avg=*", ({"a-Avg": "*"},), ["value_malformed"], id="a_star"),
    pytest.param("a-Rtd=NaN", ({"a-Rtd": "NaN"},), ["value_malformed"], id="nan"),
    pytest.param("a-Rtd=-0999.00", ({"a-Rtd": "-0999.00"},), [], id="leading_zeros"),
    pytest.param("a-Rtd=1=2", ({"a-Rtd": "1=2"},), ["value_malformed"], id="two_equals"),
    pytest.param("a-Rtd=1,a-Rtd=2", ({"a-Rtd": ("1", "2")},), ["item_duplicate"], id="twice_in_a_group"),
    pytest.param("CTime=04,CTime=10,CTime=14", ({"CTime": ("04", "10", "14")},), ["item_duplicate"], id="three_times"),
    pytest.param("a-Rtd=1;a-Flag=N", ({"a-Rtd": "1"}, {"a-Flag": "N"}), ["item_split"], id="every_comma_a_semicolon"),
    pytest.param("a-Rtd=1,b-Rtd=2", ({"a-Rtd": "1", "b-Rtd": "2"},), ["group_mixed"], id="every_semicolon_a_comma"),
    pytest.param("a- Rtd=1 , a-Flag= N ", ({"a-Rtd": "1", "a-Flag": "N"},), ["blank"], id="blanks"),
    pytest.param(
        "i11001-Info=//a;b=1,c//;x-Rtd=1",
        ({"i11001-Info": "//a;b=1,c//"}, {"x-Rtd": "1"}),
        [],
        id="a_log_with_separators",
    ),
    pytest.param("i11001-Info=//清洗管路//", ({"i11001-Info": "//清洗管路//"},), [], id="chinese"),
    pytest.param("DataTime=20261301080000", ({"DataTime": "20261301080000"},), ["data_time_malformed"], id="month_13"),
    pytest.param(
        "DataTime=20260101080000123",
        ({"DataTime": "20260101080000123"},),
        ["data_time_malformed"],
        id="with_milliseconds",
    ),
    pytest.param(
        "DataTime=2026-01-01 08:00:00", ({"DataTime": "2026-01-01 08:00:00"},), ["data_time_malformed"], id="iso"
    ),
    pytest.param("a&&b-Rtd=1", ({"a&&b-Rtd": "1"},), [], id="ampersands_inside"),
    pytest.param("unknown=x;Foo-Bar=y", ({"unknown": "x"}, {"Foo-Bar": "y"}), [], id="unknown_fields"),
]


@pytest.mark.parametrize(("area", "fields", "kinds"), AREAS)
def test_a_data_area_is_read_as_it_stands(area: str, fields: Any, kinds: list[str]) -> None:
    packet = one_of(a_frame(f"{HEAD}CP=&&{area}&&"))
    assert (packet.fields, sorted({fault.kind for fault in packet.faults})) == (fields, kinds)
    assert packet.crc_ok


@pytest.mark.parametrize("name", ["DataTime", "BeginTime", "EndTime"])
@pytest.mark.parametrize("time", ["20261301080000", "20260101080000123", "2026-01-01 08:00:00", "20260101", ""])
def test_a_time_that_is_not_as_it_should_be_is_told_and_kept(name: str, time: str) -> None:
    packet = one_of(a_frame(f"{HEAD}CP=&&{name}={time}&&"))
    assert packet.fields == ({name: time},)
    assert [fault.kind for fault in packet.faults] == ["data_time_malformed"]
    assert packet.data_time_ms == (1_767_225_600_123 if name == "DataTime" and len(time) == 17 else None)


@pytest.mark.parametrize(
    ("segment", "kinds"),
    [
        pytest.param(f"{HEAD}CP=DataTime=20260101080000&&", ["cp_missing"], id="not_opened"),
        pytest.param(f"{HEAD}CP=&DataTime=20260101080000&&", ["cp_missing"], id="half_opened"),
        pytest.param(f"{HEAD}&&DataTime=20260101080000&&", ["cp_missing"], id="no_cp"),
        pytest.param(f"{HEAD}cp=&&DataTime=20260101080000&&", ["key_case"], id="cp_in_other_letters"),
    ],
)
def test_a_data_area_that_is_not_opened_is_read_all_the_same(segment: str, kinds: list[str]) -> None:
    packet = one_of(a_frame(segment))
    assert packet.fields == ({"DataTime": "20260101080000"},)
    assert sorted({fault.kind for fault in packet.faults}) == kinds


def test_text_of_gb_18030_is_read_and_told() -> None:
    packet = one_of(a_frame(f"{HEAD}CP=&&i11001-Info=//清洗//;a-Rtd=x&&".encode("gb18030")))
    assert packet.fields == ({"i11001-Info": "//清洗//"}, {"a-Rtd": "x"})
    told = {fault.kind: fault for fault in packet.faults}
    assert set(told) == {"not_utf8", "value_malformed"}
    wrong = told[FaultKind.VALUE_MALFORMED]
    assert a_frame(f"{HEAD}CP=&&i11001-Info=//清洗//;a-Rtd=x&&".encode("gb18030"))[wrong.offset :][:1] == b"x"


def test_bytes_that_are_no_text_pass_through() -> None:
    packet = one_of(a_frame(f"{HEAD}CP=&&a-Rtd=1,x=".encode() + b"\xff\xff" + b"&&"))
    assert [fault.kind for fault in packet.faults] == ["undecodable", "group_mixed"]
    assert packet.fields == ({"a-Rtd": "1", "x": "\xff\xff"},)


def test_a_long_segment_is_told_and_read() -> None:
    groups = ",".join(f"a21026-X{n}=1" for n in range(120))
    packet = one_of(a_frame(f"{HEAD}CP=&&{groups}&&"))
    assert [fault.kind for fault in packet.faults] == ["segment_too_long"]
    assert len(packet.fields[0]) == 120


def test_of_endless_faults_the_first_are_told() -> None:
    packet = one_of(a_frame(f"{HEAD}CP=&&{',' * 900}a-Rtd=5&&"))
    assert len(packet.faults) == MOST + 1
    assert [fault.kind for fault in packet.faults[-2:]] == [FaultKind.ITEM_EMPTY, FaultKind.MORE]
    assert packet.fields == ({"a-Rtd": "5"},)


def test_offsets_point_at_what_is_wrong() -> None:
    stream = b"x" + a_frame(f"{HEAD.replace('001;ST', '001,ST')}CP=&&a-Rtd=--&&")
    (packet,) = seen(stream).packets
    places = {fault.kind: stream[fault.offset : fault.offset + fault.length] for fault in packet.faults}
    assert places == {FaultKind.HEADER_COMMA: b",", FaultKind.VALUE_MALFORMED: b"--"}


def test_a_password_stands_in_no_fault() -> None:
    packet = one_of(a_frame("QN=20260101080000001;ST=31;CN=2011;PW=;MN=A;Flag=4;CP=&&&&"))
    assert [fault.kind for fault in packet.faults] == ["field_malformed"]
    odd = one_of(a_frame("QN=20260101080000001;ST=31;CN=2011;PW=geheim 1;MN=A;Flag=4;CP=&&&&"))
    assert not any("geheim" in fault.text for fault in odd.faults)


# ---- the cipher of 2025 ----

SENT = a_segment({"DataTime": "20260101080000"}, {"a21026-Rtd": "12.34", "a21026-Flag": "N"}, flag=9)


def test_an_enciphered_packet_is_read_with_its_key_only() -> None:
    packet = encode(SENT, key=KEY)
    assert b"a21026" not in packet
    opened = one_of(packet, keys={MN: KEY})
    assert (opened.fields, opened.crc_ok, opened.length_ok, opened.faults) == (tuple(SENT.fields), True, True, ())
    closed = one_of(packet)
    assert (closed.fields, closed.crc_ok, closed.enciphered, closed.mn) == ((), False, True, MN)
    assert [fault.kind for fault in closed.faults] == ["encrypted"]


def test_a_wrong_key_is_a_wrong_check_value() -> None:
    packet = one_of(encode(SENT, key=KEY), keys={"*": bytes(16)})
    assert not packet.crc_ok
    assert FaultKind.CRC_MISMATCH in {fault.kind for fault in packet.faults}


def test_where_there_is_no_data_nothing_is_enciphered() -> None:
    heartbeat = replace(SENT, cn="9015", fields=())
    assert encode(heartbeat, key=KEY) == encode(heartbeat)


def test_a_key_does_not_forbid_plain_text() -> None:
    assert one_of(encode(SENT), keys={MN: KEY}).faults == ()


@pytest.mark.parametrize("area", [b"{0xE4,zz}", b"{0xE4", b"{0xE4,0x123}", b"{0x}"])
def test_a_cipher_that_is_not_written_as_it_should_be_is_told(area: bytes) -> None:
    packet = one_of(a_frame(HEAD.encode() + b"CP=&&" + area + b"&&"), keys={"*": KEY})
    assert "cipher_malformed" in {fault.kind for fault in packet.faults}
    assert (packet.crc_ok, packet.cn) == (False, "2011")


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 208])
def test_what_is_enciphered_is_deciphered_and_the_rest_of_a_block_stays(length: int) -> None:
    plain = bytes(range(length))
    enciphered = cipher.encipher(plain, KEY)
    assert cipher.decipher(enciphered, KEY) == plain
    assert enciphered[length - length % 16 :] == plain[length - length % 16 :]
    assert cipher.read_bytes(cipher.write_bytes(enciphered)) == enciphered


def test_a_key_has_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="16"):
        Decoder(keys={"*": b"short"})
    with pytest.raises(ValueError, match="16"):
        cipher.encipher(b"", b"short")


# ---- times ----


def test_times_are_those_of_china_the_year_round() -> None:
    assert epoch_ms("20260101080000") == 1_767_225_600_000
    assert epoch_ms("19860701000000") == 520_531_200_000  # no summer time, though China had it in 1986
    assert data_time(1_767_225_600_999) == "20260101080000"
    assert qn(1_767_225_600_007) == "20260101080000007"


@pytest.mark.parametrize(
    "text", ["", "2026010108000", "20260230000000", "20260101250000", "99999999999999", "０" * 14, "00000101000000"]
)
def test_what_is_no_time_has_none(text: str) -> None:
    assert epoch_ms(text) is None
