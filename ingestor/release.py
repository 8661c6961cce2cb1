"""A payload that somebody released from the quarantine: what of it is still to be taken is taken now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ingestor.decode import Message, decode
from ingestor.reading import Incoming, Taken
from ingestor.rows import KnownSite
from ingestor.writing import Writing, new_batch
from plant import topics
from plant.blocks import Block
from plant.errors import Undecodable
from plant.periods import micros
from plant.reports import Report
from store import intake
from store.pool import Connection


async def release(
    conn: Connection, writing: Writing, item: intake.Released, root: str, sites: Mapping[str, KnownSite]
) -> None:
    """Take what is still refused of *item*; it is held again with what is wrong with it now."""
    incoming = Incoming(item.topic, item.payload, item.received_at)
    try:
        speaker = topics.parse(root, item.topic)
        site = sites.get(speaker.site)
        message = decode(item.payload, speaker, site, received_at=micros(item.received_at), any_time=True)
    except Undecodable as error:
        await intake.release_done(conn, item.quarantine_id, str(error), None)
        return
    assert site is not None
    still = [refusal for refusal in message.refused if item.rows is None or refusal.row in item.rows]
    known = await intake.batch_of(conn, site.site_id, message.edge, message.session, message.seq, message.digest)
    sent_again_and_taken = item.rows is None and known is not None and known[1]
    if not sent_again_and_taken:
        taken = Taken(incoming, speaker, site, message)
        block, reports = (message.block, message.reports) if item.rows is None else _only(message, item.rows)
        times = [*block.sampled_at.tolist(), *(report.sampled_at for report in reports)]
        batch_id = await _rebook(conn, writing, taken, None if known is None else known[0], item, times)
        writing.add_rows(block, batch_id, incoming.received_at, site)
        writing.add_reports(reports, batch_id, incoming.received_at, site)
    reason = still[0].reason if still else None
    held = [{"row": refusal.row, "reason": refusal.reason} for refusal in still] or None
    await intake.release_done(conn, item.quarantine_id, reason, held)


async def _rebook(
    conn: Connection,
    writing: Writing,
    item: Taken,
    batch_id: int | None,
    released: intake.Released,
    times: Sequence[int],
) -> int:
    """The message that brought rows of *times*, whose books no longer count them as quarantined."""
    if batch_id is not None and released.rows is not None:
        for at in times:
            writing.book(batch_id, at).quarantined -= 1
        return batch_id
    if batch_id is None:  # its site was unknown then
        ((batch_id, _),) = await intake.put_batches(conn, [new_batch(item, writing.ingestor)])
    else:
        await intake.forget_books(conn, batch_id, rows=item.message.n_rows)
    writing.book_refused(item, batch_id)
    return batch_id


def _only(message: Message, rows: frozenset[int]) -> tuple[Block, Sequence[Report]]:
    """The rows of *message* whose place in the payload is in *rows*; refused ones have left gaps in the places."""
    refused = {refusal.row for refusal in message.refused}
    places = [place for place in range(message.n_rows) if place not in refused]
    wanted = [index for index, place in enumerate(places) if place in rows]
    if message.reports:
        return message.block, [message.reports[index] for index in wanted]
    return message.block.take(np.array(wanted, dtype=np.intp)), ()
