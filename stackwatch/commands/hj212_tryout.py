"""`hj212 serve` and `hj212 send`: both ends of the protocol in small, to try out a logger or a platform.

Neither keeps data: `serve` prints what came and acknowledges it, `send` says what became of each packet.
"""

from __future__ import annotations

import asyncio
import csv
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from edge.hj212.commands import Command, Kind
from edge.hj212.composing import Item, passed_on, readings_of, realtime
from edge.hj212.crc import NAMES
from edge.hj212.decoder import ANY_MN, Decoder, Packet
from edge.hj212.encoder import encode
from edge.hj212.faults import Fault, FaultKind
from edge.hj212.line import CHUNK, Line, connect
from edge.hj212.messages import acknowledgement, build, exchange_of, message
from edge.hj212.segment import NUMBERED, Version
from edge.hj212.sending import verdict_of
from edge.hj212.session import Numbers
from edge.stamps import epoch_ms
from plant.errors import BadDocument, Refused, Unavailable
from plant.errors import Fault as Misuse
from stackwatch.commands.hj212 import keys_in, lines_of, object_of, shown, variants
from stackwatch.running import guarded

_MOST_CONNECTIONS: Final = 64
_IDLE_S: Final = 3_900.0
_ROWS: Final = (".csv", ".jsonl")
_MINUTE_INTERVAL_S: Final = 600
_NUMBERS: Final = frozenset(f"{of}{which}" for of in ("", "corrected_") for which in ("avg", "min", "max")) | {"amount"}
_VERSIONS: Final = {"2017": Version.HJ_2017, "2025": Version.HJ_2025}


@dataclass(slots=True)
class Receiving:
    """A small platform. `passwords`: by MN; none takes everybody."""

    passwords: Mapping[str, str]
    allowed: Sequence[str]
    keys: Mapping[str, bytes]
    as_json: bool
    record: BinaryIO | None = None
    most: int | None = None  #: packets, then it ends
    came: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """The port that was taken."""
        async with asyncio.TaskGroup() as tasks:
            running: set[asyncio.Task[None]] = set()

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                line = Line(reader, writer, Decoder(allowed_crc=self.allowed, keys=self.keys))
                if len(running) >= _MOST_CONNECTIONS:
                    line.cut()
                    return
                task = tasks.create_task(self._serve(line), name=f"hj212 {line.peer}")
                running.add(task)
                task.add_done_callback(running.discard)

            try:
                server = await asyncio.start_server(connected, host, port, limit=CHUNK)
            except OSError as error:
                raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
            try:
                yield int(server.sockets[0].getsockname()[1])
            finally:
                server.close()
                for task in tuple(running):
                    task.cancel()

    async def _serve(self, line: Line) -> None:
        try:
            while (events := await line.receive(_IDLE_S)) is not None:
                for event in events:
                    await self._take(event, line)
        except (TimeoutError, Unavailable):
            pass
        finally:
            line.cut()

    async def _take(self, event: Packet | Fault, line: Line) -> None:
        answer = ""
        if isinstance(event, Fault):
            self._print(None, [event], "")
            if event.kind is FaultKind.OVERLONG:
                line.cut()
            return
        if not event.crc_ok:
            answer = "not answered: its check value is wrong"
        elif not self._believed(event):
            answer = "not answered: MN or password is another"
        elif (reply := acknowledgement(event)) is not None:
            line.crc = event.crc_variant or line.crc
            await line.send(reply)
            answer = f"answered {reply.cn}"
        self._print(event, [], answer)
        self._keep(event)

    def _believed(self, packet: Packet) -> bool:
        if not self.passwords:
            return True
        password = self.passwords.get(packet.mn or "")
        return password is not None and hmac.compare_digest((packet.pw or "").encode(), password.encode())

    def _print(self, packet: Packet | None, faults: Sequence[Fault], answer: str) -> None:
        if self.as_json:
            print(json.dumps({**object_of(packet, faults), "answer": answer or None}, ensure_ascii=False), flush=True)
            return
        lines = [] if packet is None else list(lines_of(packet))
        lines += [f"   ! {shown(str(fault))}" for fault in faults]
        print("\n".join([*lines, *([f"   > {answer}"] if answer else [])]), flush=True)

    def _keep(self, packet: Packet) -> None:
        """The packet, framed again, so that `hj212 decode` reads the file."""
        if self.record is not None and packet.segment:
            whole = b"##%04d" % len(packet.segment) + packet.segment + (packet.crc or "").encode() + b"\r\n"
            self.record.write(whole)
            self.record.flush()
        self.came += 1
        if self.most is not None and self.came >= self.most:
            self.enough.set()


