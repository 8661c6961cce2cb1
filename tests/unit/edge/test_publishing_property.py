"""Whatever happens between an outbox, its window and an ingestor: each row is held, settled or counted as dropped."""

from __future__ import annotations

import json
import shutil
import tempfile
from itertools import count
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.outbox import Outbox, OutboxFull, Policy
from edge.window import Window
from plant.wire import Receipt

MEMORY = Path("/dev/shm")  # nothing here is about power that fails
SIZE = 8
FRAME_BYTES = 150  # about


class Ingestor:
    """What the system has: rows by frame, and the receipts that it would give."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.settled: dict[str, set[int]] = {}

    def take(self, payload: bytes) -> None:
        frame = json.loads(payload)
        self.rows |= set(frame["sampled_at"])
        self.settled.setdefault(frame["session"], set()).update({frame["seq"]}, range(1, frame["low"]))

    def receipt(self, session: str) -> Receipt:
        settled = self.settled.get(session, set())
        through = next(n for n in count() if n + 1 not in settled)
        return Receipt(session=session, through=through, also=tuple(sorted(n for n in settled if n > through)))


class Publishing(RuleBasedStateMachine):
    """The publisher's turns, one at a time, with a broker that may lose, repeat, reorder and delay."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.path = Path(self.folder.name) / "outbox.sqlite"
        self.copy = Path(self.folder.name) / "copy"
        self.hears_first = False
        self.now_s = 0.0
        self.wall_ms = 0
        self.names = count(1)
        self.times = count()
        self.made: set[int] = set()
        self.ingestor = Ingestor()
        self.flying: list[bytes] = []
        self.receipts: list[Receipt] = []

    @initialize(policy=st.sampled_from(["drop_oldest", "refuse"]), frames=st.integers(4, 40))
    def begin(self, policy: Policy, frames: int) -> None:
        self.policy, self.max_bytes = policy, frames * FRAME_BYTES
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(
            self.path,
            ids=lambda: f"{next(self.names):08x}",
            clock_ms=lambda: self.wall_ms,
            monotonic_s=lambda: self.now_s,
            max_bytes=self.max_bytes,
            max_age_s=500.0,
            policy=self.policy,
        )
        self.window = Window(SIZE, next_seq=self.outbox.next_seq, drain_rows_per_s=10.0)
        self.session = self.outbox.session
        self.hears_first = True

    def held(self) -> set[int]:
        return {time for frame in self.outbox.pending(0, 1_000) for time in json.loads(frame.payload)["sampled_at"]}

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
        self.folder.cleanup()

    @rule(rows=st.integers(1, 3))
    def append(self, rows: int) -> None:
        times = [next(self.times) for _ in range(rows)]
        self.made |= set(times)
        try:
            self.outbox.append({"stack": "DA001", "sampled_at": times}, rows)
        except OutboxFull:
            self.outbox.count_dropped(rows)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 61.0, 400.0]), wall_ms=st.sampled_from([-(10**12), 0, 10**15]))
    def pass_time(self, seconds: float, wall_ms: int) -> None:
        self.now_s += seconds
        self.wall_ms = wall_ms  # set by whoever sets the clock of an edge

    @rule()
    def publish(self) -> None:
        if self.hears_first:  # the retained receipt
            self.hears_first = False
            self.settle(self.ingestor.receipt(self.session))
        self.window.kept(self.outbox.next_seq, self.now_s)
        self.outbox.let_go_of_old()
        self.window.drop_below(self.outbox.low)
        for seq in self.window.due(self.now_s):
            frame = self.outbox.frame(seq)
            if frame is not None:
                self.flying.append(frame.payload)
                self.window.sent(seq, frame.rows, self.now_s)
        while lane := self.window.next_lane(self.now_s):
            frames = self.outbox.pending(lane.after, 1, through=lane.through)
            for frame in frames:
                if self.window.under_way(frame.seq):
                    self.window.passed(lane, frame.seq)
                else:
                    self.flying.append(frame.payload)
                    self.window.sent(frame.seq, frame.rows, self.now_s, lane)
            if not frames:
                self.window.passed(lane, lane.through)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), fate=st.sampled_from(["arrives", "arrives", "arrives twice", "is lost"]))
    def message(self, data: st.DataObject, fate: str) -> None:
        payload = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        if fate == "is lost":
            return
        self.ingestor.take(payload)
        if fate == "arrives twice":
            self.flying.append(payload)
        self.receipts.append(self.ingestor.receipt(json.loads(payload)["session"]))

    @precondition(lambda self: self.receipts)
    @rule(data=st.data(), late=st.booleans())
    def receipt(self, data: st.DataObject, late: bool) -> None:
        place = data.draw(st.integers(0, len(self.receipts) - 1))
        receipt = self.receipts[place] if late else self.receipts.pop(place)
        self.settle(receipt)

    def settle(self, receipt: Receipt) -> None:
        self.outbox.settle(receipt, sent=self.window.sent_ever)
        if self.outbox.session != self.session:
            self.session = self.outbox.session
            self.window.renumbered(self.outbox.next_seq)
        elif receipt.session == self.session:
            self.window.receipted(receipt, self.now_s)

    @rule()
    def reconnect(self) -> None:
        self.window.reconnected()

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.open()

    @rule()
    def copy_the_file(self) -> None:
        self.outbox.close()
        shutil.copy(self.path, self.copy)
        self.open()

    @precondition(lambda self: self.copy.exists())
    @rule()
    def put_the_copy_back(self) -> None:
        """What was on its way arrives before an edge is back from its backup."""
        while self.flying:
            self.ingestor.take(self.flying.pop())
        self.outbox.close()
        self.path.with_name(self.path.name + "-wal").unlink(missing_ok=True)
        shutil.copy(self.copy, self.path)
        self.open()
        self.made = self.ingestor.rows | self.held()

    @rule()
    def lose_the_disk(self) -> None:
        self.outbox.close()
        for file in self.path.parent.iterdir():
            file.unlink()
        self.made = set(self.ingestor.rows)
        self.open()

    @rule()
    def while_the_network_is_whole_what_waits_arrives(self) -> None:
        self.window.reconnected()
        for _ in range(200):
            self.now_s += 0.5
            self.publish()
            while self.flying:
                self.ingestor.take(self.flying.pop(0))
            self.settle(self.ingestor.receipt(self.session))
            if not self.outbox.waiting:
                return
        raise AssertionError(f"{self.outbox.waiting} frames are stuck")

    @invariant()
    def every_row_is_held_settled_or_counted(self) -> None:
        if not hasattr(self, "outbox"):
            return
        held = self.held()
        gone = self.made - held - self.ingestor.rows
        stats = self.outbox.stats()
        assert len(gone) <= stats.dropped <= len(self.made)
        assert stats.rows == len(held)
        assert stats.bytes <= self.max_bytes
        assert self.window.in_flight <= SIZE


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
