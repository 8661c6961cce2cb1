"""`[[hj212.listen]]`: data loggers connect to us and push (HJ 212); the server's half of a host.

    [[hj212.listen]]
    host = "0.0.0.0"
    port = 9010
      [[hj212.listen.logger]]
      mn = "010000A8900016F000169DC0"
      password_file = "da001.password"
      stack = "DA001"

Nobody is believed before MN and password; until then a connection has half a minute. What connects beyond the bound
takes the place of the oldest that has not said who it is, or is turned away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.hj212.decoder import Decoder
from edge.hj212.intake import Intake
from edge.hj212.line import CHUNK, Line
from edge.hj212.peers import Peer, read_peer
from edge.hj212.talking import Talk, Waits, silent_of, tolerated_of
from edge.sources import Context, Feed, Source
from plant.errors import Unavailable
from plant.reading import Reader

logger = logging.getLogger(__name__)

PORT: Final = 9010
CONNECTIONS: Final = 64


class Listening:
    """The source. Its loggers are known by MN; one connection may bring several."""

    kind = "hj212.listen"

    def __init__(
        self,
        name: str,
        peers: Mapping[str, Peer],
        *,
        host: str,
        port: int,
        connections: int = CONNECTIONS,
        waits: Waits | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.name = name
        self.intake = Intake(name, peers)
        self.port = port  #: once it runs, the one that was taken
        self._host, self._asked_port = host, port
        self._connections = connections
        self._waits = waits or Waits()
        self._clock_ms = clock_ms
        self._since_ms = clock_ms()
        self._open: dict[Talk, None] = {}  # in the order of their coming
        self._holders: dict[str, Talk] = {}
        self._listening = False

    async def run(self, feed: Feed) -> None:
        self._since_ms = self._clock_ms()
        async with asyncio.TaskGroup() as tasks:

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                self._connected(Line(reader, writer, self._decoder()), feed, tasks)

            try:
                server = await asyncio.start_server(connected, self._host, self._asked_port, limit=CHUNK)
            except OSError as error:
                raise Unavailable(f"cannot listen on {self._host}:{self._asked_port}: {error.strerror}") from error
            try:
                self.port = server.sockets[0].getsockname()[1]
                self._listening = True
                logger.info("hj212_listening", extra={"source": self.name, "host": self._host, "port": self.port})
                await asyncio.Event().wait()  # until cancelled
            finally:
                self._listening = False
                server.close()

    def state(self) -> Mapping[str, Any]:
        peers = self.intake.peers
        silent = silent_of(peers, self.intake.heard_ms, since_ms=self._since_ms, now_ms=self._clock_ms())
        here = sum(mn in self._holders for mn in peers)
        words = [f"listens on {self._host}:{self.port}" if self._listening else "does not listen"]
        words += [f"{here} of {len(peers)} loggers connected"]
        words += [f"silent: {', '.join(silent[:3])}{' ...' if len(silent) > 3 else ''}"] if silent else []
        words += [f"last refused: {self.intake.refused}"] if self.intake.refused else []
        return {
            "ok": self._listening and not silent,
            "detail": "; ".join(words),
            "tolerated": tolerated_of(self.intake.tolerated),
        }

    def _decoder(self) -> Decoder:
        peers = self.intake.peers
        return Decoder(
            allowed_crc=frozenset().union(*(peer.checks for peer in peers.values())),
            keys={mn: peer.key for mn, peer in peers.items() if peer.key is not None},
        )

    def _connected(self, line: Line, feed: Feed, tasks: asyncio.TaskGroup) -> None:
        if len(self._open) >= self._connections and not self._make_room():
            self.intake.tolerated["refused_connection"] += 1
            line.cut()
            return
        talk = Talk(line, self.intake, feed, holders=self._holders, waits=self._waits, clock_ms=self._clock_ms)
        self._open[talk] = None
        task = tasks.create_task(talk.run(), name=f"hj212 {line.peer}")
        task.add_done_callback(lambda _: self._open.pop(talk, None))

    def _make_room(self) -> bool:
        """Cut somebody who has not said who it is, or whose logger has come again meanwhile."""
        idle = (talk for talk in self._open if not talk.identified or talk not in self._holders.values())
        victim = next(idle, None)
        if victim is None:
            return False
        self.intake.tolerated["refused_connection"] += 1
        del self._open[victim]
        victim.line.cut()
        return True


def read_source(table: Reader, context: Context) -> Source | None:
    host = table.text("host", "0.0.0.0")  # loggers come from elsewhere: that is what it is for
    port = table.whole("port", PORT, low=0, high=65_535)
    connections = table.whole("connections", CONNECTIONS, low=1, high=1_000)
    peers = read_peers(table, context)
    return Listening(context.name, peers, host=host, port=port, connections=connections)


def read_peers(table: Reader, context: Context) -> dict[str, Peer]:
    """The loggers in `logger`, by MN."""
    peers: dict[str, Peer] = {}
    for item in table.tables("logger"):
        peer = read_peer(item, context, asks_hours=False)
        item.finish()
        if peer.mn in peers:
            item.fault("mn", f"{peer.mn!r} is there twice")
        peers[peer.mn] = peer
    if not peers:
        table.fault("logger", "is required: one table for each logger that may push")
    return peers
