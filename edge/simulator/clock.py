"""Simulated time: it runs at a multiple of the real one, may stand, and can be wound forward, never back."""

from __future__ import annotations

import time
from collections.abc import Callable


class SimulatedClock:
    def __init__(self, now_ms: int, speed: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._base_ms = float(now_ms)
        self._base_s = clock_s()
        self._speed = speed
        self._stands = False

    @property
    def speed(self) -> float:
        """Times real time; 0 while it stands."""
        return 0.0 if self._stands else self._speed

    @property
    def stands(self) -> bool:
        return self._stands

    def now_ms(self) -> int:
        return int(self._base_ms + (self._clock_s() - self._base_s) * 1000 * self.speed)

    def wind_to(self, now_ms: int) -> None:
        self._base_ms, self._base_s = float(max(now_ms, self.now_ms())), self._clock_s()

    def stand(self) -> None:
        self.wind_to(self.now_ms())
        self._stands = True

    def run_on(self, speed: float | None = None) -> None:
        """From here on, at *speed* or as before."""
        self.wind_to(self.now_ms())
        self._stands = False
        if speed is not None:
            self._speed = speed
