"""The figures of a month as the contract writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

KEYS: Final = (
    "hours_valid",
    "hours_within",
    "hours_above",
    "hours_undecided",
    "hours_excluded",
    "hours_to_come",
    "share",
    "share_worst",
    "required",
    "budget",
    "budget_now",
    "budget_left",
    "verdict",
    "final",
    "pack_version",
    "revision",
    "computed_at",
)


def figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """One pollutant's month, from its verdict row."""
    return {key: row[key] for key in KEYS}
