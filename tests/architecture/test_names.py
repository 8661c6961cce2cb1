"""Our top-level packages have common names: none of them may be somebody else's too."""

from __future__ import annotations

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
OURS: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_no_dependency_ships_a_package_with_our_name() -> None:
    owners = packages_distributions()
    foreign = {name: set(owners.get(name, ())) - {"stackwatch"} for name in OURS}
    assert {name: dists for name, dists in foreign.items() if dists} == {}


def test_the_import_rules_hold_for_every_package_of_the_wheel() -> None:
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == set(OURS)
