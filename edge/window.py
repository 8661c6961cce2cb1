"""Which frames are on their way, and which to send again: arithmetic, with the time as an argument.

Three things send a frame again. A *new connection*: everything unsettled goes out in order. A *gap*: a
receipt covers a frame that was sent later than this one, so this one was lost. *Silence*: no receipt for a
while; then only the lowest frame goes out, as a probe, at growing intervals. An ingestor that is away for
days must not find thousands of copies in the broker, and the receipt of the probe shows every other gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from plant.wire import Receipt

DEFAULT_SIZE: Final = 64
DEFAULT_RESEND_AFTER_S: Final = 5.0
PROBE_CEILING_S: Final = 30.0
GAP_GRACE_S: Final = 1.0
"""Ingestors commit side by side: a frame that was overtaken is mostly settled a moment later."""


@dataclass(slots=True)
class _Flight:
    order: int
    overtaken_at_s: float | None = None


class Window:
    """The frames that were sent over this connection and have no receipt yet."""

    def __init__(self, size: int = DEFAULT_SIZE, *, resend_after_s: float = DEFAULT_RESEND_AFTER_S) -> None:
        self.size = size
        self.cursor = 0  #: the highest sequence number sent over this connection
        self.sent_through = 0  #: the highest ever sent by this process in this session
        self.resent = 0
        self._resend_after_s = resend_after_s
        self._flights: dict[int, _Flight] = {}
        self._sendings = 0
        self._silent_since_s = 0.0
        self._probes = 0

    @property
    def room(self) -> int:
        return self.size - len(self._flights)

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    def sent(self, seq: int, now_s: float) -> None:
        """*seq* was published, for the first time or again."""
        if not self._flights:
            self._silent_since_s = now_s
        if seq in self._flights:
            self.resent += 1
        self._sendings += 1
        self._flights[seq] = _Flight(self._sendings)
        self.cursor = max(self.cursor, seq)
        self.sent_through = max(self.sent_through, seq)

    def receipted(self, receipt: Receipt, now_s: float) -> None:
        """A receipt of our session came."""
        covered = [seq for seq in self._flights if receipt.covers(seq)]
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
        self.cursor = 0
        self._probes = 0

    def renumbered(self) -> None:
        """The outbox began a new session: no number means what it meant."""
        self.reconnected()
        self.sent_through = 0

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
        """How long until `due` may answer with something; None while nothing is under way."""
        if not self._flights:
            return None
        overtaken = [f.overtaken_at_s + GAP_GRACE_S for f in self._flights.values() if f.overtaken_at_s is not None]
        return max(0.0, min([self._silent_since_s + self._patience_s(), *overtaken]) - now_s)

    def _patience_s(self) -> float:
        ceiling = max(PROBE_CEILING_S, self._resend_after_s)
        return float(min(ceiling, self._resend_after_s * 2.0 ** min(self._probes, 30)))
