"""When an agent file changes, its new text is checked first: a broken one changes nothing and is said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge.agent_file import AgentPlan, read_agent_file
from edge.sources import Stamp, stamp_of
from edge.waiting import set_within
from plant.errors import BadDocument, Fault

logger = logging.getLogger(__name__)

POLL_S: Final = 2.0
_FIXED: Final = ("site", "edge", "folder")  # who an edge is and where its memory lies: for its whole life
_MOST_SAID: Final = 10


class AgentFileWatch:
    """Waits for the next plan that may take over."""

    def __init__(
        self,
        file: Path,
        plan: AgentPlan,
        *,
        poll_s: float = POLL_S,
        on_trouble: Callable[[], None] = lambda: None,
    ) -> None:
        self.trouble: str | None = None  #: why the file as it stands now is not in use
        self.reloads = 0
        self._file = file
        self._plan = plan
        self._poll_s = poll_s
        self._on_trouble = on_trouble
        self._asked = asyncio.Event()
        self._read: Mapping[Path, Stamp] = plan.files

    def ask(self) -> None:
        """Read the file again now, changed or not."""
        self._asked.set()

    async def next_plan(self) -> AgentPlan:
        """The next plan that may take over, when the file or one that it names has changed, or on `ask`."""
        while True:
            self._read = await self._changed()
            try:
                plan = await self._read_again()
                self._refuse_another_edge(plan)
            except BadDocument as error:
                self._say(error)
                continue
            self.trouble, self._plan, self._read = None, plan, plan.files
            self.reloads += 1
            return plan

    async def _changed(self) -> Mapping[Path, Stamp]:
        """Wait until there is something to read; how the files stand then."""
        before = self._read
        while True:
            asked = await set_within(self._asked, self._poll_s)
            self._asked.clear()
            now = await asyncio.to_thread(self._stamps)
            if asked or is_due(self._read, before, now):
                return now
            before = now

    async def _read_again(self) -> AgentPlan:
        """A fault in a reader's program is a refusal too: what runs now is not to end by a text."""
        reading = asyncio.create_task(asyncio.to_thread(read_agent_file, self._file), name="read agent file")
        try:
            await asyncio.wait([reading])
        except asyncio.CancelledError:
            reading.cancel()
            raise
        error = reading.exception()
        if error is None or isinstance(error, BadDocument):
            return reading.result()
        logger.error("agent_file_reader_failed", extra={"path": str(self._file)}, exc_info=error)
        fault = Fault("", f"a fault of ours while reading it: {type(error).__name__}")
        raise BadDocument(str(self._file), [fault]) from error

    def _stamps(self) -> dict[Path, Stamp]:
        return {file: stamp_of(file) for file in self._read}

    def _refuse_another_edge(self, plan: AgentPlan) -> None:
        faults = [
            Fault("outbox" if name == "folder" else name, "was changed: that needs a restart")
            for name in _FIXED
            if getattr(plan, name) != getattr(self._plan, name)
        ]
        if faults:
            raise BadDocument(str(self._file), faults)

    def _say(self, error: BadDocument) -> None:
        said = [str(fault) for fault in error.faults]
        self.trouble = "; ".join(said[:_MOST_SAID])
        logger.error("agent_file_refused", extra={"path": str(self._file), "faults": said[:_MOST_SAID]})
        self._on_trouble()


def is_due(read: Mapping[Path, Stamp], before: Mapping[Path, Stamp], now: Mapping[Path, Stamp]) -> bool:
    """Whether files differ from what was *read*, and rest since *before*: who writes in parts is not interrupted."""
    return now == before and now != read
