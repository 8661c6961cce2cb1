"""What the two sides say: every command written and read again, replies, split messages put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.hj212.assembly import Assembler
from edge.hj212.commands import SPECS, Command, ExeRtn, Form, Kind, QnRtn, command_of
from edge.hj212.decoder import Packet
from edge.hj212.encoder import encode, split
from edge.hj212.messages import (
    acknowledgement,
    build,
    data_reply,
    exchange_of,
    execution_result,
    message,
    notice_reply,
    request_reply,
)
from edge.hj212.segment import Segment, Version, flag_of, version_of
from edge.hj212.times import qn
from fakes.hj212_streams import KEY, MN, a_frame, a_packet, a_segment, one_of, seen

QN = "20260101080000001"
TIMES = st.integers(0, 4_000_000_000).map(lambda s: s * 1000)
TEXTS = st.text("abcXYZ0123456789./_ 清洗", min_size=1, max_size=12).map(str.strip).filter(bool)
CODES = st.from_regex(r"[agwi][0-9]{5}", fullmatch=True)
NUMBERS = st.decimals(-99_999, 99_999, places=3, allow_nan=False).map(str)
RECORDS = st.dictionaries(CODES, NUMBERS, max_size=6).map(
    lambda values: [{f"{code}-Rtd": value, f"{code}-Flag": "N"} for code, value in values.items()]
)


def values_of(form: Form) -> st.SearchStrategy[Any]:
    match form:
        case Form.INTEGER:
            return st.integers(0, 999_999_999)
        case Form.TIME:
            return TIMES
        case Form.TEXT:
            return TEXTS


@st.composite
def messages(draw: st.DrawFn) -> tuple[Segment, Command, Mapping[str, Any], list[dict[str, str]]]:
    command = draw(st.sampled_from(list(Command)))
    forms = SPECS[command].parameters
    given_ = {name: draw(values_of(form)) for name, form in forms.items() if draw(st.booleans())}
    records = draw(RECORDS)
    version = draw(st.sampled_from(list(Version)))
    segment = build(
        command,
        qn=qn(draw(TIMES)),
        st=draw(st.sampled_from(["31", "32", "51", "91"])),
        mn=draw(st.sampled_from([MN, "A110000_0001", "88888880000001"])),
        pw=draw(st.sampled_from(["123456", "BF470F88957588DE902D1A52"])),
        version=version,
        reply_wanted=draw(st.booleans()),
        resend=version is Version.HJ_2025 and draw(st.booleans()),
        parameters=given_,
        records=records,
    )
    return segment, command, given_, records


@given(messages(), st.sampled_from([None, KEY]))
@settings(max_examples=600, deadline=None)
def test_what_is_written_is_read_for_every_command(
    made: tuple[Segment, Command, Mapping[str, Any], list[dict[str, str]]], key: bytes | None
) -> None:
    segment, command, parameters, records = made
    packet = one_of(encode(segment, key=key), keys={"*": KEY})
    assert [fault for fault in packet.faults if fault.kind != "segment_too_long"] == []
    assert (packet.length_ok, packet.crc_ok, packet.crc_variant) == (True, True, "hj212")
    assert packet.header == dict(segment.header())
    assert packet.fields == tuple(segment.fields)
    said = message(packet)
    assert said is not None
    assert (said.command, said.parameters, list(said.records)) == (command, parameters, records)
    assert said.kind in SPECS[command].kinds


@pytest.mark.parametrize("command", list(Command), ids=lambda command: command.name.lower())
def test_each_command_is_there_by_its_number(command: Command) -> None:
    assert command_of(command.value) is command
    assert SPECS[command].title


def test_the_commands_are_those_of_the_notes() -> None:
    listed_2017 = """1000 1011 1012 1013 1061 1062 1063 1064 1072 2011 2012 2021 2022 2031 2041 2051 2061 2081 3011 3012
        3013 3014 3015 3016 3017 3018 3019 3020 3021 9011 9012 9013 9014"""
    listed_2025 = "9015 1001 1002 1014 2013 2052 2062 2111 3022 3024"
    assert {c.value for c, s in SPECS.items() if s.since is Version.HJ_2017} == set(listed_2017.split())
    assert {c.value for c, s in SPECS.items() if s.since is Version.HJ_2025} == set(listed_2025.split())
    assert command_of("4711") is None
    assert command_of(None) is None


@pytest.mark.parametrize(("command", "area", "kind"), [
    (Command.REALTIME_DATA, (), Kind.REQUEST),
    (Command.REALTIME_DATA, ({"DataTime": "20260101080000"}, {"a-Rtd": "1"}), Kind.UPLOAD),
    (Command.HOUR_DATA, ({"BeginTime": "20260101080000"}, {"EndTime": "20260101080000"}), Kind.REQUEST),
    (Command.REALTIME_INTERVAL, (), Kind.REQUEST),
    (Command.REALTIME_INTERVAL, ({"RtdInterval": "30"},), Kind.UPLOAD),
    (Command.FIELD_INFORMATION, ({"PolId": "a21026"}, {"InfoId": "i13001"}), Kind.REQUEST),
    (Command.FIELD_INFORMATION, ({"PolId": "a21026"}, {"i13001-Info": "5"}), Kind.UPLOAD),
    (Command.HEARTBEAT, (), Kind.NOTICE),
    (Command.DATA_REPLY, (), Kind.REPLY),
])  # fmt: skip
def test_a_message_is_a_request_or_brings_something(
    command: Command, area: tuple[dict[str, str], ...], kind: Kind
) -> None:
    said = message(one_of(encode(Segment(st="31", cn=command, mn=MN, qn=QN, flag=4, fields=area))))
    assert said is not None
    assert said.kind is kind


def test_an_unknown_command_is_no_message() -> None:
    assert message(a_packet(cn="4711")) is None


def test_parameters_that_are_not_in_their_form_are_text() -> None:
    said = message(a_packet({"OverTime": "five"}, {"ReCount": "3"}, {"X": "1"}, cn="1000"))
    assert said is not None
    assert said.parameters == {"OverTime": "five", "ReCount": 3}
    assert said.records == ({"X": "1"},)


# ---- replies ----


@pytest.mark.parametrize("version", [Version.HJ_2017, Version.HJ_2025])
def test_a_reply_has_the_qn_of_what_it_answers_and_asks_for_none(version: Version) -> None:
    asked = a_packet(cn="2061", flag=flag_of(version, reply_wanted=True), qn=QN)
    answer = one_of(encode(data_reply(asked)))
    assert (answer.qn, answer.st, answer.cn, answer.mn, answer.pw) == (QN, "91", "9014", MN, "123456")
    assert (answer.version, answer.reply_wanted, answer.fields, answer.faults) == (version, False, (), ())


def test_a_reply_of_2005_has_the_qn_in_its_data() -> None:
    asked = one_of(encode(a_segment(cn="2011", qn=QN, flag=1)))
    answer = one_of(encode(request_reply(asked, QnRtn.READY)))
    assert answer.fields == ({"QN": QN}, {"QnRtn": "1"})
    assert (answer.qn, answer.flag, answer.faults) == (None, None, ())
    assert exchange_of(asked) == exchange_of(answer) == QN
    assert exchange_of(one_of(encode(execution_result(answer, ExeRtn.DONE)))) == QN
    assert exchange_of(one_of(encode(Segment(st="91", cn="9014", mn=MN)))) is None


def test_answers_to_requests_are_typed() -> None:
    asked = a_packet(cn="1062", qn=QN)
    refused = message(one_of(encode(request_reply(asked, QnRtn.PW_WRONG))))
    failed = message(one_of(encode(execution_result(asked, ExeRtn.NO_DATA))))
    assert refused is not None
    assert failed is not None
    assert (refused.qn_rtn, failed.exe_rtn) == (QnRtn.PW_WRONG, ExeRtn.NO_DATA)
    odd = message(a_packet({"QnRtn": "77"}, {"ExeRtn": "x"}, cn="9011"))
    assert odd is not None
    assert (odd.qn_rtn, odd.exe_rtn) == (QnRtn.UNKNOWN, ExeRtn.FAILED)


def test_what_cannot_be_read_back_is_not_repeated_in_a_reply() -> None:
    odd = one_of(a_frame(f"QN={'9' * 90};ST=31;CN=2011;PW=a=b;MN=x#y;Flag=5;CP=&&&&"))
    answer = one_of(encode(data_reply(odd)))
    assert (answer.qn, answer.pw, answer.mn, answer.crc_ok) == (None, "", "", True)


@pytest.mark.parametrize(
    ("cn", "flag", "reply"),
    [
        pytest.param("2011", 5, "9014", id="data_that_wants_a_reply"),
        pytest.param("2011", 4, None, id="data_that_wants_none"),
        pytest.param("9015", 9, "9013", id="heartbeat"),
        pytest.param("9014", 5, None, id="a_reply_is_not_replied_to"),
        pytest.param("1062", 5, None, id="a_request_is_for_who_executes_it"),
        pytest.param("4711", 5, None, id="an_unknown_command"),
    ],
)
def test_what_a_packet_is_owed(cn: str, flag: int, reply: str | None) -> None:
    owed = acknowledgement(a_packet({"DataTime": "20260101080000"}, {"a-Rtd": "1"}, cn=cn, flag=flag))
    assert (None if owed is None else owed.cn) == reply


def test_a_notice_is_answered_by_a_notice_reply() -> None:
    assert notice_reply(a_packet(cn="1013")).cn == "9013"


@pytest.mark.parametrize(
    ("flag", "version"), [(None, 2005), (3, 2005), (4, 2017), (7, 2017), (8, 2025), (11, 2025), (12, None)]
)
def test_the_version_stands_in_the_upper_bits_of_flag(flag: int | None, version: int | None) -> None:
    assert version_of(flag) == version


# ---- what cannot be written ----


@pytest.mark.parametrize(
    "group",
    [
        {"a;b": "1"},
        {"a=b": "1"},
        {"": "1"},
        {"a b": "1"},
        {"a": "1;2"},
        {"a": "x&&y"},
        {"a": "1\r\n"},
        {"a": " 1"},
        {"a": "##0101QN="},
    ],
    ids=repr,
)
def test_what_would_be_read_otherwise_is_not_written(group: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"name of an item|cannot be written"):
        encode(a_segment(group))


def test_a_segment_too_long_for_its_length_field_is_not_written() -> None:
    with pytest.raises(ValueError, match="split it"):
        encode(a_segment({f"a{n}-Rtd": "1" for n in range(2_000)}))


# ---- messages of several packets ----

MANY = [{"DataTime": "20260101080000"}, *({f"a{n:05}-Rtd": f"{n}.5", f"a{n:05}-Flag": "N"} for n in range(90))]


def parts() -> list[Packet]:
    return seen(b"".join(encode(part) for part in split(a_segment(*MANY), qn_of=lambda n: qn(n)))).packets


def test_a_message_that_fits_is_not_split() -> None:
    one = a_segment(*MANY[:5])
    assert split(one, qn_of=lambda n: qn(n)) == [one]


def test_each_part_has_a_qn_of_its_own_and_the_time_of_all() -> None:
    found = parts()
    assert len(found) > 2
    assert [packet.pno for packet in found] == list(range(1, len(found) + 1))
    assert {packet.pnum for packet in found} == {len(found)}
    assert len({packet.qn for packet in found}) == len(found)
    assert all(packet.fields[0] == MANY[0] for packet in found)
    assert all((packet.faults, packet.flag) == ((), 7) and len(packet.segment) <= 1024 for packet in found)


def test_a_group_that_is_too_long_alone_is_not_split() -> None:
    with pytest.raises(ValueError, match="one group alone"):
        split(a_segment(MANY[0], {f"a-{n}": "1" for n in range(300)}), qn_of=lambda n: qn(n))


@pytest.mark.parametrize(
    "order",
    [lambda p: p, lambda p: p[::-1], lambda p: [p[0], p[0], *p[1:]]],
    ids=["in_order", "backwards", "one_twice"],
)
def test_parts_become_one_message(order: Any) -> None:
    assembler, out = Assembler(), list[Packet]()
    for packet in order(parts()):
        out += assembler.add(packet, now_s=0)
    (whole,) = out
    assert list(whole.fields) == MANY
    assert (whole.crc_ok, whole.faults, assembler.held) == (True, (), 0)


def test_a_packet_of_its_own_waits_for_nothing() -> None:
    packet = a_packet()
    assert Assembler().add(packet, now_s=0) == [packet]


def test_a_message_that_does_not_become_whole_comes_out_as_it_is() -> None:
    assembler = Assembler(deadline_s=60)
    found = parts()
    assert assembler.add(found[1], now_s=0) == []
    assert assembler.expire(now_s=59.9) == []
    (left,) = assembler.expire(now_s=60)
    assert [fault.kind for fault in left.faults] == ["parts_missing"]
    assert left.fields == found[1].fields
    assert assembler.held == 0


def test_open_messages_and_their_parts_are_bounded() -> None:
    assembler, packet, out = Assembler(most_open=3, most_parts=5), parts()[0], list[Packet]()
    for number in range(50):
        other = replace(packet, fields=({"DataTime": f"202601010800{number:02}"},))
        out += assembler.add(replace(other, header={**other.header, "PNUM": "4"}), now_s=0)
    assert (assembler.held, len(out)) == (3, 47)
    (alone,) = assembler.add(replace(packet, header={**packet.header, "PNUM": "6"}), now_s=0)
    assert [fault.kind for fault in alone.faults] == ["parts_missing"]
