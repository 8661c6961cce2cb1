"""Somebody who watches the live alerts through it all, and resumes behind the last event seen whenever it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import httpx

_PAUSE_S: Final = 0.2
_SILENCE_S: Final = 20.0  # a comment comes every 15 s


class Reader:
    """Reads the feed of the API at *url* from its beginning. Run `run` as a task."""

    def __init__(self, url: str, token: str) -> None:
        self.numbers: list[int] = []  #: of the events, as they came
        self.resumed = 0
        self._url, self._token = url, token

    async def run(self) -> None:
        """Read until cancelled."""
        # One client for all: another one reads all the certificates of this machine, five times a second.
        async with httpx.AsyncClient(base_url=self._url, timeout=_SILENCE_S, verify=False) as http:
            while True:
                try:
                    async for number in self._events(http):
                        self.numbers.append(number)
                except httpx.TransportError:
                    pass  # the API or the way to it is away
                self.resumed += 1
                await asyncio.sleep(_PAUSE_S)

    def faults(self, newest: int) -> list[str]:
        """Where what was read is not each event up to number *newest*, once and in order."""
        if self.numbers == list(range(1, newest + 1)):
            return []
        seen = set(self.numbers)
        missed = [number for number in range(1, newest + 1) if number not in seen]
        return [f"the reader got {len(self.numbers)} events of {newest}, missed {missed[:5]}, resumed {self.resumed}"]

    async def _events(self, http: httpx.AsyncClient) -> AsyncIterator[int]:
        last = self.numbers[-1] if self.numbers else 0
        headers = {"Authorization": f"Bearer {self._token}", "Last-Event-ID": str(last)}
        async with http.stream("GET", "/v1/alerts/stream", headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                return
            number: int | None = None
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    number = int(line.removeprefix("id: "))
                elif not line and number is not None:  # an event ends with an empty line; half of one is none
                    yield number
                    number = None
