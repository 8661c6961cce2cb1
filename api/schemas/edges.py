"""What an edge says of itself."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Answer, Time
from plant.figures import Figure


class EdgePart(Answer):
    ok: bool
    detail: str


class EdgeSource(EdgePart):
    kind: str
    tolerated: dict[str, int] = Field(description="Faults in what the source read that were tolerated, by kind")
    restarts: int
    figures: dict[str, Figure] = Field(
        description="What it says beyond that; of an HJ 212 uplink `connected` `last_confirmed` `waiting` `refused`"
    )


class EdgeStatus(Answer):
    edge: str
    online: bool
    since: Time = Field(description="Since when it is online, or is not")
    received_at: Time = Field(description="When it last said anything")
    version: str
    outbox: int | None = Field(description="Frames that wait for a receipt")
    oldest: int | None = Field(description="Epoch milliseconds of the oldest row that waits")
    dropped: int | None = Field(description="Rows that the bound of its outbox cost")
    sources: dict[str, EdgeSource]
    agent_file: EdgePart | None
    hook: EdgePart | None
