"""The work of one transaction: what was read of a batch of messages goes into the tables, in the order of the locks.

    frames ──▶ rows ──▶ books, quarantine ──▶ sessions and their receipts ──▶ clocks and queue

What is done for every frame is one statement for all of them, and what is done for every row is done by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from ingestor.reading import Refused, Taken
from ingestor.rows import KnownSite
from ingestor.touched import Clocks, StackHour, clocks, hours
from plant import topics
from plant.blocks import Block, join
from plant.merging import CONFLICT, DUPLICATE, STORED
from plant.periods import HOUR, Instants, instant, micros
from plant.reports import Report
from plant.wire import Receipt
from store import arriving, concerned, intake, queue, receipts, reports
from store.arriving import Arrivals
from store.intake import HourBook, NewBatch, Quarantined
from store.pool import Connection
from store.receipts import SessionKey, Settling
from store.reports import Arrived

KEPT_TOPIC: Final = 400  #: characters; a broker may carry 65,535, an index takes fewer than 2,704 bytes

BookKey = tuple[int, datetime]  #: batch_id, hour


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

    def and_then(self, later: Outcome) -> Outcome:
        return Outcome(
            self.rows + later.rows,
            self.stored + later.stored,
            self.quarantined + later.quarantined,
            self.redelivered + later.redelivered,
            [*self.receipts, *later.receipts],
        )


@dataclass(slots=True)
class Writing:
    conn: Connection
    ingestor: str
    outcome: Outcome = field(default_factory=Outcome)
    blocks: list[Block] = field(default_factory=list)
    reported: list[Arrived] = field(default_factory=list)
    brought: list[tuple[int, int]] = field(default_factory=list)  #: of each block: its message, when it was received
    books: dict[BookKey, HourBook] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
    settled: dict[SessionKey, Settling] = field(default_factory=dict)
    names: dict[SessionKey, tuple[str, str]] = field(default_factory=dict)
    sites: dict[int, KnownSite] = field(default_factory=dict)
    clocks: Clocks = field(default_factory=lambda: Clocks({}, {}))
    hours: set[StackHour] = field(default_factory=set)
    disputed: set[StackHour] = field(default_factory=set)  #: hours of rows that came late and conflict with what counts

    async def take(self, found: Sequence[Taken | Refused]) -> None:
        """The messages of a batch; their rows are gathered for `finish`."""
        batches = [(one, _batch_of(one, self.ingestor)) for one in found]
        booked = sorted(((one, batch) for one, batch in batches if batch is not None), key=lambda pair: pair[1].order)
        put = await intake.put_batches(self.conn, [batch for _, batch in booked])
        for (one, batch), (batch_id, is_new) in zip(booked, put, strict=True):
            self._settle(one.speaker, batch)
            if isinstance(one, Taken):
                self._take(one, batch_id, is_new)
            elif is_new:
                self.book(batch_id, micros(one.incoming.received_at)).quarantined += one.left.n_rows
        for one in found:
            if isinstance(one, Refused):
                self._refuse(one)

    def _take(self, item: Taken, batch_id: int, is_new: bool) -> None:
        message = item.message
        self.outcome.rows += message.n_rows
        if not is_new:
            # Committed before, with all its rows: the same frame again needs its receipt and nothing else.
            self.outcome.redelivered += message.n_rows
            return
        self.add_rows(message.block, batch_id, item.incoming.received_at, item.site)
        self.add_reports(message.reports, batch_id, item.incoming.received_at, item.site)
        if message.refused:
            self.quarantined.append(_quarantined_rows(item))
            self.book_refused(item, batch_id)
            self.outcome.quarantined += len(message.refused)

    def add_rows(self, block: Block, batch_id: int, received_at: datetime, site: KnownSite) -> None:
        if len(block):
            self.blocks.append(block)
            self.brought.append((batch_id, micros(received_at)))
            self.sites[site.site_id] = site

    def add_reports(self, reported: Sequence[Report], batch_id: int, received_at: datetime, site: KnownSite) -> None:
        self.reported += [Arrived(report, site.site_id, received_at, batch_id) for report in reported]

    def book(self, batch_id: int, at_us: int) -> HourBook:
        """The book of a message for the hour that holds *at_us*."""
        return self.books.setdefault((batch_id, instant(at_us // HOUR * HOUR)), HourBook())

    def book_refused(self, item: Taken, batch_id: int) -> None:
        """Count the refused rows of a message, each in its hour, else in that of the receipt."""
        for refusal in item.message.refused:
            at = micros(item.incoming.received_at) if refusal.sampled_at is None else refusal.sampled_at
            self.book(batch_id, at).quarantined += 1

    def _refuse(self, item: Refused) -> None:
        """The whole payload into quarantine."""
        self.quarantined.append(
            Quarantined(
                topic=_kept(item.incoming.topic),
                site_id=None if item.site is None else item.site.site_id,
                edge=None if item.speaker is None else item.speaker.edge,
                session=item.left.session,
                seq=item.left.seq,
                digest=item.left.digest,
                payload=item.incoming.payload,
                reason=item.reason,
                refused=None,
                received_at=item.incoming.received_at,
            )
        )
        self.outcome.rows += item.left.n_rows
        self.outcome.quarantined += item.left.n_rows

    def _settle(self, speaker: topics.Speaker | None, batch: NewBatch) -> None:
        if speaker is None or batch.session is None or batch.seq is None:
            return
        key = (batch.site_id, batch.edge, batch.session)
        settling = self.settled.setdefault(key, Settling())
        settling.seqs.add(batch.seq)
        settling.low = max(settling.low, batch.low)
        self.names[key] = (speaker.site, speaker.edge)

    async def finish(self) -> Outcome:
        """Write what was gathered; the caller's transaction commits it."""
        await self._write_rows()
        await self._write_reports()
        async with self.conn.pipeline():  # one journey for all of these; only the receipts are waited for
            await intake.put_books(self.conn, self.books)
            await intake.put_quarantined(self.conn, self.quarantined)
            await receipts.settle(self.conn, self.settled)
            await intake.advance_clocks(self.conn, self.clocks.sites, self.clocks.stacks)
            await queue.ask(self.conn, self.disputed, reason="conflict")
            await queue.ask(self.conn, self.hours, reason="rows")
            found = await receipts.receipts_of(self.conn, sorted(self.settled))
        self.outcome.receipts += [OwedReceipt(*self.names[key], receipt) for key, receipt in found.items()]
        return self.outcome

    async def _write_rows(self) -> None:
        if not self.blocks:
            return
        lengths = [len(block) for block in self.blocks]
        batch_id, received_at = np.array(self.brought, np.int64).T
        arrivals = Arrivals(
            block=join(self.blocks),
            batch_id=np.repeat(batch_id, lengths),
            received_at=np.repeat(received_at, lengths),
        )
        written = await arriving.write(self.conn, arrivals)
        self._book_fates(arrivals, written)
        self.outcome.stored += int(np.count_nonzero(written.fates != DUPLICATE))
        sites = self.sites.values()
        self.clocks = clocks(arrivals.block, sites)
        if written.changed.size:
            self.hours = hours(arrivals.block.take(written.changed), written.longest_s, sites)
        conflicting = np.flatnonzero(written.fates == CONFLICT)
        if conflicting.size:
            of = arrivals.block.stack_id, arrivals.block.sampled_at, arrivals.received_at
            self.disputed = await concerned.by_conflicts(self.conn, *(column[conflicting].tolist() for column in of))

    async def _write_reports(self) -> None:
        if not self.reported:
            return
        fates = await reports.write(self.conn, self.reported)
        for one, fate in zip(self.reported, fates, strict=True):
            self.outcome.stored += fate != DUPLICATE
            self.book(one.batch_id, one.report.sampled_at).count(fate)
        new = [one for one, fate in zip(self.reported, fates, strict=True) if fate != DUPLICATE]
        await queue.ask(self.conn, await concerned.by_means(self.conn, new), reason="reported")
        await queue.ask(self.conn, await concerned.by_signals(self.conn, new), reason="signal")

    def _book_fates(self, arrivals: Arrivals, written: arriving.Written) -> None:
        for (batch_id, hour), counts in _counted(arrivals.batch_id, arrivals.block.sampled_at, written.fates):
            book = self.books.setdefault((batch_id, hour), HourBook())
            for fate in (STORED, DUPLICATE, CONFLICT):
                book.count(fate, counts[fate])


