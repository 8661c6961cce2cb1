"""`docs/arithmetic.md` is what the code writes, and its worked examples come out as the sources have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from plant.reference import FORMULAS, Formula, page

ROOT = Path(__file__).resolve().parents[2]

#: Typed from the regulation sheet (1.2, 3.1 to 3.3, 3.5, 6.5) and the contract, not computed.
BY_HAND = {
    "actual to standard state": 7.257,
    "wet to dry, oxygen too": 31.056,
    "ppm to mg/m3": 28.571,
    "NOx as NO2, by mass": 26.696,
    "NOx as NO2, by volume": 26.696,
    "day mean": 30.0,
    "to reference excess air": 28.0,
    "excess air": 4.2,
    "to reference oxygen": 34.67,
    "velocity to flow": 1_080_000.0,
    "flow to standard, dry": 684_591.0,
    "hourly mass": 21.26,
    "hours allowed above, a full month of 30 days": 36.0,
    "share of a month": 0.95,
    "budget if it runs on": 26.0,
    "keep below": 30.0,
    "capture rate of a quarter": 0.9,
    "substituted mass": 5.0,
    "tax to pay": 0.5,
}


def test_the_page_is_what_the_code_writes() -> None:
    written = (ROOT / "docs" / "arithmetic.md").read_text(encoding="utf-8")
    assert written == page(), "run `make reference`"


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.name)
def test_a_worked_example_comes_out_as_its_source_has_it(formula: Formula) -> None:
    assert formula.compute() == pytest.approx(BY_HAND[formula.name], rel=4e-4)


def test_every_formula_was_checked_by_hand() -> None:
    assert {formula.name for formula in FORMULAS} == set(BY_HAND)
