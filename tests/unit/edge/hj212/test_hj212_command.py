"""`stackwatch hj212 decode`: what a capture says, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.hj212.crc import modbus
from edge.hj212.encoder import encode
from fakes.hj212_streams import INTERVAL, KEY, REALTIME, REPLY, a_frame, a_segment
from stackwatch.cli import app

KEYS = [
    *("offset", "length_ok", "crc_ok", "crc_variant", "qn", "st", "cn", "pw", "mn", "flag", "pnum", "pno"),
    *("header", "fields", "faults"),
]


def decode(capture: bytes, folder: Path, *options: str) -> str:
    file = folder / "capture.bin"
    file.write_bytes(capture)
    done = CliRunner().invoke(app, ["hj212", "decode", str(file), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def objects(capture: bytes, folder: Path, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in decode(capture, folder, "--json", *options).splitlines()]


def test_each_packet_is_one_object(tmp_path: Path) -> None:
    first, second = objects(INTERVAL + b"\r\n" + REALTIME + b"\r\n", tmp_path)
    assert list(first) == KEYS
    assert {key: first[key] for key in KEYS[:12]} == {
        "offset": 0,
        "length_ok": True,
        "crc_ok": True,
        "crc_variant": "hj212",
        "qn": "20160801085857223",
        "st": "32",
        "cn": "1062",
        "pw": "100000",
        "mn": "010000A8900016F000169DC0",
        "flag": "5",
        "pnum": None,
        "pno": None,
    }
    assert (first["fields"], first["faults"]) == ([{"RtdInterval": "30"}], [])
    assert second["offset"] == len(INTERVAL) + 2
    assert second["fields"][1] == {"a21026-Rtd": "12.3", "a21026-ZsRtd": "17.6", "a21026-Flag": "N"}


def test_noise_stands_with_the_packet_behind_it_and_at_the_end_with_the_last(tmp_path: Path) -> None:
    first, second = objects(b"xx" + INTERVAL + b"\r\nyyy" + REPLY + b"\r\nzzzz", tmp_path)
    places = [
        [(fault["kind"], fault["offset"], fault["length"]) for fault in told["faults"]] for told in (first, second)
    ]
    behind = 2 + len(INTERVAL) + 2
    assert places == [[("noise", 0, 2)], [("noise", behind, 3), ("noise", behind + 3 + len(REPLY) + 2, 4)]]


def test_a_capture_without_a_packet_says_why(tmp_path: Path) -> None:
    (told,) = objects(b"ST=22;CN=2011;PW=123456;MN=TEST01", tmp_path)
    assert (told["crc_ok"], told["length_ok"], told["cn"], told["fields"]) == (False, False, None, [])
    assert [fault["kind"] for fault in told["faults"]] == ["noise"]
    assert objects(b"", tmp_path) == []


def test_fields_of_other_names_and_numbers_pass_as_they_stand(tmp_path: Path) -> None:
    segment = (
        "QN=20260101080000001;ST=31;CN=2011;PW=1;MN=A;Flag=10;PNUM=0002;PNO=0001;RF=1;Foo=7;CP=&&a-Rtd=1,a-Rtd=2,b&&"
    )
    (told,) = objects(a_frame(segment), tmp_path)
    assert (told["pnum"], told["pno"], told["header"]) == ("0002", "0001", {"RF": "1", "Foo": "7"})
    assert told["fields"] == [{"a-Rtd": ["1", "2"], "b": None}]


def test_a_variant_of_the_check_value_is_taken_where_it_is_allowed(tmp_path: Path) -> None:
    capture = REALTIME[:-4] + b"%04X\r\n" % modbus(REALTIME[6:-4])
    (strict,) = objects(capture, tmp_path)
    (lenient,) = objects(capture, tmp_path, "--allow-crc", "modbus")
    assert [(told["crc_ok"], told["crc_variant"]) for told in (strict, lenient)] == [
        (False, "modbus"),
        (True, "modbus"),
    ]


def test_an_enciphered_packet_is_opened_with_the_key_in_a_file(tmp_path: Path) -> None:
    capture = encode(a_segment({"DataTime": "20260101080000"}, {"a21026-Rtd": "1"}, flag=9), key=KEY)
    key_file = tmp_path / "key"
    key_file.write_text(KEY.hex() + "\n")
    assert objects(capture, tmp_path, "--key-file", str(key_file))[0]["fields"][1] == {"a21026-Rtd": "1"}
    assert objects(capture, tmp_path)[0]["fields"] == []


def test_people_read_what_a_packet_is_and_what_is_wrong(tmp_path: Path) -> None:
    shown = decode(b"\x1b[31m" + INTERVAL + b"\r\n" + REPLY[:-4] + b"FFFF\r\n", tmp_path)
    assert "1062 set the real-time interval" in shown
    assert "RtdInterval" in shown
    assert "! crc_mismatch at" in shown
    assert shown.endswith("2 packets, 1 intact. Faults: crc_mismatch 1, noise 1\n")
    assert "\x1b" not in shown
    assert "100000" not in shown  # the password


def test_bytes_that_command_a_terminal_are_shown_as_text(tmp_path: Path) -> None:
    shown = decode(a_frame(b"ST=31;CN=2011;PW=1;MN=A;CP=&&a-Rtd=\x1b[2J\x07&&"), tmp_path)
    assert "\x1b" not in shown
    assert r"\x1b[2J\x07" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.bin"], "cannot be read"),
        (["nowhere.bin", "--allow-crc", "crc32"], "must be of hj212, swapped"),
        (["nowhere.bin", "--key-file", "nowhere.key"], "cannot be read"),
    ],
)
def test_what_is_misused_is_said(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["hj212", "decode", *arguments])
    assert done.exit_code == 2
    assert words in done.stderr


@pytest.mark.parametrize("text", ["", "zz" * 16, "00" * 15, "ключ"])
def test_a_key_that_is_none_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["hj212", "decode", "x", "--key-file", str(key_file)])
    assert done.exit_code == 2
    assert "32 hex digits" in done.stderr
    assert not text or text not in done.stderr
