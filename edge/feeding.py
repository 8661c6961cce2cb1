"""How a source that can wait fills the outbox: never faster than receipts come, never past the bound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge.publisher import Publisher
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

HELD_FRAMES: Final = 128
"""Frames without receipt at which a trace or a simulator pauses: twice the publisher's window keeps it busy."""
_REPORT_EVERY_S: Final = 60.0
_RETRY_S: Final = 1.0

Frames = Sequence[tuple[Mapping[str, Any], int]]


async def feed(publisher: Publisher, frames: Frames, position: tuple[str, str]) -> None:
    """Append *frames* and their source's *position* in one transaction, as soon as there is room.

    Waits for as long as it takes: a recorded or computed row can come later, so none is given up.
    """
    while True:
        while not await publisher.room(HELD_FRAMES, deadline_s=_REPORT_EVERY_S):
            logger.warning("source_waited", extra={"frames": publisher.outbox.waiting})
        try:
            await asyncio.to_thread(publisher.outbox.append_many, frames, position=position, can_wait=True)
        except Unavailable as error:  # full or failing disk
            logger.warning("outbox_unavailable", extra={"reason": str(error)})
            await asyncio.sleep(_RETRY_S)
        else:
            return
