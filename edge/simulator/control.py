"""Pause, step and inject while it plays, over HTTP on loopback (docs/simulator.md).

Small on purpose: one JSON request, one JSON answer, one connection each. A page in a browser cannot use it: requests
that name another host, or that post anything but JSON, are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from edge.simulator.catalogue import CATALOGUE
from edge.simulator.fault_table import read_fault
from edge.simulator.faults import HOUR_MS
from edge.simulator.run import Simulation
from edge.simulator.truth import truth_of
from plant.errors import BadDocument, Fault, PlantError, Unavailable
from plant.reading import Reader

logger = logging.getLogger(__name__)

_LONGEST_HEAD: Final = 16_384
_LONGEST_BODY: Final = 65_536
_DEADLINE_S: Final = 10.0  # for a request to come
_STEP_S: Final = 600.0  # for a step to be made and committed
_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Unavailable",
}


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    body: Any


class Control:
    """What may be asked of running *simulations*, by site."""

    def __init__(self, simulations: Mapping[str, Simulation], *, scenario: str, digest: str, seed: int) -> None:
        self._simulations = simulations
        self._named: dict[str, Any] = {"scenario": scenario, "digest": digest, "seed": seed}
        self._calls: dict[tuple[str, str], Callable[[Reader], Any]] = {
            ("GET", "/"): self._state,
            ("GET", "/catalogue"): self._catalogue,
            ("GET", "/truth"): self._truth,
            ("POST", "/pause"): self._pause,
            ("POST", "/resume"): self._resume,
            ("POST", "/step"): self._step,
            ("POST", "/inject"): self._inject,
        }

    async def answer(self, method: str, path: str, body: Any) -> Answer:
        call = self._calls.get((method, path))
        if call is None:
            known = any(path == there for _, there in self._calls)
            return Answer(405 if known else 404, {"error": f"no {method} {path}", "there_are": self._paths()})
        wrong: list[Fault] = []
        table = Reader(body if isinstance(body, Mapping) else {}, "", wrong)
        try:
            found = call(table)
            return Answer(200, await found if asyncio.iscoroutine(found) else found)
        except Unavailable as error:
            return Answer(503, {"error": str(error)})
        except PlantError as error:
            return Answer(400, {"error": str(error)})

    def _paths(self) -> list[str]:
        return [" ".join(call) for call in self._calls]

    def _state(self, table: Reader) -> Any:
        return {**self._named, "sites": {site: _state_of(one) for site, one in self._simulations.items()}}

    def _catalogue(self, table: Reader) -> Any:
        return {kind: asdict(what) for kind, what in CATALOGUE.items()}

    async def _truth(self, table: Reader) -> Any:
        played = [one.played for one in self._simulations.values()]
        return await asyncio.to_thread(truth_of, played, **self._named)

    def _pause(self, table: Reader) -> Any:
        for one in self._chosen(table):
            one.stand()
        return self._state(table)

    def _resume(self, table: Reader) -> Any:
        speed = table.maybe_number("speed", low=1e-6, high=1e9)
        for one in self._chosen(table):
            one.run_on(speed)
        return self._state(table)

    async def _step(self, table: Reader) -> Any:
        minutes = table.number("minutes", low=0.01, high=366 * 1440)
        for one in self._chosen(table):
            to = datetime.fromtimestamp(one.clock.now_ms() / 1000 + minutes * 60, UTC)
            await one.advance_to(to, deadline_s=_STEP_S)
        return self._state(table)

    def _inject(self, table: Reader) -> Any:
        hours = table.number("hours", low=0.02, high=24 * 366)
        site = table.one_of("site", self._simulations, next(iter(self._simulations)))
        one = self._simulations[site]
        fault = read_fault(table, one.works.stacks)
        _refuse(table)
        placed = one.inject(replace(fault, until_ms=fault.since_ms + round(hours * HOUR_MS)))
        return {**asdict(placed), "site": site, "start": _text(placed.since_ms), "end": _text(placed.until_ms)}

    def _chosen(self, table: Reader) -> list[Simulation]:
        """The works that the request names, or all."""
        site = table.one_of("site", (*self._simulations, "*"), "*")
        _refuse(table)
        return [one for code, one in self._simulations.items() if site in ("*", code)]


@asynccontextmanager
async def serve_control(control: Control, port: int) -> AsyncIterator[int]:
    """Answer on loopback while entered; gives the port. 0 takes a free one."""

    talking: set[asyncio.Task[None] | None] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.add(asyncio.current_task())
        try:
            answer = await _read_and_answer(control, reader)
            writer.write(_bytes(answer))
            async with asyncio.timeout(_DEADLINE_S):
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            logger.info("control_request_dropped", extra={"reason": repr(error)})
        finally:
            talking.discard(asyncio.current_task())
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_DEADLINE_S):
                    await writer.wait_closed()

    try:
        server = await asyncio.start_server(talk, "127.0.0.1", port, limit=_LONGEST_HEAD)
    except OSError as error:
        raise Unavailable(f"control port {port}: {error}") from error
    async with server:
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            for task in talking:
                if task is not None:
                    task.cancel()  # who asked for a long step would hold the end up


async def _read_and_answer(control: Control, reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(_DEADLINE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, _, rest = first.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _LONGEST_BODY:
            return Answer(400, {"error": f"the body must have a length of at most {_LONGEST_BODY}"})
        body = await reader.readexactly(int(length))
    if headers.get("host", "").rpartition(":")[0] not in _HOSTS and headers.get("host", "") not in _HOSTS:
        return Answer(403, {"error": "ask for 127.0.0.1 or localhost"})
    if method == "POST" and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return Answer(403, {"error": "post application/json"})
    try:
        document = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return Answer(400, {"error": "the body is no JSON"})
    return await control.answer(method, path, document)


def _bytes(answer: Answer) -> bytes:
    body = json.dumps(answer.body).encode()
    head = (
        f"HTTP/1.1 {answer.code} {_REASONS[answer.code]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _state_of(one: Simulation) -> dict[str, Any]:
    progress = one.progress
    faults = (*one.works.faults, *one.injected)
    return {
        "from": _text(progress.begin_ms),
        "through": _text(progress.through_ms),
        "now": _text(progress.now_ms),
        "paused": one.clock.stands,
        "speed": one.clock.speed,
        "waiting": progress.waiting,
        "stacks": [plan.stack.code for plan in one.works.stacks],
        "faults": [fault.id for fault in faults if fault.since_ms <= progress.through_ms < fault.until_ms],
        "orders": [effect.unit for effect in one.effects if effect.until_ms is None],
    }


def _refuse(table: Reader) -> None:
    table.finish()
    if table.faults:
        raise BadDocument("request", table.faults)


def _text(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
