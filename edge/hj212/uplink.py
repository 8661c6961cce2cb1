"""`[[hj212.uplink]]`: sends one stack's data to a platform that wants HJ 212, as a data logger would.

    rows of all sources ─ tap ─▶ real-time data, means of minutes, hours, days ─▶ backlog on disk ─▶ platform: 9014
                                                                                                        │
    feed ◀── reported_mean, source = "platform": what it has confirmed ◀────────────────────────────────┘

    [[hj212.uplink]]
    host = "10.1.2.3"
    port = 9010
    mn = "010000A8900016F000169DC0"
    password_env = "PLATFORM_PASSWORD"
    stack = "DA001"

The tap never waits: what comes faster than it can be counted is dropped here, and counted. While the platform is away
packets wait on disk; the outbox and the rest of the agent notice nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from edge.hj212.backlog import MOST, Backlog
from edge.hj212.commands import Command
from edge.hj212.composing import Item, Means, passed_on, readings_of, realtime
from edge.hj212.crc import NAMES, STANDARD
from edge.hj212.decoder import Decoder
from edge.hj212.encoder import can_be_written
from edge.hj212.line import connect
from edge.hj212.loggers import AIR_SOURCE, MINUTE_INTERVALS_S
from edge.hj212.peers import REALTIME_INTERVALS_S, read_key, read_password, read_span_ms, read_version
from edge.hj212.responding import Identity, Terms
from edge.hj212.rows import DAY_S, HOUR_S
from edge.hj212.segment import Version
from edge.hj212.sending import PLATFORM, Manners, Sending
from edge.hj212.session import Numbers
from edge.hj212.talking import tolerated_of
from edge.sources import MEASUREMENT, REPORTED_MEAN, Context, Feed, Row, Source
from plant.errors import Unavailable
from plant.reading import Reader
from plant.retry import delay_s

logger = logging.getLogger(__name__)

TICK_S: Final = 1.0
_MOST_TAPPED: Final = 10_000
_AWAY_CEILING_S: Final = 60.0
_STEADY_S: Final = 60.0
_MAIN: Final = (None, "main")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an agent file says of an uplink."""

    host: str
    port: int
    manners: Manners
    stack: str
    terms: Terms
    passes_means: bool = False  #: the logger's own means go on; none are made here
    crc: str = STANDARD
    most: int = MOST
    tick_s: float = TICK_S
    first_retry_s: float = 1.0


