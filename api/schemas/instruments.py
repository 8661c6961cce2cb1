"""Records of what was done at instruments."""

from __future__ import annotations

from typing import Any, Literal

from api.schemas.common import Answer, Time

RecordKind = Literal["calibration", "comparison", "parameter", "maintenance"]


class InstrumentRecord(Answer):
    id: int
    site: str
    stack: str
    instrument: str
    channels: list[str]
    kind: RecordKind
    at: Time
    note: str
    figures: dict[str, Any]
    filed_by: str
    filed_at: Time
