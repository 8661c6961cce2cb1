"""Runs an imaginary works: its past as fast as receipts come, then on by its own clock, obeying orders.

Everything that decides a row (how far it came, since when which order acts, what was injected) lies in the outbox
beside the frames, so a works that was killed goes on as if it had not been. Its site is registered as simulated: the
clock may be wound forward (`Simulation.advance_to`) and the judges follow its newest row.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

from edge.feeding import feed
from edge.orders import OrderList
from edge.publisher import Publisher
from edge.simulator import delivery
from edge.simulator.activity import MODES, Effect
from edge.simulator.clock import SimulatedClock
from edge.simulator.faults import Fault
from edge.simulator.obeying import obeyed
from edge.simulator.scenario import Scenario
from edge.simulator.truth import Played
from edge.simulator.works import State
from edge.waiting import set_within
from plant.errors import Unavailable

logger = logging.getLogger(__name__)

_ROWS_PER_FRAME: Final = 200
_ROWS_AT_ONCE: Final = 8 * _ROWS_PER_FRAME  # one transaction, one sync of the disk
_LONGEST_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationPlan:
    scenario: Scenario
    site: str
    seed: int | None = None  #: None takes the scenario's own
    speed: float = 1.0  #: of its clock, once its past is told
    begin: datetime | None = None  #: None: as the scenario says
    until: datetime | None = None  #: None: it goes on

    @property
    def drawn_by(self) -> int:
        return self.scenario.seed if self.seed is None else self.seed

    @property
    def source(self) -> str:
        begin = "" if self.begin is None else f":{_ms(self.begin)}"
        return f"simulation:{self.site}:{self.scenario.digest}:{self.drawn_by}{begin}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationProgress:
    begin_ms: int
    through_ms: int  #: rows before this instant are on disk
    now_ms: int  #: what the works' clock shows
    waiting: int  #: frames of the outbox without a receipt
    rows: int = 0  #: made since the start of the program


class Simulation:
    """One works at one publisher. Give `obey` to its `Orders`, then run `run` as a task."""

    def __init__(
        self,
        plan: SimulationPlan,
        publisher: Publisher,
        *,
        now: datetime,
        on_progress: Callable[[SimulationProgress], None] = lambda _: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._publisher = publisher
        self._on_progress = on_progress
        self._clock_s = clock_s
        self._effects: tuple[Effect, ...] = ()
        self._injected: tuple[Fault, ...] = ()
        site = plan.scenario.at(plan.site)
        begin_ms = _ms(plan.begin or plan.scenario.begin(now))
        self._begin_ms = begin_ms - begin_ms % (site.step_s * 1000)
        self._state = State(self._begin_ms)
        self._resume(publisher.outbox.position(plan.source), len(site.stacks))
        self._made_ms = self._state.at_ms  # rows before this are made, though perhaps not yet on disk
        self._until_ms = None if plan.until is None else _ms(plan.until)
        self._rows = 0
        self.clock = SimulatedClock(max(_ms(now), self.through_ms), plan.speed, clock_s)
        self.works = site.works(self._begin_ms, plan.drawn_by)
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def through_ms(self) -> int:
        """Rows before this simulated instant are on disk."""
        return self._state.at_ms

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The orders as they acted and act on the units."""
        return self._effects

    @property
    def injected(self) -> tuple[Fault, ...]:
        return self._injected

    @property
    def played(self) -> Played:
        """What was played so far, for the truth of it."""
        return Played(works=self.works, until_ms=self.through_ms, effects=self._effects, injected=self._injected)

    @property
    def progress(self) -> SimulationProgress:
        return SimulationProgress(
            begin_ms=self._begin_ms,
            through_ms=self.through_ms,
            now_ms=self.clock.now_ms(),
            waiting=self._publisher.outbox.waiting,
            rows=self._rows,
        )

    async def run(self) -> None:
        """Tell the past, then live on, until it is cancelled or the plan's end is on disk."""
        step_ms = self.works.step_ms
        block_ms = max(1, _ROWS_AT_ONCE // len(self.works.stacks)) * step_ms
        while self._until_ms is None or self.through_ms < self._until_ms:
            self._wake.clear()
            target_ms = self._target_ms()
            if self.through_ms < target_ms:
                await self._make(min(target_ms, self.through_ms + block_ms))
                continue
            await set_within(self._wake, self._pause_s())

    async def advance_to(self, moment: datetime, *, deadline_s: float) -> None:
        """Wind the clock to *moment* and wait until every row before it has its receipt; else `Unavailable`."""
        end_s = self._clock_s() + deadline_s
        self.wind_to(_ms(moment))
        await self._until(end_s)
        await self._publisher.drained(max(0.0, end_s - self._clock_s()))

    async def caught_up(self, *, deadline_s: float) -> None:
        """Wait until the past is told up to what the clock shows now and has its receipts; else `Unavailable`."""
        end_s = self._clock_s() + deadline_s
        await self._until(end_s)
        await self._publisher.drained(max(0.0, end_s - self._clock_s()))

    def wind_to(self, now_ms: int) -> None:
        self.clock.wind_to(now_ms)
        self._wake.set()

    def stand(self) -> None:
        """Let the clock stand; what is due is still told."""
        self.clock.stand()

    def run_on(self, speed: float | None = None) -> None:
        self.clock.run_on(speed)
        self._wake.set()

    def inject(self, fault: Fault) -> Fault:
        """Plant *fault* now: it begins with the first row that is not made yet, and lasts as long as it says."""
        since_ms = max(fault.since_ms, self._made_ms)
        number = len(self._injected) + 1
        placed = replace(
            fault,
            id=f"injected-{number}",
            since_ms=since_ms,
            until_ms=since_ms + (fault.until_ms - fault.since_ms),
        )
        self._injected = (*self._injected, placed)
        logger.info("fault_injected", extra={"site": self._plan.site, "kind": fault.kind, "stack": fault.stack})
        return placed

    def obey(self, listed: OrderList) -> None:
        """Take *listed* as the orders in force: units newly named begin to obey, others are free again."""
        asked = {
            (unit.unit, unit.mode, unit.value): (order.effective_from, order.until)
            for order in listed.orders
            for unit in order.units
            if self._knows(unit.unit, unit.mode)
        }
        self._effects = obeyed(self._effects, asked, now_ms=self._made_ms, step_ms=self.works.step_ms)
        logger.info(
            "orders_obeyed",
            extra={"site": self._plan.site, "version": listed.version, "effects": len(self._effects)},
        )

    def _target_ms(self) -> int:
        """Up to where there is something to make now."""
        step_ms = self.works.step_ms
        now_ms = self.clock.now_ms()
        if self._until_ms is not None:
            now_ms = min(now_ms, self._until_ms)
        whole_ms = self._begin_ms + (now_ms - self._begin_ms) // step_ms * step_ms
        if now_ms == self._until_ms:
            return now_ms
        return max(self.through_ms, delivery.sendable(whole_ms, self.through_ms, self._all_faults()))

    def _pause_s(self) -> float:
        """Until the next step is due; the clock may stand."""
        now_ms, speed = self.clock.now_ms(), self.clock.speed
        due_ms = self.works.step_ms - (now_ms - self._begin_ms) % self.works.step_ms
        return max(0.005, min(_LONGEST_PAUSE_S, due_ms / 1000 / speed)) if speed > 0 else _LONGEST_PAUSE_S

    def _all_faults(self) -> tuple[Fault, ...]:
        return (*self.works.faults, *self._injected)

    async def _make(self, until_ms: int) -> None:
        """One transaction: rows, and what decides the next ones."""
        effects, faults = self._effects, self._all_faults()
        until_ms = delivery.until_next(self.through_ms, until_ms, faults)
        self._made_ms = until_ms
        injected = self._injected
        state, frames, rows = await asyncio.to_thread(
            delivery.made, self.works, self._state, until_ms, effects, injected, per_frame=_ROWS_PER_FRAME
        )
        position = {
            "begin": self._begin_ms,
            "state": state.document(),
            "effects": [asdict(effect) for effect in effects],
            "injected": [asdict(fault) for fault in injected],
        }
        await feed(self._publisher, frames, (self._plan.source, json.dumps(position)))
        self._state = state
        self._rows += rows
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._on_progress(self.progress)

    async def _until(self, end_s: float) -> None:
        """Until nothing more is to make at the instant that the clock shows now."""
        now_ms = self.clock.now_ms()
        while self.through_ms < min(now_ms, self._target_ms()) // self.works.step_ms * self.works.step_ms:
            left_s = end_s - self._clock_s()
            if left_s <= 0:
                raise Unavailable(f"the simulated works is {(now_ms - self.through_ms) / 1000:g} s behind")
            await set_within(self._changed, left_s)

    def _knows(self, unit: str, mode: str) -> bool:
        ours = any(unit in plan.stack.units for plan in self.works.stacks)
        if ours and mode not in MODES:
            logger.error("order_mode_unknown", extra={"unit": unit, "mode": mode})
        return ours and mode in MODES

    def _resume(self, position: str | None, stacks: int) -> None:
        if position is None:
            return
        kept = json.loads(position)
        self._begin_ms = int(kept["begin"])
        self._state = State.of(kept["state"], stacks)
        self._effects = tuple(Effect(**effect) for effect in kept["effects"])
        self._injected = tuple(Fault(**fault) for fault in kept["injected"])


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
