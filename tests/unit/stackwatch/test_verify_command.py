"""What `stackwatch verify` makes of a file by who knows whom, before and after its numbers are redone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plant.errors import BadDocument
from stackwatch.commands.verify import verify
from stackwatch.running import FAILED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"format": "stackwatch-alert/1", "alert": {"observed": 1.0, "observed": 60.0}}', "'observed' stands twice"),
        ('{"format": "stackwatch-case/1", "seal": {}, "observed": NaN}', "NaN is no number"),
        ('{"observed": -Infinity}', "-Infinity is no number"),
        ("[" * 100_000, "is no JSON"),
        ("{", "is no JSON"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "alert.json"
    file.write_text(text)

    with pytest.raises(BadDocument, match=says):
        verify(file, key=None, as_json=False)


@pytest.mark.parametrize("text", ["\x1b[2Jalert.json holds\r", "half a character: \ud800", "\u202eturned around"])
@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_file_says_cannot_move_the_cursor_or_stop_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, as_json: bool
) -> None:
    file = tmp_path / "alert.json"
    file.write_text(json.dumps({"format": text}))

    assert verify(file, key=None, as_json=as_json) == FAILED

    out = capsys.readouterr().out
    assert not {"\x1b", "\r", "\ud800", "\u202e"} & set(out)
    assert ascii(text)[1:-1].split("\\")[1] in out


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "stackwatch-case/1", "seal": {"sha256": ""}, "observed": 1e999}',
        '{"format": "stackwatch-alert/1", "observed": 1e999}',
        '{"format": "stackwatch-alert/1", "deep": ' + "[" * 900 + "]" * 900 + "}",
    ],
)
def test_what_cannot_be_read_as_an_export_does_not_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "alert.json"
    file.write_text(text)

    assert verify(file, key=None, as_json=False) == FAILED
    assert "WRONG    file: cannot be read as what it says it is" in capsys.readouterr().out
