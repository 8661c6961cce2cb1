"""Sources as named tasks: each fails and recovers alone, and its neighbours never notice.

Unavailable      the device is away: again after a growing, jittered delay
any other error  a fault in the program: traceback in the log, again after minutes
return           the source is done and is not run again
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from edge.sources import Declared, Feed, Source
from edge.waiting import set_within
from plant.errors import Unavailable
from plant.figures import figures_of
from plant.retry import delay_s

logger = logging.getLogger(__name__)

AWAY_CEILING_S: Final = 60.0
FAULT_FIRST_S: Final = 60.0
FAULT_CEILING_S: Final = 900.0
_STEADY_S: Final = 60.0  # a run that lasted so long ends the growing of delays
_STOP_S: Final = 10.0
_LONGEST_TEXT: Final = 200
_MOST_KINDS: Final = 32
_IN_ITS_PLACE: Final = frozenset({"ok", "detail", "tolerated", "kind", "restarts"})
MOST_SHOWN: Final = 64  #: sources in a state message


@dataclass(slots=True)
class _Run:
    """One source while it is declared."""

    declared: Declared
    task: asyncio.Task[None] | None = None
    failure: str | None = None
    attempt: int = 0
    restarts: int = 0
    ended: bool = False

    @property
    def source(self) -> Source:
        return self.declared.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a new declaration did, by names of sources."""

    started: tuple[str, ...]
    stopped: tuple[str, ...]
    kept: tuple[str, ...]


class Supervisor:
    """Runs sources on *feed* while it is entered."""

    def __init__(
        self,
        feed: Feed,
        *,
        rng: Random,
        clock_s: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._feed = feed
        self._rng = rng
        self._on_change = on_change  # a source came, went, failed or came back
        self._clock_s = clock_s
        self._runs: dict[str, _Run] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Supervisor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop(list(self._runs.values()))
        self._runs.clear()

    async def declare(self, declared: Sequence[Declared]) -> Change:
        """Run exactly *declared*: those made from the same as before go on untouched."""
        wanted = {item.source.name: item for item in declared}
        gone = [
            run
            for name, run in self._runs.items()
            if name not in wanted or wanted[name].made_from != run.declared.made_from
        ]
        stopped = tuple(run.source.name for run in gone)
        await self._stop(gone)  # before the new ones: they may want the same port
        for name in stopped:
            del self._runs[name]
        kept = tuple(self._runs)
        started = tuple(name for name in wanted if name not in self._runs)
        for name in started:
            run = self._runs[name] = _Run(wanted[name])
            run.task = asyncio.create_task(self._keep_running(run), name=f"keep {name} running")
        self._runs = {name: self._runs[name] for name in wanted}
        self._note_change()
        return Change(started=started, stopped=stopped, kept=kept)

    async def finished(self) -> None:
        """Wait until every source that is declared is done."""
        while not all(run.ended for run in self._runs.values()):
            self._changed.clear()
            await set_within(self._changed, 60.0)

    def states(self) -> dict[str, dict[str, Any]]:
        """What each source says of itself, bounded and fit for JSON, by name."""
        return {name: _state_of(run) for name, run in list(self._runs.items())[:MOST_SHOWN]}

    async def _keep_running(self, run: _Run) -> None:
        while True:
            began_s = self._clock_s()
            error = await self._outcome(run.source)
            if error is None:
                run.failure, run.ended = None, True
                logger.info("source_ended", extra={"source": run.source.name, "kind": run.source.kind})
                self._note_change()
                return
            run.attempt = 0 if self._clock_s() - began_s > _STEADY_S else run.attempt + 1
            pause_s = self._pause_s(error, run.attempt)
            run.restarts += 1
            run.failure = _text(f"{_words(error)}; again in {pause_s:.0f} s")
            self._note_change()
            await asyncio.sleep(pause_s)
            run.failure = None
            self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._on_change()

    async def _outcome(self, source: Source) -> BaseException | None:
        """What one run of *source* ended by. Its errors end its own task only, and are looked at here."""
        task = asyncio.create_task(source.run(self._feed), name=f"source {source.name}")
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            _, left = await asyncio.wait([task], timeout=_STOP_S)
            if left:
                logger.error("source_did_not_stop", extra={"source": source.name})
            elif not task.cancelled() and (error := task.exception()) is not None:
                logger.warning("source_stopped_badly", extra={"source": source.name, "reason": _words(error)})
            raise
        if task.cancelled():
            return asyncio.CancelledError("it cancelled itself")
        error = _single(task.exception())
        if isinstance(error, Unavailable):
            logger.warning("source_unavailable", extra={"source": source.name, "reason": _words(error)})
        elif error is not None:
            logger.error("source_failed", extra={"source": source.name, "reason": _words(error)}, exc_info=error)
        return error

    def _pause_s(self, error: BaseException, attempt: int) -> float:
        if isinstance(error, Unavailable):
            return delay_s(attempt, self._rng, ceiling_s=AWAY_CEILING_S)
        return delay_s(max(0, attempt - 1), self._rng, first_s=FAULT_FIRST_S, ceiling_s=FAULT_CEILING_S)

    async def _stop(self, runs: Sequence[_Run]) -> None:
        tasks = [run.task for run in runs if run.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2 * _STOP_S)


def _state_of(run: _Run) -> dict[str, Any]:
    said = _said_by(run.source)
    if run.failure is not None:
        said = {**said, "ok": False, "detail": run.failure}
    elif run.ended:
        said = {**said, "detail": f"done: {said['detail']}"[:_LONGEST_TEXT]}
    return {"kind": run.source.kind, **said, "restarts": run.restarts}


def _said_by(source: Source) -> dict[str, Any]:
    """`ok`, `detail`, `tolerated`, `figures`, however strange a source speaks: its state must not end the publisher."""
    try:
        said = source.state()
        figures = figures_of({name: value for name, value in said.items() if name not in _IN_ITS_PLACE})
        tolerated = {_text(kind, 64): int(times) for kind, times in list(said["tolerated"].items())[:_MOST_KINDS]}
        known = {"ok": said["ok"] is True, "detail": _text(said["detail"]), "tolerated": tolerated}
        return {**known, "figures": figures} if figures else known
    except Exception as error:  # noqa: BLE001  # whatever it is, it is shown as what it is: a fault of this source
        return {"ok": False, "detail": f"its state cannot be told: {_words(error)}", "tolerated": {}}


def _single(error: BaseException | None) -> BaseException | None:
    """*error*, or the first of a group of nothing but `Unavailable`: sources may use task groups."""
    if isinstance(error, BaseExceptionGroup):
        away, others = error.split(Unavailable)
        if others is None and away is not None:
            return _single(away.exceptions[0])
    return error


def _words(error: BaseException) -> str:
    text = _text(str(error))
    return text if isinstance(error, Unavailable) and text else _text(f"{type(error).__name__}: {text}")


def _text(value: object, longest: int = _LONGEST_TEXT) -> str:
    """One printable line."""
    return "".join(c if c.isprintable() else " " for c in str(value)[:longest])


def troubled(states: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of the sources that are not well."""
    return tuple(name for name, state in states.items() if not state["ok"])
