"""One batch of messages into the database, in one transaction: rows, books, receipts, queue, quarantine.

Nothing is acknowledged here: the caller does that after `commit` has returned, and then publishes the receipts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import psycopg
from psycopg_pool import AsyncConnectionPool

from ingestor.decode import IncomingRow, KnownSite, Message, Remains, decode, remains
from ingestor.known import KnownRegister
from plant import topics
from plant.errors import Undecodable
from plant.periods import HOUR, SECOND, hour_start, instant, micros
from plant.wire import Receipt
from store import intake, measurements
from store.intake import HourBook, NewBatch, Quarantined, SessionKey, Settling
from store.pool import Connection, transaction

logger = logging.getLogger(__name__)

KEPT_TOPIC: Final = 400  #: characters; a broker may carry 65,535, an index takes fewer than 2,704 bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as received."""

    topic: str
    payload: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class OwedReceipt:
    site: str
    edge: str
    receipt: Receipt


@dataclass(slots=True)
class Outcome:
    """What one commit did."""

    rows: int = 0
    stored: int = 0
    quarantined: int = 0
    redelivered: int = 0
    receipts: list[OwedReceipt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Decoded:
    incoming: Incoming
    speaker: topics.Speaker
    site: KnownSite
    message: Message


@dataclass(slots=True)
class Intake:
    """Commits batches; `ingestor` names who did in the database."""

    pool: AsyncConnectionPool[Connection]
    root: str
    ingestor: str
    known: KnownRegister = field(default_factory=KnownRegister)

    async def commit(self, messages: Sequence[Incoming]) -> Outcome:
        """Store *messages*, all or none.

        A message that the database cannot hold, whatever its decoding said, is isolated by halving the batch and
        goes into quarantine: it must not stop its neighbours.

        Raises
        ------
        Unavailable
            If the database is away: nothing is known to be committed, and the same call may be made again.
        """
        try:
            return await self._commit(messages)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(messages) == 1:
                logger.error("message_poisoned", extra={"topic": messages[0].topic, "reason": str(error)})
                return await self._commit(messages, poison=f"the database cannot hold it: {error}")
            middle = len(messages) // 2
            first = await self.commit(messages[:middle])
            second = await self.commit(messages[middle:])
            return Outcome(
                first.rows + second.rows,
                first.stored + second.stored,
                first.quarantined + second.quarantined,
                first.redelivered + second.redelivered,
                [*first.receipts, *second.receipts],
            )

    async def _commit(self, messages: Sequence[Incoming], poison: str | None = None) -> Outcome:
        async with transaction(self.pool) as conn:
            write = _Write(conn, self)
            await write.messages(messages, poison)
            return await write.finish()

    async def release(self) -> int:
        """Read again the next payload that somebody released from the quarantine; how many that were, 1 or 0.

        What the database cannot hold is held again: it must not stop what was released after it.
        """
        items: list[intake.Released] = []
        try:
            async with transaction(self.pool) as conn:
                await self.known.refresh(conn)
                write = _Write(conn, self)
                items = await intake.released(conn, 1)
                for item in items:
                    await write.release(item)
                await write.finish()
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            async with transaction(self.pool) as conn:
                for item in items:
                    reason = f"the database cannot hold it: {error}"
                    await intake.release_done(conn, item.quarantine_id, reason, item.refused)
        return len(items)


@dataclass(slots=True)
class _Write:
    """The work of one transaction."""

    conn: Connection
    owner: Intake
    outcome: Outcome = field(default_factory=Outcome)
    arrivals: list[measurements.Arrival] = field(default_factory=list)
    hours_of: list[tuple[int, datetime]] = field(default_factory=list)  #: of each arrival: its batch and book hour
    books: dict[tuple[int, datetime], HourBook] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
    settled: dict[SessionKey, Settling] = field(default_factory=dict)
    names: dict[SessionKey, tuple[str, str]] = field(default_factory=dict)
    zones: dict[int, ZoneInfo] = field(default_factory=dict)
    stamped_at_end: set[int] = field(default_factory=set)
    site_clocks: dict[int, datetime] = field(default_factory=dict)

    async def messages(self, messages: Sequence[Incoming], poison: str | None) -> None:
        if not self.owner.known.sites:
            await self.owner.known.refresh(self.conn)
        decoded = self._decode(messages, poison)
        if any(refused for _, refused in decoded if refused) and await self.owner.known.refresh(self.conn):
            decoded = self._decode(messages, poison)  # the register grew since we read it
        # One order for every ingestor, so that two that got the same frames never wait in a circle.
        good = [item for item, _ in decoded if item is not None]
        for item in sorted(good, key=_order):
            await self._take(item)
        for incoming, (found, reason) in zip(messages, decoded, strict=True):
            if found is None:
                await self._refuse(incoming, reason)

    def _decode(self, messages: Sequence[Incoming], poison: str | None) -> list[tuple[_Decoded | None, str]]:
        """Each message read, or None, with the reason; a message with refused rows has a reason too."""
        found: list[tuple[_Decoded | None, str]] = []
        for incoming in messages:
            try:
                if poison is not None:
                    raise Undecodable(poison)
                speaker = topics.parse(self.owner.root, incoming.topic)
                site = self.owner.known.sites.get(speaker.site)
                message = decode(incoming.payload, speaker, site, received_at=micros(incoming.received_at))
            except Undecodable as error:
                found.append((None, str(error)))
            else:
                assert site is not None
                reason = message.refused[0].reason if message.refused else ""
                found.append((_Decoded(incoming, speaker, site, message), reason))
        return found

    async def _take(self, item: _Decoded) -> None:
        message, site = item.message, item.site
        batch_id, is_new = await self._batch(item)
        self._settle(site.site_id, item.speaker, message.session, message.seq, message.low)
        self.outcome.rows += message.n_rows
        if not is_new:
            # Committed before, with all its rows: the same frame again needs its receipt and nothing else.
            self.outcome.redelivered += message.n_rows
            return
        self.add_rows(message.rows, batch_id, item.incoming.received_at, site)
        if message.refused:
            self.quarantined.append(self._quarantine_rows(item))
            for refusal in message.refused:
                at = micros(item.incoming.received_at) if refusal.sampled_at is None else refusal.sampled_at
                self._book(batch_id, at).quarantined += 1
            self.outcome.quarantined += len(message.refused)

    async def _batch(self, item: _Decoded) -> tuple[int, bool]:
        message = item.message
        return await intake.put_batch(
            self.conn,
            NewBatch(
                site_id=item.site.site_id,
                edge=message.edge,
                session=message.session,
                seq=message.seq,
                digest=message.digest,
                low=message.low,
                rows_before=message.rows_before,
                dropped_before=message.dropped_before,
                sent_at=message.sent_at,
                received_at=item.incoming.received_at,
                rows=message.n_rows,
                ingestor=self.owner.ingestor,
            ),
        )

    def add_rows(self, rows: Sequence[IncomingRow], batch_id: int, received_at: datetime, site: KnownSite) -> None:
        zone = ZoneInfo(site.timezone)
        for row in rows:
            key = (row.stack_id, row.instrument, row.sampled_at)
            self.arrivals.append(measurements.Arrival(key, row.version, batch_id, received_at))
            self.hours_of.append((batch_id, _utc_hour(row.sampled_at)))
            self.zones[row.stack_id] = zone
        self.stamped_at_end |= {known.stack_id for known in site.stacks.values() if known.stamped_at_end}
        if rows and site.simulated:
            newest = instant(max(row.sampled_at for row in rows))
            self.site_clocks[site.site_id] = max(newest, self.site_clocks.get(site.site_id, newest))

    def _quarantine_rows(self, item: _Decoded) -> Quarantined:
        reasons = list(dict.fromkeys(refusal.reason for refusal in item.message.refused))
        more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        return Quarantined(
            topic=item.incoming.topic,
            site_id=item.site.site_id,
            edge=item.speaker.edge,
            session=item.message.session,
            seq=item.message.seq,
            digest=item.message.digest,
            payload=item.incoming.payload,
            reason=f"{len(item.message.refused)} of {item.message.n_rows} rows: {reasons[0]}{more}",
            refused=[{"row": refusal.row, "reason": refusal.reason} for refusal in item.message.refused],
            received_at=item.incoming.received_at,
        )

    async def _refuse(self, incoming: Incoming, reason: str) -> None:
        """The whole payload into quarantine; a receipt all the same where it is known who is owed one."""
        left = remains(incoming.payload)
        speaker, site = self._speaker(incoming.topic)
        if site is not None and speaker is not None:
            await self._refused_batch(incoming, left, speaker, site)
        self.quarantined.append(
            Quarantined(
                topic=_kept(incoming.topic),
                site_id=None if site is None else site.site_id,
                edge=None if speaker is None else speaker.edge,
                session=left.session,
                seq=left.seq,
                digest=left.digest,
                payload=incoming.payload,
                reason=reason,
                refused=None,
                received_at=incoming.received_at,
            )
        )
        self.outcome.rows += left.n_rows
        self.outcome.quarantined += left.n_rows

    def _speaker(self, topic: str) -> tuple[topics.Speaker | None, KnownSite | None]:
        try:
            speaker = topics.parse(self.owner.root, topic)
        except Undecodable:
            return None, None
        return speaker, self.owner.known.sites.get(speaker.site)

    async def _refused_batch(self, incoming: Incoming, left: Remains, speaker: topics.Speaker, site: KnownSite) -> None:
        """A refused payload stands in the books like any other; its rows are counted by the hour of receipt."""
        batch_id, is_new = await intake.put_batch(
            self.conn,
            NewBatch(
                site_id=site.site_id,
                edge=speaker.edge,
                session=left.session,
                seq=left.seq,
                digest=left.digest,
                low=1,
                rows_before=0,
                dropped_before=0,
                sent_at=None,
                received_at=incoming.received_at,
                rows=left.n_rows,
                ingestor=self.owner.ingestor,
            ),
        )
        if is_new:
            self._book(batch_id, micros(incoming.received_at)).quarantined += left.n_rows
        self._settle(site.site_id, speaker, left.session, left.seq, 1)

    async def release(self, item: intake.Released) -> None:
        """Take what is still refused of a released payload; it is held again with what is wrong with it now."""
        incoming = Incoming(item.topic, item.payload, item.received_at)
        try:
            speaker = topics.parse(self.owner.root, item.topic)
            site = self.owner.known.sites.get(speaker.site)
            received_at = micros(item.received_at)
            message = decode(item.payload, speaker, site, received_at=received_at, any_time=True)
        except Undecodable as error:
            await intake.release_done(self.conn, item.quarantine_id, str(error), None)
            return
        assert site is not None
        still = [refusal for refusal in message.refused if item.rows is None or refusal.row in item.rows]
        known = await intake.batch_of(
            self.conn, site.site_id, message.edge, message.session, message.seq, message.digest
        )
        sent_again_and_taken = item.rows is None and known is not None and known[1]
        if not sent_again_and_taken:
            rows = message.rows if item.rows is None else _only(message, item.rows)
            batch_id = None if known is None else known[0]
            batch_id = await self._rebook(_Decoded(incoming, speaker, site, message), batch_id, item, rows)
            self.add_rows(rows, batch_id, incoming.received_at, site)
        reason = still[0].reason if still else None
        held = [{"row": refusal.row, "reason": refusal.reason} for refusal in still] or None
        await intake.release_done(self.conn, item.quarantine_id, reason, held)

    async def _rebook(
        self, item: _Decoded, batch_id: int | None, released: intake.Released, rows: Sequence[IncomingRow]
    ) -> int:
        """The message that brought *rows*, whose books no longer count them as quarantined."""
        message, received_at = item.message, micros(item.incoming.received_at)
        if batch_id is not None and released.rows is not None:
            for row in rows:
                self._book(batch_id, row.sampled_at).quarantined -= 1
            return batch_id
        if batch_id is None:  # its site was unknown then
            batch_id, _ = await self._batch(item)
        else:
            await intake.forget_books(self.conn, batch_id, rows=message.n_rows)
        for refusal in message.refused:
            at = received_at if refusal.sampled_at is None else refusal.sampled_at
            self._book(batch_id, at).quarantined += 1
        return batch_id

    def _settle(self, site_id: int, speaker: topics.Speaker, session: str | None, seq: int | None, low: int) -> None:
        if session is None or seq is None:
            return
        key = (site_id, speaker.edge, session)
        settling = self.settled.setdefault(key, Settling())
        settling.seqs.add(seq)
        settling.low = max(settling.low, low)
        self.names[key] = (speaker.site, speaker.edge)

    def _book(self, batch_id: int, at_us: int) -> HourBook:
        return self.books.setdefault((batch_id, _utc_hour(at_us)), HourBook())

    async def finish(self) -> Outcome:
        """Write what was gathered; the caller's transaction commits it."""
        await self._write_rows()
        if self.books:
            await intake.put_books(self.conn, self.books)
        if self.quarantined:
            await intake.put_quarantined(self.conn, self.quarantined)
        await intake.settle(self.conn, self.settled)
        for key in sorted(self.settled):
            receipt = await intake.receipt_of(self.conn, key)
            assert receipt is not None
            self.outcome.receipts.append(OwedReceipt(*self.names[key], receipt))
        return self.outcome

    async def _write_rows(self) -> None:
        if not self.arrivals:
            return
        written = await measurements.write(self.conn, self.arrivals)
        for place, fate in zip(self.hours_of, written.fates, strict=True):
            book = self.books.setdefault(place, HourBook())
            setattr(book, fate.value, getattr(book, fate.value) + 1)
        self.outcome.stored += sum(fate is not measurements.Fate.DUPLICATE for fate in written.fates)
        latest: dict[int, datetime] = {}
        for arrival in self.arrivals:
            stack_id, at = arrival.key[0], instant(arrival.key[2])
            latest[stack_id] = max(at, latest.get(stack_id, at))
        await intake.advance_clocks(self.conn, self.site_clocks, latest)
        await intake.ask_to_judge(self.conn, self._touched(written.changed), reason="rows")

    def _touched(self, changed: Mapping[measurements.Key, int]) -> set[tuple[int, datetime]]:
        """The local hours that the changed rows reach into."""
        starts: set[tuple[int, int]] = set()
        for (stack_id, _, at), interval_s in changed.items():
            if stack_id in self.stamped_at_end:
                at -= interval_s * SECOND  # the row stands for what lies before its stamp
            first = hour_start(at, self.zones[stack_id])
            starts.add((stack_id, first))
            if at + interval_s * SECOND > first + HOUR:
                starts.add((stack_id, first + HOUR))
        return {(stack_id, instant(start)) for stack_id, start in starts}


def _kept(topic: str) -> str:
    """A topic as the quarantine keeps it."""
    return topic if len(topic) <= KEPT_TOPIC else f"{topic[:KEPT_TOPIC]}..."


def _order(item: _Decoded) -> tuple[int, str, str, int]:
    message = item.message
    return (item.site.site_id, item.speaker.edge, message.session or "", message.seq or 0)


def _only(message: Message, rows: frozenset[int]) -> list[IncomingRow]:
    """The rows of *message* whose place in the payload is in *rows*; refused ones have left gaps in the places."""
    refused = {refusal.row for refusal in message.refused}
    places = [place for place in range(message.n_rows) if place not in refused]
    return [row for place, row in zip(places, message.rows, strict=True) if place in rows]


def _utc_hour(at_us: int) -> datetime:
    return instant(at_us) - timedelta(microseconds=at_us % HOUR)
