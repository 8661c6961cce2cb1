"""Faults in time: what each does to gas, analyser and claims while it lasts.

A fault is `[since, until)` on one stack, or on the whole works where its kind says so. Stamps and frames are
`edge.simulator.loggers`' and `edge.simulator.delivery`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge.simulator.activity import MINUTE_MS, RUNNING, STOPPED
from edge.simulator.catalogue import CATALOGUE, Stage
from edge.simulator.gas import ABATED, Levers
from edge.simulator.kinds import Kind, measured_by
from edge.simulator.noise import Floats, Ints, Truths
from plant.register import Stack

HOUR_MS: Final = 60 * MINUTE_MS
#: How many times what is usual is made while an instrument hides it. [D]
WORSE: Final = {"clipped_range": 2.0, "hugging": 2.5}
PRESSED: Final = 0.05  #: what is left of the distance from where a value is pressed to
BURST_EVERY_MIN: Final = 240
BURST_MIN: Final = 50
MELTS_H: Final = 8  #: of each 24 hours
HEAT_EVERY_MIN: Final = 50
HEAT_MIN: Final = 35


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, from *since_ms* until *until_ms*."""

    id: str
    kind: str
    stack: str  #: empty where it is the whole works'
    since_ms: int
    until_ms: int
    channel: str = ""  #: pollutant or other channel it is about, where its kind asks for one
    amount: float = 0.0  #: what `Kind.amount` says
    source: str = ""  #: the stack whose values it shows

    def later(self, by_ms: int) -> Fault:
        return replace(self, since_ms=self.since_ms + by_ms, until_ms=self.until_ms + by_ms)

    @property
    def stage(self) -> Stage:
        return CATALOGUE[self.kind].stage

    def rows(self, at_ms: Ints) -> slice:
        """The steps of *at_ms*, which rise, in which it lasts."""
        first, last = np.searchsorted(at_ms, (self.since_ms, self.until_ms))
        return slice(int(first), int(last))


def impossible(fault: Fault, stack: Stack, kind: Kind) -> str | None:
    """Why *fault* cannot befall *stack*; None where it can."""
    what = CATALOGUE[fault.kind]
    if what.channels and fault.channel not in what.channels:
        return f"{fault.kind} needs a channel: one of {', '.join(what.channels)}"
    if fault.channel and not what.channels:
        return f"{fault.kind} is about no single channel"
    if fault.channel and fault.channel not in (*kind.pollutants, *measured_by(stack, kind)):
        return f"{fault.channel} is not measured at {stack.code}"
    if what.stage in ("analyser", "claims") and fault.channel and fault.channel not in measured_by(stack, kind):
        return f"{fault.channel} has no analyser of its own at {stack.code}"
    if what.any_abatement and not kind.abatement_kw:
        return f"{stack.code} has no abatement"
    needed = (fault.channel,) if fault.kind == "abatement_loss" else what.abated
    missing = [pollutant for pollutant in needed if not kind.takes(pollutant)]
    return f"{stack.code} has no abatement of {', '.join(missing)}" if missing else None


def pull_levers(levers: Levers, faults: Sequence[Fault], columns: Mapping[str, int], at_ms: Ints) -> None:
    """Let the faults of plant and gas move *levers*. *columns*: where each stack stands."""
    for fault in faults:
        act = _ON_GAS.get(fault.kind)
        if act is not None:
            rows = fault.rows(at_ms)
            if rows.start < rows.stop:
                act(fault, levers, rows, columns[fault.stack], at_ms[rows])


def in_bursts(fault: Fault, at_ms: Ints, *, longer_ms: int = 0) -> Truths:
    """Steps in which a burst lasts, or the flag that hides it; the first begins with the fault."""
    into = (at_ms - fault.since_ms) % (BURST_EVERY_MIN * MINUTE_MS)
    return np.asarray(into < BURST_MIN * MINUTE_MS + longer_ms)


