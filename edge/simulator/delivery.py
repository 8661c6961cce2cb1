"""What a gateway does wrong between logger and broker: it keeps rows back, sends frames twice, or in any order.

Decided from the faults alone: the same frames come out whatever the pieces in which they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge.simulator.activity import MINUTE_MS, Effect
from edge.simulator.faults import Fault
from edge.simulator.loggers import Frame, cut, rows_of
from edge.simulator.noise import key
from edge.simulator.works import State, Works

GATHERED_MS: Final = 10 * MINUTE_MS
"""How long frames are gathered before they are sent in any order."""

Cut = list[tuple[Frame, int]]


def sendable(target_ms: int, made_ms: int, faults: Sequence[Fault]) -> int:
    """Up to where rows can be sent when the clock shows *target_ms* and those before *made_ms* have been."""
    for fault in faults:
        if fault.kind == "gateway_offline" and fault.since_ms < target_ms < fault.until_ms:
            target_ms = max(made_ms, fault.since_ms)
        elif fault.kind == "reordered_frames" and fault.since_ms < target_ms < fault.until_ms:
            whole_ms = (target_ms - fault.since_ms) // GATHERED_MS * GATHERED_MS
            target_ms = max(made_ms, fault.since_ms + whole_ms)
    return target_ms


def until_next(from_ms: int, until_ms: int, faults: Sequence[Fault]) -> int:
    """How far a piece of rows from *from_ms* may reach so that one way of sending holds for all of it."""
    for fault in faults:
        if fault.kind not in ("duplicate_frames", "reordered_frames"):
            continue
        for edge_ms in (fault.since_ms, fault.until_ms):
            if from_ms < edge_ms < until_ms:
                until_ms = edge_ms
        if fault.kind == "reordered_frames" and fault.since_ms <= from_ms < fault.until_ms:
            into_ms = (from_ms - fault.since_ms) % GATHERED_MS
            until_ms = min(until_ms, from_ms - into_ms + GATHERED_MS)
    return until_ms


def made(
    works: Works,
    state: State,
    until_ms: int,
    effects: Sequence[Effect],
    injected: Sequence[Fault],
    *,
    per_frame: int,
) -> tuple[State, Cut, int]:
    """A piece of the works' rows from *state*: where it then stands, the frames as they are sent, the rows in them."""
    from_ms = state.at_ms
    faults = (*works.faults, *injected)
    kinds = {fault.kind for fault in faults if fault.since_ms <= from_ms < fault.until_ms}
    many = len(works.stacks) if "reordered_frames" in kinds else per_frame
    frames: Cut = []
    for block, after in works.blocks(state, until_ms, effects, injected):
        frames += cut(*rows_of(works, block, faults), min(many, per_frame))
        state = after
    if "reordered_frames" in kinds:
        order = sorted(range(len(frames)), key=lambda number: key(works.seed, "order", from_ms, number))
        frames = [frames[number] for number in order]
    if "duplicate_frames" in kinds:
        frames = [same for one in frames for same in (one, one)]
    return state, frames, sum(rows for _, rows in frames)
