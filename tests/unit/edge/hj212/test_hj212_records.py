"""The packets and dialogues of the shared data, where it lies beside the tree: each says what its record says."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from edge.hj212.decoder import Packet
from edge.hj212.messages import acknowledgement, message
from edge.hj212.segment import Group
from fakes.hj212_streams import a_frame, seen

DATA: Final = Path(__file__).parents[4].parent / "shared" / "data"
NAMES: Final = ("frames", "malformed", "segments", "2017_dialogues", "2025_sm4")


def records(name: str) -> list[Any]:
    file = DATA / f"hj212_{name}.jsonl"
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [pytest.param(record, id=record["id"]) for record in map(json.loads, filter(None, lines))]


pytestmark = pytest.mark.shared_data


def one(stream: bytes, **options: Any) -> Packet:
    found = seen(stream, **options)
    assert not found.faults
    (packet,) = found.packets
    return packet


def everything(packet: Packet) -> dict[str, Any]:
    """Header and items in one table, items of a code as a table too."""
    told: dict[str, Any] = dict(packet.header)
    for group in packet.fields:
        for name, value in group.items():
            code, _, suffix = name.partition("-")
            told[name] = value
            if suffix:
                told.setdefault(code, {})[suffix] = value
    return told


def plainly(area: str) -> list[Group]:
    """The groups of an area that is as it should be, by splitting alone."""
    return [dict(item.split("=", 1) for item in group.split(",")) for group in area.split(";") if group]


@pytest.mark.parametrize("record", records("frames"))
def test_a_packet_says_what_its_record_says(record: dict[str, Any]) -> None:
    packet = one(record["raw"].encode())
    assert packet.length_ok == record["length_ok"]
    assert len(packet.segment) == record["actual_length"]
    assert packet.declared == record["declared_length"]
    assert (packet.crc or "").upper() == record["crc_field"].upper()
    assert packet.crc_ok == record["expected_crc_ok"]
    assert packet.crc_variant == next(iter(record["crc_variants_matching"]), None)
    assert (packet.st, packet.cn) == (record["st"], record["cn"])
    assert packet.header.get("Flag") == record.get("flag")
    kinds = {fault.kind for fault in packet.faults}
    assert ("length_mismatch" in kinds) != record["length_ok"]
    assert bool(kinds & {"crc_mismatch", "crc_variant"}) != record["expected_crc_ok"]
    end = record["terminator"]
    assert ("tail_missing" in kinds, "tail_malformed" in kinds) == (end == "none in source", end == "LF")
    if error := record.get("expected_error"):
        assert any(error in fault.text for fault in packet.faults)
    expected = record.get("expected_fields", {})
    told = everything(packet)
    for name in expected.keys() & told.keys():
        found = told[name]
        assert found == expected[name] or str(found).startswith(str(expected[name])), name


@pytest.mark.parametrize("record", records("malformed"))
def test_a_packet_that_cannot_be_read_says_why(record: dict[str, Any]) -> None:
    found = seen(record["raw"].encode())
    faults = [*found.faults, *(fault for packet in found.packets for fault in packet.faults)]
    assert any(record["expected_error"] in fault.text for fault in faults)
    assert not any(packet.crc_ok for packet in found.packets)


@pytest.mark.parametrize("record", records("segments") + records("2017_dialogues"))
def test_a_segment_is_read_as_it_stands(record: dict[str, Any]) -> None:
    packet = one(a_frame(record["raw"]))
    assert (packet.crc_ok, packet.length_ok, packet.st, packet.cn) == (True, True, record["st"], record["cn"])
    if computed := record.get("crc_computed") or record.get("crc_computed_utf8"):  # not where the text was shortened
        assert packet.crc == computed
        assert len(packet.segment) == (record.get("actual_length") or record["length_computed_utf8"])
    assert message(packet) is not None
    if error := record.get("expected_error"):
        assert any(error in fault.text for fault in packet.faults)
    assert packet.resend == (record.get("expected_fields", {}).get("RF") == "1")
    if not packet.faults:
        area = record["raw"].partition("CP=&&")[2].removesuffix("&&")
        assert list(packet.fields) == plainly(area)


def dialogues() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for parameter in records("2017_dialogues"):
        record = parameter.values[0]
        found.setdefault(record["dialogue"], []).append(record)
    return found


@pytest.mark.parametrize("steps", dialogues().values(), ids=dialogues())
def test_the_data_reply_of_a_dialogue_is_the_one_we_would_send(steps: list[dict[str, Any]]) -> None:
    packets = [one(a_frame(step["raw"])) for step in steps]
    for packet, answer in pairwise(packets):
        if answer.cn in ("9013", "9014"):
            owed = acknowledgement(packet)
            assert owed is not None
            assert (dict(owed.header()), tuple(owed.fields)) == (answer.header, answer.fields)
    requests = {packet.qn for packet in packets if packet.cn == "9012"}
    assert requests <= {packets[0].qn}


@pytest.mark.parametrize("record", records("2025_sm4"))
def test_the_official_example_of_the_cipher_is_read(record: dict[str, Any]) -> None:
    key = bytes.fromhex(record["key_hex"])
    packet = one(record["raw"].encode() + b"\r\n", keys={"*": key})
    assert (packet.crc_ok, packet.length_ok, packet.faults) == (True, True, ())
    assert list(packet.fields) == plainly(record["plain_region"])
