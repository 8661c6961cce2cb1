"""What an edge says of itself."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Answer, Time


class EdgePart(Answer):
    ok: bool
    detail: str


class EdgeSource(EdgePart):
    kind: str
    tolerated: dict[str, int] = Field(description="Faults in what the source read that were tolerated, by kind")
    restarts: int


class EdgeStatus(Answer):
    edge: str
    online: bool
    received_at: Time
    version: str
    outbox: int | None = Field(description="Frames that wait for a receipt")
    oldest: int | None = Field(description="Epoch milliseconds of the oldest row that waits")
    dropped: int | None = Field(description="Rows that the bound of its outbox cost")
    sources: dict[str, EdgeSource]
    agent_file: EdgePart | None
    hook: EdgePart | None
