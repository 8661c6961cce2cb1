"""`[[hj212.poll]]`: we connect to a data logger (HJ 212), take what it pushes and ask for the hours that are missing.

    [[hj212.poll]]
    host = "192.168.1.20"
    port = 5000
    mn = "010000A8900016F000169DC0"
    password_env = "DA001_PASSWORD"
    stack = "DA001"
    set_realtime_interval = "30s"

Which hours are here lies in the outbox beside their rows, so that a restart asks for what is missing and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from edge.hj212.decoder import Decoder
from edge.hj212.intake import Intake
from edge.hj212.line import connect
from edge.hj212.peers import Peer, read_peer
from edge.hj212.talking import Talk, Waits, silent_of, tolerated_of
from edge.sources import Context, Feed, Source
from plant.errors import Unavailable
from plant.reading import Reader


class Polling:
    """The source: one logger."""

    kind = "hj212.poll"

    def __init__(
        self,
        name: str,
        peer: Peer,
        *,
        host: str,
        port: int,
        waits: Waits | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.name = name
        self.intake = Intake(name, {peer.mn: peer})
        self._peer, self._host, self._port = peer, host, port
        self._waits = waits or Waits(identify_s=Waits().idle_s)
        self._clock_ms = clock_ms
        self._since_ms = clock_ms()
        self._talk: Talk | None = None

    async def run(self, feed: Feed) -> None:
        peer = self._peer
        decoder = Decoder(allowed_crc=peer.checks, keys={} if peer.key is None else {peer.mn: peer.key})
        line = await connect(self._host, self._port, decoder)
        self._talk = Talk(line, self.intake, feed, holders={}, waits=self._waits, clock_ms=self._clock_ms)
        try:
            await self._talk.run(ask=peer)
        finally:
            self._talk = None
        raise Unavailable(f"the connection to {self._host}:{self._port} ended")

    def state(self) -> Mapping[str, Any]:
        heard_ms = self.intake.heard_ms
        silent = silent_of(self.intake.peers, heard_ms, since_ms=self._since_ms, now_ms=self._clock_ms())
        words = [f"{'connected to' if self._talk else 'waits for'} {self._host}:{self._port}"]
        words += ["it says nothing"] if silent else []
        words += [f"last refused: {self.intake.refused}"] if self.intake.refused else []
        return {
            "ok": self._talk is not None and not silent,
            "detail": "; ".join(words),
            "tolerated": tolerated_of(self.intake.tolerated),
        }


def read_source(table: Reader, context: Context) -> Source | None:
    host, port = table.text("host"), table.whole("port", low=1, high=65_535)
    return Polling(context.name, read_peer(table, context, asks_hours=True), host=host, port=port)
