"""Reported means, and how they stand beside ours."""

from __future__ import annotations

from typing import Any, Literal

from api.schemas.common import Answer, Time

Cause = Literal[
    "equal",
    "rounding",
    "averaging_order",
    "minutes_vs_rows",
    "missing_rows",
    "flag",
    "state",
    "correction",
    "conversion",
    "clock",
]


class ReportedMean(Answer):
    """A mean over `[start, start + interval_s)` as a logger computed it or a platform holds it."""

    start: Time
    interval_s: int
    channel: str
    source: Literal["logger", "platform"]
    avg: float | None
    min: float | None
    max: float | None
    corrected_avg: float | None
    corrected_min: float | None
    corrected_max: float | None
    amount: float | None
    flag: str
    revision: int
    received_at: Time


class WayOfComputing(Answer):
    """One way that gives the reported digits: how it differs from ours, and in how many periods of this answer."""

    causes: list[Cause]
    deviations: dict[str, Any]
    periods: int


class Said(Answer):
    """A reported value beside ours. `ways` are equally simple; without one the difference is unexplained."""

    value: float
    difference: float | None
    digits: int
    explained: bool
    causes: list[Cause]
    ways: list[WayOfComputing]


class Reconciled(Answer):
    """One period of one channel: `measured` as the register says (mg/m3, dry), or `corrected` to base oxygen."""

    start: Time
    interval_s: int
    channel: str
    value: Literal["measured", "corrected"]
    unit: str
    ours: float | None
    valid_minutes: int
    reported: Said | None
    platform: Said | None
