"""What the API promises: the shape of every answer, as it stands in the OpenAPI document.

Documented keys are always there, null where they do not apply; more may be added. Times are text as the store wrote
it, UTC with `Z`; numbers are never rounded.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Pollutant = str
HourVerdict = Literal["clear", "breached", "undecided", "excluded"]
MonthVerdict = Literal["clear", "breached", "undecided", "running"]
SiteState = Literal["operating", "restricted", "suspended", "trial"]
Severity = Literal["info", "warning", "major", "critical"]
AlertState = Literal["firing", "acknowledged", "resolved", "withdrawn"]
CaseState = Literal[
    "detected",
    "verified",
    "notified",
    "decided",
    "suspended",
    "restricted",
    "rectifying",
    "trial",
    "completion_filed",
    "lifted",
    "follow_up",
    "closed",
    "dismissed",
    "stayed",
    "annulled",
    "relapsed",
]
CaseTrack = Literal["statutory", "evasion", "ule", "deadline"]
MarkKind = Literal["start_up", "shut_down", "stopped", "maintenance", "calibration", "fault"]
MarkStatus = Literal["pending", "accepted", "rejected"]

T = TypeVar("T")


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="Give it as `cursor` to get the next page; null at the end")


class Fault(BaseModel):
    path: str
    message: str


class Problem(Answer):
    """RFC 9457 problem details; `errors` names each fault of bad input."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None


class Check(BaseModel):
    ok: bool
    detail: str


class Health(BaseModel):
    status: Literal["ok", "degraded"]
    checks: dict[str, Check]


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


class Alert(Answer):
    id: str
    rule: str
    severity: Severity
    state: AlertState
    region: str
    site: str
    stack: str | None
    pollutant: str | None
    pack: str | None
    period_start: Time
    period_end: Time
    started_at: Time
    ended_at: Time | None
    opened_at: Time
    observed: float | None
    limit: float | None
    unit: str | None
    clause: str
    evidence: Any
    acknowledged_by: str | None
    acknowledged_at: Time | None
    acknowledged_note: str | None


class AlertEvent(Answer):
    event: str
    at: Time
    feed_number: int | None = Field(description="Null until the feed has given it its number")
    document: Alert = Field(description="The alert as it then was")


class AlertWithEvents(Alert):
    events: list[AlertEvent]
    cases: list[str]


class AlertExport(Answer):
    """The file that `stackwatch verify` checks."""

    format: Literal["stackwatch-alert/1"]
    alert: Alert
    events: list[AlertEvent]
    evidence: Any = Field(description="The rows it stood on, copied when it opened")
    register_: dict[str, Any] = Field(alias="register")
    pack: dict[str, Any] | None


class Order(Answer):
    order_id: str
    case: str
    order: Literal["suspend", "restrict", "curtail"]
    units: list[dict[str, Any]]
    effective_from: Time
    safe_state_by: Time
    until: Time | None
    basis: str
    text: str


class CaseEvent(Answer):
    action: str
    role: str
    actor: str | None = Field(description="Null for the public")
    at: Time
    reason: str | None = Field(description="Null for the public")


class Case(Answer):
    id: str
    site: str
    units: list[str]
    track: CaseTrack
    state: CaseState
    opened_at: Time
    closed_at: Time | None
    due: Time | None
    events: list[CaseEvent]
    actions: list[str] = Field(description="What you may do now")
    orders: list[Order]


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


class Mark(Answer):
    id: int
    site: str
    stack: str
    kind: MarkKind
    start: Time
    end: Time
    reason: str
    evidence: list[Any]
    status: MarkStatus
    filed_by: str
    filed_at: Time
    decided_by: str | None
    decided_at: Time | None
    decision_reason: str | None


class BookLine(BaseModel):
    """Rows of one edge and UTC hour; `published` is the sum of the seven fates, `redelivered` stands outside it."""

    site: str
    edge: str
    hour: Time
    published: int
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    dropped: int
    in_flight: int
    unexplained: int
    redelivered: int


class Quarantined(Answer):
    id: int
    topic: str
    site: str | None
    edge: str | None
    session: str | None
    seq: int | None
    received_at: Time
    reason: str
    refused: Any = Field(description="Rows and reasons where only some rows were refused; null for the whole payload")
    bytes: str = Field(description="The payload in base64")
    size: int
    deliveries: int
    status: Literal["held", "released", "stored"]
    released_by: str | None
    released_at: Time | None


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


class Key(BaseModel):
    key_id: str
    algorithm: Literal["Ed25519"]
    public_key: str = Field(description="Base64 of the 32 bytes")


class PackOutlet(Answer):
    key: str
    name: str
    name_zh: str
    base_o2: float | None
    limits: dict[Pollutant, float]
    mark: str


class Pack(Answer):
    name: str
    version: str
    title: str
    title_zh: str
    kind: str
    instrument: str
    clause: str
    mark: str
    valid_from: str | None
    valid_until: str | None
    month_share_required: float | None
    outlets: list[PackOutlet]
