"""What a source says of itself beyond well or not: figures by name, bounded, so that anybody may draw them.

An edge bounds them before it publishes, and the ingestor bounds what it hears.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

Figure = bool | int | float | str | dict[str, int] | None
"""A flag, a number, words, a time (ISO 8601 with offset), or counts by kind; None where it is not known."""

_MOST: Final = 16
_MOST_KINDS: Final = 32
_LONGEST_NAME: Final = 64
_LONGEST_TEXT: Final = 200


def figures_of(said: Any) -> dict[str, Figure]:
    """What of *said* is a figure, printable, and no more of it than a message and a page can hold."""
    items = list(said.items()) if isinstance(said, Mapping) else []
    kept = [(one_line(name, _LONGEST_NAME), _bounded(value)) for name, value in items if _is_figure(name, value)]
    return dict(kept[:_MOST])


def counts_of(said: Any) -> dict[str, int]:
    """Counts by kind, what is none left out."""
    items = list(said.items()) if isinstance(said, Mapping) else []
    kept = [(one_line(str(kind), _LONGEST_NAME), times) for kind, times in items if is_count(times)]
    return dict(kept[:_MOST_KINDS])


def is_count(value: Any) -> bool:
    """Whether *value* is a whole number that a database holds, and not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def one_line(text: str, longest: int) -> str:
    """*text* without what cannot be printed."""
    return "".join(c for c in text[:longest] if c.isprintable())


def _is_figure(name: Any, value: Any) -> bool:
    if not isinstance(name, str):
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | str | Mapping) or (isinstance(value, int) and is_count(abs(value)))


def _bounded(value: Any) -> Figure:
    if isinstance(value, Mapping):
        return counts_of(value)
    known: Figure = one_line(value, _LONGEST_TEXT) if isinstance(value, str) else value
    return known
