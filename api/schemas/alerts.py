"""Alerts, their events, and the file that can be checked offline."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas.common import Answer, Severity, Time

AlertState = Literal["firing", "acknowledged", "resolved", "withdrawn"]


AlertKind = Literal["exceedance", "budget", "data", "integrity", "order", "system"]


class Suppression(Answer):
    """One reason why an alert is quiet."""

    reason: Literal["source_stopped", "month_breached", "edge_offline", "silence"]
    by: int | str | None = Field(default=None, description="The silence, or the alert that says it already")


class AlertBrief(Answer):
    """An alert without its evidence."""

    id: str
    rule: str
    severity: Severity
    state: AlertState
    region: str | None
    site: str | None
    stack: str | None
    pollutant: str | None
    pack: str | None
    period_start: Time
    started_at: Time
    observed: float | None
    limit: float | None
    unit: str | None
    suppressed_by: list[Suppression] | None
    plant_silence: int | None


class Alert(Answer):
    id: str
    rule: str
    severity: Severity
    state: AlertState
    region: str | None
    site: str | None = Field(description="Null, as the region: it is about stackwatch itself")
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
    # Documents of events keep what they were written with.
    suppressed_by: list[Suppression] | None = Field(default=None, description="Why it is quiet; null: it is heard")
    plant_silence: int | None = Field(default=None, description="The plant's own silence, quiet for the plant alone")


class AlertGroup(Answer):
    """What is open of one kind at one site."""

    key: str = Field(description="`site/kind`")
    site: str | None
    kind: AlertKind
    alerts: int
    by_severity: dict[Severity, int]
    acknowledged: int
    suppressed: int
    worst: AlertBrief = Field(description="The gravest, then the newest, of those that are heard if there are any")
    since: Time
    newest: Time
    ids: list[str] = Field(description="The gravest and newest of them, at most 20")


class AlertGroups(Answer):
    items: list[AlertGroup]
    alerts: int
    complete: bool = Field(description="False: there are more alerts than were looked at")


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
    packs: list[dict[str, Any]] = Field(description="Every pack of the stack, for a rule on many hours")
    accepted_marks: list[dict[str, Any]] = Field(description="Accepted marks that touch its period")
    hours_now: list[dict[str, Any]] = Field(description="Of a month: its final hours as they stood in this instant")
    means: list[dict[str, Any]] = Field(description="Means of the copied hours, each with the hash of its rows")
    history: dict[str, Any] | None = Field(description="The hours that a rule on many hours looked at")
    being_judged: bool = Field(description="Hours of the stack waited to be judged when this was written")
    seal: dict[str, Any] = Field(description="sha256 of all the rest, signed where this installation signs orders")
