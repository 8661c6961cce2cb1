"""A command of the plant's own that is told of orders: it notifies people and never drives anything.

    list of orders ──▶ what is news ──▶ command, one order as JSON on its stdin, with a deadline ──▶ remembered

Each order is told once when it comes into force, once for each change of it, and once when it is no longer in force.
What was told lies on disk, so a restart repeats nothing. A command that fails is tried again a few times; then its
failure is shown and the order counts as told.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from edge.keeping import write_whole
from edge.orders import OrderList
from plant.errors import PlantError
from plant.retry import delay_s

logger = logging.getLogger(__name__)

DEADLINE_S: Final = 30.0
_ATTEMPTS: Final = 3
_RETRY_FIRST_S: Final = 2.0
_SECRETS: Final = "STACKWATCH_"  # settings hold passwords; the command gets none of them
_MOST_REMEMBERED: Final = 1_000


class HookFailed(PlantError):
    """The command could not be run, ended badly, or took too long. Try again, then show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What an agent file says of it."""

    command: tuple[str, ...]
    folder: Path  #: it runs there
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell about one order: `event` is in_force, changed or ended."""

    event: str
    order_id: str
    digest: str  #: of the order as it stands; empty when it ended
    document: bytes


def news(told: Mapping[str, str], listed: OrderList) -> list[Notice]:
    """What *listed* says beyond what was *told* (order id -> digest), in the order of the list."""
    orders = {str(order["order_id"]): order for order in json.loads(listed.body)["orders"]} if listed.body else {}
    found = []
    for order_id, order in orders.items():
        digest = hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()[:32]
        if told.get(order_id) != digest:
            event = "changed" if order_id in told else "in_force"
            found.append(_notice(event, order_id, digest, order, listed))
    ended = [order_id for order_id in told if order_id not in orders]
    return found + [_notice("ended", order_id, "", {"order_id": order_id}, listed) for order_id in ended]


async def call(hook: Hook, notice: Notice) -> None:
    """Run the command for *notice*; `HookFailed` where it did not end well in time."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    try:
        process = await asyncio.create_subprocess_exec(
            *hook.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            cwd=hook.folder,
            env=environ,
            start_new_session=True,  # so that all it started can be ended with it
        )
    except (OSError, ValueError) as error:
        raise HookFailed(f"cannot be run: {error}") from error
    try:
        async with asyncio.timeout(hook.deadline_s):
            await process.communicate(notice.document)
    except TimeoutError:
        raise HookFailed(f"took longer than {hook.deadline_s:g} s and was ended") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        raise HookFailed(f"ended with {process.returncode}")


class OrderHook:
    """Tells the command what lists of orders say. Give `orders_came` to `Orders.follow` and run `run` as a task."""

    def __init__(
        self,
        memory: Path,
        *,
        rng: Random,
        hook: Hook | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.hook = hook  #: may be replaced while this runs; None tells nobody
        self._memory = memory
        self._rng = rng
        self._now = now
        self._listed: OrderList | None = None
        self._wake = asyncio.Event()
        self._told = self._remembered()
        self._calls = self._failures = 0
        self._last: dict[str, Any] | None = None

    def orders_came(self, listed: OrderList) -> None:
        self._listed = listed
        self._wake.set()

    def replace(self, hook: Hook | None) -> None:
        self.hook = hook
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.hook is not None and self._listed is not None and (due := news(self._told, self._listed)):
                await self._tell(self.hook, due[0])

    def state(self) -> dict[str, Any]:
        """`ok`, `detail`, calls and failures so far, and how the last call ended."""
        last = self._last
        return {
            "ok": last is None or bool(last["ok"]),
            "detail": "nothing to tell yet"
            if last is None
            else f"{last['event']} {last['order_id']}: {last['detail']}"[:200],
            "calls": self._calls,
            "failures": self._failures,
            "last": self._last,
        }

    async def _tell(self, hook: Hook, notice: Notice) -> None:
        failure = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(delay_s(attempt - 1, self._rng, first_s=_RETRY_FIRST_S))
            self._calls += 1
            try:
                await call(hook, notice)
            except HookFailed as error:
                failure = str(error)
                self._failures += 1
                extra = {"order": notice.order_id, "event": notice.event, "reason": failure, "attempt": attempt}
                logger.error("hook_failed", extra=extra)
            else:
                failure = ""
                logger.info("hook_called", extra={"order": notice.order_id, "event": notice.event})
                break
        self._last = {
            "ok": not failure,
            "order_id": notice.order_id,
            "event": notice.event,
            "at": self._now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "detail": failure or "done",
        }
        self._remember(notice)

    def _remember(self, notice: Notice) -> None:
        self._told.pop(notice.order_id, None)
        if notice.event != "ended":
            self._told[notice.order_id] = notice.digest
        try:
            write_whole(self._memory, json.dumps({"told": self._told}))
        except OSError as error:
            logger.error("hook_memory_not_written", extra={"path": str(self._memory), "reason": str(error)})

    def _remembered(self) -> dict[str, str]:
        try:
            told = json.loads(self._memory.read_text(encoding="utf-8"))["told"]
            return {str(order_id): str(digest) for order_id, digest in list(told.items())[:_MOST_REMEMBERED]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            logger.error("hook_memory_unreadable", extra={"path": str(self._memory), "reason": repr(error)})
            return {}


def _notice(event: str, order_id: str, digest: str, order: Mapping[str, Any], listed: OrderList) -> Notice:
    document = {
        "event": event,
        "site": listed.site,
        "version": listed.version,
        "issued_at": listed.issued_at,
        "order": order,
    }
    return Notice(event, order_id, digest, json.dumps(document).encode() + b"\n")
