"""Publishes a recorded trace: as fast as receipts come, or at a multiple of its own pace.

    file ── rows ──▶ frames + position in the file ── one transaction ──▶ outbox ──▶ publisher

The position lies in the outbox beside the frames, so a replay that was killed and is started again with the
same arguments goes on where its outbox stopped: no row is missing, and none is made twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from edge.feeding import feed
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.trace import Reading, ReplayPlan, read_rows
from plant import wire

logger = logging.getLogger(__name__)

_FRAMES_AT_ONCE: Final = 8  # one transaction, one sync of the disk
_REPORT_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayProgress:
    rows: int  #: of the file, read so far
    total: int
    resumed_at: int  #: rows that an earlier run had read
    waiting: int  #: frames of the outbox without a receipt
    not_numbers: int  #: values that became null
    not_stamped: int  #: rows left out because their time cannot be read


async def replay(
    plan: ReplayPlan,
    outbox: Outbox,
    publisher: Publisher,
    on_progress: Callable[[ReplayProgress], None] = lambda _: None,
    *,
    clock_s: Callable[[], float] = time.monotonic,
) -> ReplayProgress:
    """Publish what *plan* says and return when a receipt covers all of it."""
    reading = Reading.from_text(outbox.position(plan.source))
    resumed_at = reading.rows
    if plan.left_out:
        logger.info("columns_left_out", extra={"columns": list(plan.left_out)})

    def report() -> ReplayProgress:
        progress = ReplayProgress(
            rows=reading.rows,
            total=plan.rows,
            resumed_at=resumed_at,
            waiting=outbox.waiting,
            not_numbers=reading.not_numbers,
            not_stamped=reading.not_stamped,
        )
        on_progress(progress)
        return progress

    report()
    pace = _Pace(plan.speed, clock_s)
    with closing(_batches(plan, reading, pace)) as batches:
        while batch := await asyncio.to_thread(next, batches, None):
            await pace.wait_for(batch.first_ms)
            await feed(publisher, batch.frames, (plan.source, batch.position))
            report()
    while not await publisher.room(1, deadline_s=_REPORT_EVERY_S):
        report()
    if reading.not_numbers or reading.not_stamped:
        logger.warning(
            "trace_had_faults", extra={"not_numbers": reading.not_numbers, "not_stamped": reading.not_stamped}
        )
    return report()


@dataclass(frozen=True, slots=True)
class _Batch:
    frames: list[tuple[dict[str, Any], int]]
    position: str
    first_ms: int | None


class _Pace:
    """When a row is due: its distance from the first row of this run, divided by the speed."""

    def __init__(self, speed: float | None, clock_s: Callable[[], float]) -> None:
        self._speed = speed
        self._clock_s = clock_s
        self._zero: tuple[float, int] | None = None

    def early_s(self, sampled_at_ms: int) -> float:
        """How long until the row is due; negative when it is late. [s]"""
        if self._speed is None:
            return 0.0
        if self._zero is None:
            self._zero = (self._clock_s(), sampled_at_ms)
        began_s, first_ms = self._zero
        return began_s + (sampled_at_ms - first_ms) / 1000 / self._speed - self._clock_s()

    async def wait_for(self, sampled_at_ms: int | None) -> None:
        if sampled_at_ms is not None and (early_s := self.early_s(sampled_at_ms)) > 0:
            await asyncio.sleep(early_s)


def _batches(plan: ReplayPlan, reading: Reading, pace: _Pace) -> Generator[_Batch, None, None]:
    """Rows in frames, cut so that at a given pace no row waits for a later one."""
    most = plan.rows_per_frame * _FRAMES_AT_ONCE
    held: list[wire.Row] = []
    position = reading.text()
    first_ms: int | None = None
    with closing(read_rows(plan, reading)) as rows:
        for row in rows:
            if row is not None:
                early = pace.early_s(row.sampled_at_ms) > 0
                if held and (early or len(held) >= most):
                    yield _Batch(_frames(held, plan.rows_per_frame), position, first_ms)
                    held = []
                if not held:
                    first_ms = row.sampled_at_ms
                held.append(row)
            position = reading.text()
    if position != Reading().text():
        yield _Batch(_frames(held, plan.rows_per_frame), position, first_ms if held else None)


def _frames(rows: list[wire.Row], rows_per_frame: int) -> list[tuple[dict[str, Any], int]]:
    cuts = range(0, len(rows), rows_per_frame)
    return [(wire.columns(part), len(part)) for part in (rows[i : i + rows_per_frame] for i in cuts)]
