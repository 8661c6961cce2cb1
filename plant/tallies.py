"""The counts that frames carry: which stretches of a session arrived, and what is missing between them.

A frame says how many rows of its session went before it (`rows_before`) and how many of those its outbox dropped.
Frames whose numbers and counts follow on one another are one *run*; a session without a loss is one run, however long
it lasts. A gap is what a run counted before itself and no earlier run brought. Where a row of a gap went is decided
with what only the database knows, in `store.books`. No numpy, no clock.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Frames `first` to `last` of a session, none of which counts more rows before itself than had arrived.

    Where M rows of the session were accounted for before it, `max(M + adds, reaches)` are after it: a frame that says
    nothing of its past (one that could not be read, or that does not count) adds its rows to whatever went before.
    """

    first: int
    last: int
    counted: int  #: rows of the session before its first frame, as that frame says
    adds: int
    reaches: int
    dropped: int  #: the highest `dropped_before` in it
    batch_id: int  #: of its first frame
    received_at: datetime  #: its first frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Rows that the frame after it counted and that did not arrive; numbers `first` to `last`, none if last < first."""

    first: int
    last: int
    rows: int
    dropped: int  #: so many of `rows` did the outbox count as dropped
    may_be_held: bool  #: the edge still holds a frame of it
    batch_id: int
    received_at: datetime


def run_of_frame(
    *, seq: int, rows: int, rows_before: int, dropped_before: int, batch_id: int, received_at: datetime
) -> Run:
    silent = rows_before == 0 and seq > 1
    return Run(
        first=seq,
        last=seq,
        counted=rows_before,
        adds=rows if silent else 0,
        reaches=0 if silent else rows_before + rows,
        dropped=dropped_before,
        batch_id=batch_id,
        received_at=received_at,
    )


def joined(runs: Iterable[Run], frames: Iterable[Run]) -> list[Run]:
    """*runs* of one session with *frames*, by number, joined where they follow on one another.

    A restored disk may use a number again: the frame that was there first speaks for the counts, so *frames* come in
    the order of their commit.
    """
    known = sorted(runs, key=lambda run: run.first)
    firsts = [run.first for run in known]
    new: dict[int, Run] = {}
    for frame in frames:
        place = bisect.bisect_right(firsts, frame.first) - 1
        if (place < 0 or known[place].last < frame.first) and frame.first not in new:
            new[frame.first] = frame
    result: list[Run] = []
    for run in sorted([*known, *new.values()], key=lambda run: run.first):
        if result and _follows(result[-1], run):
            result[-1] = _one(result[-1], run)
        else:
            result.append(run)
    return result


def grown(runs: Iterable[Run], frame: Run, more: int) -> list[Run]:
    """*runs* where *frame*, one of theirs, turned out to hold *more* rows than it was counted with.

    Frames that came after it in a run have counted its rows themselves, and they are believed.
    """
    silent = more if frame.adds else 0
    return [
        replace(run, adds=run.adds + silent, reaches=run.reaches + more) if run.last == frame.last else run
        for run in runs
    ]


def _follows(before: Run, run: Run) -> bool:
    return run.first == before.last + 1 and run.counted <= before.reaches


def _one(before: Run, run: Run) -> Run:
    return replace(
        before,
        last=run.last,
        adds=before.adds + run.adds,
        reaches=max(before.reaches + run.adds, run.reaches),
        dropped=max(before.dropped, run.dropped),
    )


def gaps(runs: Sequence[Run], low: int) -> list[Gap]:
    """What is missing between *runs* (all of one session, by number), *low* being the lowest number the edge holds.

    Counted drops are given to the oldest gaps that the edge no longer holds: its counter rises on a later frame than
    the gap.
    """
    found: list[Gap] = []
    accounted, last = 0, 0
    droppable = max((run.dropped for run in runs), default=0)
    for run in runs:
        missing = run.counted - accounted
        if missing > 0:
            first, end = last + 1, run.first - 1
            dropped = min(missing, droppable) if first < low or first > end else 0
            droppable -= dropped
            found.append(
                Gap(
                    first=first,
                    last=end,
                    rows=missing,
                    dropped=dropped,
                    may_be_held=first <= end and end >= low,
                    batch_id=run.batch_id,
                    received_at=run.received_at,
                )
            )
        accounted = max(accounted + run.adds, run.reaches)
        last = run.last
    return found
