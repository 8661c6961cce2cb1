"""What became of every row, what is missing, and what could not be read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.schemas.common import Answer, Time


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


class ChannelLine(BaseModel):
    """Rows of one channel of one stack and UTC hour, in rows of the registered interval."""

    site: str
    stack: str
    hour: Time
    channel: str
    interval_s: int = Field(description="What one row stands for, as registered")
    expected: int
    present: int
    missing: int = Field(description="What `present` lacks of `expected`")
    flagged: int = Field(description="Of those present, the ones that stand under another flag than `N`")
    missing_s: float = Field(description="The time that no row stands for, of which `missing` is the rounded count")


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
