"""The publishers of a benchmark, in a process of their own: frames that were encoded before, at QoS 1.

Each edge holds at most a window of frames without a receipt, as a real one does. The speaking of MQTT is our own and
does as little as it can: what is measured is the system, and the machine is shared with it.

    python -m benchmarks.load HOST PORT WINDOW receipts|acks FILE=RECEIPT_TOPIC ...

It says `ready`, begins at a line on its input, and ends with one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import resource
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.frames import variable_length

SILENCE_S: Final = 60.0
_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 2, 3, 4, 9


@dataclass(slots=True)
class Progress:
    """When how many frames were settled, of all edges."""

    settled: int = 0
    curve: list[tuple[float, int]] = field(default_factory=list)  #: seconds on the monotonic clock, frames

    def add(self, frames: int) -> None:
        self.settled += frames
        self.curve.append((time.monotonic(), self.settled))


class Publisher:
    """One edge: sends the packets of a file while fewer than a window wait."""

    def __init__(self, name: str, file: Path, receipt_topic: str, window: int, *, by_receipts: bool) -> None:
        self.frames = 0
        self._name = name
        self._file = file
        self._topic = receipt_topic.encode()
        self._window = window
        self._by_receipts = by_receipts
        self._settled = 0
        self._sent = 0
        self._room = asyncio.Event()

    async def connect(self, host: str, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection(host, port, limit=1 << 20)
        identity = self._name.encode()
        head = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack(">H", len(identity)) + identity
        self._writer.write(b"\x10" + variable_length(len(head)) + head)
        await self._expect(_CONNACK)
        if self._by_receipts:
            body = b"\x00\x01" + struct.pack(">H", len(self._topic)) + self._topic + b"\x00"
            self._writer.write(b"\x82" + variable_length(len(body)) + body)
            await self._expect(_SUBACK)

    async def run(self, progress: Progress) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(), name=f"send {self._name}")
            tasks.create_task(self._listen(progress), name=f"listen {self._name}")
        self._writer.close()

    async def _send(self) -> None:
        with self._file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as packets:
            for packet in _packets(packets):
                while self._sent - self._settled >= self._window:
                    self._room.clear()
                    await self._room.wait()
                self._writer.write(packet)
                self._sent += 1
                await self._writer.drain()
        self.frames = self._sent

    async def _listen(self, progress: Progress) -> None:
        while not self.frames or self._settled < self.frames:
            async with asyncio.timeout(SILENCE_S):
                kind, body = await self._packet()
            news = self._settles(kind, body)
            if news > 0:
                self._settled += news
                progress.add(news)
                self._room.set()

    def _settles(self, kind: int, body: bytes) -> int:
        if kind == _PUBACK:
            return 0 if self._by_receipts else 1
        if kind != _PUBLISH:
            return 0
        receipt = json.loads(body[2 + len(self._topic) :])
        if receipt["refused"]:
            raise ValueError(f"{self._name}: rows were refused: {receipt['refused'][0]}")
        return int(receipt["through"]) + len(receipt["also"]) - self._settled

    async def _expect(self, wanted: int) -> None:
        async with asyncio.timeout(SILENCE_S):
            kind, body = await self._packet()
        if kind != wanted or body[-1]:
            raise ConnectionError(f"{self._name}: the broker answered {kind} {body!r}")

    async def _packet(self) -> tuple[int, bytes]:
        kind = (await self._reader.readexactly(1))[0] >> 4
        length, shift = 0, 0
        while True:
            digit = (await self._reader.readexactly(1))[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return kind, await self._reader.readexactly(length)


def _packets(packets: mmap.mmap) -> Iterator[bytes]:
    place = 0
    while place < len(packets):
        (length,) = struct.unpack_from(">I", packets, place)
        yield packets[place + 4 : place + 4 + length]
        place += 4 + length


async def publish(host: str, port: int, window: int, sources: list[tuple[Path, str]], *, by_receipts: bool) -> str:
    progress = Progress()
    publishers = [
        Publisher(f"load-{number}", file, topic, window, by_receipts=by_receipts)
        for number, (file, topic) in enumerate(sources)
    ]
    for publisher in publishers:
        await publisher.connect(host, port)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    begun, used = time.monotonic(), _cpu_s()
    async with asyncio.TaskGroup() as tasks:
        for publisher in publishers:
            tasks.create_task(publisher.run(progress), name="publisher")
    ended = time.monotonic()
    every = max(1, len(progress.curve) // 1000)
    curve = [(round(at - begun, 4), frames) for at, frames in [*progress.curve[::every], progress.curve[-1]]]
    frames = sum(publisher.frames for publisher in publishers)
    return json.dumps({"seconds": ended - begun, "frames": frames, "cpu_s": _cpu_s() - used, "curve": curve})


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    host, port, window, settled_by, *given = sys.argv[1:]
    sources = [(Path(file), topic) for file, _, topic in (entry.partition("=") for entry in given)]
    told = publish(host, int(port), int(window), sources, by_receipts=settled_by == "receipts")
    print(asyncio.run(told), flush=True)


if __name__ == "__main__":
    main()
