"""Cases, what was done in them, and orders."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas.common import Answer, Time

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
