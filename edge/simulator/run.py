"""Runs an imaginary works: its past as fast as receipts come, then on by its own clock, obeying orders.

Everything that decides a row (how far it came, since when which order acts) lies in the outbox beside the frames,
so a works that was killed goes on as if it had not been. Its site is registered as simulated: the
clock may be wound forward (`Simulation.advance_to`) and the judges follow its newest row.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from edge.feeding import feed
from edge.orders import OrderList
from edge.publisher import Publisher
from edge.simulator.scenario import Scenario
from edge.simulator.works import MINUTE_MS, MODES, Effect
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

    @property
    def source(self) -> str:
        seed = self.scenario.seed if self.seed is None else self.seed
        return f"simulation:{self.site}:{self.scenario.digest}:{seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationProgress:
    begin_ms: int
    through_ms: int  #: rows before this instant are on disk
    now_ms: int  #: what the works' clock shows
    waiting: int  #: frames of the outbox without a receipt


class SimulatedClock:
    """Simulated time that runs at a multiple of the real one and can be wound forward, never back."""

    def __init__(self, now_ms: int, speed: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._base_ms = float(now_ms)
        self._base_s = clock_s()
        self.speed = speed

    def now_ms(self) -> int:
        return int(self._base_ms + (self._clock_s() - self._base_s) * 1000 * self.speed)

    def wind_to(self, now_ms: int) -> None:
        self._base_ms, self._base_s = float(max(now_ms, self.now_ms())), self._clock_s()


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
        self._begin_ms = self._through_ms = round(plan.scenario.begin(now).timestamp() * 1000)
        self._resume(publisher.outbox.position(plan.source))
        self._made_ms = self._through_ms  # rows before this are made, though perhaps not yet on disk
        self.clock = SimulatedClock(max(round(now.timestamp() * 1000), self._through_ms), plan.speed, clock_s)
        self._works = plan.scenario.works(self._begin_ms, plan.seed)
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def through_ms(self) -> int:
        """Rows before this simulated instant are on disk."""
        return self._through_ms

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The orders as they acted and act on the units."""
        return self._effects

    @property
    def progress(self) -> SimulationProgress:
        return SimulationProgress(
            begin_ms=self._begin_ms,
            through_ms=self._through_ms,
            now_ms=self.clock.now_ms(),
            waiting=self._publisher.outbox.waiting,
        )

    async def run(self) -> None:
        """Tell the past, then live on; runs until it is cancelled."""
        block_ms = max(1, _ROWS_AT_ONCE // len(self._plan.scenario.stacks)) * MINUTE_MS
        while True:
            self._wake.clear()
            target_ms = self.clock.now_ms() // MINUTE_MS * MINUTE_MS
            if self._through_ms < target_ms:
                await self._make(min(target_ms, self._through_ms + block_ms))
                continue
            pause_s = (target_ms + MINUTE_MS - self.clock.now_ms()) / 1000 / self.clock.speed
            await set_within(self._wake, max(0.005, min(_LONGEST_PAUSE_S, pause_s)))

    async def advance_to(self, moment: datetime, *, deadline_s: float) -> None:
        """Wind the clock to *moment* and wait until every row before it has its receipt; else `Unavailable`."""
        end_s = self._clock_s() + deadline_s
        moment_ms = round(moment.timestamp() * 1000) // MINUTE_MS * MINUTE_MS
        self.clock.wind_to(moment_ms)
        self._wake.set()
        await self._until(moment_ms, end_s)
        await self._publisher.drained(max(0.0, end_s - self._clock_s()))

    async def caught_up(self, *, deadline_s: float) -> None:
        """Wait until the past is told up to what the clock shows now and has its receipts; else `Unavailable`."""
        end_s = self._clock_s() + deadline_s
        await self._until(self.clock.now_ms() // MINUTE_MS * MINUTE_MS, end_s)
        await self._publisher.drained(max(0.0, end_s - self._clock_s()))

    def obey(self, listed: OrderList) -> None:
        """Take *listed* as the orders in force: units newly named begin to obey, others are free again."""
        asked = {
            (unit.unit, unit.mode, unit.value): (order.effective_from, order.until)
            for order in listed.orders
            for unit in order.units
            if self._knows(unit.unit, unit.mode)
        }
        now_ms = self._made_ms
        effects = []
        for effect in self._effects:
            if effect.until_ms is None or effect.until_ms > now_ms:  # what is past stays as it was
                wanted = asked.pop((effect.unit, effect.mode, effect.value), None)
                ends_ms = _ms(wanted[1]) if wanted else now_ms
                effect = replace(effect, until_ms=None if ends_ms is None else max(now_ms, ends_ms))
            effects.append(effect)
        for (unit, mode, value), (since, until) in asked.items():
            since_ms = max(now_ms, _ms(since) or now_ms)
            effects.append(Effect(unit=unit, mode=mode, value=value, since_ms=since_ms, until_ms=_ms(until)))
        # An order that ends before it begins to act never acted.
        effects = [effect for effect in effects if effect.until_ms is None or effect.until_ms > effect.since_ms]
        self._effects = tuple(effects)
        logger.info(
            "orders_obeyed", extra={"site": self._plan.site, "version": listed.version, "effects": len(effects)}
        )

    async def _make(self, until_ms: int) -> None:
        self._made_ms = until_ms
        effects = self._effects
        columns, rows = await asyncio.to_thread(self._works.columns, self._through_ms, until_ms, effects)
        frames = _cut(columns, rows, _ROWS_PER_FRAME)
        await feed(self._publisher, frames, (self._plan.source, self._position(until_ms, effects)))
        self._through_ms = until_ms
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._on_progress(self.progress)

    async def _until(self, moment_ms: int, end_s: float) -> None:
        while self._through_ms < moment_ms:
            left_s = end_s - self._clock_s()
            if left_s <= 0:
                raise Unavailable(f"the simulated works is {(moment_ms - self._through_ms) / 1000:g} s behind")
            await set_within(self._changed, left_s)

    def _knows(self, unit: str, mode: str) -> bool:
        ours = any(unit in stack.units for stack in self._plan.scenario.stacks)
        if ours and mode not in MODES:
            logger.error("order_mode_unknown", extra={"unit": unit, "mode": mode})
        return ours and mode in MODES

    def _position(self, through_ms: int, effects: tuple[Effect, ...]) -> str:
        return json.dumps(
            {"begin": self._begin_ms, "through": through_ms, "effects": [asdict(effect) for effect in effects]}
        )

    def _resume(self, position: str | None) -> None:
        if position is None:
            return
        kept = json.loads(position)
        self._begin_ms, self._through_ms = int(kept["begin"]), int(kept["through"])
        self._effects = tuple(Effect(**effect) for effect in kept["effects"])


def _cut(columns: Mapping[str, Any], rows: int, per_frame: int) -> list[tuple[dict[str, Any], int]]:
    """The same rows as frames of at most *per_frame*; a scalar column stays one."""
    return [
        (
            {name: value[at : at + per_frame] if isinstance(value, list) else value for name, value in columns.items()},
            min(per_frame, rows - at),
        )
        for at in range(0, rows, per_frame)
    ]


def _ms(moment: datetime | None) -> int | None:
    """The whole minute that *moment* lies in."""
    return None if moment is None else int(moment.timestamp() * 1000) // MINUTE_MS * MINUTE_MS
