"""Publishes a recorded trace: as fast as receipts come, or at a multiple of its own pace.

    file ── rows ──▶ frames + position in the file ── one transaction ──▶ outbox ──▶ publisher

The position lies in the outbox beside the frames, so a replay that was killed and is started again with the
same arguments goes on where its outbox stopped: no row is missing, and none is made twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from edge.feeding import feed
from edge.outbox import Outbox
from edge.publisher import Publisher
from edge.sources import Context, Feed, Source
from edge.stamps import parse_shift, parse_step, parse_time, parse_zone
from edge.trace import Reading, ReplayPlan, plan_replay, read_rows
from plant import wire
from plant.errors import BadDocument
from plant.reading import Reader

logger = logging.getLogger(__name__)

KIND: Final = "trace"
T = TypeVar("T")
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
    last = outbox.next_seq - 1  # what an earlier run appended is among these
    pace = _Pace(plan.speed, clock_s)
    with closing(_batches(plan, reading, pace)) as batches:
        while batch := await asyncio.to_thread(next, batches, None):
            await pace.wait_for(batch.first_ms)
            given = await feed(publisher, batch.frames, (plan.source, batch.position))
            last = max([last, *given])
            report()
    while outbox.low <= last and not await publisher.room(1, deadline_s=_REPORT_EVERY_S):  # others may fill it on
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


class TraceSource:
    """`[[trace]]`: one recorded file as a source of an edge. Done when a receipt covers all of it."""

    kind: Final = KIND

    def __init__(self, name: str, plan: ReplayPlan) -> None:
        self.name: Final = name
        self.plan: Final = plan
        self._progress: ReplayProgress | None = None

    async def run(self, feed: Feed) -> None:
        done = await replay(self.plan, feed.publisher.outbox, feed.publisher, self._note)
        extra = {"file": self.plan.file.name, "rows": done.rows, "stack": self.plan.stack}
        logger.info("trace_replayed", extra=extra)

    def state(self) -> Mapping[str, Any]:
        progress = self._progress
        rows = 0 if progress is None else progress.rows
        faults = {} if progress is None else {"not_numbers": progress.not_numbers, "not_stamped": progress.not_stamped}
        return {
            "ok": True,
            "detail": f"{self.plan.file.name}: {rows} of {self.plan.rows} rows",
            "tolerated": {kind: times for kind, times in faults.items() if times},
        }

    def _note(self, progress: ReplayProgress) -> None:
        self._progress = progress


def read_source(table: Reader, context: Context) -> Source | None:
    """A `[[trace]]` of an agent file."""
    before = len(table.faults)
    file, stack = table.text("file"), table.identifier("stack")
    mapping, units = _pairs(table, "map"), _pairs(table, "unit")
    start = _parsed(table, "from", parse_time)
    step_ms, shift_ms = _parsed(table, "step", parse_step), _parsed(table, "shift", parse_shift)
    zone = _parsed(table, "zone", parse_zone)
    speed = table.maybe_number("speed", low=1e-6)
    interval_s = table.whole("interval_s", low=1, high=86_400) if "interval_s" in table else None
    instrument = table.identifier("instrument") if "instrument" in table else None
    if "\0" in file:
        table.fault("file", "is no name of a file")
    if len(table.faults) > before:
        return None
    plan = plan_replay(
        context.file(file),
        site=context.site,
        stack=stack,
        mapping=mapping,
        units=units,
        start=start,
        step_ms=step_ms,
        shift_ms=shift_ms,
        zone=zone,
        speed=speed,
        interval_s=interval_s,
        instrument=instrument,
    )
    return TraceSource(context.name, plan)


def _pairs(table: Reader, key: str) -> dict[str, str]:
    pairs = table.table(key)
    return {name: pairs.text(name) for name in pairs.names()}


def _parsed(table: Reader, key: str, parse: Callable[[str], T]) -> T | None:
    """What *parse* makes of the text, or the TOML time, under *key*."""
    value = table.raw(key)
    if value is None:
        return None
    try:
        return parse(str(value.isoformat() if hasattr(value, "isoformat") else value))
    except BadDocument as error:
        for fault in error.faults:
            table.fault(key, fault.message)
        return None
