"""`[[opcua]]`: the nodes of one server, as rows of one interval each.

    server ── changes ──▶ gathering by interval ── interval over ──▶ rows ──▶ bounded queue ──▶ feed

Where the server or the connection is gone, the source ends and is run again: it subscribes anew, forgets what it held,
and gives no row for the time between.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.fieldbus.handing import Handing
from edge.opcua.gathering import Gathering
from edge.opcua.session import Session, open_session, told_of
from edge.opcua.tables import OpcuaPlan, read_plan
from edge.sources import Context, Feed, Source
from plant.reading import Reader

KIND: Final = "opcua"
_LOOK_S: Final = 0.2  # how often it is looked whether an interval is over


class OpcuaSource:
    """What *plan* says, until cancelled."""

    kind: Final = KIND

    def __init__(
        self, name: str, plan: OpcuaPlan, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self.name: Final = name
        self.plan: Final = plan
        self._now_ms = now_ms
        self._tolerated: Counter[str] = Counter()
        self._session: Session | None = None
        self._last_ms: int | None = None

    async def run(self, feed: Feed) -> None:
        async with open_session(self.plan) as session:
            self._session = session
            gathering = Gathering(
                self.plan.groups,
                now_ms=self._now_ms(),
                settle_ms=int(self.plan.settle_s * 1000),
                hold_ms=None if self.plan.hold_s is None else int(self.plan.hold_s * 1000),
                tolerated=self._tolerated,
            )
            handing = Handing(feed)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(handing.run(), name=f"hand over {self.name}")
                    tasks.create_task(self._listen(session, gathering), name=f"listen {self.name}")
                    tasks.create_task(self._close(gathering, handing), name=f"close rows {self.name}")
            finally:
                self._session = None

    def state(self) -> Mapping[str, Any]:
        session = self._session
        if session is None:
            detail = f"{self.plan.url} is not connected"
        elif session.missing:
            detail = "not given: " + ", ".join(f"{node} ({why})" for node, why in session.missing.items())
        else:
            last = "nothing yet" if self._last_ms is None else f"{(self._now_ms() - self._last_ms) // 1000} s ago"
            detail = f"{self.plan.url}: {len(self.plan.nodes)} nodes, last value {last}"
        ok = session is not None and not session.missing
        return {"ok": ok, "detail": detail, "tolerated": dict(self._tolerated)}

    async def _listen(self, session: Session, gathering: Gathering) -> None:
        async for node, value in session.values():
            now_ms = self._last_ms = self._now_ms()
            gathering.tell(node, told_of(value, self.plan.time, now_ms, self._tolerated), now_ms)

    async def _close(self, gathering: Gathering, handing: Handing) -> None:
        while True:
            for rows in gathering.close(self._now_ms()):
                await handing.give(rows)
            await asyncio.sleep(_LOOK_S)


def read_source(table: Reader, context: Context) -> Source | None:
    """The source of an `[[opcua]]` table; None where it has faults."""
    before = len(table.faults)
    plan = read_plan(table, context)
    return OpcuaSource(context.name, plan) if len(table.faults) == before else None
