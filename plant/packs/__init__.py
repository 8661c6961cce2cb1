"""Rule packs: limits as data (`*.toml` beside this file), read and checked.

A pack names its regulation and clause, the limits by outlet, pollutant and period, the reference oxygen, the
averaging and validity rules, the shares that must be within and the dates from which they hold. Adding a
country adds a file. Every figure carries the confidence mark of its source: V-P read in a primary text, V-S in a
secondary one, K-H, K-M, K-L from knowledge (high, medium, low), never hidden from who relies on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

from plant.errors import BadDocument, Fault, NotFound
from plant.packs.model import (
    Averaging,
    Confidence,
    DayRule,
    Limit,
    Limits,
    MonthRule,
    NotJudged,
    Outlet,
    Outlets,
    Pack,
    Period,
    ShareRule,
    Skipped,
    Unset,
    UnsetFigure,
)
from plant.packs.parsing import parse_pack

__all__ = [
    "SOURCE",
    "Averaging",
    "Confidence",
    "DayRule",
    "Limit",
    "Limits",
    "MonthRule",
    "NotJudged",
    "Outlet",
    "Outlets",
    "Pack",
    "Period",
    "ShareRule",
    "Skipped",
    "Unset",
    "UnsetFigure",
    "all_packs",
    "outlets_by_pack",
    "pack",
    "parse_pack",
]

SOURCE: Final = resources.files(__name__)


@cache
def all_packs() -> Mapping[str, Pack]:
    """Every pack that ships with stackwatch, by name."""
    packs = {}
    for entry in sorted(SOURCE.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            pack = parse_pack(entry.read_text(encoding="utf-8"), entry.name)
            if f"{pack.name}.toml" != entry.name:
                raise BadDocument(entry.name, [Fault("name", f"{pack.name!r} is not the name of the file")])
            packs[pack.name] = pack
    return packs


def outlets_by_pack() -> dict[str, frozenset[str]]:
    """The outlets each pack knows, by every name they have: what a register is checked against.

    An example judges nothing, so no register may name one.
    """
    return {name: pack.outlets.names for name, pack in all_packs().items() if not pack.example}


def pack(name: str) -> Pack:
    try:
        return all_packs()[name]
    except KeyError:
        raise NotFound(f"there is no rule pack {name!r}; there are {', '.join(all_packs())}") from None
