"""Doing what the schedule says: each fault begins at its time, lasts, and is over."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import psycopg

from chaos.material import FIRST
from chaos.mischief import Mischief
from chaos.schedule import BROKER, DATABASE, Fault, Kind, held_by
from chaos.stand import Stand
from fakes.disks import Disk
from services.offers import NotToBeHad

_REFILL_S: Final = 0.2
_SERVER_BACK_S: Final = 120.0


@dataclass
class Faults:
    """The faults of one run."""

    there: Stand
    mischief: Mischief
    seed: int
    done: Counter[str]  #: by kind, counted as they begin
    _held: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def run(self, schedule: Sequence[Fault]) -> None:
        """Do all of *schedule*; in the end everything stands again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number, fault in enumerate(schedule):
                tasks.create_task(self._at(began + fault.at_s, number, fault), name=str(fault))

    async def _at(self, when: float, number: int, fault: Fault) -> None:
        await asyncio.sleep(when - asyncio.get_running_loop().time())
        async with AsyncExitStack() as held:
            for name in held_by(fault):  # what a slow machine makes longer than planned is still one at a time
                await held.enter_async_context(self._held[name])
            await self._do(number, fault)

    async def _do(self, number: int, fault: Fault) -> None:
        self.done[fault.kind] += 1
        if fault.kind in (Kind.REPEAT, Kind.REORDER):
            rng = random.Random(f"fault {self.seed} {number}")
            self.mischief.repeat(round(fault.amount), rng, in_order=fault.kind is Kind.REPEAT)
            return
        async with self._lasting(fault):
            await asyncio.sleep(fault.for_s)

    def _lasting(self, fault: Fault) -> AbstractAsyncContextManager[None]:
        if fault.target == BROKER and fault.kind is not Kind.FREEZE:
            return self._broker_away(fault)
        if fault.target == DATABASE:
            return self._database_away(fault)
        if fault.kind is Kind.KILL:
            return self._process_away(fault)
        if fault.kind is Kind.FREEZE:
            return self._frozen(fault)
        if fault.kind in (Kind.STEP_CLOCK, Kind.BEFORE_ROWS):
            return self._clock_off(fault)
        if fault.kind is Kind.FILL_DISK:
            return _filled(self.there.disks[fault.target])
        return self._network_off(fault)

    @asynccontextmanager
    async def _process_away(self, fault: Fault) -> AsyncIterator[None]:
        actor = self.there.actors[fault.target]
        actor.kill()
        yield
        actor.start()

    @asynccontextmanager
    async def _frozen(self, fault: Fault) -> AsyncIterator[None]:
        who = self.there.broker if fault.target == BROKER else self.there.actors[fault.target]
        who.freeze()
        yield
        who.thaw()

    @asynccontextmanager
    async def _network_off(self, fault: Fault) -> AsyncIterator[None]:
        proxy = self.there.proxies[fault.target]
        if fault.kind is Kind.DELAY:
            proxy.delay_s = fault.amount / 1000
        elif fault.kind is Kind.CUT:
            proxy.cut()
        else:
            proxy.silence()
        yield
        if fault.kind is Kind.FORGET:
            proxy.reset()
        proxy.heal()

    @asynccontextmanager
    async def _clock_off(self, fault: Fault) -> AsyncIterator[None]:
        clock = self.there.actors[fault.target].clock
        before_rows = (FIRST - datetime.now(UTC)).total_seconds() - 86_400
        clock.step(before_rows if fault.kind is Kind.BEFORE_ROWS else fault.amount)
        yield
        clock.step(0.0)

    @asynccontextmanager
    async def _broker_away(self, fault: Fault) -> AsyncIterator[None]:
        """Killed; or its disk is full, after which it is started anew: it does not try again by itself."""
        broker = self.there.broker
        if fault.kind is Kind.FILL_DISK:
            async with _filled(self.there.disks[BROKER]):
                yield
            broker.kill()
        else:
            broker.kill(lose_disk=fault.kind is Kind.LOSE_BROKER)
            yield
        await self._start_broker()

    async def _start_broker(self) -> None:
        try:
            await self.there.broker.start()
        except NotToBeHad:
            # A file that a full disk cut short can keep a broker from starting. Nothing on it is worth anything.
            self.there.broker.kill(lose_disk=True)
            await self.there.broker.start()

    @asynccontextmanager
    async def _database_away(self, fault: Fault) -> AsyncIterator[None]:
        """Ended as by `immediate` or by the kernel; or its disk is full, on which it may end by itself."""
        child = self.there.ground.server.child
        assert child is not None
        if fault.kind is Kind.FILL_DISK:
            async with _filled(self.there.disks[DATABASE]):
                yield
        else:
            os.kill(child.identity.pid, signal.SIGKILL if fault.kind is Kind.KILL_DATABASE else signal.SIGQUIT)
            yield
        await self._start_database()

    async def _start_database(self) -> None:
        """Start it unless it still runs: a full disk may have ended it, or only its sessions."""
        server = self.there.ground.server
        assert server.child is not None
        async with asyncio.timeout(_SERVER_BACK_S):
            while server.child.exit_code is None:
                if await _answers(server.url):
                    return
                await asyncio.sleep(_REFILL_S)
        await server.start(lambda: None)


@asynccontextmanager
async def _filled(disk: Disk) -> AsyncIterator[None]:
    """Full, and full again whenever somebody makes a little room."""

    async def refill() -> None:
        while True:
            disk.fill()
            await asyncio.sleep(_REFILL_S)

    task = asyncio.create_task(refill(), name=f"refill {disk.path.name}")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        disk.make_room()


async def _answers(url: str) -> bool:
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as conn:
            await conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
