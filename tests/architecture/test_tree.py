"""What must be in no file of the tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]


def files() -> list[Path]:
    """Every text that is in the tree, or would be with the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    paths = [ROOT / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8000]]


pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a checkout can list its files")


def mentions(*texts: str) -> dict[str, list[str]]:
    """Files by what they mention of *texts*."""
    found: dict[str, list[str]] = {}
    for path in files():
        content = path.read_text(encoding="utf-8", errors="replace")
        for text in texts:
            if text in content:
                found.setdefault(text, []).append(str(path.relative_to(ROOT)))
    return found


def test_no_file_names_the_place_where_it_was_written() -> None:
    """Neither this checkout, nor the folder around it, nor its interpreter, nor somebody's home."""
    places = {ROOT, ROOT.parent, Path(sys.prefix), Path(sys.base_prefix), Path.home()}
    # A place that every machine has (/tmp, /root, /usr/local) says nothing.
    telling = sorted(str(place) for place in places if len(place.parts) > 2 and place.parts[1] not in ("usr", "opt"))
    assert mentions(*(f"{place}/" for place in telling)) == {}


def test_no_file_names_a_package_index() -> None:
    """A lock file or a workflow that names one works on one machine only."""
    hosts = re.compile(r"--(extra-)?index-url|--find-links|\[\[tool\.uv\.index\]\]|index-url\s*=")
    named = [
        str(path.relative_to(ROOT))
        for path in files()
        if path.resolve() != Path(__file__).resolve()
        and hosts.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert named == []


def test_no_text_has_a_conflict_marker_or_another_line_ending() -> None:
    markers = re.compile(rb"^(<{7} |>{7} |={7}$)", re.MULTILINE)
    assert [str(path.relative_to(ROOT)) for path in files() if markers.search(path.read_bytes())] == []
    carriage = [str(path.relative_to(ROOT)) for path in files() if b"\r\n" in path.read_bytes()]
    assert [name for name in carriage if not name.startswith("tests/data/")] == []


def test_no_test_is_switched_off() -> None:
    """A test that cannot run says so where it runs; one that nobody runs is no test."""
    off = re.compile(r"^\s*@pytest\.mark\.(skip\b|xfail)|^\s*pytest\.skip\(", re.MULTILINE)
    named = [
        str(path.relative_to(ROOT))
        for path in files()
        if path.suffix == ".py" and off.search(path.read_text(encoding="utf-8"))
    ]
    assert named == []
