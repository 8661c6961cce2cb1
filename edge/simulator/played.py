"""A simulated works for other people's tests: played at any speed on its own clock, without a broker unless asked for.

    site = SimulatedSite("one-stack")
    rows = site.play(hours=3)
    site.inject("scr_trip", "DA001", hours=2)
    rows += site.play(hours=3)
    site.truth()["faults"]

What is public here is kept stable; the fixture `stackwatch_site` of `edge.simulator.pytest_plugin` gives it to a test.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge.simulator import delivery
from edge.simulator.activity import MODES
from edge.simulator.fault_table import read_fault
from edge.simulator.faults import HOUR_MS
from edge.simulator.loggers import each_row
from edge.simulator.obeying import obeyed
from edge.simulator.scenario import load_scenario
from edge.simulator.truth import Played, truth_of
from plant.errors import BadDocument, Unavailable
from plant.errors import Fault as Wrong
from plant.reading import Reader

DEFAULT_START: Final = (2026, 1, 1)
PER_FRAME: Final = 200
PUBLISH_S: Final = 60.0


class SimulatedSite:
    """One works of a scenario, from *start* on (default: the beginning of 2026, in its zone).

    Raises
    ------
    BadDocument
        If there is no such scenario, or it has several works and *site* is none of them.
    """

    def __init__(
        self, scenario: str = "one-stack", *, site: str = "", seed: int | None = None, start: datetime | None = None
    ) -> None:
        self.scenario = load_scenario(scenario)
        self.code = site or self.scenario.sites[0].code
        self.seed = self.scenario.seed if seed is None else seed
        begin = start or datetime(*DEFAULT_START, tzinfo=ZoneInfo(self.scenario.timezone))
        self._works = self.scenario.works(self.code, round(begin.timestamp() * 1000), self.seed)
        self._state = self._works.begin
        self._now_ms = self._works.begin_ms
        self._played = Played(works=self._works, until_ms=self._now_ms)

    @property
    def now(self) -> datetime:
        """What the works' clock shows: the end of what was played."""
        return datetime.fromtimestamp(self._now_ms / 1000, UTC)

    @property
    def stacks(self) -> tuple[str, ...]:
        return tuple(plan.stack.code for plan in self._works.stacks)

    def register_toml(self) -> str:
        """The register that this works stands in, for `stackwatch register`."""
        return self.scenario.register_toml(self.code)

    def frames(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> list[dict[str, Any]]:
        """Play on and give what the gateway sent meanwhile: frames as MQTT payloads, in the order of sending."""
        span_ms = round(timedelta(days=days, hours=hours, minutes=minutes).total_seconds() * 1000)
        step_ms = self._works.step_ms
        if span_ms <= 0 or span_ms % step_ms:
            raise ValueError(
                f"a works that sends every {step_ms // 1000} s is played for whole steps, not {span_ms} ms"
            )
        self._now_ms += span_ms
        faults = (*self._works.faults, *self._played.injected)
        target_ms = delivery.sendable(self._now_ms, self._state.at_ms, faults)
        sent: list[dict[str, Any]] = []
        while self._state.at_ms < target_ms:
            until_ms = delivery.until_next(self._state.at_ms, target_ms, faults)
            self._state, frames, _ = delivery.made(
                self._works, self._state, until_ms, self._played.effects, self._played.injected, per_frame=PER_FRAME
            )
            sent += [{"schema": 1, **frame} for frame, _ in frames]
        self._played = replace(self._played, until_ms=self._state.at_ms)
        return sent

    def play(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> list[dict[str, Any]]:
        """The same, row by row: `stack sampled_at interval_s state flag flags` and the channels, nulls left out."""
        sent = self.frames(days=days, hours=hours, minutes=minutes)
        return [row for frame in sent for row in rows_of_frame(frame)]

    def inject(
        self, kind: str, stack: str = "", *, hours: float, channel: str = "", source: str = "", **amount: float
    ) -> str:
        """Plant a fault of the catalogue from now on; its id in the truth.

        Raises
        ------
        BadDocument
            If there is no such fault, or it cannot befall that stack.
        """
        wrong: list[Wrong] = []
        given = {"stack": stack, "channel": channel, "source": source}
        table = Reader({"kind": kind, **{k: v for k, v in given.items() if v}, **amount}, "", wrong)
        fault = read_fault(table, self._works.stacks)
        table.finish()
        if hours <= 0:
            table.fault("hours", f"must be more than 0, got {hours!r}")
        if wrong:
            raise BadDocument("inject", wrong)
        since_ms = self._state.at_ms
        number = len(self._played.injected) + 1
        fault = replace(fault, id=f"injected-{number}", since_ms=since_ms, until_ms=since_ms + round(hours * HOUR_MS))
        self._played = replace(self._played, injected=(*self._played.injected, fault))
        return fault.id

    def order(self, units: Sequence[str], mode: str = "stop", value: float | None = None) -> None:
        """Let an order act on *units* from now on and no other; none frees them all."""
        if mode not in MODES:
            raise ValueError(f"{mode!r} is none of {', '.join(sorted(MODES))}")
        asked = {(unit, mode, value): (None, None) for unit in units}
        effects = obeyed(self._played.effects, asked, now_ms=self._state.at_ms, step_ms=self._works.step_ms)
        self._played = replace(self._played, effects=effects)

    def truth(self) -> dict[str, Any]:
        """The truth document of what was played so far (docs/simulator.md)."""
        return truth_of([self._played], scenario=self.scenario.name, digest=self.scenario.digest, seed=self.seed)

    def publish(self, mqtt_url: str, frames: Sequence[Mapping[str, Any]], **options: Any) -> None:
        """`publish_async` for a test that is not asynchronous."""
        asyncio.run(self.publish_async(mqtt_url, frames, **options))

    async def publish_async(
        self, mqtt_url: str, frames: Sequence[Mapping[str, Any]], *, edge: str = "simulator", root: str = "ule/v1"
    ) -> None:
        """Publish *frames* at QoS 1 as the edge *edge* and wait until the broker has each.

        Raises
        ------
        Unavailable
            If it has not within a minute.
        """
        from edge.link import Link
        from plant import topics, wire
        from plant.broker import broker_of
        from plant.settings import Settings

        address = broker_of(Settings(mqtt_url=mqtt_url))
        link = Link(address, client_id=f"{self.code}-{edge}-{os.getpid()}", rng=Random(self.seed))
        connected = asyncio.Event()
        link.on_change(connected.set)
        try:
            async with asyncio.timeout(PUBLISH_S), link:
                await connected.wait()
                for frame in frames:
                    await link.deliver(topics.data(root, self.code, edge), wire.encode(frame), deadline_s=PUBLISH_S)
        except TimeoutError:
            raise Unavailable(f"the broker did not take the frames within {PUBLISH_S:g} s") from None


def rows_of_frame(frame: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a frame, as shape 1 of the contract."""
    return each_row({name: value for name, value in frame.items() if name != "schema"}, len(frame["sampled_at"]))
