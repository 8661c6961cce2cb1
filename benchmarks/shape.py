"""What a row of a benchmark looks like: 8 channels every 10 s. Full-precision values, because that is what costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ROOT: Final = "bench/v1"
EDGE: Final = "edge"
STATE: Final = "running"
INTERVAL_S: Final = 10
MEANS: Final[Mapping[str, float]] = {
    "so2": 20.0,
    "nox": 35.0,
    "pm": 5.0,
    "o2": 16.0,
    "moisture": 8.0,
    "temperature": 120.0,
    "pressure": -150.0,
    "velocity": 12.0,
}


def site_code(number: int) -> str:
    return f"works-{number}"


def stack_code(number: int) -> str:
    return f"DA{number:03}"
