"""`GET /v1/alerts/stream`: the live feed as server-sent events, resumed by number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Send

from api.auth import Asking
from api.context import Here
from api.feed import Entry, matches
from api.routes.alerts import Wanted
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/alerts", tags=["alerts"])

QUIET_S: Final = 10.0  #: the contract promises a comment every 15 s
SEND_DEADLINE_S: Final = 30.0  #: a peer whose buffers stay full that long reads no more
LIFE_S: Final = 3600.0
"""A stream ends after an hour: its token is looked at again, and readers spread over what was restarted."""

_FIRST: Final = b": stackwatch\nretry: 2000\n\n"
_QUIET: Final = b": quiet\n\n"

FeedNumber = Annotated[int, Query(ge=0, le=2**63 - 1)]


class EventStream(StreamingResponse):
    """Blocks sent one by one, each with a deadline; the source is closed however the stream ends."""

    media_type = "text/event-stream"

    def __init__(self, blocks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(blocks, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._blocks = blocks

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._blocks) as blocks:
                async for block in blocks:
                    async with asyncio.timeout(SEND_DEADLINE_S):
                        await send({"type": "http.response.body", "body": block, "more_body": True})
            async with asyncio.timeout(SEND_DEADLINE_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            logger.warning("feed_reader_stalled", extra={"deadline_s": SEND_DEADLINE_S})


@router.get(
    "/stream",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "`event: alert`, `id:` the feed's number, `data:` the alert with its `event`",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def stream_alerts(
    here: Here,
    access: Asking,
    wanted: Wanted,
    after: FeedNumber | None = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=2**63 - 1)] = None,
) -> Any:
    """What happens to alerts from now on, or behind `Last-Event-ID` (which counts before `after`), each event once."""
    access.signed_in()
    await here.feed.ready()
    scope = access.scope
    start = last_event_id if last_event_id is not None else after
    entries = here.feed.follow(here.pool, lambda document: matches(wanted, scope, document), start, quiet_s=QUIET_S)
    return EventStream(blocks_of(entries, life_s=LIFE_S))


async def blocks_of(entries: AsyncGenerator[Entry | None, None], *, life_s: float) -> AsyncGenerator[bytes, None]:
    """The bytes of a stream, a comment where it is quiet, for at most *life_s*."""
    ends_at = asyncio.get_running_loop().time() + life_s
    yield _FIRST
    async with aclosing(entries) as source:
        try:
            async for entry in source:
                yield entry.block if entry is not None else _QUIET
                if asyncio.get_running_loop().time() >= ends_at:
                    return
        except Unavailable as error:
            # The answer has begun: end it. The reader resumes by its last number.
            logger.warning("feed_stream_ended", extra={"error": str(error)})