class Uplink:
    """The source; it puts nothing but what the platform confirmed."""

    kind = "hj212.uplink"

    def __init__(
        self, name: str, plan: Plan, *, rng: Random, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self.name = name
        self._plan, self._rng, self._clock_ms = plan, rng, clock_ms
        self._terms = plan.terms
        self._numbers = Numbers()
        self._tapped: deque[tuple[str, Row]] = deque()
        self._tolerated: Counter[str] = Counter()
        self._sending: Sending | None = None
        self._trouble = ""
        self._notes: dict[str, Any] = {}
        self._waiting = 0
        self._realtime_slot = -1
        self._means: list[Means] = []
        self._changed = True  # something in the backlog, since its state was looked at

    async def run(self, feed: Feed) -> None:
        path = memory_of(feed.publisher.outbox.path, self.name)
        end_tap = feed.listen(self._tap)  # first of all: other sources begin at the same time
        try:
            with await asyncio.to_thread(Backlog, path, most=self._plan.most) as backlog:
                await asyncio.to_thread(self._resume, backlog)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._compose(backlog), name=f"hj212 composes {self.name}")
                    tasks.create_task(self._keep_sending(backlog, feed), name=f"hj212 sends {self.name}")
        finally:
            end_tap()

    def state(self) -> Mapping[str, Any]:
        notes = self._notes
        words = [f"{'connected to' if self._sending else 'waits for'} {self._plan.host}:{self._plan.port}"]
        words += [self._trouble] if self._trouble else []
        last_ms = notes.get("last_confirmed_ms")
        late = Counter({"late": sum(means.late for means in self._means)})
        return {
            "ok": self._sending is not None and not self._trouble,
            "detail": "; ".join(words),
            "tolerated": tolerated_of(self._tolerated + late),
            "connected": self._sending is not None,
            "last_confirmed": f"{datetime.fromtimestamp(last_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}" if last_ms else None,
            "waiting": self._waiting,
            "refused": dict(sorted((notes.get("refused") or {}).items())),
            **{name: notes.get(name) or 0 for name in ("confirmed", "set_aside", "dropped")},
        }

    def _tap(self, kind: str, rows: Sequence[Row]) -> None:
        """Called with what every source puts, our own included."""
        wanted = REPORTED_MEAN if self._plan.passes_means else MEASUREMENT
        if kind not in (MEASUREMENT, wanted):
            return
        for row in rows:
            if row.get("stack") != self._plan.stack or row.get("source") == PLATFORM:
                continue
            if row.get("instrument") not in _MAIN:
                self._tolerated["other_instrument"] += 1
            elif len(self._tapped) >= _MOST_TAPPED:
                self._tolerated["tap_full"] += 1
            else:
                self._tapped.append((kind, row))

    def _resume(self, backlog: Backlog) -> None:
        self._terms = Terms.of(backlog.noted("terms") or {}, self._plan.terms)
        self._means = self._new_means()
        for document in backlog.noted("means") or []:
            for means in self._means:
                means.resume(document)
        self._look(backlog)

    def _new_means(self) -> list[Means]:
        if self._plan.passes_means:
            return []
        lengths = {
            Command.MINUTE_DATA: self._terms.minute_interval_s,
            Command.HOUR_DATA: HOUR_S,
            Command.DAY_DATA: DAY_S,
        }
        return [Means(command, length_s * 1000) for command, length_s in lengths.items()]

    async def _compose(self, backlog: Backlog) -> None:
        """Once a tick: what came, as packets on disk, together with the sums that go on."""
        while True:
            await asyncio.sleep(self._plan.tick_s)
            came = [self._tapped.popleft() for _ in range(len(self._tapped))]
            items = [*self._items(came), *(item for means in self._means for item in means.close(self._clock_ms()))]
            try:
                if came or items:
                    notes = {"means": [means.document() for means in self._means]}
                    await asyncio.to_thread(backlog.add, items, notes)
                if came or items or self._changed:
                    self._changed = False
                    await asyncio.to_thread(self._look, backlog)
            except Unavailable as error:
                self._tolerated["not_kept"] += len(items)
                logger.error("hj212_backlog_failed", extra={"source": self.name, "reason": str(error)})
            if items and self._sending is not None:
                self._sending.wake()

    def _items(self, came: Sequence[tuple[str, Row]]) -> list[Item]:
        items: list[Item] = []
        for kind, row in came:
            if kind != MEASUREMENT:
                continue
            at_ms, readings = int(row["sampled_at"]), readings_of(row)
            slot = at_ms // (self._terms.realtime_interval_s * 1000)
            if self._terms.realtime and slot > self._realtime_slot:
                self._realtime_slot = slot
                items += realtime(at_ms, readings)
            for means in self._means:
                items += means.add(at_ms, readings)
        passed = [row for kind, row in came if kind == REPORTED_MEAN]
        return [*items, *passed_on(passed, self._terms.minute_interval_s)]

    def _look(self, backlog: Backlog) -> None:
        names = ("confirmed", "last_confirmed_ms", "refused", "dropped", "set_aside")
        self._notes = {name: backlog.noted(name) for name in names}
        self._waiting = backlog.waiting

    async def _keep_sending(self, backlog: Backlog, feed: Feed) -> None:
        """Connected for as long as that goes. Its own retries: between them the tap must stay."""
        attempt, loop = 0, asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._send_once(backlog, feed)
            except* Unavailable as group:
                self._trouble = str(next(iter(_leaves(group))))
                logger.warning("hj212_uplink_away", extra={"source": self.name, "reason": self._trouble})
            attempt = 0 if loop.time() - began_s > _STEADY_S else attempt + 1
            await asyncio.sleep(
                delay_s(attempt, self._rng, first_s=self._plan.first_retry_s, ceiling_s=_AWAY_CEILING_S)
            )

    async def _send_once(self, backlog: Backlog, feed: Feed) -> None:
        plan = self._plan
        line = await connect(plan.host, plan.port, Decoder(allowed_crc={plan.crc}))
        line.crc = plan.crc
        if not self._waiting:
            self._trouble = ""  # else the first confirmation says so

        async def on_terms(terms: Terms) -> None:
            if terms.minute_interval_s != self._terms.minute_interval_s:
                self._terms = terms
                self._means = [self._new_means()[0], *self._means[1:]] if self._means else []
            self._terms = terms
            await asyncio.to_thread(backlog.note, terms=terms.document())

        async def on_confirmed(rows: list[Row]) -> None:
            if rows and not await feed.put(rows, kind=REPORTED_MEAN, at_once=True):
                self._tolerated["not_kept"] += len(rows)
            self._trouble = ""

        sending = Sending(
            line,
            backlog,
            plan.manners,
            terms=self._terms,
            numbers=self._numbers,
            clock_ms=self._clock_ms,
            count=self._count,
            on_terms=on_terms,
            on_confirmed=on_confirmed,
            on_change=self._note_change,
            stack=plan.stack,
        )
        self._sending = sending
        try:
            await sending.run()
        finally:
            self._sending = None

    def _note_change(self) -> None:
        self._changed = True

    def _count(self, kind: str) -> None:
        self._tolerated[kind] += 1


