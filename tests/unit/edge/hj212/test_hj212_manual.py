"""The manual names what the codec can say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.hj212.codes import CODES
from edge.hj212.crc import NAMES
from edge.hj212.faults import FaultKind
from edge.hj212.mapped import Why

MANUAL = (Path(__file__).parents[4] / "docs" / "hj212.md").read_text(encoding="utf-8")
FAULTS = MANUAL.partition("## Faults")[2].partition("\n## ")[0]
ROWS = MANUAL.partition("## From packets to rows")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", FaultKind)
def test_each_kind_of_fault_has_its_row(kind: FaultKind) -> None:
    assert re.search(rf"^\| .*`{kind}`.* \| .+ \|$", FAULTS, re.MULTILINE)


def test_no_other_kind_of_fault_has_a_row() -> None:
    named = re.findall(r"`([a-z0-9_]+)`", " ".join(re.findall(r"^\| (`.*?) \|", FAULTS, re.MULTILINE)))
    assert set(named) == set(FaultKind)


@pytest.mark.parametrize("why", Why)
def test_each_reason_for_leaving_something_out_is_named(why: Why) -> None:
    assert why in ROWS


@pytest.mark.parametrize("name", NAMES)
def test_each_check_value_is_named(name: str) -> None:
    assert f"`{name}`" in MANUAL


@pytest.mark.parametrize("code", CODES)
def test_each_code_stands_in_the_table_with_its_channel(code: str) -> None:
    entry = CODES[code]
    (row,) = [line for line in ROWS.splitlines() if line.startswith("| a") and code in line.split("|")[1]]
    assert f"`{entry.channel}`" in row
    assert entry.old is None or entry.old in row
    assert entry.unit in row
