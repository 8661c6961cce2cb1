"""The tables of an agent file that speak HJ 212: what they mean, and that every fault is named with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.agent_file import read_agent_file
from edge.hj212.listen import Listening
from edge.hj212.poll import Polling
from edge.hj212.segment import Version
from edge.hj212.uplink import Uplink
from plant.errors import BadDocument

HEAD = 'site = "works-1"\nedge = "gateway-1"\n'
LISTEN = """
[[hj212.listen]]
port = 0
  [[hj212.listen.logger]]
  mn = "A1"
  password_file = "a1.password"
  stack = "DA001"
  version = "2025"
  key_env = "A1_KEY"
  allowed_crc = ["modbus"]
  ask_hours = true
  history = "7d"
  set_realtime_interval = "60s"
  [[hj212.listen.logger]]
  mn = "A2"
  password = "654321"
  stack = "DA002"
[[hj212.poll]]
host = "192.0.2.1"
port = 5000
mn = "A3"
password_env = "A3_PASSWORD"
stack = "DA003"
[[hj212.uplink]]
host = "192.0.2.2"
port = 9010
mn = "A4"
password = "123456"
stack = "DA001"
version = "2025"
"""


def read(folder: Path, text: str) -> list[object]:
    file = folder / "edge.toml"
    file.write_text(HEAD + text)
    return [declared.source for declared in read_agent_file(file).sources]


def test_a_file_with_every_kind_is_read_and_its_secrets_are_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A3_PASSWORD", "s3cret3")
    monkeypatch.setenv("A1_KEY", "00112233445566778899aabbccddeeff")
    (tmp_path / "a1.password").write_text("s3cret1\n")
    listening, polling, uplink = read(tmp_path, LISTEN)
    assert isinstance(listening, Listening)
    assert isinstance(polling, Polling)
    assert isinstance(uplink, Uplink)
    first, second = listening.intake.peers.values()
    assert (first.password, first.version) == ("s3cret1", Version.HJ_2025)
    assert first.checks == {"hj212", "modbus"}
    assert first.key == bytes.fromhex("00112233445566778899aabbccddeeff")
    assert (first.asks.hours, first.asks.history_ms, first.asks.realtime_interval_s) == (True, 7 * 86_400_000, 60)
    assert (second.password, second.asks.hours) == ("654321", False)
    (polled,) = polling.intake.peers.values()
    assert (polled.password, polled.asks.hours) == ("s3cret3", True)
    shown = repr((first, second, polled)) + str([source.state() for source in (listening, polling, uplink)])
    assert not any(secret in shown for secret in ("s3cret1", "654321", "s3cret3", "123456", "112233", repr(first.key)))


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[[hj212.listen]]\n", "hj212.listen[0].logger", "is required"),
        (LISTEN.replace('password = "654321"\n', ""), "hj212.listen[0].logger[1].password", "is required"),
        (LISTEN.replace('"654321"', '"6;5"'), "hj212.listen[0].logger[1].password", "cannot carry"),
        (LISTEN.replace('mn = "A2"', 'mn = "A1"'), "hj212.listen[0].logger[1].mn", "there twice"),
        (LISTEN.replace("a1.password", "no.password"), "hj212.listen[0].logger[0].password_file", "cannot be read"),
        (LISTEN.replace("A3_PASSWORD", "STACKWATCH_X"), "hj212.poll[0].password_env", "cannot be read"),
        (LISTEN.replace('"modbus"', '"md5"'), "hj212.listen[0].logger[0].allowed_crc", "must be of"),
        (LISTEN.replace('"60s"', '"5s"'), "hj212.listen[0].logger[0].set_realtime_interval", "30 to 3600 s"),
        (LISTEN.replace("key_env", "key"), "hj212.listen[0].logger[0].key", "key_file or key_env"),
        (LISTEN.replace("A1_KEY", "A3_PASSWORD"), "hj212.listen[0].logger[0].key", "32 hex digits"),
        (LISTEN + 'minute_interval = "7min"\n', "hj212.uplink[0].minute_interval", "must be 1, 2, 3"),
        (LISTEN + 'password_file = "a1.password"\n', "hj212.uplink[0].password_file", "both there"),
        (LISTEN.replace('"2025"\n', '"2005"\n'), "hj212.uplink[0].version", "2017 or 2025"),
        (LISTEN + "portt = 1\n", "hj212.uplink[0].portt", "is not known here"),
    ],
)
def test_every_fault_is_named_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, path: str, words: str
) -> None:
    monkeypatch.setenv("A3_PASSWORD", "s3cret3")
    monkeypatch.setenv("A1_KEY", "00112233445566778899aabbccddeeff")
    (tmp_path / "a1.password").write_text("s3cret1\n")
    with pytest.raises(BadDocument) as raised:
        read(tmp_path, text)
    assert any(fault.path == path and words in fault.message for fault in raised.value.faults), raised.value.faults
    assert "s3cret" not in str(raised.value)
