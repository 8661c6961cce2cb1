"""Rules as the catalogue has them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.common import Answer, Severity


class RuleLife(Answer):
    hold_h: int = Field(description="Found hours in a row before the alert fires")
    keep_h: int = Field(description="Clear hours in a row before it ends")
    escalate_after_h: int | None = Field(description="Found hours after which it is one severity graver")
    step_down_after_h: int = Field(description="Found hours of a lower severity before it follows")


class Rule(Answer):
    name: str
    kind: Literal["folded", "hour", "month", "edge", "system"] = Field(
        description="What is judged: runs of hours of a stack, single hours, months, an edge, stackwatch itself"
    )
    group: Literal["exceedance", "budget", "data", "integrity", "order", "system"]
    title: str
    title_zh: str
    lead: bool = Field(description="A lead for a person, no exceedance")
    severities: list[Severity] = Field(description="The lightest first")
    says: str
    why: str
    not_for: str
    otherwise: str | None = Field(description="Of a lead: what else explains it")
    clause: str = Field(description="The source of the rule and of its thresholds")
    unit: str | None
    life: RuleLife | None = Field(description="Null where the rule itself knows how long an alert lasts")
    false_per_stack_month: float | None = Field(
        description="Alerts a month of an honest stack that were false in the measured scenarios; null: not measured"
    )
