"""`stackwatch hj212 serve` and `send` as people run them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.hj212.commands import SPECS, Command, Kind
from edge.hj212.encoder import encode
from edge.hj212.messages import build
from edge.hj212.segment import Version
from fakes.hj212_logger import AT_MS, MN, PASSWORD, a_reading, an_hour

STACKWATCH = (sys.executable, "-m", "stackwatch", "hj212")


@contextmanager
def served(*options: str, most: int = 1) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """`hj212 serve` on a free port, which ends after *most* packets."""
    command = [*STACKWATCH, "serve", "--port", "0", "--most", str(most), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition(":")[2]), process
        finally:
            process.terminate()


def sent(file: Path, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*STACKWATCH, "send", str(file), "--to", f"127.0.0.1:{port}", "--timeout", "2", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def ends_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [json.loads(line)["end"] for line in done.stdout.splitlines()]


def decoded(file: Path) -> list[dict[str, Any]]:
    command = [*STACKWATCH, "decode", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_capture_is_sent_answered_shown_and_recorded(tmp_path: Path) -> None:
    capture, record = tmp_path / "c.bin", tmp_path / "r.bin"
    capture.write_bytes(b"noise" + encode(an_hour(AT_MS)) + encode(a_reading(AT_MS)))
    with served("--record", str(record), "--logger", f"{MN}={PASSWORD}", most=2) as (port, process):
        done = sent(capture, port, "--json")
        assert (done.returncode, ends_of(done)) == (0, ["answered", "answered"])
        shown, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "2061 hour data" in shown
    assert "> answered 9014" in shown
    assert [line["cn"] for line in decoded(record)] == ["2061", "2011"]
    assert all(line["crc_ok"] and not line["faults"] for line in decoded(record))


def test_rows_become_packets(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("sampled_at,so2,o2,flag\n2026-11-20T08:00:00Z,12.345,17.5,N\n2026-11-20T08:01:00Z,,,D\n")
    means = tmp_path / "means.jsonl"
    mean = {"sampled_at": AT_MS, "interval_s": 3600, "channel": "so2", "avg": 9.5}
    means.write_text(json.dumps(mean) + "\n")
    record = tmp_path / "r.bin"
    with served("--record", str(record), most=2) as (port, process):
        assert sent(rows, port, "--mn", MN, "--version", "2025").returncode == 0
        assert sent(means, port, "--mn", MN).returncode == 0
        process.communicate(timeout=30)
    first, second = decoded(record)
    assert (first["cn"], first["flag"]) == ("2011", "9")
    assert first["fields"][1] == {"a21026-Rtd": "12.34", "a21026-Flag": "N"}
    assert (second["cn"], second["fields"][1]) == ("2061", {"a21026-Avg": "9.50", "a21026-Flag": "N"})


def test_who_gets_no_answer_is_told_so(tmp_path: Path) -> None:
    capture = tmp_path / "c.bin"
    capture.write_bytes(encode(an_hour(AT_MS, pw="000000")))
    with served("--logger", f"{MN}={PASSWORD}", most=9) as (port, _):
        done = sent(capture, port, "--json", "--timeout", "0.2", "--retries", "1")
    assert (done.returncode, ends_of(done)) == (1, ["no answer"])
    assert "1 of 1 packets were not taken" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--to", "nowhere"], "HOST:PORT", id="address"),
        pytest.param(["--to", "127.0.0.1:1"], "cannot be reached", id="nobody_there"),
    ],
)
def test_what_is_asked_wrongly_is_said(tmp_path: Path, arguments: Sequence[str], words: str) -> None:
    capture = tmp_path / "c.bin"
    capture.write_bytes(encode(an_hour(AT_MS)))
    done = subprocess.run([*STACKWATCH, "send", str(capture), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert words in done.stderr


def test_what_send_writes_decode_reads_for_every_command(tmp_path: Path) -> None:
    segments = [
        build(command, qn="20261120080000001", st="31", mn=MN, pw=PASSWORD, version=version, reply_wanted=False)
        for version in (Version.HJ_2017, Version.HJ_2025)
        for command in Command
        if SPECS[command].kinds != (Kind.REQUEST,) and Kind.REQUEST not in SPECS[command].kinds
    ]
    segments += [
        build(command, qn="20261120080000001", st="31", mn=MN, pw=PASSWORD, parameters={"PolId": "a21026"})
        for command in Command
        if Kind.REQUEST in SPECS[command].kinds
    ]
    capture, record = tmp_path / "c.bin", tmp_path / "r.bin"
    capture.write_bytes(b"".join(map(encode, segments)))
    with served("--record", str(record), most=len(segments)) as (port, process):
        sent(capture, port, "--timeout", "0.1", "--retries", "0")
        process.communicate(timeout=60)
    assert [line["cn"] for line in decoded(record)] == [segment.cn for segment in segments]
    assert record.read_bytes() == capture.read_bytes()
