"""The failure table of docs/chaos.md: each line names tests and faults of the chaos test that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from chaos.schedule import FAULTS, PROFILES, Kind

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "chaos.md").read_text(encoding="utf-8")


def table_under(heading: str | None) -> list[list[str]]:
    """The rows of the first table under *heading*, by cells; None is the title's."""
    text = PAGE if heading is None else PAGE.partition(f"\n## {heading}\n")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


FAILURES: Final = table_under("The failure table")


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row[0])
def test_each_failure_is_shown_by_what_exists(row: list[str]) -> None:
    faults = re.findall(r"`([^`]+)`", row[2].partition("`tests/")[0])
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[2])
    assert faults or tests
    assert set(faults) <= set(Kind)
    for file, name in tests:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_each_kind_of_fault_is_explained_and_shows_some_failure() -> None:
    assert [row[0].strip("`") for row in table_under("What is done")] == list(Kind)
    shown = {word for row in FAILURES for word in re.findall(r"`([^`]+)`", row[2])}
    assert set(Kind) <= shown


def test_profiles_and_the_number_of_faults_are_those_of_the_code() -> None:
    rows = {row[0].strip("`"): row[1] for row in table_under(None)}
    assert set(re.findall(r"`([a-z-]+)`", rows["PROFILE"])) == set(PROFILES)
    assert rows["FAULTS"].endswith(f": {FAULTS}")
