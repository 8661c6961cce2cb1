"""Silences: who asked for quiet, about what, why and until when."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.common import Answer, Severity, Time


class Silence(Answer):
    id: int
    state: Literal["ahead", "in_force", "over"]
    region: str
    site: str | None = Field(description="Null: every site of the region")
    stack: str | None
    rules: list[str] = Field(description="Empty: every rule")
    severities: list[Severity] = Field(description="Empty: every severity")
    audience: Literal["everyone", "plant"] = Field(description="`plant`: quiet for the plant that made it alone")
    owner: str
    reason: str
    start: Time
    end: Time
    created_by: str
    created_at: Time
    ended_at: Time | None
    ended_by: str | None
    ended_why: str | None
