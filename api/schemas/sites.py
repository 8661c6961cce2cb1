"""Sites as registered and on the map, and what an operator sees of one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.alerts import Alert
from api.schemas.cases import Case, Order
from api.schemas.common import Answer, Pollutant, Severity, Time
from api.schemas.edges import EdgeStatus
from api.schemas.stacks import MonthFigures, MonthVerdict, RunningHour

SiteState = Literal["operating", "restricted", "suspended", "trial"]


class StackEntry(Answer):
    code: str
    name: str
    process: str
    units: list[str]
    packs: list[str]
    interval_s: int


class UnitEntry(Answer):
    code: str
    kind: str
    modes: list[str]


class Instrument(Answer):
    """A legal text registered for the region; whoever registered it wrote these words."""

    kind: str
    citation: str
    covers: list[str]


class Site(Answer):
    code: str
    name: str
    name_zh: str
    region: str
    region_name: str
    region_name_zh: str
    timezone: str
    lon: float | None
    lat: float | None
    simulated: bool
    state: SiteState
    now: Time | None = Field(
        description="The clock that judges here: the newest tick, at a simulated site its newest row"
    )
    stacks: list[StackEntry]
    units: list[UnitEntry]
    instruments: list[Instrument]


class Geometry(BaseModel):
    type: Literal["Point"]
    coordinates: list[float]


class MapProperties(Answer):
    code: str
    name: str
    name_zh: str
    region: str
    simulated: bool
    state: SiteState
    severity: Severity | None = Field(description="The worst open alert; null without one, and for the public")
    month: MonthVerdict | None = Field(description="The worst month verdict of its stacks; null before the first")


class MapFeature(BaseModel):
    type: Literal["Feature"]
    geometry: Geometry | None
    properties: MapProperties


class FeatureCollection(BaseModel):
    type: Literal["FeatureCollection"]
    features: list[MapFeature]


class StackStatus(Answer):
    code: str
    name: str
    process: str
    pack: str
    last_sample_at: Time | None
    hour: dict[Pollutant, RunningHour]
    month: dict[Pollutant, MonthFigures]


class SiteStatus(Answer):
    site: str
    state: SiteState
    now: Time | None
    stacks: list[StackStatus]
    alerts: list[Alert] = Field(description="Open ones, at most 100, the newest first")
    cases: list[Case] = Field(description="Open ones, at most 100, the newest first")
    orders: list[Order] = Field(description="In force")
    edges: list[EdgeStatus] = Field(description="What feeds the site, as each edge said last")
