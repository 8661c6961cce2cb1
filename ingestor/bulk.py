"""History straight into the database: the frames of an import, committed like those of an edge, without a broker.

    frames ──▶ decode, merge, books, quarantine, queue ──▶ COMMIT, one transaction a frame

An import speaks as an edge of its site. Its session is named after what is imported, so the database itself
knows how far an interrupted one came: it goes on there. Importing the same again, after it was complete, is another
session, whose rows the books count as duplicates.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ingestor.intake import Incoming, Intake
from plant import topics, wire
from plant.errors import NotFound
from store import bulk, receipts
from store.pool import transaction

EDGE: Final = "import"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,48}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows as a frame by columns, and their place: numbered from 1, the same in every attempt."""

    number: int
    columns: Mapping[str, Any]
    rows: int
    rows_before: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an import stands: its session, and the chunks of it that are committed."""

    site: str
    site_id: int
    session: str
    through: int
    attempt: int  #: how often the same was imported to its end before


async def begin(intake: Intake, *, site: str, what: str, chunks: int) -> Place:
    """The place at which to begin, or to go on, importing *what* as *chunks* chunks.

    Raises
    ------
    NotFound
        If no such site is registered.
    """
    async with transaction(intake.pool) as conn:
        await intake.known.refresh(conn)
        known = intake.known.sites.get(site)
        if known is None:
            raise NotFound(f"there is no site {site!r} in the register")
        attempt = 0
        while True:
            session = f"{_plain(what)}-{attempt}"
            receipt = await receipts.receipt_of(conn, (known.site_id, EDGE, session))
            if receipt is None or receipt.through < chunks:
                return Place(site, known.site_id, session, 0 if receipt is None else receipt.through, attempt)
            attempt += 1


async def commit_chunks(
    intake: Intake, place: Place, chunks: AsyncIterator[Chunk], on_commit: Callable[[Chunk], None]
) -> None:
    """Commit what of *chunks* is not yet committed, each in a transaction of its own.

    Raises
    ------
    Unavailable
        If the database is away. What is committed stays; the next attempt goes on behind it.
    """
    topic = topics.data(intake.root, place.site, EDGE)
    async for chunk in chunks:
        if chunk.number > place.through:
            await intake.commit([Incoming(topic, _payload(place, chunk), datetime.now(UTC))])
        on_commit(chunk)


async def totals(intake: Intake, place: Place) -> bulk.Totals:
    """What became of all rows of the import, those of an interrupted attempt included."""
    async with transaction(intake.pool) as conn:
        return await bulk.totals(conn, place.site_id, EDGE, place.session)


def _payload(place: Place, chunk: Chunk) -> bytes:
    """A frame that is the same bytes in every attempt. Chunks are committed in order: all below are settled."""
    head = {"schema": wire.SCHEMA, "session": place.session, "seq": chunk.number, "low": chunk.number}
    counts = {"rows_before": chunk.rows_before, "dropped_before": 0}
    return wire.encode({**head, **counts, **chunk.columns})


def _plain(what: str) -> str:
    """*what* as the name of a session."""
    return what if _PLAIN.fullmatch(what) else hashlib.sha256(what.encode()).hexdigest()[:32]
