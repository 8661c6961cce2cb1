"""What a stack measured, and how its hours and months were judged."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from api.schemas.common import Answer, Pollutant, Time

HourVerdict = Literal["clear", "breached", "undecided", "excluded"]
MonthVerdict = Literal["clear", "breached", "undecided", "running"]


class Measurement(Answer):
    """A raw row as it counts now. Channels without a column of their own stand beside these."""

    sampled_at: Time
    received_at: Time
    sent_at: Time | None
    interval_s: int
    instrument: str
    flag: str
    flags: dict[str, str]
    state: str | None
    revision: int
    so2: float | None
    nox: float | None
    no: float | None
    no2: float | None
    pm: float | None
    co: float | None
    nh3: float | None
    o2: float | None
    moisture: float | None
    temperature: float | None
    pressure: float | None
    velocity: float | None
    flow: float | None
    power_production_kw: float | None
    power_abatement_kw: float | None
    load_pct: float | None


class Hour(Answer):
    start: Time
    pollutant: str
    pack: str
    pack_version: str
    valid: bool | None
    valid_minutes: int | None
    mean: float | None
    corrected: float | None
    corrected_from_minutes: float | None
    o2: float | None
    limit: float
    verdict: HourVerdict
    reason: str
    method_sensitive: bool
    claimed: bool
    final: bool
    revision: int
    computed_at: Time
    superseded_at: Time | None


class Bounds(BaseModel):
    low: float | None
    high: float | None


class Conditions(BaseModel):
    """The ranges in which the minutes to come lie, as registered. [mg/m3 dry, vol % dry]"""

    low: float
    high: float | None
    o2_low: float | None
    o2_high: float | None


class RunningHour(Answer):
    """The running hour of one pollutant, if it stays valid and within the registered ranges.

    `bounds`: what its corrected mean can still end with; `saveable`: whether that can be within the limit;
    `keep_below`: what the minutes to come must stay below on average, as measured, at the oxygen of now [mg/m3, dry].
    Null where the range of a channel is not registered, or the hour can no longer be decided.
    """

    start: Time
    pack: str
    mean: float | None
    corrected: float | None
    limit: float
    valid_minutes: int | None
    bounds: Bounds
    saveable: bool | None
    keep_below: float | None
    conditions: Conditions | None


class MonthFigures(Answer):
    hours_valid: int
    hours_within: int
    hours_above: int
    hours_undecided: int
    hours_excluded: dict[str, int]
    share: float | None
    share_worst: float | None
    required: float
    budget: int
    budget_now: int
    budget_left: int
    verdict: MonthVerdict
    final: bool


class Compliance(Answer):
    site: str
    stack: str
    month: str
    pack: str
    final: bool
    pollutants: dict[Pollutant, MonthFigures]
