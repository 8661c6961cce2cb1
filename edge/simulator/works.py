"""An imaginary works: its stacks, what befalls them, and what their analysers show, by seed, faults and orders.

    cycles + activity ─▶ gas ─▶ analysers ─▶ claims ─▶ loggers ─▶ rows
         ▲ orders      ▲ faults  ▲ faults    ▲ faults   ▲ faults

A run goes on from a `State`, so it may be cut anywhere and gives the same bits; a stack's rows do not depend on its
neighbours. The rows are `edge.simulator.loggers`', publishing is `edge.simulator.run`'s.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from edge.simulator import faults as doing
from edge.simulator.activity import Effect, activity
from edge.simulator.analyser import NORMAL, SIGNALS, Analysers, Routine
from edge.simulator.cycles import CYCLES, Clock, Cycle, Draws
from edge.simulator.faults import Fault
from edge.simulator.gas import SO2_OF_S, Gas, Levels, Levers, Plant, lag_shares, reckon
from edge.simulator.kinds import AIR_O2, KINDS, Kind
from edge.simulator.noise import Floats, Ints, Truths, streams, uniform
from plant.register import Stack

_AT_ONCE: Final = 32_768  # steps times stacks reckoned together: what fits a processor's cache
_SPEED_M_S: Final = 15.0  # for which a duct is built, where the register has no area
_QUARTER_S: Final = 900  # no zone changes within one
_CARRIED: Final = ("gas", "instruments", "held")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    """One stack: as it is registered, and what stands behind it."""

    stack: Stack
    kind: str
    size: float = 1.0  #: of the usual one
    calibration_at: int = 200  #: minute of the local day
    calibration_min: int = 9
    base_o2: float | None = None  #: for a channel that the register calls corrected


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands: the instant of the next step, and what the recurrences carry into it."""

    at_ms: int
    gas: Floats | None = None
    instruments: Floats | None = None
    held: Floats | None = None  #: the last values shown

    def document(self) -> dict[str, Any]:
        """The same as JSON, to the last bit."""
        carried = {name: getattr(self, name) for name in _CARRIED}
        texts = {name: base64.b64encode(value).decode() for name, value in carried.items() if value is not None}
        return {"at": self.at_ms, **texts}

    @classmethod
    def of(cls, document: Mapping[str, Any], stacks: int) -> State:
        def read(name: str) -> Floats | None:
            if name not in document:
                return None
            return np.frombuffer(base64.b64decode(document[name])).reshape(-1, stacks).copy()

        return cls(int(document["at"]), *(read(name) for name in _CARRIED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A run of steps of all stacks: (n, m) by step and stack, `shown` and `over` (k, n, m) by channel."""

    at_ms: Ints
    gas: Gas
    shown: Floats
    over: Truths  #: over the range, and flagged so
    hidden: Mapping[str, Truths]  #: by channel, where a flag lies
    flag: np.ndarray[tuple[int, int], np.dtype[np.uint8]]
    state: Ints  #: as the plant reports it
    really: Ints  #: as it is
    signals: Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True)
class Works:
    """All stacks of one site, from *begin_ms* on."""

    code: str
    seed: int
    stacks: tuple[StackPlan, ...]
    begin_ms: int
    step_s: int = 60
    timezone: str = "UTC"
    faults: tuple[Fault, ...] = ()
    stops: tuple[Effect, ...] = ()  #: planned ones

    @property
    def step_ms(self) -> int:
        return self.step_s * 1000

    @property
    def begin(self) -> State:
        return State(self.begin_ms)

    def only(self, codes: Sequence[str]) -> Works:
        """The same works with these of its stacks, and those whose values they show: their rows are the same."""
        kept: set[str] = set()
        more = set(codes)
        while more:
            kept |= more
            more = {fault.source for fault in self.faults if fault.stack in kept} - kept
        return replace(self, stacks=tuple(plan for plan in self.stacks if plan.stack.code in kept))

    def blocks(
        self,
        state: State,
        until_ms: int,
        effects: Sequence[Effect] = (),
        injected: Sequence[Fault] = (),
        *,
        at_once_ms: int | None = None,
    ) -> Iterator[tuple[Block, State]]:
        """The steps of `[state, until)` in blocks of *at_once_ms*, each with the state after it."""
        most_ms = at_once_ms or max(1, _AT_ONCE // max(1, len(self.stacks))) * self.step_ms
        while state.at_ms < until_ms:
            block, state = self._block(
                state, min(until_ms, state.at_ms + most_ms), (*self.stops, *effects), (*self.faults, *injected)
            )
            yield block, state

    def lasting(self, faults: Sequence[Fault], effects: Sequence[Effect] = ()) -> list[Fault]:
        """*faults* as they last: a stop of its units is used to repair what is broken in the gas path of a stack."""
        stops = [effect for effect in (*self.stops, *effects) if effect.mode in ("stop", "hot_idle")]
        units = {plan.stack.code: plan.stack.units for plan in self.stacks}
        lasting = []
        for fault in faults:
            if fault.stage == "gas":
                ours = [effect.since_ms for effect in stops if effect.unit in units.get(fault.stack, ())]
                fault = replace(fault, until_ms=min([fault.until_ms, *(at for at in ours if at >= fault.since_ms)]))
            lasting.append(fault)
        return lasting

    def _block(
        self, state: State, until_ms: int, effects: Sequence[Effect], faults: Sequence[Fault]
    ) -> tuple[Block, State]:
        at_ms = np.arange(state.at_ms, until_ms, self.step_ms, dtype=np.int64)
        clock = self._clock(at_ms)
        now = [
            fault
            for fault in self.lasting(faults, effects)
            if fault.stack in self.columns and fault.since_ms < until_ms and fault.until_ms > state.at_ms
        ]
        levers = self._levers(at_ms, effects)
        doing.pull_levers(levers, now, self.columns, at_ms)
        levels = Levels(self.seed, self._names).draw(clock.index, self.step_s)
        gas, lagged = reckon(
            self._plant, levers, self._cycle(clock), levels, shares=lag_shares(self.step_s), at=state.gas
        )
        line = self._routine.line(clock, doing.missed_calibrations(now, self.columns, at_ms))
        seen = self.analysers.seen(gas, doing.sample_dilution(now, self.columns, at_ms))
        shown, instruments = self.analysers.shown(seen, line, clock, state.instruments)
        row_of = self.analysers.channels.index
        width = self.analysers.high - self.analysers.low
        doing.bend(shown, now, self.columns, row_of, width, at_ms)
        shown, over = self.analysers.limited(shown)
        doing.copy_values(shown, now, self.columns, row_of, at_ms)
        doing.freeze(shown, now, self.columns, row_of, state.held, at_ms)
        normal = line.flag == NORMAL
        block = Block(
            at_ms=at_ms,
            gas=gas,
            shown=shown,
            over=over & normal,
            hidden={name: where & normal for name, where in doing.hidden(now, self.columns, at_ms).items()},
            flag=line.flag,
            state=levers.state,
            really=levers.really,
            signals={name: np.round(getattr(gas, name), decimals) for name, decimals in SIGNALS.items()},
        )
        return block, State(int(at_ms[-1]) + self.step_ms, lagged, instruments, shown[:, -1].copy())

    def _levers(self, at_ms: Ints, effects: Sequence[Effect]) -> Levers:
        levers = Levers.idle(at_ms.size, len(self.stacks))
        if effects:
            for column, plan in enumerate(self.stacks):
                runs, state = activity(plan.stack.units, effects, at_ms, self.step_ms)
                levers.activity[:, column], levers.state[:, column] = runs, state
                levers.really[:, column] = state
        return levers

    def _cycle(self, clock: Clock) -> Cycle:
        shape = (clock.second.size, len(self.stacks))
        load, fuel, nox = np.ones(shape), np.ones(shape), np.ones(shape)
        heat = np.zeros(shape)
        for kind, (where, draws) in self._groups.items():
            cycle = CYCLES[kind](clock, draws)
            load[:, where], fuel[:, where], nox[:, where] = cycle.load, cycle.fuel, cycle.nox
            heat[:, where] = cycle.heat
        return Cycle(load, fuel, heat, nox)

    def _clock(self, at_ms: Ints) -> Clock:
        second = at_ms // 1000
        zone = ZoneInfo(self.timezone)
        quarters, where = np.unique(second // _QUARTER_S, return_inverse=True)
        offsets = [datetime.fromtimestamp(int(q) * _QUARTER_S, UTC).astimezone(zone).utcoffset() for q in quarters]
        seconds = [0 if offset is None else int(offset.total_seconds()) for offset in offsets]
        return Clock(second, second + np.array(seconds, dtype=np.int64)[where], self.step_s)

    @cached_property
    def columns(self) -> Mapping[str, int]:
        """Where each stack stands in a block."""
        return {plan.stack.code: column for column, plan in enumerate(self.stacks)}

    @cached_property
    def analysers(self) -> Analysers:
        base = np.array([np.nan if plan.base_o2 is None else plan.base_o2 for plan in self.stacks])
        stacks = [plan.stack for plan in self.stacks]
        return Analysers.of(self.seed, self._names, stacks, self._kinds, base, self.step_s)

    @cached_property
    def _kinds(self) -> tuple[Kind, ...]:
        return tuple(KINDS[plan.kind] for plan in self.stacks)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(f"{self.code}/{plan.stack.code}" for plan in self.stacks)

    @cached_property
    def _groups(self) -> Mapping[str, tuple[Ints, Draws]]:
        """By kind, where its stacks stand, and their chances."""
        groups = {}
        for kind in sorted({plan.kind for plan in self.stacks}):
            where = np.array([column for column, plan in enumerate(self.stacks) if plan.kind == kind])
            names = tuple(self._names[column] for column in where)
            phase = uniform(streams(self.seed, names, "phase"), np.zeros(1, dtype=np.int64))[0]
            chances = (streams(self.seed, names, what) for what in ("chance", "when", "long"))
            groups[kind] = (where, Draws(phase, *chances))
        return groups

    @cached_property
    def _routine(self) -> Routine:
        once = np.zeros(1, dtype=np.int64)
        return Routine(
            calibration_at=np.array([float(plan.calibration_at) for plan in self.stacks]),
            calibration_min=np.array([float(plan.calibration_min) for plan in self.stacks]),
            purge_phase=uniform(streams(self.seed, self._names, "purge"), once)[0],
            patrol_day=np.floor(7 * uniform(streams(self.seed, self._names, "patrol"), once)[0]),
        )

    @cached_property
    def _plant(self) -> Plant:
        kinds = self._kinds
        size = np.array([plan.size for plan in self.stacks])

        def each(name: str) -> Floats:
            return np.array([float(getattr(kind, name)) for kind in kinds])

        return Plant(
            product_gas=each("product_gas") * size,
            flow=each("flow") * size,
            o2=np.array([AIR_O2 if kind.o2 is None else kind.o2 for kind in kinds]),
            o2_at_no_load=each("o2_at_no_load"),
            suction=each("suction"),
            so2=each("sulphur") * size * SO2_OF_S,
            nox=each("nox") * size,
            pm=each("pm") * size,
            takes=np.stack([each("takes_so2"), each("takes_nox"), each("takes_pm")]),
            moisture=each("moisture"),
            temperature=each("temperature"),
            draught=each("draught"),
            load_pct=each("load"),
            production_kw=each("production_kw") * size,
            abatement_kw=each("abatement_kw") * size,
            area_m2=np.array([duct_area(plan) for plan in self.stacks]),
            kv=np.array([plan.stack.velocity_factor for plan in self.stacks]),
            ambient_pa=np.array([plan.stack.ambient_pressure_pa for plan in self.stacks]),
        )


def duct_area(plan: StackPlan) -> float:
    """The registered area, else one for an ordinary speed; whole tenths of a square metre."""
    if plan.stack.area_m2 is not None:
        return plan.stack.area_m2
    kind = KINDS[plan.kind]
    wet = kind.flow * plan.size / (1 - kind.moisture / 100) * (273 + kind.temperature) / 273
    return max(0.1, round(wet / 3600 / _SPEED_M_S, 1))
