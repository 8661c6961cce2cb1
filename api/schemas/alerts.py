"""Alerts, their events, and the file that can be checked offline."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas.common import Answer, Severity, Time

AlertState = Literal["firing", "acknowledged", "resolved", "withdrawn"]


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
