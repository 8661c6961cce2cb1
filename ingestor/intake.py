"""Batches of messages into the database, each in one transaction: rows, books, receipts, queue, quarantine.

    messages ──▶ read ──▶ commit ──▶ what the caller acknowledges, and the receipts that it publishes then
                  │          └─ the register changed meanwhile: read again
                  └─ pure, in any thread

Nothing is acknowledged here: the caller does that after `commit` has returned.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg_pool import AsyncConnectionPool

from ingestor.known import KnownRegister
from ingestor.reading import Batch, Incoming, poisoned, read_batch
from ingestor.release import release
from ingestor.writing import Outcome, OwedReceipt, Writing
from store import intake as store_intake
from store.pool import Connection, transaction

__all__ = ["Batch", "Incoming", "Intake", "Outcome", "OwedReceipt"]

logger = logging.getLogger(__name__)

_CANNOT_HOLD = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)


@dataclass(slots=True)
class Intake:
    """Commits batches; `ingestor` names who did in the database."""

    pool: AsyncConnectionPool[Connection]
    root: str
    ingestor: str
    known: KnownRegister = field(default_factory=KnownRegister)

    def read(self, messages: Sequence[Incoming]) -> Batch:
        """*messages* against the register as it is known now; touches nothing, in whatever thread."""
        return read_batch(messages, self.root, self.known.sites)

    async def commit(self, messages: Sequence[Incoming]) -> Outcome:
        """Read and store *messages*; see `commit_read`."""
        return await self.commit_read(self.read(messages))

    async def commit_read(self, batch: Batch) -> Outcome:
        """Store *batch*, all or none.

        A message that the database cannot hold, whatever its decoding said, is isolated by halving the batch and
        goes into quarantine: it must not stop its neighbours.

        Raises
        ------
        Unavailable
            If the database is away: nothing is known to be committed, and the same call may be made again.
        """
        try:
            async with transaction(self.pool) as conn:
                return await self._write(conn, await self._current(conn, batch))
        except _CANNOT_HOLD as error:
            if len(batch.messages) == 1:
                return await self._commit_poisoned(batch.messages[0], error)
            first, second = batch.halves()
            done = await self.commit_read(first)
            return done.and_then(await self.commit_read(second))

    async def _current(self, conn: Connection, batch: Batch) -> Batch:
        """*batch*, read again where the register changed since, or has more than we knew when we refused."""
        if not self.known.sites or batch.doubted:
            await self.known.refresh(conn)
        return batch if batch.sites is self.known.sites else self.read(batch.messages)

    async def _commit_poisoned(self, incoming: Incoming, error: Exception) -> Outcome:
        logger.error("message_poisoned", extra={"topic": incoming.topic, "reason": str(error)})
        reason = f"the database cannot hold it: {error}"
        async with transaction(self.pool) as conn:
            return await self._write(conn, poisoned(incoming, self.root, self.known.sites, reason))

    async def _write(self, conn: Connection, batch: Batch) -> Outcome:
        writing = Writing(conn, self.ingestor)
        await writing.take(batch.found)
        return await writing.finish()

    async def release(self) -> int:
        """Read again the next payload that somebody released from the quarantine; how many that were, 1 or 0.

        What the database cannot hold is held again: it must not stop what was released after it.
        """
        items: list[store_intake.Released] = []
        try:
            async with transaction(self.pool) as conn:
                await self.known.refresh(conn)
                writing = Writing(conn, self.ingestor)
                items = await store_intake.released(conn, 1)
                for item in items:
                    await release(conn, writing, item, self.root, self.known.sites)
                await writing.finish()
        except _CANNOT_HOLD as error:
            async with transaction(self.pool) as conn:
                for item in items:
                    reason = f"the database cannot hold it: {error}"
                    await store_intake.release_done(conn, item.quarantine_id, reason, item.refused)
        return len(items)
