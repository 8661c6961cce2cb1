"""What the loggers of a works send of its blocks: rows by column, stamped by their clocks, and frames cut from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from edge.simulator.activity import STATES, Effect
from edge.simulator.analyser import MAINTAINED, OVER
from edge.simulator.faults import Fault
from edge.simulator.noise import Ints
from edge.simulator.works import Block, Works

Frame = dict[str, Any]

_NOTHING: Final = 0  # for a flag that says nothing: the row's own holds


def columns(works: Works, since_ms: int, until_ms: int, effects: Sequence[Effect] = ()) -> tuple[Frame, int]:
    """The rows of `[since, until)` by column, in order of time, and their number; reckoned from the beginning."""
    state = works.begin
    for _, after in works.blocks(works.begin, since_ms, effects):
        state = after
    frame, rows = Frame(), 0
    for block, _ in works.blocks(state, until_ms, effects):
        part, count = rows_of(works, block, works.faults)
        frame = joined(frame, rows, part, count)
        rows += count
    return frame, rows


def rows_of(works: Works, block: Block, faults: Sequence[Fault]) -> tuple[Frame, int]:
    """The rows of *block* by column, in order of time, and their number; *faults* of loggers and clocks among them."""
    n, m = block.flag.shape
    frame: Frame = {
        "stack": [plan.stack.code for plan in works.stacks] * n,
        "sampled_at": np.repeat(block.at_ms, m).tolist(),
        "interval_s": works.step_s,
        "state": _scalar([STATES[state] for state in block.state.ravel()]),
        "flag": _scalar([chr(flag) for flag in block.flag.ravel()]),
    }
    frame |= _values(works, block)
    flags = _flags(works, block)
    if flags:
        frame["flags"] = flags
    return _stamped(works, frame, block.at_ms, faults)


def _values(works: Works, block: Block) -> Frame:
    values: Frame = {}
    for row, name in enumerate(works.analysers.channels):
        measured = works.analysers.measured[row]
        if measured.all():
            values[name] = block.shown[row].ravel().tolist()
        elif measured.any():
            shown = block.shown[row].astype(object)
            shown[:, ~measured] = None
            values[name] = shown.ravel().tolist()
    return values | {name: value.ravel().tolist() for name, value in block.signals.items()}


def _flags(works: Works, block: Block) -> dict[str, list[str | None]]:
    """Flags of single channels, null where the row's own holds."""
    flags: dict[str, list[str | None]] = {}
    for row, name in enumerate(works.analysers.channels):
        letters = np.where(block.over[row], OVER, _NOTHING)
        lies = block.hidden.get(name)
        if lies is not None:
            letters[lies] = MAINTAINED
        if letters.any():
            flags[name] = [chr(letter) if letter else None for letter in letters.ravel()]
    return flags


def _stamped(works: Works, frame: Frame, at_ms: Ints, faults: Sequence[Fault]) -> tuple[Frame, int]:
    """Rows that loggers did not take left out, and wrong clocks believed."""
    shape = (at_ms.size, len(works.stacks))
    keep = np.ones(shape, dtype=bool)
    shift = np.zeros(shape, dtype=np.int64)
    shift[:, [plan.stack.stamped_at_end for plan in works.stacks]] = works.step_ms
    for fault in faults:
        column = works.columns.get(fault.stack)
        if column is not None and fault.kind == "rows_lost":
            keep[fault.rows(at_ms), column] = False
        elif column is not None and fault.kind == "clock_step":
            shift[fault.rows(at_ms), column] += round(fault.amount) * 1000
    if shift.any():
        frame["sampled_at"] = (np.repeat(at_ms, shape[1]) + shift.ravel()).tolist()
    if keep.all():
        return frame, keep.size
    return picked(frame, np.flatnonzero(keep.ravel()).tolist()), int(keep.sum())


def cut(frame: Mapping[str, Any], rows: int, per_frame: int) -> list[tuple[Frame, int]]:
    """The same rows as frames of at most *per_frame*; a scalar column stays one."""

    def part(value: Any, at: int) -> Any:
        return value[at : at + per_frame] if isinstance(value, list) else value

    frames = []
    for at in range(0, rows, per_frame):
        piece = {name: part(value, at) for name, value in frame.items() if name != "flags"}
        flags = {channel: part(value, at) for channel, value in frame.get("flags", {}).items()}
        flags = {channel: letters for channel, letters in flags.items() if any(letters)}
        frames.append((piece | ({"flags": flags} if flags else {}), min(per_frame, rows - at)))
    return frames


def joined(frame: Frame, rows: int, part: Mapping[str, Any], count: int) -> Frame:
    """Two frames in a row; a scalar that differs becomes a list."""
    if not rows:
        return dict(part)
    merged: Frame = {}
    for name in {**frame, **part}:
        one, two = frame.get(name), part.get(name)
        if name == "flags":
            one, two = one or {}, two or {}
            merged[name] = {c: one.get(c, [None] * rows) + two.get(c, [None] * count) for c in {**one, **two}}
        elif not isinstance(one, list) and one == two:
            merged[name] = one
        else:
            merged[name] = _listed(one, rows) + _listed(two, count)
    return merged


def picked(frame: Mapping[str, Any], which: Sequence[int]) -> Frame:
    """The rows *which* of a frame, in that order."""

    def pick(value: Any) -> Any:
        return [value[at] for at in which] if isinstance(value, list) else value

    return {
        name: {channel: pick(mine) for channel, mine in value.items()} if name == "flags" else pick(value)
        for name, value in frame.items()
    }


def each_row(frame: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
    """A frame row by row, as shape 1 of the contract; nulls left out."""
    plain = {name: _listed(value, rows) for name, value in frame.items() if name != "flags"}
    flags = frame.get("flags", {})
    listed = []
    for at in range(rows):
        row = {name: value[at] for name, value in plain.items() if value[at] is not None}
        mine = {channel: letters[at] for channel, letters in flags.items() if letters[at] is not None}
        listed.append(row | ({"flags": mine} if mine else {}))
    return listed


def _scalar(values: list[str]) -> list[str] | str:
    return values[0] if values and values.count(values[0]) == len(values) else values


def _listed(value: Any, rows: int) -> list[Any]:
    return value if isinstance(value, list) else [value] * rows
