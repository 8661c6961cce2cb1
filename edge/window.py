"""Which frames leave next, which are on their way, and which to send again: arithmetic, with the time as an argument.

Two lanes. *Live* are the frames that were kept within the last minute: they leave at once, in order. The *backlog* is
everything older: it leaves from the lowest number upwards, no faster than its rate, in the places that live frames do
not need. Neither lane takes the last quarter of the window while the other waits. A live frame that found no place
within its minute joins the backlog, and the backlog passes over what left as live, so every number leaves once.

That is also what receipts can tell: the backlog makes `through` rise, and a live frame is among the newest numbers,
which `also` lists however long the backlog is.

Three things send a frame again. A *new connection*: everything unsettled goes out anew. A *gap*: a
receipt covers a frame that was sent later than this one, so this one was lost. *Silence*: no receipt for a
while; then only the lowest frame goes out, as a probe, at growing intervals. An ingestor that is away for
days must not find thousands of copies in the broker, and the receipt of the probe shows every other gap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from edge.pacing import Bucket
from edge.spans import Spans
from plant.wire import Receipt

DEFAULT_SIZE: Final = 64
DEFAULT_RESEND_AFTER_S: Final = 5.0
DEFAULT_DRAIN_ROWS_PER_S: Final = 20_000.0
LIVE_S: Final = 60.0
PROBE_CEILING_S: Final = 30.0
GAP_GRACE_S: Final = 1.0
"""Ingestors commit side by side: a frame that was overtaken is mostly settled a moment later."""
_MARK_S: Final = 1.0  # how finely the age of frames is known


@dataclass(frozen=True, slots=True)
class Lane:
    """Frames that may leave now: at most *most* of those above *after* and up to *through*."""

    after: int
    through: int
    most: int
    live: bool


@dataclass(slots=True)
class _Flight:
    order: int
    live: bool
    overtaken_at_s: float | None = None


class Window:
    """The frames that were sent over this connection and have no receipt yet.

    *next_seq* is the number that the outbox gives next: what it holds already is backlog.
    """

    def __init__(
        self,
        size: int = DEFAULT_SIZE,
        *,
        next_seq: int = 1,
        resend_after_s: float = DEFAULT_RESEND_AFTER_S,
        drain_rows_per_s: float = DEFAULT_DRAIN_ROWS_PER_S,
    ) -> None:
        self.size = size
        self.sent_ever = Spans()  #: by this process in this session
        self.resent = 0
        self._kept_free = size // 4
        self._resend_after_s = resend_after_s
        self._bucket = Bucket(drain_rows_per_s)
        self._flights: dict[int, _Flight] = {}
        self._next_seq = next_seq
        self._marks = deque([(float("-inf"), next_seq)])  #: (time, what the next number was then)
        self._live_sent = 0  #: live frames up to here left over this connection
        self._swept = 0  #: every number up to here left over this connection, or is not held
        self._sendings = 0
        self._silent_since_s = 0.0
        self._probes = 0

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    @property
    def live_from(self) -> int:
        """The lowest number of the live lane."""
        return self._marks[0][1]

    def drain_at(self, rows_per_s: float) -> None:
        self._bucket = Bucket(rows_per_s)

    def kept(self, next_seq: int, now_s: float) -> None:
        """The outbox has given all numbers below *next_seq* by now. Frames grow old by this being called."""
        self._next_seq = next_seq
        if now_s - self._marks[-1][0] >= _MARK_S:
            self._marks.append((now_s, next_seq))
        while len(self._marks) > 1 and self._marks[1][0] <= now_s - LIVE_S:
            self._marks.popleft()

    def next_lane(self, now_s: float) -> Lane | None:
        """Where the next frames leave; None while none may."""
        live_in_flight = sum(flight.live for flight in self._flights.values())
        live_after = max(self._live_sent, self.live_from - 1)
        kept_free = self._kept_free if self._backlog_waits else 0
        live_room = min(self.size - len(self._flights), self.size - kept_free - live_in_flight)
        if live_after < self._next_seq - 1 and live_room > 0:
            return Lane(live_after, self._next_seq - 1, live_room, live=True)
        backlog_room = self._backlog_room()
        if self._backlog_waits and backlog_room > 0 and self._bucket.due_in_s(now_s) <= 0:
            return Lane(self._swept, self.live_from - 1, backlog_room, live=False)
        return None

    @property
    def _backlog_waits(self) -> bool:
        return self._swept < self.live_from - 1

    def _backlog_room(self) -> int:
        backlog_in_flight = sum(not flight.live for flight in self._flights.values())
        return min(self.size - len(self._flights), self.size - self._kept_free - backlog_in_flight)

    def paced(self, now_s: float) -> bool:
        """Whether the next frame of the backlog has to wait for the rate."""
        return self._bucket.due_in_s(now_s) > 0

    def under_way(self, seq: int) -> bool:
        return seq in self._flights

    def sent(self, seq: int, rows: int, now_s: float, lane: Lane | None = None) -> None:
        """*seq* was published: out of *lane*, or again."""
        if not self._flights:
            self._silent_since_s = now_s
        again = self._flights.get(seq)
        self.resent += again is not None
        self._sendings += 1
        live = lane.live if lane is not None else again is not None and again.live
        self._flights[seq] = _Flight(self._sendings, live)
        if lane is None:
            return
        if lane.live:
            self.sent_ever.add(seq, seq)
        else:
            self._bucket.take(rows, now_s)
        self.passed(lane, seq)

    def passed(self, lane: Lane, through: int) -> None:
        """Nothing up to *through* that the outbox holds has yet to leave by *lane*."""
        if lane.live:
            self._live_sent = max(self._live_sent, through)
            return
        self.sent_ever.add(self._swept + 1, through)
        self._swept = max(self._swept, through)

    def receipted(self, receipt: Receipt, now_s: float) -> None:
        """A receipt of our session came."""
        also = frozenset(receipt.also)
        covered = [seq for seq in self._flights if seq <= receipt.through or seq in also]
        if not covered:
            return
        newest = max(self._flights[seq].order for seq in covered)
        for seq in covered:
            del self._flights[seq]
        for flight in self._flights.values():
            if flight.order < newest and flight.overtaken_at_s is None:
                flight.overtaken_at_s = now_s
        self._silent_since_s = now_s
        self._probes = 0

    def drop_below(self, low: int) -> None:
        """Frames below *low* left the outbox by its bound: nobody waits for them any more."""
        for seq in [seq for seq in self._flights if seq < low]:
            del self._flights[seq]

    def reconnected(self) -> None:
        """Begin again from the lowest frame: the old connection's fate is not known."""
        self._flights.clear()
        self._live_sent = self._swept = 0
        self._probes = 0

    def renumbered(self, next_seq: int) -> None:
        """The outbox began a new session: no number means what it meant, and all that waits is backlog."""
        self.reconnected()
        self.sent_ever.clear()
        self._next_seq = next_seq
        self._marks = deque([(float("-inf"), next_seq)])

    def due(self, now_s: float) -> list[int]:
        """The sequence numbers to send again now, lowest first. Ask, then send: a probe is counted here."""
        lost = {
            seq
            for seq, flight in self._flights.items()
            if flight.overtaken_at_s is not None and now_s - flight.overtaken_at_s >= GAP_GRACE_S
        }
        if self._flights and now_s - self._silent_since_s >= self._patience_s():
            lost.add(min(self._flights))
            self._silent_since_s = now_s
            self._probes += 1
        return sorted(lost)

    def due_in_s(self, now_s: float) -> float | None:
        """How long until `due` or `next_lane` may answer with more; None while only a change can do that."""
        waits = []
        if self._flights:
            overtaken = [f.overtaken_at_s + GAP_GRACE_S for f in self._flights.values() if f.overtaken_at_s is not None]
            waits.append(max(0.0, min([self._silent_since_s + self._patience_s(), *overtaken]) - now_s))
        if self._backlog_waits and self._backlog_room() > 0:
            waits.append(self._bucket.due_in_s(now_s))
        return min(waits, default=None)

    def _patience_s(self) -> float:
        ceiling = max(PROBE_CEILING_S, self._resend_after_s)
        return float(min(ceiling, self._resend_after_s * 2.0 ** min(self._probes, 30)))
