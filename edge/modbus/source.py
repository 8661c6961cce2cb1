"""`[[modbus]]`: the devices of one line, read in turn, each group at its instants.

    instants of each group ──▶ one request at a time ──▶ rows ──▶ bounded queue ──▶ feed

A device that keeps silent is left alone for a growing, jittered while; its neighbours on the line go on. Where the line
itself is gone, or nothing on it has answered for several rounds, the source gives it up and is run again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from edge.fieldbus.grid import Ticks
from edge.fieldbus.handing import Handing
from edge.fieldbus.rows import Heard, rows_of
from edge.modbus.line import Line, Refused, Silent, open_line
from edge.modbus.requests import Request, numbers_of
from edge.modbus.tables import ModbusPlan, Poll, read_plan
from edge.sources import Context, Feed, Source
from plant.errors import Unavailable
from plant.reading import Reader
from plant.retry import delay_s

KIND: Final = "modbus"
AWAY_CEILING_S: Final = 60.0
_SILENT_ROUNDS: Final = 3  # of everything on the line, before it is opened anew
_LONGEST_SLEEP_S: Final = 1.0  # so that a clock that is set is noticed


@dataclass(slots=True)
class Device:
    """What is known of one unit id: how often in a row it kept silent, and until when it is left alone."""

    failures: int = 0
    not_before_s: float = 0.0

    def kept_silent(self, now_s: float, rng: Random) -> None:
        self.not_before_s = now_s + delay_s(self.failures, rng, first_s=1.0, ceiling_s=AWAY_CEILING_S)
        self.failures += 1

    def answered(self) -> None:
        self.failures = 0
        self.not_before_s = 0.0


class ModbusSource:
    """What *plan* says, until cancelled."""

    kind: Final = KIND

    def __init__(
        self,
        name: str,
        plan: ModbusPlan,
        *,
        rng: Random,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Final = name
        self.plan: Final = plan
        self._rng = rng
        self._now_ms = now_ms
        self._clock_s = clock_s
        self._tolerated: Counter[str] = Counter()
        self._devices = {poll.unit_id: Device() for poll in plan.polls}
        self._open = False
        self._last_ms: int | None = None

    async def run(self, feed: Feed) -> None:
        self._devices = {poll.unit_id: Device() for poll in self.plan.polls}
        async with open_line(self.plan.line) as line:
            self._open = True
            try:
                handing = Handing(feed)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(handing.run(), name=f"hand over {self.name}")
                    tasks.create_task(self._poll_all(line, handing), name=f"poll {self.name}")
            finally:
                self._open = False

    def state(self) -> Mapping[str, Any]:
        away = sorted(unit_id for unit_id, device in self._devices.items() if device.failures)
        if not self._open:
            detail = f"{self.plan.line} is not open"
        elif away:
            detail = f"{self.plan.line}: no answer from unit {', '.join(map(str, away))}"
        else:
            last = "nothing yet" if self._last_ms is None else f"{(self._now_ms() - self._last_ms) // 1000} s old"
            detail = f"{self.plan.line}: devices {len(self._devices)}, last row {last}"
        return {"ok": self._open and not away, "detail": detail, "tolerated": dict(self._tolerated)}

    async def _poll_all(self, line: Line, handing: Handing) -> None:
        ticks = [(poll, Ticks(poll.group.interval_ms, self._now_ms())) for poll in self.plan.polls]
        while True:
            for poll, tick in ticks:
                at_ms = tick.due(self._now_ms(), self._tolerated)
                if at_ms is not None:
                    await self._poll(line, handing, poll, at_ms)
            wait_s = min(tick.wait_ms(self._now_ms()) for _, tick in ticks) / 1000
            await asyncio.sleep(min(wait_s, _LONGEST_SLEEP_S))

    async def _poll(self, line: Line, handing: Handing, poll: Poll, at_ms: int) -> None:
        device = self._devices[poll.unit_id]
        if self._clock_s() < device.not_before_s:
            self._tolerated["instant_without_device"] += 1
            return
        answers = await self._read(line, poll, device)
        numbers = numbers_of(poll.group.addresses, answers)
        if None in numbers.values():
            self._tolerated["not_decimal"] += list(numbers.values()).count(None)
        heard = {register: Heard(number) for register, number in numbers.items()}
        rows = rows_of(poll.group, at_ms, heard, self._tolerated)
        if rows.measurements or rows.signals:
            self._last_ms = at_ms
        await handing.give(rows)

    async def _read(self, line: Line, poll: Poll, device: Device) -> Mapping[Request, Sequence[int]]:
        """What the device answers. Where it keeps silent it is not asked for the rest."""
        answers: dict[Request, Sequence[int]] = {}
        for request in poll.requests:
            try:
                answers[request] = await line.read(poll.unit_id, request)
            except Refused as refused:
                self._tolerated[refused.why] += 1
                device.answered()
            except Silent as silent:
                self._tolerated[str(silent)] += 1
                device.kept_silent(self._clock_s(), self._rng)
                self._give_up_a_dead_line()
                return answers
            else:
                device.answered()
        return answers

    def _give_up_a_dead_line(self) -> None:
        if all(device.failures >= _SILENT_ROUNDS for device in self._devices.values()):
            raise Unavailable(f"{self.plan.line}: nothing answers")


def read_source(table: Reader, context: Context) -> Source | None:
    """The source of a `[[modbus]]` table; None where it has faults."""
    before = len(table.faults)
    plan = read_plan(table, context)
    return ModbusSource(context.name, plan, rng=Random()) if len(table.faults) == before else None
