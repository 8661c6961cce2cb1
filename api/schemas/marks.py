"""Declared conditions."""

from __future__ import annotations

from typing import Any, Literal

from api.schemas.common import Answer, Time

MarkKind = Literal["start_up", "shut_down", "stopped", "maintenance", "calibration", "fault"]
MarkStatus = Literal["pending", "accepted", "rejected"]


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
