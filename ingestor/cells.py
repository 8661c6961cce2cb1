"""One value of a message: the reader of each kind of cell, and the words of its refusal.

A reader gives the value as the database keeps it, or raises `Bad`. What a row or a frame is made of is
`ingestor.rows`' and `ingestor.frames`'.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from plant.blocks import MAIN
from plant.channels import FLAGS, STATES
from plant.identifiers import is_identifier
from plant.periods import micros

LAST_MS: Final = 7_258_118_400_000  #: the year 2200: a later time is a broken clock, at a simulated site too
LONGEST_S: Final = 3600  #: interval of a row
_CHANNEL_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,64}")

Value = TypeVar("Value")


class Bad(ValueError):
    """One value that cannot be taken."""


def count(low: int, most: int = (1 << 62) - 1) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= most:
            raise Bad(f"{shown(value)} is not a whole number from {low}")
        return value

    return read


revision = count(0, (1 << 31) - 1)  # what its column holds


def number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Bad(f"{name} {shown(value)} is no number")
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise Bad(f"{name} {shown(value)} is not finite")
    return converted


def instant(value: Any) -> int:
    """ISO 8601 with an offset, or epoch milliseconds, as microseconds since the epoch."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
            at_us = micros(at)
        except (ValueError, OverflowError) as error:
            raise Bad(f"{shown(value)} is no ISO 8601 time with an offset") from error
        if not 0 <= at_us < LAST_MS * 1000:
            raise Bad(f"{shown(value)} is outside of the years 1970 to 2199")
        return at_us
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Bad(f"{shown(value)} is neither ISO 8601 nor epoch milliseconds")
    if not 0 <= value < LAST_MS:  # NaN fails this too
        raise Bad(f"{shown(value)} ms since the epoch is outside of the years 1970 to 2199")
    return round(value * 1000)


def named(name: str, read: Callable[[Any], Value], value: Any) -> Value:
    try:
        return read(value)
    except Bad as error:
        raise Bad(f"{name} {error}") from error


def check_channel_name(name: str) -> None:
    """Any channel is kept, but its name must be one that a person can read and a database can hold."""
    if _CHANNEL_NAME.fullmatch(name) is None:
        raise Bad(f"channel name {shown(name)} is longer than 64 characters or has control characters")


def interval(value: Any, longest: int = LONGEST_S) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 1 <= value <= longest
        or value != int(value)
    ):
        raise Bad(f"interval_s {shown(value)} is not a whole number of seconds from 1 to {longest}")
    return int(value)


def name(key: str, value: Any) -> str:
    """The name of a channel or a signal."""
    if not isinstance(value, str) or not value:
        raise Bad(f"{key} {shown(value)} is no name")
    check_channel_name(value)
    return value


def instrument(value: Any) -> str:
    if value is None:
        return MAIN
    if not is_identifier(value):
        raise Bad(f"instrument {shown(value)} does not match [A-Za-z0-9_-]{{1,64}}")
    return str(value)


def letter(name: str, value: Any, default: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str) or value not in FLAGS:
        raise Bad(f"{name} {shown(value)} is none of {' '.join(sorted(FLAGS))}")
    return value


def flags(value: Any, flag: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Bad(f"flags {shown(value)} is no table of flags by channel")
    for channel in value:
        check_channel_name(channel)
    letters = {channel: letter(f"flags.{channel}", own, flag) for channel, own in value.items()}
    return {channel: own for channel, own in letters.items() if own != flag}


def state(value: Any) -> str | None:
    if value is not None and value not in STATES:
        raise Bad(f"state {shown(value)} is none of {' '.join(STATES)}")
    return value if value is None else str(value)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
