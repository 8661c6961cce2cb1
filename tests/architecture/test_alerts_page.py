"""The page about the life of an alert says what the code does: its table of transitions, its events, its reasons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from alerts.lifecycle import TRANSITIONS, Event, State
from alerts.suppression import EXCEEDANCES, PLANT_MAY_SILENCE, Reason
from store.silences import LONGEST

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")


def _table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column is headed *heading*, its head first."""
    block = PAGE.split(f"| {heading} |")[1].split("\n\n")[0]
    rows = f"| {heading} |{block}".splitlines()
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows if "---" not in row]


def test_the_table_of_transitions_is_the_one_of_the_code() -> None:
    head, *rows = _table("state")
    told = {
        (State(row[0].strip("`")), Event(event)): State(cell.strip("`"))
        for row in rows
        for event, cell in zip(head[1:], row[1:], strict=True)
    }
    assert told == TRANSITIONS


def test_the_events_of_the_page_are_those_that_the_database_takes() -> None:
    told = {name for row in _table("event")[1:] for name in re.findall(r"`([a-z_]+)`", row[0])}
    migration = (ROOT / "store" / "migrations" / "0014_lives.sql").read_text(encoding="utf-8")
    check = migration.split("CHECK (event IN (")[1].split("))")[0]
    assert told == set(re.findall(r"'([a-z_]+)'", check))


def test_each_reason_to_be_quiet_has_a_row_and_the_first_names_its_rules() -> None:
    rows = {row[0].strip("`"): row[1] for row in _table("reason")[1:]}
    assert set(rows) == {reason.value for reason in Reason}
    assert set(re.findall(r"`([a-z_]+)`", rows[Reason.SOURCE_STOPPED])) == EXCEEDANCES


def test_what_a_plant_may_silence_and_for_how_long_stands_on_the_page() -> None:
    line = next(part for part in PAGE.split("\n- ") if part.startswith("An `operator` silences"))
    assert set(re.findall(r"`([a-z_]+)`", line.partition("at its own site")[0])) == {"operator", *PLANT_MAY_SILENCE}
    assert f"at most {LONGEST.days} days apart" in PAGE
