"""The page about the rules says how often they are wrong as the benchmark measured it, and the measurement is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from alerts.rules import catalogue
from alerts.rules.catalogue import Group, Kind, about
from alerts.rules.explained import BASELINE, false_per_stack_month
from benchmarks.rules import JUDGED, NOT_SHOWN

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
FIGURES: Final[dict[str, Any]] = json.loads((ROOT / "alerts" / "rules" / BASELINE).read_text(encoding="utf-8"))


def _rows(section: str) -> dict[str, list[str]]:
    """The cells behind the name of each rule in the tables of a section."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `")
    return {cells[0].strip("`"): cells[1:] for cells in rows}


@pytest.mark.parametrize("group", Group)
def test_each_rule_stands_under_its_group_with_its_measured_rate(group: Group) -> None:
    rates = false_per_stack_month()
    rows = _rows(group.value.capitalize())
    assert set(rows) == {name for name in catalogue.names() if about(name).group is group}
    for name, cells in rows.items():
        rate = f"{rates[name]:g}" if name in rates else "not measured"
        assert cells[-1] == (rate if name in JUDGED else "no history"), name


def test_each_lead_that_has_a_history_publishes_how_often_it_is_false() -> None:
    rates = false_per_stack_month()
    assert {name for name in JUDGED if about(name).lead} <= set(rates)
    assert set(JUDGED) - set(rates) == NOT_SHOWN


@pytest.mark.parametrize("name", catalogue.names())
def test_each_severity_that_a_rule_gives_stands_in_its_row(name: str) -> None:
    severity = _rows(about(name).group.value.capitalize())[name][2]
    if not severity.startswith("as `"):
        assert set(about(name).severities) <= set(re.findall(r"`(\w+)`", severity))


def test_the_leads_are_the_rules_of_integrity_and_order() -> None:
    leads = {name for name in catalogue.names() if about(name).lead}
    assert leads == {name for name in catalogue.names() if about(name).group in (Group.INTEGRITY, Group.ORDER)}


def test_what_was_planted_and_found_is_what_was_measured() -> None:
    measured = {name: of for name, of in FIGURES["rules"].items() if of["planted"] or of["alerts"]}
    rows = _rows("How often a rule is wrong")
    assert set(rows) == set(measured)
    for name, of in measured.items():
        found = [str(of["planted"]), str(of["found"])] if of["planted"] else ["", ""]
        assert rows[name] == [*found, str(of["alerts"]), str(of["false"])], name
    for months in FIGURES["stack_months"].values():
        assert f"({months:g} stack-months)" in " ".join(PAGE.split())


def test_every_rule_with_a_history_was_measured() -> None:
    assert set(FIGURES["rules"]) == {
        name for name in catalogue.names() if about(name).kind not in (Kind.EDGE, Kind.SYSTEM)
    }
    assert all(months > 50 for months in FIGURES["stack_months"].values())


def test_no_hour_above_was_missed_and_no_hour_was_called_lost_that_was_not() -> None:
    above, lost = FIGURES["rules"]["hour_above_limit"], FIGURES["rules"]["irrecoverable_hour"]
    assert above["planted"] == above["found"] == above["alerts"] > 1000
    assert lost["false"] == 0
    assert lost["alerts"] > 1000