def serve(
    *,
    host: str,
    port: int,
    passwords: Sequence[str],
    allowed: Sequence[str],
    key_file: Path | None,
    record: Path | None,
    most: int | None,
    as_json: bool,
) -> None:
    """Print what loggers send and answer it, until a signal or *most* packets came."""

    async def run() -> None:
        receiving = Receiving(_passwords(passwords), variants(allowed), keys_in(key_file), as_json, most=most)
        try:
            receiving.record = None if record is None else record.open("ab")
        except OSError as error:
            raise BadDocument(str(record), [Misuse("", f"cannot be written: {error.strerror}")]) from error
        try:
            async with receiving.serving(host, port) as taken:
                if not as_json:
                    print(f"listens on {host}:{taken}", flush=True)
                await receiving.enough.wait()
        finally:
            if receiving.record is not None:
                receiving.record.close()

    guarded(run())


def _passwords(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if any(not mn or not separator for mn, separator, _ in pairs):
        raise BadDocument("arguments", [Misuse("logger", "must be MN=PASSWORD")])
    return {mn: password for mn, _, password in pairs}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One packet to be sent. `again`: its bytes for a second time."""

    packet: Packet
    first: bytes
    again: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who `send` is where it makes packets of rows."""

    mn: str | None
    password: str
    st: str
    version: Version
    key: bytes | None
    crc: str


def send(
    file: str,
    *,
    to: str,
    mn: str | None,
    password: str,
    st: str,
    version: str,
    crc: str,
    key_file: Path | None,
    timeout_s: float,
    retries: int,
    allowed: Sequence[str],
    as_json: bool,
) -> None:
    """Send a capture, or rows as packets; exit code 1 where a packet that wants an answer got none, or a bad one."""

    async def run() -> None:
        if version not in _VERSIONS or crc not in NAMES:
            raise BadDocument("arguments", [Misuse("", f"version is 2017 or 2025, crc one of {', '.join(NAMES)}")])
        key = keys_in(key_file).get(ANY_MN)
        sender = Sender(mn=mn, password=password, st=st, version=_VERSIONS[version], key=key, crc=crc)
        host, _, port = to.rpartition(":")
        if not host or not port.isdigit():
            raise BadDocument("arguments", [Misuse("to", f"must be HOST:PORT, got {to!r}")])
        packets = list(_packets(Path(file), sender, variants(allowed)))
        keys = {} if sender.key is None else {ANY_MN: sender.key}
        line = await connect(host.strip("[]"), int(port), Decoder(allowed_crc=variants(allowed), keys=keys))
        ends: Counter[str] = Counter()
        try:
            for outgoing in packets:
                end = await _send_one(line, outgoing, timeout_s=timeout_s, retries=retries)
                ends[end] += 1
                _tell(outgoing.packet, end, as_json=as_json)
        finally:
            await line.close()
        bad = sum(times for end, times in ends.items() if end not in ("sent", "answered"))
        if not as_json:
            print(", ".join(f"{times} {end}" for end, times in sorted(ends.items())) or "nothing to send")
        if bad:
            raise Refused(f"{bad} of {len(packets)} packets were not taken")

    guarded(run())


async def _send_one(line: Line, outgoing: Outgoing, *, timeout_s: float, retries: int) -> str:
    """How it ended: sent, answered, a code of the other side, or `no answer`."""
    packet = outgoing.packet
    said = message(packet)
    waits = packet.reply_wanted or (said is not None and said.kind is Kind.REQUEST)
    last = Command.EXECUTION_RESULT if said is not None and said.kind is Kind.REQUEST else None
    for attempt in range(retries + 1):
        await line.send_bytes(outgoing.again if attempt else outgoing.first)
        if not waits:
            return "sent"
        if (end := await _answer(line, exchange_of(packet), last, timeout_s)) is not None:
            return end
    return "no answer"


async def _answer(line: Line, exchange: str | None, last: Command | None, timeout_s: float) -> str | None:
    """The end of an exchange: its first reply, or *last* for a request; None where it does not come."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + timeout_s
    while True:
        try:
            events = await line.receive(max(0.0, end_s - loop.time()))
        except TimeoutError:
            return None
        if events is None:
            raise Unavailable(f"{line.peer} ended the connection")
        for event in events:
            if not isinstance(event, Packet) or not event.crc_ok:
                continue
            if (reply := acknowledgement(event)) is not None:  # what a logger brings to a request
                await line.send(reply)
            said = message(event)
            if said is None or said.kind is not Kind.REPLY or exchange_of(event) != exchange:
                continue
            if code := verdict_of(said):
                return code
            if last is None or said.command is last:
                return "answered"


def _tell(packet: Packet, end: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"cn": packet.cn, "qn": packet.qn, "mn": packet.mn, "end": end}), flush=True)
    else:
        print(shown(f"{packet.cn} QN {packet.qn}: {end}"), flush=True)


def _packets(file: Path, sender: Sender, allowed: Sequence[str]) -> Iterator[Outgoing]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadDocument(str(file), [Misuse("", f"cannot be read: {error.strerror}")]) from error
    if file.suffix in _ROWS:
        yield from _of_rows(file, content.decode("utf-8", "replace"), sender)
        return
    decoder = Decoder(allowed_crc=allowed, keys={} if sender.key is None else {ANY_MN: sender.key})
    for event in (*decoder.feed(content), *decoder.close()):
        if isinstance(event, Packet):  # as it stands, its faults included
            raw = content[event.offset : event.offset + event.length]
            yield Outgoing(event, raw, raw)


def _of_rows(file: Path, text: str, sender: Sender) -> Iterator[Outgoing]:
    if sender.mn is None:
        raise BadDocument("arguments", [Misuse("mn", "is required to make packets of rows")])
    numbers, version = Numbers(), sender.version
    keys = {} if sender.key is None else {ANY_MN: sender.key}
    for item in _items(_rows(file, text)):
        segment = build(
            item.command,
            qn=numbers.next(time.time_ns() // 1_000_000),
            st=sender.st,
            mn=sender.mn,
            pw=sender.password,
            version=version,
        )
        if item.pnum is not None:
            segment = replace(segment, flag=(segment.flag or 0) | NUMBERED, pnum=item.pnum, pno=item.pno)
        segment = replace(segment, fields=item.fields)
        first = encode(segment, crc=sender.crc, key=sender.key)
        again = encode(replace(segment, resend=version is Version.HJ_2025), crc=sender.crc, key=sender.key)
        (packet,) = Decoder(allowed_crc=[sender.crc], keys=keys).feed(first)
        assert isinstance(packet, Packet)
        yield Outgoing(packet, first, again)


def _items(rows: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    """Rows with a channel are means, others real-time data."""
    means = []
    for row in rows:
        if "channel" in row:
            means.append(row)
        else:
            yield from realtime(row["sampled_at"], readings_of(row))
    yield from passed_on(means, _MINUTE_INTERVAL_S)


def _rows(file: Path, text: str) -> Iterator[dict[str, Any]]:
    faults: list[Misuse] = []
    for number, row in enumerate(_raw_rows(file, text), start=1):
        at_ms = epoch_ms(row.get("sampled_at"))
        interval_s = row.get("interval_s")
        if at_ms is None or ("channel" in row and not isinstance(interval_s, int | float)):
            faults.append(Misuse(f"row {number}", "needs sampled_at with an offset, a mean interval_s too"))
            continue
        if wrong := [key for key in _NUMBERS & row.keys() if not isinstance(row[key], int | float | None)]:
            faults.append(Misuse(f"row {number}", f"{wrong[0]} must be a number"))
            continue
        yield {**row, "sampled_at": at_ms}
    if faults:
        raise BadDocument(str(file), faults[:20])


def _raw_rows(file: Path, text: str) -> Iterator[dict[str, Any]]:
    if file.suffix == ".csv":
        for line in csv.DictReader(text.splitlines()):
            yield {key: _typed(key, value) for key, value in line.items() if key and value}
        return
    try:
        for line_text in filter(str.strip, text.splitlines()):
            row = json.loads(line_text)
            if not isinstance(row, dict):
                raise ValueError("a line is no object")
            yield row
    except ValueError as error:
        raise BadDocument(str(file), [Misuse("", f"is not JSON, an object a line: {error}")]) from error


def _typed(column: str, value: str) -> str | float:
    try:
        return value if column == "sampled_at" else float(value)
    except ValueError:
        return value
