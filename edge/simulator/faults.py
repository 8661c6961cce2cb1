"""The catalogue of what can go wrong or be made to look right, and what each does to gas, analyser, claims and frames.

A fault is `[since, until)` on one stack, or on the whole works where its kind says so. What the rule stage must find
in it is `edge.simulator.expected`; what that comes to in hours is `edge.simulator.truth`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from edge.simulator.activity import MINUTE_MS, RUNNING, STOPPED
from edge.simulator.gas import ABATED, Levers
from edge.simulator.kinds import Kind, measured_by
from edge.simulator.noise import Floats, Ints, Truths
from plant.channels import POLLUTANTS
from plant.register import Stack

Stage = Literal["plant", "gas", "sample", "analyser", "claims", "frames"]

HOUR_MS: Final = 60 * MINUTE_MS
#: How many times what is usual is made while an instrument hides it. [D]
WORSE: Final = {"clipped_range": 2.0, "hugging": 2.5}
PRESSED: Final = 0.05  #: what is left of the distance from where a value is pressed to
BURST_EVERY_MIN: Final = 240
BURST_MIN: Final = 50


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

    def later(self, by_ms: int) -> Fault:
        return replace(self, since_ms=self.since_ms + by_ms, until_ms=self.until_ms + by_ms)

    @property
    def stage(self) -> Stage:
        return CATALOGUE[self.kind].stage

    def rows(self, at_ms: Ints) -> slice:
        """The steps of *at_ms*, which rise, in which it lasts."""
        first, last = np.searchsorted(at_ms, (self.since_ms, self.until_ms))
        return slice(int(first), int(last))


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """What a fault is, what its `amount` means, and what it moves."""

    says: str
    stage: Stage
    channels: tuple[str, ...] = ()  #: what `channel` may be; empty: it has none
    amount: str = ""  #: name of the amount in a scenario; empty: it has none
    low: float = 0.0
    high: float = 1.0
    default: float = 0.0
    whole_works: bool = False
    abated: tuple[str, ...] = ()  #: what the source behind the stack must take out of its gas


_MEASURED: Final = (*POLLUTANTS, "o2", "moisture", "temperature", "pressure", "velocity")

CATALOGUE: Final[Mapping[str, FaultKind]] = {
    "abatement_loss": FaultKind(
        says="the abatement of one pollutant takes out less",
        stage="gas",
        channels=POLLUTANTS,
        amount="efficiency",
        default=0.5,
    ),
    "bag_leak": FaultKind(
        says="bags are torn and a part of the gas passes unfiltered",
        stage="gas",
        amount="leak",
        low=1e-6,
        default=0.006,
        abated=("pm",),
    ),
    "scr_trip": FaultKind(says="the ammonia of the SCR is shut off", stage="gas", abated=("nox",)),
    "reagent_out": FaultKind(
        says="the desulphurisation uses up its reagent within two hours and has no more",
        stage="gas",
        amount="efficiency",
        default=0.6,
        abated=("so2",),
    ),
    "bypass": FaultKind(
        says="a damper lets a part of the gas around the abatement",
        stage="gas",
        amount="share",
        low=1e-4,
        default=0.15,
    ),
    "abatement_off": FaultKind(says="production goes on with the abatement switched off", stage="gas"),
    "abatement_throttled": FaultKind(
        says="fans and pumps of the abatement are turned down to save power",
        stage="gas",
        amount="share",
        low=0.01,
        high=0.99,
        default=0.5,
    ),
    "air_ingress": FaultKind(
        says="air leaks into the duct before the analyser: every pollutant falls, oxygen rises",
        stage="gas",
        amount="air",
        low=0.01,
        high=10.0,
        default=0.8,
    ),
    "suspended_but_running": FaultKind(
        says="the plant reports its units stopped, and ignores orders, while they run", stage="plant"
    ),
    "diluted_sample": FaultKind(
        says="air is let into the sample line: the analyser sees less than the stack has",
        stage="sample",
        amount="air",
        low=0.01,
        high=0.95,
        default=0.4,
    ),
    "drift": FaultKind(
        says="the analyser loses sensitivity by and by, up to the share given",
        stage="analyser",
        channels=POLLUTANTS,
        amount="share",
        low=0.01,
        high=0.99,
        default=0.5,
    ),
    "zero_shift": FaultKind(
        says="the zero of the analyser lies too low, by a share of its range",
        stage="analyser",
        channels=(*POLLUTANTS, "o2"),
        amount="share",
        low=0.001,
        high=0.5,
        default=0.3,
    ),
    "frozen": FaultKind(says="the analyser shows its last value for ever", stage="analyser", channels=_MEASURED),
    "clipped_range": FaultKind(
        says="the range is set so low that the value is cut off, while the gas is twice as bad as usual",
        stage="analyser",
        channels=POLLUTANTS,
        amount="at",
        low=1e-3,
        high=1e6,
        default=30.0,
    ),
    "hugging": FaultKind(
        says="software presses the value to just below what is allowed, while the gas is much worse",
        stage="analyser",
        channels=POLLUTANTS,
        amount="at",
        low=1e-3,
        high=1e6,
        default=30.0,
    ),
    "lying_flags": FaultKind(
        says="bursts of a pollutant, each flagged as maintenance while it lasts",
        stage="claims",
        channels=POLLUTANTS,
        amount="times",
        low=1.1,
        high=100.0,
        default=4.0,
    ),
    "calibration_missed": FaultKind(says="the daily calibration is left out", stage="claims"),
    "clock_step": FaultKind(
        says="the clock of the logger is set wrong, and back at the end",
        stage="frames",
        amount="offset_s",
        low=-86_400,
        high=86_400,
        default=600.0,
    ),
    "gateway_offline": FaultKind(
        says="the gateway keeps its rows and sends them when it is back", stage="frames", whole_works=True
    ),
    "rows_lost": FaultKind(says="the logger takes no rows, and none come later", stage="frames"),
    "duplicate_frames": FaultKind(says="every frame is sent twice", stage="frames", whole_works=True),
    "reordered_frames": FaultKind(
        says="frames are gathered for ten minutes and sent in any order", stage="frames", whole_works=True
    ),
}


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
        if fault.stage != "analyser" or fault.kind == "frozen":
            continue
        row, steps, column = rows_of(fault.channel), fault.rows(at_ms), columns[fault.stack]
        value = shown[row, steps, column]
        if fault.kind == "drift":
            value *= 1 - fault.amount * (at_ms[steps] - fault.since_ms) / (fault.until_ms - fault.since_ms)
        elif fault.kind == "zero_shift":
            value -= fault.amount * width[row, column]
        elif fault.kind == "hugging":
            value += (1 - PRESSED) * (fault.amount - value)
        else:
            np.minimum(value, fault.amount, out=value)


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
