"""Delays between attempts, as arithmetic: full jitter under a doubling ceiling."""

from __future__ import annotations

from random import Random


def delay_s(attempt: int, rng: Random, *, first_s: float = 0.2, ceiling_s: float = 15.0) -> float:
    """How long to wait before attempt number *attempt* + 1 (0 for the first retry). [s]

    Full jitter keeps clients that lost one server together from returning together.
    """
    ceiling: float = min(ceiling_s, first_s * 2.0 ** min(attempt, 30))
    return rng.uniform(ceiling / 4, ceiling)