def _loses(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    _takes(levers, fault.channel, rows, column, fault.amount)


def _leaks(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    _takes(levers, "pm", rows, column, 1 - fault.amount)


def _trips(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    _takes(levers, "nox", rows, column, 0.0)


def _runs_out(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    used = np.clip((at_ms - fault.since_ms) / (2 * HOUR_MS), 0.0, 1.0)
    _takes(levers, "so2", rows, column, 1 - (1 - fault.amount) * used)


def _goes_by(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    levers.bypass[rows, column] = np.maximum(levers.bypass[rows, column], fault.amount)


def _is_off(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    levers.abatement_on[rows, column] = 0.0


def _is_throttled(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    levers.abatement_on[rows, column] = np.minimum(levers.abatement_on[rows, column], fault.amount)


def _leaks_in(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    levers.ingress[rows, column] += fault.amount


def _lies_still(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    levers.activity[rows, column] = 1.0
    levers.state[rows, column] = STOPPED
    levers.really[rows, column] = RUNNING


def _melts(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    into_ms = (at_ms - fault.since_ms) % (24 * HOUR_MS)
    heated = into_ms % (HEAT_EVERY_MIN * MINUTE_MS) < HEAT_MIN * MINUTE_MS
    levers.furnace[rows, column] += fault.amount * ((into_ms < MELTS_H * HOUR_MS) & heated)


def _bursts(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    _burdens(levers, fault.channel, rows, column, np.where(in_bursts(fault, at_ms), fault.amount, 1.0))


def _worsens(fault: Fault, levers: Levers, rows: slice, column: int, at_ms: Ints) -> None:
    _burdens(levers, fault.channel, rows, column, WORSE[fault.kind])


def _takes(levers: Levers, pollutant: str, rows: slice, column: int, at_most: Floats | float) -> None:
    row = ABATED.index(pollutant)
    levers.takes[row, rows, column] = np.minimum(levers.takes[row, rows, column], at_most)


def _burdens(levers: Levers, pollutant: str, rows: slice, column: int, times: Floats | float) -> None:
    levers.burden[ABATED.index(pollutant), rows, column] *= times


_ON_GAS: Final[Mapping[str, Callable[[Fault, Levers, slice, int, Ints], None]]] = {
    "abatement_loss": _loses,
    "bag_leak": _leaks,
    "scr_trip": _trips,
    "reagent_out": _runs_out,
    "bypass": _goes_by,
    "abatement_off": _is_off,
    "abatement_throttled": _is_throttled,
    "air_ingress": _leaks_in,
    "suspended_but_running": _lies_still,
    "night_furnace": _melts,
    "lying_flags": _bursts,
    "clipped_range": _worsens,
    "hugging": _worsens,
}


def sample_dilution(faults: Sequence[Fault], columns: Mapping[str, int], at_ms: Ints) -> Floats:
    """The share of air in each sampling line, shape (n, m)."""
    share = np.zeros((at_ms.size, len(columns)))
    for fault in faults:
        if fault.kind == "diluted_sample":
            share[fault.rows(at_ms), columns[fault.stack]] = fault.amount
    return share


def bend(
    shown: Floats,
    faults: Sequence[Fault],
    columns: Mapping[str, int],
    rows_of: Callable[[str], int],
    width: Floats,
    at_ms: Ints,
) -> None:
    """Let drifting, shifted and cut-off instruments show *shown*, in place; shape (k, n, m). *width* of the ranges."""
    for fault in faults:
        if fault.stage != "analyser" or fault.kind in _RECORDED:
            continue
        row, steps, column = rows_of(fault.channel), fault.rows(at_ms), columns[fault.stack]
        value = shown[row, steps, column]
        if fault.kind == "drift":
            value *= 1 - fault.amount * (at_ms[steps] - fault.since_ms) / (fault.until_ms - fault.since_ms)
        elif fault.kind == "rescaled":
            value *= 1 - fault.amount
        elif fault.kind == "zero_shift":
            value -= fault.amount * width[row, column]
        elif fault.kind in ("hugging", "oxygen_pressed"):
            value += (1 - PRESSED) * (fault.amount - value)
        else:
            np.minimum(value, fault.amount, out=value)


_RECORDED: Final = frozenset({"frozen", "copied_values"})  # done to values that are rounded and limited already


def copy_values(
    shown: Floats, faults: Sequence[Fault], columns: Mapping[str, int], rows_of: Callable[[str], int], at_ms: Ints
) -> None:
    """Let stacks show what their sources show, in place."""
    for fault in faults:
        if fault.kind == "copied_values" and fault.source in columns:
            row, steps = rows_of(fault.channel), fault.rows(at_ms)
            shown[row, steps, columns[fault.stack]] = shown[row, steps, columns[fault.source]]


def freeze(
    shown: Floats,
    faults: Sequence[Fault],
    columns: Mapping[str, int],
    rows_of: Callable[[str], int],
    held: Floats | None,
    at_ms: Ints,
) -> None:
    """Let frozen instruments go on with their last value, in place. *held*: what stood before the first step."""
    for fault in faults:
        if fault.kind != "frozen":
            continue
        row, steps, column = rows_of(fault.channel), fault.rows(at_ms), columns[fault.stack]
        if steps.start >= steps.stop:
            continue
        if steps.start > 0:
            last = shown[row, steps.start - 1, column]
        else:
            last = shown[row, 0, column] if held is None else held[row, column]
        shown[row, steps, column] = last


def missed_calibrations(faults: Sequence[Fault], columns: Mapping[str, int], at_ms: Ints) -> Truths:
    """Steps in which a stack is not calibrated though it should be, shape (n, m)."""
    missed = np.zeros((at_ms.size, len(columns)), dtype=bool)
    for fault in faults:
        if fault.kind == "calibration_missed":
            missed[fault.rows(at_ms), columns[fault.stack]] = True
    return missed


def hidden(faults: Sequence[Fault], columns: Mapping[str, int], at_ms: Ints) -> dict[str, Truths]:
    """By channel, the steps that lying flags call maintenance, shape (n, m)."""
    found: dict[str, Truths] = {}
    for fault in faults:
        if fault.kind == "lying_flags":
            steps = fault.rows(at_ms)
            where = found.setdefault(fault.channel, np.zeros((at_ms.size, len(columns)), dtype=bool))
            where[steps, columns[fault.stack]] |= in_bursts(fault, at_ms[steps], longer_ms=10 * MINUTE_MS)
    return found