def _counted(batch_id: Instants, at: Instants, fates: arriving.Fates) -> list[tuple[BookKey, list[int]]]:
    """How many rows of each message and hour had each fate."""
    _, place = np.unique(batch_id, return_inverse=True)
    hour = at // HOUR
    span = int(hour.max()) + 1
    groups, first, group = np.unique(place * span + hour, return_index=True, return_inverse=True)
    counts = np.bincount(group * 3 + fates, minlength=3 * groups.size).reshape(-1, 3)
    hours_of = hour[first].tolist()
    starts = {number: instant(number * HOUR) for number in set(hours_of)}
    keys = [(of, starts[number]) for of, number in zip(batch_id[first].tolist(), hours_of, strict=True)]
    return list(zip(keys, counts.tolist(), strict=True))


def new_batch(item: Taken, ingestor: str) -> NewBatch:
    message = item.message
    return NewBatch(
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
        ingestor=ingestor,
    )


def _batch_of(item: Taken | Refused, ingestor: str) -> NewBatch | None:
    """A refused payload stands in the books like any other, where it is known who sent it."""
    if isinstance(item, Taken):
        return new_batch(item, ingestor)
    if item.site is None or item.speaker is None:
        return None
    return NewBatch(
        site_id=item.site.site_id,
        edge=item.speaker.edge,
        session=item.left.session,
        seq=item.left.seq,
        digest=item.left.digest,
        low=1,
        rows_before=0,
        dropped_before=0,
        sent_at=None,
        received_at=item.incoming.received_at,
        rows=item.left.n_rows,
        ingestor=ingestor,
    )


def _quarantined_rows(item: Taken) -> Quarantined:
    message = item.message
    reasons = list(dict.fromkeys(refusal.reason for refusal in message.refused))
    more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
    return Quarantined(
        topic=item.incoming.topic,
        site_id=item.site.site_id,
        edge=item.speaker.edge,
        session=message.session,
        seq=message.seq,
        digest=message.digest,
        payload=item.incoming.payload,
        reason=f"{len(message.refused)} of {message.n_rows} rows: {reasons[0]}{more}",
        refused=[{"row": refusal.row, "reason": refusal.reason} for refusal in message.refused],
        received_at=item.incoming.received_at,
    )


def _kept(topic: str) -> str:
    """A topic as the quarantine keeps it."""
    return topic if len(topic) <= KEPT_TOPIC else f"{topic[:KEPT_TOPIC]}..."
