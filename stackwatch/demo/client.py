"""A small client of the API, as the demonstration's people use it: one request, one JSON answer."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from plant.errors import PlantError, Unavailable

ANSWER_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Client:
    """One principal at one API."""

    http_url: str
    token: str

    async def get(self, path: str) -> Any:
        return await asyncio.to_thread(self._ask, "GET", path, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(self._ask, "POST", path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        request = urllib.request.Request(
            self.http_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise PlantError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
        except (urllib.error.URLError, OSError) as error:
            raise Unavailable(f"{method} {path}: {error}") from error
