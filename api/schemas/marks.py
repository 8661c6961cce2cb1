"""Declared conditions: marks, drafts of them, and what accepting one changes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas.common import Answer, Time

MarkKind = Literal["start_up", "shut_down", "stopped", "maintenance", "calibration", "fault"]
MarkStatus = Literal["pending", "accepted", "rejected"]
DraftStatus = Literal["open", "filed", "dismissed"]


class Quota(Answer):
    """How much of the region's quota of the kind the stack's marks of the local year use."""

    hours: float
    year: int
    used_h: float
    over: bool


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
    deadline: Time = Field(description="By when it was to be filed, by the region's policy of then")
    late: bool = Field(description="Filed behind its deadline, by the clock of the site")
    source: Literal["auto", "manual"] = Field(description="auto: a draft, filed as it was")
    drafts: list[str] = Field(description="Ids of the drafts it was filed from")
    quota: Quota | None = Field(description="Null where the region sets none for this kind")


class JudgedHour(Answer):
    verdict: Literal["clear", "breached", "undecided", "excluded"]
    reason: str
    claimed: bool


class HourEffect(Answer):
    start: Time
    pack: str
    pollutant: str
    not_accepted: JudgedHour
    accepted: JudgedHour


class EffectFigures(Answer):
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
    verdict: Literal["clear", "breached", "undecided", "running"]
    final: bool


class MonthEffect(Answer):
    month: str
    pack: str
    pollutant: str
    not_accepted: EffectFigures
    accepted: EffectFigures


class Effect(Answer):
    """The touched hours and months of one stack with and without the marks, every other mark as it stands."""

    as_of: Time
    hours_touched: int
    hours_without_rows: int = Field(description="Their rows are no longer kept: their verdicts stand on both sides")
    months: list[MonthEffect]
    hours: list[HourEffect] = Field(description="Ended hours that differ")


class MarkEffect(Answer):
    mark: Mark
    effect: Effect


class QueuedMark(Mark):
    effect: Effect | None = Field(description="Null where not asked for, or too long to work out in a list")


class QueueGroup(Answer):
    """Pending marks of one kind at one stack."""

    site: str
    stack: str
    kind: MarkKind
    hours: float = Field(description="How long they are together")
    late: int = Field(description="How many of them were filed late")
    oldest_filed_at: Time
    actions: list[Literal["accepted", "rejected"]] = Field(description="What this principal may decide now")
    marks: list[QueuedMark]


class StackEffect(Answer):
    site: str
    stack: str
    effect: Effect | None = Field(description="Of all marks of the stack together; null where it is too much")


class Decided(Answer):
    items: list[Mark]
    effects: list[StackEffect] = Field(description="What accepting did; empty for a rejection, which changes nothing")


class MarkDraft(Answer):
    """What the rows of a local day say that would have to be declared. It changes no verdict."""

    id: str
    site: str
    stack: str
    kind: MarkKind
    cause: str = Field(description="A state, an HJ 212 flag, or `power`")
    start: Time
    end: Time
    goes_on: bool = Field(description="As far as the rows reach, or beyond the day")
    evidence: dict[str, Any]
    status: DraftStatus
    deadline: Time
    late: bool = Field(description="Open, and behind its deadline")
    unfiled_start: Time | None = Field(description="From where no mark covers it")
    unfiled_end: Time | None
    dismissed_by: str | None
    dismissed_at: Time | None
    dismissed_reason: str | None
    actions: list[Literal["file", "dismiss"]] = Field(description="What this principal may do with it now")


class FiledMarks(Answer):
    items: list[Mark]


class DismissedDrafts(Answer):
    items: list[MarkDraft]
