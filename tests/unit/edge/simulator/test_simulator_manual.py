"""docs/simulator.md says what there is, and what it shows can be played."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from edge.simulator.catalogue import CATALOGUE
from edge.simulator.expected import EXPECTED
from edge.simulator.kinds import KINDS
from edge.simulator.scenario_file import parse_scenario

PAGE: Final = (Path(__file__).resolve().parents[4] / "docs" / "simulator.md").read_text(encoding="utf-8")


def table(first: str) -> dict[str, list[str]]:
    """The rows of the table whose head begins with *first*, by their first cell."""
    (found,) = re.findall(rf"^\| {first} \|.*\n\|[- |]+\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE)
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines())
    return {cells[0].strip("`"): cells[1:] for cells in rows}


def test_every_kind_of_source_is_in_the_manual_with_its_outlet() -> None:
    assert {name: cells[0].strip("`") for name, cells in table("kind").items()} == {
        name: kind.outlet for name, kind in KINDS.items()
    }


def test_every_fault_is_in_the_manual_with_what_it_must_cause() -> None:
    rows = table("fault")
    assert list(rows) == list(CATALOGUE)
    for kind, (says, _, amount, *rules) in rows.items():
        what, expected = CATALOGUE[kind], EXPECTED[kind]
        assert says == what.says
        assert amount == (f"`{what.amount}` ({what.default:g})" if what.amount else "")
        named = [tuple(re.findall(r"`(\w+)`", cell)) for cell in rules]
        assert named == [expected.must, expected.by_clock, expected.may]


def test_the_scenario_of_the_manual_can_be_played() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    scenario = parse_scenario(text, "the manual")
    assert len(scenario.sites) == 3
    assert [len(plan.faults) for plan in scenario.sites] == [0, 1, 0]