def memory_of(outbox: Path, name: str) -> Path:
    """The file of an uplink, beside the outbox."""
    return outbox.with_name(f"{outbox.stem}.{name}.hj212.sqlite")


def _leaves(group: BaseExceptionGroup[Unavailable]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def read_source(table: Reader, context: Context) -> Source | None:
    version = read_version(table, "2017")
    if version is Version.HJT_2005:
        table.fault("version", "must be 2017 or 2025: a platform of 2005 is not spoken to")
    mn = table.text("mn")
    if not can_be_written(mn):
        table.fault("mn", "has signs that HJ 212 cannot carry")
    identity = Identity(mn=mn, password=read_password(table, context), st=table.text("st", AIR_SOURCE), version=version)
    plan = Plan(
        host=table.text("host"),
        port=table.whole("port", low=1, high=65_535),
        manners=Manners(
            identity=identity,
            key=read_key(table, context),
            realtime_reply=table.boolean("realtime_reply", True),
        ),
        stack=table.identifier("stack"),
        terms=_terms(table),
        passes_means=table.one_of("means", ("made", "passed"), "made") == "passed",
        crc=table.one_of("crc", NAMES, STANDARD),
        most=table.whole("most_waiting", MOST, low=1_000, high=10_000_000),
    )
    return Uplink(context.name, plan, rng=Random())


def _terms(table: Reader) -> Terms:
    low, high = REALTIME_INTERVALS_S
    interval_ms = read_span_ms(table, "realtime_interval", 30_000, low=low * 1000, high=high * 1000)
    minute_ms = read_span_ms(table, "minute_interval", 600_000, low=60_000, high=1_800_000)
    if minute_ms // 1000 not in MINUTE_INTERVALS_S:
        table.fault("minute_interval", "must be 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 or 30 min (HJ 212, command 1063)")
    return Terms(
        realtime_interval_s=interval_ms // 1000,
        minute_interval_s=minute_ms // 1000,
        timeout_s=table.whole("timeout_s", 10, low=1, high=3_600),
        retries=table.whole("retries", 3, low=0, high=10),
        realtime=table.boolean("realtime", True),
    )
